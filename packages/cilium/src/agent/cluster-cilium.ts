import type { ApiClient, Clock, ClusterConfig, NodeContext, Random } from "@cnilab/core";
import type { Kernel, Network } from "@cnilab/linux";
import { ClusterMaps } from "../datapath/node-maps.ts";
import type { AgentConfig } from "../options/agent-config.ts";
import type { CiliumAgent } from "./cilium-agent.ts";

/** Made once a cluster, when somebody first asks for it. */
export type ClusterPart<T> = new (cluster: ClusterCilium) => T;

/**
 * What the agents of a cluster have in common, as far as it can be worked out once: the entries that the maps of all nodes hold, and
 * what parts of the agents share ({@link part}).
 */
export class ClusterCilium {
  readonly config: AgentConfig;
  readonly cluster: ClusterConfig;
  /** Agents that run, by their nodes. */
  readonly agents: Map<string, CiliumAgent> = new Map<string, CiliumAgent>();
  readonly #parts = new Map<ClusterPart<unknown>, unknown>();
  #world: World | undefined;

  constructor(config: AgentConfig, cluster: ClusterConfig) {
    this.config = config;
    this.cluster = cluster;
  }

  /** What an agent finds around it is that of the whole cluster but for delays; the first one tells. */
  attach({ api, clock, random, machine }: NodeContext<Kernel>): void {
    this.#world ??= {
      api,
      clock,
      random: random.fork("cilium"),
      network: machine.network,
      maps: new ClusterMaps(machine.network),
    };
  }

  /** The API server. */
  get api(): ApiClient {
    return this.#seen.api;
  }

  get clock(): Clock {
    return this.#seen.clock;
  }

  get random(): Random {
    return this.#seen.random;
  }

  get network(): Network {
    return this.#seen.network;
  }

  get maps(): ClusterMaps {
    return this.#seen.maps;
  }

  /** What there is one of in a cluster, by its class: `cluster.part(PolicyWiring)`. */
  part<T>(type: ClusterPart<T>): T {
    let part = this.#parts.get(type) as T | undefined;
    if (part === undefined) {
      part = new type(this);
      this.#parts.set(type, part);
    }
    return part;
  }

  get #seen(): World {
    if (this.#world === undefined) throw new Error("no agent of this cluster has started");
    return this.#world;
  }
}

interface World {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly maps: ClusterMaps;
}
