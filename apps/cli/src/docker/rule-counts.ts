import type { NetNamespace } from "@cnilab/linux";

/** How many rules a namespace has, of both families, without policies of chains. */
export function ruleCounts(netns: NetNamespace): {
  readonly iptables: number;
  readonly nftables: number;
} {
  const saved = ([4, 6] as const).map((family) => netns.findIptables(family)?.save() ?? "");
  const lines = saved.join("\n").split("\n");
  const json = netns.findNftables()?.json() as
    | { readonly nftables?: readonly object[] }
    | undefined;
  return {
    iptables: lines.filter((line) => line.startsWith("-A ")).length,
    nftables: (json?.nftables ?? []).filter((item) => "rule" in item).length,
  };
}
