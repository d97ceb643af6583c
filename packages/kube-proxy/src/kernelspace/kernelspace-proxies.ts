import type { NodeContext, ProxyEngine } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import type { WindowsMachine } from "@cnilab/windows";
import type { KubeProxyConfig } from "../config.ts";
import { KubeProxy } from "../kube-proxy.ts";
import { ProxyHealthServer } from "../proxy-health-server.ts";
import { ServiceHealthServer } from "../service-health-server.ts";
import { ServiceStates } from "../service-state.ts";
import { KernelspaceProxier } from "./kernelspace-proxier.ts";
import { nodeNetwork } from "./node-network.ts";
import { StartWithNetwork } from "./start-with-network.ts";
import type { WinkernelConfig } from "./winkernel-config.ts";

const FAMILIES: readonly IpFamily[] = [4, 6];

/** Makes the kube-proxies of Windows nodes: kernelspace is the one mode that they have. */
export class KernelspaceProxies {
  readonly #config: WinkernelConfig;
  /** Shared by all nodes. */
  readonly #states = FAMILIES.map((family) => ({ family, states: new ServiceStates(family) }));

  constructor(config: WinkernelConfig) {
    this.#config = config;
  }

  of(node: NodeContext<WindowsMachine>, config: KubeProxyConfig): ProxyEngine {
    const { machine, name, addresses, clock } = node;
    const health = new ProxyHealthServer(machine.initNs, node);
    // OnTopologyChange is not there: hints of zones are not looked at.
    const topology = { name, zone: "" };
    const families = this.#states.map(({ family, states }) => ({
      states,
      proxier: new KernelspaceProxier(family, this.#config, { machine, name, addresses }),
      // It listens on all of the node's addresses.
      health: new ServiceHealthServer(machine.initNs, topology, [undefined], () => health.healthy),
    }));
    const proxy = new KubeProxy(node, config, families, health);
    return new StartWithNetwork(proxy, clock, () => nodeNetwork(machine, this.#config));
  }
}
