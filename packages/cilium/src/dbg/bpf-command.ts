import { InputError } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { type IpAddress, tryParseIp } from "@cnilab/net";
import type { EndpointInfo } from "../datapath/maps/endpoint-map.ts";
import { pinnedMap } from "./bpf-maps.ts";
import { ctList, natList } from "./connections.ts";
import { LB_LISTINGS, lbList, maglevList, socketNatList } from "./lb.ts";
import type { DbgOutput } from "./listing.ts";
import { type IdentityLabels, policyEndpoints, policyGet, policyList } from "./policy.ts";
import {
  authList,
  endpointList,
  fragmentList,
  ipcacheList,
  ipMasqList,
  mapGet,
  mapList,
  metricsList,
  nodeIdList,
} from "./tables.ts";

export interface BpfCommandOptions {
  readonly labelsOf: IdentityLabels;
  /** Addresses of a pod by `namespace/name`, so that its endpoint need not be known by number. */
  readonly addressesOf?: (pod: string) => readonly string[];
}

type Listing = (kernel: Kernel, rest: readonly string[], options: BpfCommandOptions) => DbgOutput;

/** Words of `cilium-dbg bpf` by what they list. */
const LISTINGS: Readonly<Record<string, Listing>> = {
  auth: authList,
  ct: ctList,
  endpoint: endpointList,
  frag: fragmentList,
  ipcache: ipcacheList,
  ipmasq: ipMasqList,
  lb: listLb,
  metrics: metricsList,
  nat: (kernel) => natList(kernel, seconds(kernel)),
  nodeid: nodeIdList,
  policy: listPolicy,
  socknat: socketNatList,
};

/** Words after which nothing else would be listed: people may write them as they do in a pod. */
const FILLERS = ["list", "ls", "get", "global"];

/**
 * What `cilium-dbg bpf WORDS` prints of a machine; without words its maps, and for the name of a map what is in it.
 * @throws InputError for words that name nothing
 */
export function bpfOutput(
  kernel: Kernel,
  words: readonly string[],
  options: BpfCommandOptions,
): DbgOutput {
  const [name, ...rest] = words.filter((word) => !FILLERS.includes(word));
  if (name === undefined) return mapList(kernel);
  const listing = LISTINGS[name];
  if (listing === undefined) return namedMap(kernel, name);
  const takesMore = name === "lb" || name === "policy";
  if (rest.length > (takesMore ? 1 : 0)) throw tooMany(rest[takesMore ? 1 : 0] as string, name);
  if ((kernel.findBpf()?.maps.size ?? 0) === 0) {
    throw new InputError(`${kernel.hostname} has no eBPF maps`, `show bpf ${name}`);
  }
  return listing(kernel, rest, options);
}

function tooMany(word: string, name: string): InputError {
  return new InputError(`"${word}" is one word too many`, `show bpf ${name}`);
}

function namedMap(kernel: Kernel, name: string): DbgOutput {
  const output = mapGet(kernel, name);
  if (output !== undefined) return output;
  const names = Object.keys(LISTINGS).join(", ");
  throw new InputError(
    `${kernel.hostname} has no map of this name; write one of those that "show bpf" lists, or ${names}`,
    `show bpf ${name}`,
  );
}

function listLb(kernel: Kernel, [what = "services"]: readonly string[]): DbgOutput {
  const word = what.replace(/^--/, "");
  if (word === "maglev") return maglevList(kernel);
  const found = LB_LISTINGS.find((each) => each === word);
  if (found !== undefined) return lbList(kernel, found);
  throw new InputError(`lists ${LB_LISTINGS.join(", ")} and maglev, not "${what}"`, "show bpf lb");
}

function listPolicy(
  kernel: Kernel,
  [endpoint]: readonly string[],
  { labelsOf, addressesOf }: BpfCommandOptions,
): DbgOutput {
  if (endpoint === undefined) return policyList(kernel, { labelsOf });
  const id = /^\d+$/.test(endpoint)
    ? Number(endpoint)
    : endpointAt(kernel, addressesOf?.(endpoint) ?? []);
  const output = id === undefined ? undefined : policyGet(kernel, id, { labelsOf });
  if (output !== undefined) return output;
  const all = policyEndpoints(kernel);
  const some = all.length === 0 ? "none" : all.slice(0, 8).join(", ");
  throw new InputError(
    `${kernel.hostname} has no endpoint ${endpoint} with a policy map; there are ${some}${all.length > 8 ? "…" : ""}`,
    "show bpf policy",
  );
}

/** The endpoint that has one of these addresses. */
function endpointAt(kernel: Kernel, addresses: readonly string[]): number | undefined {
  const endpoints = pinnedMap<IpAddress, EndpointInfo>(kernel, "cilium_lxc");
  for (const text of addresses) {
    const address = tryParseIp(text);
    const info = address === undefined ? undefined : endpoints?.get(address);
    if (info !== undefined && info.lxcId !== 0) return info.lxcId;
  }
  return undefined;
}

/** Whole seconds of the clock that entries' times are of. */
function seconds(kernel: Kernel): number {
  return Math.floor(kernel.network.clock.now / 1000);
}
