import type { NetNamespace } from "@cnilab/linux";
import {
  familyOf,
  formatIp,
  type IpAddress,
  type IpFamily,
  Prefix,
  tryParsePrefix,
} from "@cnilab/net";
import type { NodeTopology } from "./endpoint-categories.ts";

/** The node that a proxier runs on. */
export interface ProxierNode {
  readonly netns: NetNamespace;
  readonly topology: NodeTopology;
  /** The node's own addresses, the primary ones first. */
  readonly addresses: readonly IpAddress[];
  /** The node's pod ranges in CIDR notation; it may get them after kube-proxy has started. */
  podCidrs(): readonly string[];
}

/**
 * The node's addresses that `--nodeport-addresses` picks; `undefined` when it picks all, as it does
 * when it names none of the family (pkg/proxy/util/nodeport_addresses.go).
 * @param ranges CIDRs, or `primary`
 */
export function nodePortIps(
  node: ProxierNode,
  ranges: readonly string[],
  family: IpFamily,
): string[] | undefined {
  const prefixes = prefixesOf(node, ranges).filter((p) => p.family === family);
  if (prefixes.length === 0 || prefixes.some((p) => p.length === 0)) return undefined;
  const addresses = node.netns.devices.flatMap((d) => d.addresses.map((a) => a.address));
  const picked = addresses.filter((a) => prefixes.some((p) => p.contains(a)));
  return [...new Set(picked.map(formatIp))].sort();
}

/** What `primary` stands for: the node's first address of each family. */
function prefixesOf({ addresses }: ProxierNode, ranges: readonly string[]): Prefix[] {
  if (!ranges.includes("primary")) return ranges.flatMap((r) => tryParsePrefix(r) ?? []);
  return ([4, 6] as const).flatMap((family) => {
    const own = addresses.find((a) => familyOf(a) === family);
    return own === undefined ? [] : [new Prefix(own, family === 4 ? 32 : 128)];
  });
}

/** Tells whether the node's own address of the family is in a range. */
export function nodeIsIn(node: ProxierNode, family: IpFamily): (range: string) => boolean {
  const own = node.addresses.find((a) => familyOf(a) === family);
  return (range) => own !== undefined && tryParsePrefix(range)?.contains(own) === true;
}
