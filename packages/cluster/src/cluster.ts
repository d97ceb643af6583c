import "reflect-metadata";
import {
  type ClusterConfig,
  type CniModel,
  type CniOptionValues,
  type CniResult,
  type DependencyContainer,
  type Kind,
  type KubeObject,
  type Node,
  objectKey,
  type Pod,
  SeededRandom,
  VirtualClock,
} from "@cnilab/core";
import { Kernel, Network } from "@cnilab/linux";
import { formatIp, type IpAddress, tryParseIp } from "@cnilab/net";
import { Subject, Subscription } from "rxjs";
import { container as rootContainer } from "tsyringe";
import { ApiStore } from "./api/api-store.ts";
import { GarbageCollector } from "./api/garbage-collector.ts";
import { ClusterNode } from "./cluster-node.ts";
import { clusterConfig } from "./cluster-settings.ts";
import { DeploymentController } from "./controllers/deployment.ts";
import { EndpointSliceController } from "./controllers/endpoint-slice.ts";
import { createKubernetesService } from "./controllers/kubernetes-service.ts";
import { INITIAL_NAMESPACES, NamespaceController } from "./controllers/namespace.ts";
import { NodeIpamController } from "./controllers/node-ipam.ts";
import { ReplicaSetController } from "./controllers/replica-set.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import { ServiceAdmission } from "./service/service-admission.ts";
import { forwarding, Underlay } from "./underlay/underlay.ts";

export interface ClusterOptions {
  readonly config?: Partial<ClusterConfig>;
  /** Nodes `node1`, `node2`… to make where the input holds none; 3 where it is absent. */
  readonly nodes?: number;
  readonly seed?: number;
  /** Whether pods answer on the ports that they declare, or everything on every port. */
  readonly listen?: "declared" | "all";
  /** Brings the engines; without one the nodes have no network plugin. */
  readonly cni?: CniModel;
  readonly cniOptions?: CniOptionValues;
  /** Registers engines after the CNI did: kube-proxy, or another engine in place of the CNI's. */
  readonly register?: (root: DependencyContainer) => void;
}

/** Something that happened, as the streams of a cluster tell it. */
export type ClusterEvent =
  | { readonly kind: "node-ready" | "node-not-ready"; readonly at: number; readonly node: string }
  | {
      readonly kind: "pod-attached";
      readonly at: number;
      readonly node: string;
      readonly pod: Pod;
      readonly result: CniResult;
    }
  | {
      readonly kind: "pod-attach-failed";
      readonly at: number;
      readonly node: string;
      readonly pod: Pod;
      readonly error: Error;
    }
  | {
      readonly kind: "pod-detached";
      readonly at: number;
      readonly node: string;
      readonly pod: Pod;
    };

const DEFAULT_NODES = 3;

/** A running cluster. Nothing happens but by its virtual clock: see {@link Cluster.settled}. */
export class Cluster {
  readonly config: ClusterConfig;
  readonly clock: VirtualClock = new VirtualClock();
  readonly network: Network;
  readonly api: ApiStore;
  /** Where engines are registered; each node has a child of it. */
  readonly container: DependencyContainer = rootContainer.createChildContainer();
  readonly #options: ClusterOptions;
  readonly #seed: number;
  readonly #random: SeededRandom;
  readonly #nodes = new Map<string, ClusterNode>();
  readonly #services: ServiceAdmission;
  readonly #events = new Subject<ClusterEvent>();
  readonly #subscriptions = new Subscription();
  #underlay: Underlay | undefined;

