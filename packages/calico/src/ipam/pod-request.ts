import type { ApiClient, Labels, PodIdentity } from "@cnilab/core";
import {
  familyOf,
  type IpAddress,
  type IpFamily,
  type Prefix,
  tryParseIp,
  tryParsePrefix,
} from "@cnilab/net";
import { POD_ANNOTATIONS } from "../cni/pod-annotations.ts";
import { IpamError } from "./ipam-error.ts";
import type { Pool } from "./pool.ts";

/** What a pod's annotations, and its namespace's, ask of IPAM. */
export interface PodRequest {
  /** Certain addresses, at most one a family; empty where any will do. */
  readonly addresses: readonly IpAddress[];
  readonly families: readonly IpFamily[];
  readonly pools: Readonly<Partial<Record<IpFamily, readonly Prefix[]>>>;
  readonly namespaceLabels: Labels;
}

const POOLS_OF = { 4: POD_ANNOTATIONS.ipv4Pools, 6: POD_ANNOTATIONS.ipv6Pools } as const;

/**
 * The annotations that calico-ipam is told of (cni-plugin/pkg/k8s/k8s.go CmdAddK8s): pools and families from the pod, or else from its
 * namespace; addresses from the pod alone.
 * @param families of pods that do not say
 * @throws IpamError for an annotation that cannot be read
 */
export function podRequest(
  pod: PodIdentity | undefined,
  families: readonly IpFamily[],
  api: ApiClient,
  allPools: readonly Pool[],
): PodRequest {
  if (pod === undefined) return { addresses: [], families, pools: {}, namespaceLabels: {} };
  const namespace = api.get("Namespace", pod.namespace)?.metadata;
  const annotation = (key: string): string =>
    pod.annotations[key] || namespace?.annotations?.[key] || "";
  const wantedFamilies = annotation(POD_ANNOTATIONS.ipFamilies);
  const addresses = pod.annotations[POD_ANNOTATIONS.ipAddrs] ?? "";
  const pools: Partial<Record<IpFamily, readonly Prefix[]>> = {};
  for (const family of [4, 6] as const) {
    const text = annotation(POOLS_OF[family]);
    if (text !== "") pools[family] = resolvePools(text, family, allPools);
  }
  return {
    addresses: addresses === "" ? [] : readAddresses(addresses),
    families: wantedFamilies === "" ? families : readFamilies(wantedFamilies),
    pools,
    namespaceLabels: namespace?.labels ?? {},
  };
}

/** validateAndExtractIPs */
function readAddresses(text: string): IpAddress[] {
  const annotation = POD_ANNOTATIONS.ipAddrs;
  const list = readList(text, annotation);
  if (list.length === 0) throw new IpamError(`annotation "${annotation}" specified but empty`);
  const addresses: IpAddress[] = [];
  for (const item of list) {
    const address = tryParseIp(item);
    if (address === undefined) throw new IpamError(`invalid IP format: ${item}`);
    const family = familyOf(address);
    if (addresses.some((other) => familyOf(other) === family)) {
      throw new IpamError(
        `cannot have more than one IPv${family} address for "${annotation}" annotation`,
      );
    }
    addresses.push(address);
  }
  return addresses;
}

function readFamilies(text: string): IpFamily[] {
  return readList(text, POD_ANNOTATIONS.ipFamilies).map((family) => {
    if (family === "IPv4") return 4;
    if (family === "IPv6") return 6;
    throw new IpamError(`error parsing ipFamilies: ${text}`);
  });
}

/** ResolvePools: a CIDR as it is, else the CIDR of the pool of that name. */
function resolvePools(text: string, family: IpFamily, all: readonly Pool[]): Prefix[] {
  return readList(text, POOLS_OF[family]).map((item) => {
    const cidr = tryParsePrefix(item) ?? all.find(({ name }) => name === item)?.cidr;
    if (cidr === undefined) {
      throw new IpamError(`error parsing pool "${item}": invalid CIDR address: ${item}`);
    }
    if (cidr.family !== family) throw new IpamError(`"${cidr}" isn't a IPv${family} address`);
    return cidr;
  });
}

function readList(text: string, annotation: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw new IpamError(
    `failed to parse '${text}' of annotation "${annotation}" as JSON: a list of texts is expected, as ["a", "b"]`,
  );
}
