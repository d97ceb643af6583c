import type { NodeMaps } from "../../datapath/node-maps.ts";
import type { AgentConfig } from "../../options/agent-config.ts";
import type { LbConfig } from "../../services/lb-config.ts";
import type { ClusterCilium } from "../cluster-cilium.ts";
import { NodeLb } from "./node-lb.ts";
import { ServiceStates } from "./service-states.ts";

/** What all agents of a cluster have of Services in common. */
export class ClusterServices {
  readonly states: ServiceStates;
  /** Maps outlive agents, and what is in them with them. */
  readonly #nodes = new WeakMap<NodeMaps, NodeLb>();

  constructor({ config, network }: ClusterCilium) {
    this.states = new ServiceStates(network, lbConfig(config));
  }

  readonly lbOf = (maps: NodeMaps): NodeLb => {
    let lb = this.#nodes.get(maps);
    if (lb === undefined) {
      lb = new NodeLb(maps);
      this.#nodes.set(maps, lb);
    }
    return lb;
  };
}

function lbConfig({ families, services, maps }: AgentConfig): LbConfig {
  return {
    families,
    nodePort: services.nodePort,
    hostPorts: services.kubeProxyReplacement,
    sessionAffinity: services.kubeProxyReplacement,
    mode: services.mode,
    algorithm: services.algorithm,
    maglev: services.maglev,
    annotations: { mode: services.modeAnnotation, algorithm: services.algorithmAnnotation },
    externalClusterIp: services.externalClusterIp,
    sourceRanges: services.sourceRanges,
    sourceRangeAllTypes: services.sourceRangeAllTypes,
    serviceTopology: services.topology,
    nodePortRange: services.nodePortRange,
    mapMax: maps.lb,
  };
}
