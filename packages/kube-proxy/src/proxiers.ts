import { type IpFamily, parseIp } from "@cnilab/net";
import { type KubeProxyConfig, nodePortAddresses } from "./config.ts";
import { IptablesProxier } from "./iptables/iptables-proxier.ts";
import { Layers } from "./iptables/layers.ts";
import { RulesetRenderer } from "./iptables/ruleset.ts";
import { IpvsProxier } from "./ipvs/ipvs-proxier.ts";
import type { ProxiedFamily } from "./kube-proxy.ts";
import { NftablesProxier } from "./nftables/nftables-proxier.ts";
import { SharedTables } from "./nftables/shared-tables.ts";
import type { Proxier } from "./proxier.ts";
import { nodePortIps, type ProxierNode } from "./proxier-node.ts";
import { ServiceHealthServer } from "./service-health-server.ts";
import { ServiceStates } from "./service-state.ts";
import { ConntrackCleaningProxier } from "./stale-conntrack.ts";

interface SharedFamily {
  readonly family: IpFamily;
  readonly states: ServiceStates;
  readonly proxierOf: (node: ProxierNode) => Proxier;
}

/** Makes the proxiers of nodes whose kube-proxies have equal settings; they share what is equal. */
export class Proxiers {
  readonly #config: KubeProxyConfig;
  readonly #families: readonly SharedFamily[];

  /** @param serviceCidrs ServiceCIDRs of the API server, of both families */
  constructor(config: KubeProxyConfig, serviceCidrs: readonly string[]) {
    this.#config = config;
    this.#families = ([4, 6] as const).map((family) => ({
      family,
      states: new ServiceStates(family),
      proxierOf: proxierMaker(family, config, serviceCidrs),
    }));
  }

  /**
   * One for each family, as the real kube-proxy runs on a machine that has both.
   * @param healthy whether kube-proxy keeps up with changes
   */
  of(node: ProxierNode, healthy: () => boolean = () => true): ProxiedFamily[] {
    return this.#families.map(({ family, states, proxierOf }) => ({
      states,
      proxier: new ConntrackCleaningProxier(node.netns, proxierOf(node)),
      health: new ServiceHealthServer(
        node.netns,
        node.topology,
        nodePortIps(node, nodePortAddresses(this.#config), family)?.map(parseIp) ?? [undefined],
        healthy,
      ),
    }));
  }
}

function proxierMaker(
  family: IpFamily,
  config: KubeProxyConfig,
  serviceCidrs: readonly string[],
): SharedFamily["proxierOf"] {
  switch (config.mode) {
    case "iptables": {
      const layers = new Layers(family, new RulesetRenderer(config));
      return (node) => new IptablesProxier(family, config, node, layers);
    }
    case "nftables": {
      const ofFamily = serviceCidrs.filter((cidr) => cidr.includes(":") === (family === 6));
      const tables = new SharedTables(family, config, ofFamily);
      return (node) => new NftablesProxier(family, config, node, tables);
    }
    case "ipvs":
      return (node) => new IpvsProxier(family, config, node);
  }
}
