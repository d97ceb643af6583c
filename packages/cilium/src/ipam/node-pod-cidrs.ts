import { type Prefix, tryParsePrefix } from "@cnilab/net";
import type { CiliumNode } from "../api/v2/node.ts";

/** All ranges of a node's pods: its own, or those of pools that it has parts of (pkg/node/types GetIPv4AllocCIDRs). */
export function nodePodCidrs({ spec }: CiliumNode): Prefix[] {
  const { podCIDRs = [], pools } = spec.ipam ?? {};
  const ofPools = (pools?.allocated ?? []).flatMap(({ cidrs = [] }) => cidrs);
  return [...podCIDRs, ...ofPools].map(tryParsePrefix).filter((p) => p !== undefined);
}
