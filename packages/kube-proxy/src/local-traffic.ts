import type { IpFamily } from "@cnilab/net";
import { tryParsePrefix } from "@cnilab/net";
import type { KubeProxyConfig } from "./config.ts";

/** How a rule recognises packets of this node's (or the cluster's) own pods (`LocalTrafficDetector`). */
export interface LocalTraffic {
  /** iptables arguments that match it. */
  readonly ifLocal: string;
  /** iptables arguments that match all else. */
  readonly ifNotLocal: string;
  /** nft's expression for it. */
  readonly ifLocalNft: string;
  /** nft's expression for all else. */
  readonly ifNotLocalNft: string;
}

/** `undefined` when nothing tells the two apart in this family: no rule is made then. */
export function localTraffic(
  config: KubeProxyConfig,
  podCidrs: readonly string[],
  family: IpFamily,
): LocalTraffic | undefined {
  switch (config.detectLocalMode) {
    case "ClusterCIDR":
      return bySource(config.clusterCIDRs, family);
    case "NodeCIDR":
      return bySource(podCidrs, family);
    case "BridgeInterface":
      return byInterface(config.bridgeInterface, "", "");
    case "InterfaceNamePrefix":
      return byInterface(config.interfaceNamePrefix, "+", "*");
  }
}

function bySource(cidrs: readonly string[], family: IpFamily): LocalTraffic | undefined {
  for (const text of cidrs) {
    const prefix = tryParsePrefix(text);
    if (prefix?.family !== family) continue;
    const saddr = family === 4 ? "ip saddr" : "ip6 saddr";
    return {
      ifLocal: `-s ${prefix}`,
      ifNotLocal: `! -s ${prefix}`,
      ifLocalNft: `${saddr} ${prefix}`,
      ifNotLocalNft: `${saddr} != ${prefix}`,
    };
  }
  return undefined;
}

/** @param anyEnd what stands for any end of a name, in iptables and in nft; empty for exactly this name */
function byInterface(name: string, anyEnd: string, anyEndNft: string): LocalTraffic | undefined {
  if (name === "") return undefined;
  return {
    ifLocal: `-i ${name}${anyEnd}`,
    ifNotLocal: `! -i ${name}${anyEnd}`,
    ifLocalNft: `iifname "${name}${anyEndNft}"`,
    ifNotLocalNft: `iifname != "${name}${anyEndNft}"`,
  };
}