  constructor(options: ClusterOptions = {}) {
    this.#options = options;
    this.#seed = options.seed ?? 1;
    this.config = clusterConfig(options.config);
    this.#random = new SeededRandom(this.#seed);
    this.network = new Network(this.clock, this.#random.fork("network"));
    this.api = new ApiStore(this.clock, this.#random.fork("api"));
    this.#services = new ServiceAdmission(this.config, this.#seed);
    this.api.admit(this.#services);
    options.cni?.register(this.container, options.cniOptions ?? {});
    options.register?.(this.container);
  }

  /** The machines of the cluster; there are none before objects are applied or the clock is run. */
  get nodes(): ReadonlyMap<string, ClusterNode> {
    return this.#nodes;
  }

  /** What happens to nodes and to pods' networks, as it happens. */
  get events$(): Subject<ClusterEvent> {
    return this.#events;
  }

  get underlay(): Underlay {
    this.#boot([]);
    return this.#underlay as Underlay;
  }

  apply(objects: readonly KubeObject[]): void {
    this.#boot(objects);
    for (const object of objects) this.api.create(object as never);
  }

  delete(kind: Kind, key: string): void {
    this.api.delete(kind, key);
  }

  settle(): boolean {
    this.#boot([]);
    return this.clock.settle();
  }

  async settled(): Promise<void> {
    this.settle();
  }

  #boot(objects: readonly KubeObject[]): void {
    if (this.#underlay !== undefined) return;
    const given = objects.filter((o): o is Node => o.kind === "Node");
    const taken = new Set(given.flatMap(internalAddresses));
    this.#underlay = new Underlay(this.network, this.config.ipFamilies, taken);
    const { api, clock } = this;
    const controllers = [
      new GarbageCollector(api),
      new NamespaceController(api, clock),
      new NodeIpamController(api, clock, this.config),
      new DeploymentController(api, clock),
      new ReplicaSetController(api, clock, "ReplicaSet"),
      new ReplicaSetController(api, clock, "ReplicationController"),
      new EndpointSliceController(api, clock),
      new Scheduler(api, clock),
    ];
    for (const name of INITIAL_NAMESPACES) api.create<"Namespace">(namespace(name));
    createKubernetesService(api, this.config, this.#underlay.apiServerAddresses);
    for (const controller of controllers) this.#subscriptions.add(controller.start());
    this.#subscriptions.add(
      api.watch("Node").subscribe(({ type, object }) => {
        if (type === "ADDED") this.#nodeAdded(object);
        if (type === "DELETED") this.#nodeDeleted(object.metadata.name);
      }),
    );
    if (given.length > 0) return;
    for (let k = 1; k <= (this.#options.nodes ?? DEFAULT_NODES); k++) {
      api.create<"Node">({ apiVersion: "v1", kind: "Node", metadata: { name: `node${k}` } });
    }
  }

  #nodeAdded(object: Node): void {
    const underlay = this.#underlay as Underlay;
    const { name } = object.metadata;
    const given = internalAddresses(object);
    const addresses = given.length > 0 ? given : underlay.nextNodeAddresses();
    const kernel = new Kernel(this.network, name);
    forwarding(kernel, this.config.ipFamilies);
    for (const address of addresses) underlay.addNetwork(address);
    underlay.plug(kernel, addresses);
    this.api.update("Node", name, (node) => withAddresses(node, addresses));
    const observe = (event: ClusterEvent) => this.#events.next(event);
    const node = new ClusterNode({
      kernel,
      api: this.api,
      clock: this.clock,
      random: this.#random.fork(`node ${name}`),
      config: this.config,
      addresses,
      root: this.container,
      listenOnAll: this.#options.listen === "all",
      keptAddresses: () => undefined,
      observer: {
        attached: (pod, result) =>
          observe({ kind: "pod-attached", at: this.clock.now, node: name, pod, result }),
        attachFailed: (pod, error) =>
          observe({ kind: "pod-attach-failed", at: this.clock.now, node: name, pod, error }),
        detached: (pod) => observe({ kind: "pod-detached", at: this.clock.now, node: name, pod }),
      },
      readyChanged: (ready) =>
        observe({ kind: ready ? "node-ready" : "node-not-ready", at: this.clock.now, node: name }),
    });
    this.#nodes.set(name, node);
    // The agents start when the node's range is there: whoever watches hears of it first.
    this.clock.schedule(0, () => node.start());
  }

  #nodeDeleted(name: string): void {
    const node = this.#nodes.get(name);
    if (node === undefined) return;
    this.#nodes.delete(name);
    node.powerOff();
    this.#underlay?.unplug(node.machine);
    node.machine.remove();
    for (const pod of this.api.podsOfNode(name)) {
      this.api.delete("Pod", objectKey(pod), { gracePeriodSeconds: 0 });
    }
  }
}

export function createCluster(options: ClusterOptions = {}): Cluster {
  return new Cluster(options);
}

/** Addresses that a Node object has on the network between the nodes. */
function internalAddresses(node: Node): IpAddress[] {
  return (node.status?.addresses ?? [])
    .filter(({ type }) => type === "InternalIP")
    .map(({ address }) => tryParseIp(address))
    .filter((a): a is IpAddress => a !== undefined);
}

function withAddresses(node: Node, addresses: readonly IpAddress[]): Node {
  const { name, labels } = node.metadata;
  const others = (node.status?.addresses ?? []).filter(
    ({ type }) => type !== "InternalIP" && type !== "Hostname",
  );
  return {
    ...node,
    metadata: {
      ...node.metadata,
      labels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", ...labels },
    },
    status: {
      ...node.status,
      addresses: [
        ...addresses.map((a) => ({ type: "InternalIP" as const, address: formatIp(a) })),
        { type: "Hostname", address: name },
        ...others,
      ],
    },
  };
}

function namespace(name: string): KubeObject & { kind: "Namespace" } {
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels: { "kubernetes.io/metadata.name": name } },
  };
}
