import { CniError, type CniRoute, type PluginConfig } from "@cnilab/core";
import { type IpAddress, tryParseInterfaceAddress, tryParseIp } from "@cnilab/net";
import { readCniArgs } from "../cni-args.ts";
import { failure } from "../failure.ts";
import { quote } from "../go-text.ts";
import {
  canonicalRangeSet,
  decodeRange,
  type RangeConfig,
  type RangeSet,
  setsOverlap,
} from "./range.ts";

const DEFAULT_DATA_DIR = "/var/lib/cni/networks";

/** host-local's configuration, checked. */
export interface IpamConfig {
  /** One address comes out of each. */
  readonly ranges: readonly RangeSet[];
  /** Where the addresses in use are kept. */
  readonly folder: string;
  readonly routes: readonly CniRoute[] | undefined;
  readonly resolvConf: string | undefined;
}

interface IpamSection extends RangeConfig {
  readonly type: string;
  readonly ranges?: readonly (readonly RangeConfig[])[];
  readonly routes?: readonly CniRoute[];
  readonly dataDir?: string;
  readonly resolvConf?: string;
}

/**
 * A section is parsed once, however many pods come with it: the runtime hands on the same object.
 * Sections that a runtime adds ranges to are not kept.
 */
const parsed = new WeakMap<object, { readonly network: string; readonly config: IpamConfig }>();

/** host-local backend/allocator/config.go LoadIPAMConfig. @throws CniError */
export function loadIpamConfig(config: PluginConfig): IpamConfig {
  const section = config.ipam as IpamSection | undefined;
  if (section === undefined) throw failure("IPAM config missing 'ipam' key");
  const added = config.runtimeConfig?.["ipRanges"] as
    | readonly (readonly RangeConfig[])[]
    | undefined;
  if (added !== undefined && added.length > 0) return parseSection(config.name, section, added);
  const known = parsed.get(section);
  if (known?.network === config.name) return known.config;
  const fresh = parseSection(config.name, section, []);
  parsed.set(section, { network: config.name, config: fresh });
  return fresh;
}

function parseSection(
  network: string,
  section: IpamSection,
  added: readonly (readonly RangeConfig[])[],
): IpamConfig {
  const old = section.subnet === undefined ? [] : [[section]];
  const sets = [...added, ...old, ...(section.ranges ?? [])];
  if (sets.length === 0) throw failure("no IP ranges specified");
  const decoded = sets.map((set) => set.map(decodeRange));
  const ranges = decoded.map((set, i) => {
    try {
      return canonicalRangeSet(set);
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      throw failure(`invalid range set ${i}: ${error.message}`);
    }
  });
  for (const [i, set] of ranges.entries()) {
    const j = ranges.findIndex((other, at) => at > i && setsOverlap(set, other));
    if (j >= 0) throw failure(`range set ${i} overlaps with ${j}`);
  }
  return {
    ranges,
    folder: `${section.dataDir || DEFAULT_DATA_DIR}/${network}`,
    routes: section.routes?.map(knownFields),
    resolvConf: section.resolvConf || undefined,
  };
}

/** What is not a route's is dropped, as by a decoder and an encoder. */
function knownFields(route: CniRoute): CniRoute {
  const { dst, gw, mtu, advmss, priority, table, scope } = route;
  return {
    dst,
    ...(gw && { gw }),
    ...(mtu && { mtu }),
    ...(advmss && { advmss }),
    ...(priority && { priority }),
    ...(table !== undefined && { table }),
    ...(scope !== undefined && { scope }),
  };
}

/** Addresses asked for: in `CNI_ARGS`, in `args.cni.ips`, by the `ips` capability; in this order. @throws CniError */
export function requestedAddresses(config: PluginConfig, cniArgs: string): IpAddress[] {
  const requested: IpAddress[] = [];
  if (cniArgs !== "") {
    const text = readCniArgs(cniArgs, ["IP"]).IP;
    if (text) {
      const ip = parseWithOptionalLength(text);
      if (ip === undefined) {
        throw failure(
          `ARGS: error parsing value of pair ${quote(`IP=${text}`)}: invalid IP address ${text}`,
        );
      }
      requested.push(ip);
    }
  }
  const lists = [config.args?.cni?.["ips"], config.runtimeConfig?.["ips"]];
  for (const list of lists) {
    for (const text of (list as readonly string[] | undefined) ?? []) {
      const ip = parseWithOptionalLength(text);
      if (ip === undefined) throw failure(`invalid IP address ${text}`);
      requested.push(ip);
    }
  }
  return requested;
}

/** `10.0.0.5` or `10.0.0.5/24`. */
function parseWithOptionalLength(text: string): IpAddress | undefined {
  return text.includes("/") ? tryParseInterfaceAddress(text)?.address : tryParseIp(text);
}
