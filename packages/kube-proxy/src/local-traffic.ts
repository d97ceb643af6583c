import type { IpFamily } from "@cnilab/net";
import { tryParsePrefix } from "@cnilab/net";
import type { KubeProxyConfig } from "./config.ts";

/** How a rule recognises packets of this node's (or the cluster's) own pods (`LocalTrafficDetector`). */
export interface LocalTraffic {
  /** iptables arguments that match it. */
  readonly ifLocal: string;
  /** iptables arguments that match all else. */
  readonly ifNotLocal: string;
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
      return byInterface(config.bridgeInterface);
    case "InterfaceNamePrefix":
      return byInterface(config.interfaceNamePrefix && `${config.interfaceNamePrefix}+`);
  }
}

function bySource(cidrs: readonly string[], family: IpFamily): LocalTraffic | undefined {
  for (const text of cidrs) {
    const prefix = tryParsePrefix(text);
    if (prefix?.family === family) return { ifLocal: `-s ${prefix}`, ifNotLocal: `! -s ${prefix}` };
  }
  return undefined;
}

function byInterface(name: string): LocalTraffic | undefined {
  return name === "" ? undefined : { ifLocal: `-i ${name}`, ifNotLocal: `! -i ${name}` };
}
