import "reflect-metadata";
import {
  ADD_ONS,
  CLUSTER,
  type ClusterConfig,
  type ClusterContext,
  type CniModel,
  type CniOptionValues,
  type CniResult,
  CONTROLLERS,
  type CustomResource,
  DEFAULT_INGRESS_CLASS,
  type DependencyContainer,
  InputError,
  type Kind,
  type KubeObject,
  kindOf,
  LOAD_BALANCER,
  type Node,
  objectKey,
  type Pod,
  SeededRandom,
  VirtualClock,
} from "@cnilab/core";
import { Kernel, type NetNamespace, Network, Nic, startEchoServer } from "@cnilab/linux";
import { formatIp, IPPROTO_TCP, type IpAddress } from "@cnilab/net";
import { WindowsMachine } from "@cnilab/windows";
import { type Observable, Subject, Subscription } from "rxjs";
import { container as rootContainer } from "tsyringe";
import { AddOns } from "./add-ons.ts";
import { ApiStore } from "./api/api-store.ts";
import { CustomResources } from "./api/custom-resources.ts";
import { EventRecorder } from "./api/event-recorder.ts";
import { GarbageCollector } from "./api/garbage-collector.ts";
import {
  GATEWAY_ADMISSION,
  GATEWAY_CLASS_ADMISSION,
  LISTENER_SET_ADMISSION,
} from "./api/gateway-admission.ts";
import { IngressAdmission } from "./api/ingress-admission.ts";
import { NAMESPACE_ADMISSION } from "./api/namespace-admission.ts";
import { NETWORK_POLICY_ADMISSION } from "./api/network-policy-admission.ts";
import { ClusterNode } from "./cluster-node.ts";
import { clusterConfig } from "./cluster-settings.ts";
import { AddressBook } from "./connect/address-book.ts";
import {
  type Connection,
  Connector,
  type ConnectRequest,
  type HttpCall,
  type HttpConnection,
  type Surroundings,
} from "./connect/connection.ts";
import { type Endpoint, type EndpointScope, parseEndpoint } from "./connect/endpoint.ts";
import { DaemonSetController } from "./controllers/daemon-set.ts";
import { DeploymentController } from "./controllers/deployment.ts";
import { EndpointSliceController } from "./controllers/endpoint-slice.ts";
import { EndpointSliceMirroringController } from "./controllers/endpoint-slice-mirroring.ts";
import { JobController } from "./controllers/job.ts";
import { API_SERVER_PORT, createKubernetesService } from "./controllers/kubernetes-service.ts";
import { INITIAL_NAMESPACES, NamespaceController } from "./controllers/namespace.ts";
import { NodeIpamController, podCidrsOf } from "./controllers/node-ipam.ts";
import { NodeLifecycleController } from "./controllers/node-lifecycle.ts";
import { ReplicaSetController } from "./controllers/replica-set.ts";
import { StatefulSetController } from "./controllers/stateful-set.ts";
import { KeptAddresses } from "./kubelet/kept-addresses.ts";
import { HOSTS, nodeHosts, RESOLV_CONF } from "./kubelet/pod-files.ts";
import { Applier, internalAddresses } from "./manifest/apply.ts";
import { nodeWarnings } from "./node-warnings.ts";
import { unenforcedPolicies, unreadResources } from "./policy-warnings.ts";
import { programWarnings } from "./program-warnings.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import { ServiceAdmission } from "./service/service-admission.ts";
import { OutsideWorld, resolvConf } from "./underlay/outside-world.ts";
import { PublicNames } from "./underlay/public-names.ts";
import { API_SERVER, forwarding, Underlay } from "./underlay/underlay.ts";

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
  /** Kinds that objects may be of beside the built-in ones and the CNI's own, which nobody here reads. */
  readonly resources?: readonly CustomResource[];
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

/** Kinds that {@link Cluster.scale} knows. */
export type ScalableKind = "Deployment" | "ReplicaSet" | "ReplicationController" | "StatefulSet";

