import {
  type ClusterConfig,
  type DependencyContainer,
  InputError,
  NODE,
  type NodeContext,
  PROXY,
  perNode,
} from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { DEFAULT_CONFIG, type KubeProxyConfig, type KubeProxyMode } from "./config.ts";
import { KubeProxy } from "./kube-proxy.ts";
import { Proxiers } from "./proxiers.ts";
import { ProxyHealthServer } from "./proxy-health-server.ts";

/** The release whose behaviour this package has. */
export const KUBE_PROXY_RELEASE = "v1.35.4";

const ZONE = "topology.kubernetes.io/zone";

/**
 * Registers kube-proxy under `PROXY`, one for each node, in the mode that the cluster's configuration
 * says unless `settings` do. What nodes share is made once for `container`.
 */
export function registerKubeProxy(
  container: DependencyContainer,
  settings: Partial<KubeProxyConfig> = {},
): void {
  let proxiers: Proxiers | undefined;
  container.register(
    PROXY,
    perNode((node) => {
      const context = node.resolve(NODE) as NodeContext<Kernel>;
      const { clusterCidrs, serviceCidrs } = context.config;
      const config: KubeProxyConfig = {
        ...DEFAULT_CONFIG,
        mode: modeOf(context.config),
        clusterCIDRs: clusterCidrs.map(String),
        ...settings,
      };
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

function modeOf({ proxyMode }: ClusterConfig): KubeProxyMode {
  if (proxyMode !== "ipvs") return proxyMode;
  throw new InputError("kube-proxy is modelled in modes iptables and nftables", "--proxy-mode");
}

function zoneOf(node: NodeContext): string {
  return node.api.get("Node", node.name)?.metadata.labels?.[ZONE] ?? "";
}
