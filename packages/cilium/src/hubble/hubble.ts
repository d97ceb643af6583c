import type { ApiClient } from "@cnilab/core";
import { type AnyBpfMap, BpfEventArray, type Kernel, type Network } from "@cnilab/linux";
import { ClusterLookups, type FlowIdentities } from "./cluster-lookups.ts";
import type { Flow } from "./flow.ts";
import { flowOf } from "./flow-parser.ts";
import { FlowRing } from "./flow-ring.ts";
import { KernelListener } from "./kernel-listener.ts";
import { type MonitorAggregation, MonitorAggregator } from "./monitor-aggregation.ts";
import type { MonitorMessage } from "./monitor-message.ts";
import { MESSAGE_TYPE } from "./monitor-messages.ts";

/** The map in which Cilium's programs put what they tell. */
export const EVENTS_MAP = "cilium_events";

export interface HubbleOptions {
  readonly network: Network;
  readonly api: ApiClient;
  /** The machines of the nodes, by the nodes' names. */
  readonly nodes: ReadonlyMap<string, Kernel>;
  readonly identities?: FlowIdentities | undefined;
  /** Of packets that no program tells of; programs leave out by themselves what they are told to. */
  readonly aggregation?: MonitorAggregation;
  /** Flows that are kept; see {@link FlowRing}. */
  readonly capacity?: number;
}

/**
 * Hubble of a whole cluster, as its relay shows it: listens to Cilium's programs on nodes that have them and to the
 * kernels of all nodes, and makes flows of what it hears.
 */
export class Hubble {
  readonly ring: FlowRing;
  readonly #network: Network;
  readonly #lookups: ClusterLookups;
  readonly #aggregator: MonitorAggregator;
  readonly #stops: (() => void)[] = [];
  readonly #followers = new Set<(flow: Flow) => void>();

  constructor(options: HubbleOptions) {
    const { network, api, nodes, identities, aggregation = "medium", capacity } = options;
    this.#network = network;
    this.ring = new FlowRing(capacity);
    this.#aggregator = new MonitorAggregator(aggregation);
    this.#lookups = new ClusterLookups(
      api,
      [...nodes].map(([name, kernel]) => ({
        name,
        addresses: () =>
          [...kernel.initNs.devices]
            .filter((dev) => !dev.isLoopback)
            .flatMap((dev) => dev.addresses4.concat(dev.addresses6SoFar))
            .map(({ address }) => address),
      })),
      network.random.fork("hubble"),
      identities,
    );
    const names = new Map([...nodes].map(([name, kernel]) => [kernel, name] as const));
    const withPrograms = new Set<Kernel>();
    for (const kernel of nodes.values()) {
      for (const map of kernel.findBpf()?.maps.values() ?? []) {
        if (!isEvents(map)) continue;
        withPrograms.add(kernel);
        this.#stops.push(map.read((message) => this.#hear(message)));
      }
    }
    network.tracepoints = new KernelListener(
      {
        nodeOf: (kernel) => names.get(kernel),
        isLocalPod: (node, address) => this.#lookups.isLocalPod(node, address),
        hasPrograms: (kernel) => withPrograms.has(kernel),
      },
      (message) => {
        if (message.type !== MESSAGE_TYPE.trace || this.#aggregator.isTold(message)) {
          this.#hear(message);
        }
      },
    );
  }

  /** Calls `follower` with each flow from now on. @returns how to stop it */
  follow(follower: (flow: Flow) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  /** Listens no more; the flows so far stay. */
  stop(): void {
    this.#network.tracepoints = undefined;
    for (const stop of this.#stops.splice(0)) stop();
    this.#lookups.stop();
  }

  #hear(message: MonitorMessage): void {
    if (!this.#lookups.isObserved(message.node)) return;
    const flow = flowOf(message, this.#lookups);
    this.ring.write(flow);
    for (const follower of this.#followers) follower(flow);
  }
}

function isEvents(map: AnyBpfMap): map is AnyBpfMap & BpfEventArray<MonitorMessage> {
  return map instanceof BpfEventArray && map.name === EVENTS_MAP;
}