export interface ClusterStats {
  readonly nodes: number;
  readonly readyNodes: number;
  readonly pods: number;
  readonly runningPods: number;
  readonly services: number;
  readonly endpointSlices: number;
  /** Virtual milliseconds since the start. */
  readonly virtualMs: number;
}

const DEFAULT_NODES = 3;
/** Says what a node runs; the kubelet sets it. */
const OS_LABEL = "kubernetes.io/os";

/** A running cluster. Nothing happens but by its virtual clock: see {@link Cluster.settled}. */
export class Cluster {
  readonly config: ClusterConfig;
  readonly clock: VirtualClock = new VirtualClock();
  readonly network: Network;
  readonly api: ApiStore;
  /** Where engines are registered; each node has a child of it. */
  readonly container: DependencyContainer = rootContainer.createChildContainer();
  readonly #options: ClusterOptions;
  readonly #random: SeededRandom;
  readonly #nodes = new Map<string, ClusterNode>();
  readonly #applier: Applier;
  readonly #addresses: AddressBook;
  readonly #connector: Connector;
  readonly #events = new Subject<ClusterEvent>();
  readonly #subscriptions = new Subscription();
  readonly #kept: KeptAddresses;
  readonly #lifecycle: NodeLifecycleController;
  readonly #addOns: AddOns;
  #underlay: Underlay | undefined;
  #outside: OutsideWorld | undefined;
  #publicNames: PublicNames | undefined;

