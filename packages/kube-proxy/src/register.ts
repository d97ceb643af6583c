import { type DependencyContainer, NODE, type NodeContext, PROXY, perNode } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import { DEFAULT_CONFIG, type KubeProxyConfig } from "./config.ts";
import { IptablesProxier } from "./iptables/iptables-proxier.ts";
import { Layers } from "./iptables/layers.ts";
import { RulesetRenderer } from "./iptables/ruleset.ts";
import { KubeProxy } from "./kube-proxy.ts";
import { ServiceStates } from "./service-state.ts";

/** The release whose behaviour this package has. */
export const KUBE_PROXY_RELEASE = "v1.35.4";

const FAMILIES: readonly IpFamily[] = [4, 6];
const ZONE = "topology.kubernetes.io/zone";

/**
 * Registers kube-proxy under `PROXY`, one for each node, for both address families as the real one
 * runs on a machine that has both. What nodes share is made once for `container`.
 */
export function registerKubeProxy(
  container: DependencyContainer,
  settings: Partial<KubeProxyConfig> = {},
): void {
  const shared = new Map(FAMILIES.map((family) => [family, new ServiceStates(family)]));
  let layers: ReadonlyMap<IpFamily, Layers> | undefined;
  container.register(
    PROXY,
    perNode((node) => {
      const context = node.resolve(NODE) as NodeContext<Kernel>;
      const config: KubeProxyConfig = {
        ...DEFAULT_CONFIG,
        clusterCIDRs: context.config.clusterCidrs.map(String),
        ...settings,
      };
      layers ??= new Map(
        FAMILIES.map((family) => [family, new Layers(family, new RulesetRenderer(config))]),
      );
      const families = FAMILIES.map((family) => ({
        states: shared.get(family) as ServiceStates,
        proxier: new IptablesProxier(
          family,
          config,
          {
            netns: context.machine.initNs,
            topology: { name: context.name, zone: zoneOf(context) },
            addresses: context.addresses,
            podCidrs: () => context.podCidrs().map(String),
          },
          layers?.get(family) as Layers,
        ),
      }));
      return new KubeProxy(context, config, families);
    }),
  );
}

function zoneOf(node: NodeContext): string {
  return node.api.get("Node", node.name)?.metadata.labels?.[ZONE] ?? "";
}
