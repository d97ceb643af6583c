import { type DependencyContainer, NODE, type NodeContext, PROXY, perNode } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { WindowsMachine } from "@cnilab/windows";
import { DEFAULT_CONFIG, type KubeProxyConfig } from "./config.ts";
import { KernelspaceProxies } from "./kernelspace/kernelspace-proxies.ts";
import { WINKERNEL_DEFAULTS, type WinkernelConfig } from "./kernelspace/winkernel-config.ts";
import { KubeProxy } from "./kube-proxy.ts";
import { Proxiers } from "./proxiers.ts";
import { ProxyHealthServer } from "./proxy-health-server.ts";

/** The release whose behaviour this package has. */
export const KUBE_PROXY_RELEASE = "v1.35.4";

const ZONE = "topology.kubernetes.io/zone";

/**
 * Registers kube-proxy under `PROXY`, one for each node, in the mode that the cluster's configuration
 * says unless `settings` do. What nodes share is made once for `container`. Windows nodes have kernelspace mode
 * whatever the others have, with settings of its own.
 */
export function registerKubeProxy(
  container: DependencyContainer,
  settings: Partial<KubeProxyConfig> = {},
  winkernel: Partial<WinkernelConfig> = {},
): void {
  let proxiers: Proxiers | undefined;
  const kernelspace = new KernelspaceProxies({ ...WINKERNEL_DEFAULTS, ...winkernel });
  container.register(
    PROXY,
    perNode((node) => {
      const context = node.resolve(NODE) as NodeContext<Kernel>;
      const { clusterCidrs, serviceCidrs } = context.config;
      const config: KubeProxyConfig = {
        ...DEFAULT_CONFIG,
        mode: context.config.proxyMode,
        clusterCIDRs: clusterCidrs.map(String),
        ...settings,
      };
      if (context.machine instanceof WindowsMachine) {
        return kernelspace.of(context as NodeContext<WindowsMachine>, config);
      }
      proxiers ??= new Proxiers(config, serviceCidrs.map(String));
      const netns = context.machine.initNs;
      const health = new ProxyHealthServer(netns, context);
      const proxierNode = {
        netns,
        topology: { name: context.name, zone: zoneOf(context) },
        addresses: context.addresses,
        podCidrs: () => context.podCidrs().map(String),
      };
      const families = proxiers.of(proxierNode, () => health.healthy);
      return new KubeProxy(context, config, families, health);
    }),
  );
}

function zoneOf(node: NodeContext): string {
  return node.api.get("Node", node.name)?.metadata.labels?.[ZONE] ?? "";
}