  /** @throws InputError for ranges that do not fit together */
  constructor(options: ClusterOptions = {}) {
    const seed = options.seed ?? 1;
    this.#options = options;
    this.config = clusterConfig(withPodRanges(options));
    this.#random = new SeededRandom(seed);
    this.network = new Network(this.clock, this.#random.fork("network"));
    const resources = [...(options.cni?.resources ?? []), ...(options.resources ?? [])];
    this.api = new ApiStore(this.clock, this.#random.fork("api"), new CustomResources(resources));
    const services = new ServiceAdmission(this.config, seed);
    this.api.admit(services);
    this.api.admit(NAMESPACE_ADMISSION);
    this.api.admit(NETWORK_POLICY_ADMISSION);
    this.api.admit(GATEWAY_CLASS_ADMISSION);
    this.api.admit(GATEWAY_ADMISSION);
    this.api.admit(LISTENER_SET_ADMISSION);
    this.api.admit(
      new IngressAdmission(this.api, () =>
        this.container.isRegistered(DEFAULT_INGRESS_CLASS)
          ? this.container.resolve(DEFAULT_INGRESS_CLASS)
          : undefined,
      ),
    );
    for (const name of INITIAL_NAMESPACES) this.api.create<"Namespace">(namespace(name));
    this.#applier = new Applier(
      this.api,
      services,
      seed,
      (address) => this.#underlay?.machineAt(address)?.hostname,
    );
    this.#addresses = new AddressBook(this.api);
    this.#kept = new KeptAddresses(this.#nodes, () => this.#outside?.hosts ?? []);
    this.#lifecycle = new NodeLifecycleController(this.api, this.clock, (n) => this.#nodes.has(n));
    this.#connector = new Connector(this.#surroundings());
    this.container.register(CLUSTER, { useValue: this.#context() });
    options.cni?.register(this.container, options.cniOptions ?? {}, this.config);
    options.register?.(this.container);
    const { container } = this;
    const addOns = container.isRegistered(ADD_ONS) ? container.resolveAll(ADD_ONS) : [];
    this.#addOns = new AddOns(addOns, this.api, this.config);
  }

  /** The machines of the cluster; there are none before objects are applied or the clock is run. */
  get nodes(): ReadonlyMap<string, ClusterNode> {
    return this.#nodes;
  }

  /** What happens to nodes and to pods' networks, as it happens. */
  get events$(): Observable<ClusterEvent> {
    return this.#events.asObservable();
  }

  /** The network between the nodes. */
  get underlay(): Underlay {
    this.#boot([]);
    return this.#underlay as Underlay;
  }

  /** What a person should know: policies that nothing enforces, addresses out of place, programs that crash. */
  get warnings(): string[] {
    return [
      ...unenforcedPolicies(this.api, this.#nodes),
      ...unreadResources(this.api, this.#options.cni),
      ...this.#kept.warnings,
      ...nodeWarnings(this.api, this.#nodes, this.#options.cni),
      ...programWarnings(this.#nodes),
    ];
  }

  /** How much there is of everything. */
  get stats(): ClusterStats {
    const pods = this.api.list("Pod");
    return {
      nodes: this.#nodes.size,
      readyNodes: [...this.#nodes.values()].filter((node) => node.ready).length,
      pods: pods.length,
      runningPods: pods.filter((pod) => pod.status?.phase === "Running").length,
      services: this.api.count("Service"),
      endpointSlices: this.api.count("EndpointSlice"),
      virtualMs: this.clock.now,
    };
  }

  /** As `kubectl apply`: all of it, or nothing. @throws InputError */
  apply(objects: readonly KubeObject[]): void {
    const steps = this.#applier.plan(objects);
    this.#boot(objects);
    const hosts = hostAddresses(objects);
    for (const name of missingNodes(objects, this.api)) this.#createNode(name, hosts.get(name));
    this.#kept.note(objects);
    this.#applier.run(steps);
    // Pods of the input may read them, and nobody's address depends on them.
    this.#applier.run(this.#applier.plan(this.#addOns.due("ConfigMap")));
  }

  /** As `kubectl delete`. @throws InputError where there is no such object */
  delete(kind: Kind, key: string): void {
    this.#boot([]);
    if (this.api.get(kind, key) === undefined)
      throw new InputError("is not there", `${kind} ${key}`);
    this.api.delete(kind, key);
  }

  /** As `kubectl scale`. @throws InputError */
  scale(kind: ScalableKind, key: string, replicas: number): void {
    if (!Number.isInteger(replicas) || replicas < 0) {
      throw new InputError(
        `replicas must be a whole number of at least 0, not ${replicas}`,
        `${kind} ${key}`,
      );
    }
    const scaled = this.api.update(kind, key, (object) => {
      if (object.spec.replicas === replicas) return object;
      return { ...object, spec: { ...object.spec, replicas } } as typeof object;
    });
    if (scaled === undefined) throw new InputError("is not there", `${kind} ${key}`);
  }

  /**
   * Runs the virtual clock until nothing is left to do, but for what goes on for ever (probes, renewals,
   * restarts of what keeps failing).
   */
  async settled(): Promise<void> {
    this.settle();
  }

  /** As {@link settled}, at once. What the cluster brings along itself comes when the input has come to rest. */
  settle(): void {
    this.#boot([]);
    this.#rest();
    for (let due = this.#addOns.due(); due.length > 0; due = this.#addOns.due()) {
      this.#applier.run(this.#applier.plan(due));
      this.#rest();
    }
  }

  #rest(): void {
    if (!this.clock.settle()) {
      throw new Error(
        "the cluster is still busy after a virtual hour: something never comes to rest",
      );
    }
  }

  /** Reads an endpoint as people write it. @throws InputError */
  endpoint(text: string, scope: EndpointScope = {}): Endpoint {
    this.#boot([]);
    return parseEndpoint(this.api, text, scope);
  }

  /** Lets one endpoint talk to another. @throws InputError where an end cannot be one, or a port is missing */
  connect(request: ConnectRequest): Connection {
    this.#boot([]);
    return this.#connector.connect(request);
  }

  /** Makes a request over HTTP. @throws InputError where the source cannot be one */
  requestHttp(call: HttpCall): HttpConnection {
    this.#boot([]);
    return this.#connector.requestHttp(call);
  }

  /** How to call the machine of a namespace: `node/NAME`, `internet`, an outside host's address, or its name. */
  nameOf(netns: NetNamespace): string {
    const { hostname } = netns.kernel;
    if (this.#nodes.has(hostname)) return `node/${hostname}`;
    return this.#outside?.nameOf(netns) ?? hostname;
  }

  /** Names by which the world outside knows the cluster's Ingresses, Gateways and routes. */
  get publicNames(): PublicNames {
    this.#publicNames ??= new PublicNames(this.api);
    return this.#publicNames;
  }

  /** Asks for a name as a program of an endpoint would. @throws InputError where it cannot be a source */
  lookUp(...asked: Parameters<Connector["lookUp"]>): ReturnType<Connector["lookUp"]> {
    this.#boot([]);
    return this.#connector.lookUp(...asked);
  }

  /** Throws what {@link connect} would throw. @throws InputError */
  check(request: ConnectRequest): void {
    this.#boot([]);
    this.#connector.check(request);
  }

  /** Looks for both ends as {@link connect} does, and sends nothing but questions for names. @throws InputError */
  locate(request: ConnectRequest): ReturnType<Connector["locate"]> {
    this.#boot([]);
    return this.#connector.locate(request);
  }

  /**
   * Empties all connection tracking, so that the next connection is everybody's first, and ends what programs keep open: what they
   * began as they started, perhaps before policies were in place, lets nothing through.
   */
  forgetConnections(): void {
    for (const { kubelet } of this.#nodes.values()) kubelet.hangUp();
    for (const kernel of this.network.kernels.values()) {
      kernel.initNs.conntrack?.flush();
      if (kernel instanceof WindowsMachine) kernel.forgetFlows();
    }
  }

  /** Switches a node's machine off, as by a pulled plug. The control plane finds out in its own time. */
  stopNode(name: string): void {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new InputError("is not there, or is down", `Node ${name}`);
    this.#nodes.delete(name);
    this.#powerOff(node);
    this.#lifecycle.silent(name);
    this.#observe({ kind: "node-not-ready", at: this.clock.now, node: name });
  }

  /** Switches it on again: a fresh kernel, and pods get new sandboxes. */
  startNode(name: string): void {
    const object = this.api.get("Node", name);
    if (object === undefined) throw new InputError("is not there", `Node ${name}`);
    if (this.#nodes.has(name)) return;
    this.#powerOn(object);
    this.#lifecycle.back(name);
  }

  #observe(event: ClusterEvent): void {
    this.#events.next(event);
  }

  /** Makes what is there before any object of the input is. */
  #boot(objects: readonly KubeObject[]): void {
    if (this.#underlay !== undefined) return;
    const given = objects.filter((o): o is Node => kindOf(o) === "Node");
    const taken = new Set(given.flatMap(internalAddresses));
    this.#underlay = new Underlay(this.network, this.config, taken);
    this.#outside = new OutsideWorld(
      this.#underlay,
      this.api,
      this.config.ipFamilies,
      (netns) => this.#kept.machineAdded(netns),
      (name) => this.publicNames.find(name)?.addresses,
      (node) => this.#nodes.get(node.metadata.name)?.podRanges() ?? podCidrsOf(node),
    );
    startEchoServer(this.#underlay.apiServer.initNs, {
      protocol: IPPROTO_TCP,
      port: API_SERVER_PORT,
      owner: API_SERVER,
    });
    createKubernetesService(this.api, this.config, this.#underlay.apiServerAddresses);
    for (const controller of this.#controllers()) this.#subscriptions.add(controller.start());
    this.#subscriptions.add(
      this.api.watch("Node").subscribe(({ type, object }) => {
        if (type === "ADDED") this.#powerOn(object);
        if (type === "DELETED") this.#nodeDeleted(object.metadata.name);
      }),
    );
    if (this.container.isRegistered(LOAD_BALANCER)) this.container.resolve(LOAD_BALANCER).start();
    if (this.container.isRegistered(CONTROLLERS)) {
      for (const controller of this.container.resolveAll(CONTROLLERS)) controller.start();
    }
    if (given.length > 0) return;
    for (let k = 1; k <= (this.#options.nodes ?? DEFAULT_NODES); k++)
      this.#createNode(`node${k}`, undefined);
  }

  #controllers(): readonly { start(): Subscription }[] {
    const { api, clock } = this;
    return [
      new GarbageCollector(api),
      new NamespaceController(api, clock),
      ...(this.config.allocateNodeCidrs === false
        ? []
        : [new NodeIpamController(api, clock, this.config)]),
      new DeploymentController(api, clock),
      new ReplicaSetController(api, clock, "ReplicaSet"),
      new ReplicaSetController(api, clock, "ReplicationController"),
      new StatefulSetController(api, clock, "StatefulSet"),
      new DaemonSetController(api, clock, "DaemonSet"),
      new JobController(api, clock, "Job"),
      new EndpointSliceController(api, clock),
      new EndpointSliceMirroringController(api, clock),
      new Scheduler(api, clock),
    ];
  }

  /** Makes a node that the input only names. @param ip the address that its pods know it by */
  #createNode(name: string, ip: string | undefined): void {
    this.api.create<"Node">({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name },
      ...(ip === undefined ? {} : { status: { addresses: [{ type: "InternalIP", address: ip }] } }),
    });
  }

  #powerOn(object: Node): void {
    const underlay = this.#underlay as Underlay;
    const { name } = object.metadata;
    const given = internalAddresses(object);
    const addresses = given.length > 0 ? given : underlay.nextNodeAddresses();
    for (const address of addresses) underlay.addNetwork(address);
    const kernel = this.#newMachine(object, addresses);
    kernel.files.write(RESOLV_CONF, resolvConf(this.config.ipFamilies));
    kernel.files.write(HOSTS, nodeHosts(name, addresses));
    this.api.update("Node", name, (node) => withAddresses(node, addresses));
    const at = () => this.clock.now;
    const node = new ClusterNode({
      kernel,
      api: this.api,
      clock: this.clock,
      random: this.#random.fork(`node ${name}`),
      config: this.config,
      addresses,
      root: this.container,
      hasEngines: this.#hasEngines(kernel),
      listenOnAll: this.#options.listen === "all",
      keptAddresses: (podKey) => this.#kept.of(podKey),
      observer: {
        attached: (pod, result) => {
          this.#kept.attached(pod, node);
          this.#observe({ kind: "pod-attached", at: at(), node: name, pod, result });
        },
        attachFailed: (pod, error) =>
          this.#observe({ kind: "pod-attach-failed", at: at(), node: name, pod, error }),
        detached: (pod) => {
          this.#kept.detached(pod);
          this.#observe({ kind: "pod-detached", at: at(), node: name, pod });
        },
      },
      readyChanged: (ready) =>
        this.#observe({ kind: ready ? "node-ready" : "node-not-ready", at: at(), node: name }),
    });
    this.#nodes.set(name, node);
    this.#kept.nodeAdded(node);
    // Agents start in a task of their own, when the controllers have heard of the node.
    this.clock.schedule(0, () => {
      if (this.#nodes.get(name) === node) node.start();
    });
  }

  /** A machine of the node's operating system, with its card on the underlay. */
  #newMachine({ metadata }: Node, addresses: readonly IpAddress[]): Kernel {
    const underlay = this.#underlay as Underlay;
    if (metadata.labels?.[OS_LABEL] === "windows") {
      const machine = new WindowsMachine(this.network, metadata.name);
      underlay.plug(machine, addresses, "Ethernet");
      return machine;
    }
    const kernel = new Kernel(this.network, metadata.name);
    forwarding(kernel, this.config.ipFamilies);
    underlay.plug(kernel, addresses);
    return kernel;
  }

  /** Whether the CNI brings engines for the machine. */
  #hasEngines({ os }: Kernel): boolean {
    return (this.#options.cni?.operatingSystems ?? ["linux"]).includes(os);
  }

  #nodeDeleted(name: string): void {
    const node = this.#nodes.get(name);
    this.#nodes.delete(name);
    if (node !== undefined) this.#powerOff(node);
    for (const pod of [...this.api.podsOfNode(name)]) {
      this.api.delete("Pod", objectKey(pod), { gracePeriodSeconds: 0 });
    }
  }

  #powerOff(node: ClusterNode): void {
    // Nobody hears a last word of it.
    for (const dev of node.machine.initNs.devices) if (dev instanceof Nic) dev.setCarrier(false);
    node.powerOff();
    this.#underlay?.unplug(node.machine);
    node.machine.remove();
  }

  /** What engines of the whole cluster see of it. */
  #context(): ClusterContext<Kernel> {
    const { api, clock, config } = this;
    const underlay = () => this.underlay;
    return {
      api,
      clock,
      config,
      random: this.#random.fork("cluster"),
      get router() {
        return underlay().router;
      },
      get nodeNetworks() {
        const [first] = api.list("Node");
        const own = first === undefined ? [] : internalAddresses(first);
        return own.length > 0 ? own.map((a) => underlay().networkOf(a)) : underlay().nodeNetworks;
      },
      machine: (node) => this.#nodes.get(node)?.machine,
      addMachine: (hostname, address) => underlay().addMachine(hostname, address),
      events: (component) => new EventRecorder(api, clock, component),
    };
  }

  #surroundings(): Surroundings {
    const { api, config } = this;
    return {
      api,
      config,
      nodes: this.#nodes,
      holderOf: (address) => this.#addresses.find(address),
      outside: (address) => {
        const there = this.#underlay?.machineAt(address);
        return there?.initNs ?? (this.#outside as OutsideWorld).host(address);
      },
      internet: () => (this.#outside as OutsideWorld).internet,
      nameOf: (netns) => this.nameOf(netns),
    };
  }
}

export function createCluster(options: ClusterOptions = {}): Cluster {
  return new Cluster(options);
}

/** Where the CNI has a range of its own the cluster has that. */
function withPodRanges({ cni, cniOptions, config = {} }: ClusterOptions): Partial<ClusterConfig> {
  const { clusterCidrs, ipFamilies = [4] } = config;
  const ranges = clusterCidrs === undefined ? cni?.podRanges?.(cniOptions ?? {}) : undefined;
  if (ranges === undefined || !ipFamilies.every((f) => ranges.some((r) => r.family === f)))
    return config;
  return { clusterCidrs: ranges, allocateNodeCidrs: false, ...config };
}

/** Nodes that pods of the input say they run on. */
function nodesNamed(objects: readonly KubeObject[]): Set<string> {
  const names = new Set<string>();
  for (const object of objects) {
    const nodeName = kindOf(object) === "Pod" ? (object as Pod).spec.nodeName : undefined;
    if (nodeName !== undefined) names.add(nodeName);
  }
  return names;
}

/** Nodes that pods name and nobody has. */
function missingNodes(objects: readonly KubeObject[], api: ApiStore): string[] {
  const given = new Set(objects.filter((o) => kindOf(o) === "Node").map((o) => o.metadata.name));
  return [...nodesNamed(objects)]
    .filter((name) => !given.has(name) && api.get("Node", name) === undefined)
    .sort();
}

/** Addresses of nodes as dumped pods on them tell. */
function hostAddresses(objects: readonly KubeObject[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const object of objects) {
    if (kindOf(object) !== "Pod") continue;
    const { spec, status } = object as Pod;
    if (spec.nodeName === undefined || status?.hostIP === undefined) continue;
    if (!found.has(spec.nodeName)) found.set(spec.nodeName, status.hostIP);
  }
  return found;
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
      labels: { "kubernetes.io/hostname": name, [OS_LABEL]: "linux", ...labels },
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
  return { apiVersion: "v1", kind: "Namespace", metadata: { name } };
}
