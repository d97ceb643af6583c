import {
  type ApiClient,
  BRIDGE,
  type Clock,
  type ClusterConfig,
  CONTAINER_PROGRAMS,
  type ContainerProgram,
  type DependencyContainer,
  type InjectionToken,
  IPAM,
  type IpamEngine,
  NODE,
  type Node,
  type NodeAgent,
  type NodeContext,
  OVERLAY,
  POLICY,
  type PolicyEngine,
  PROXY,
  type Random,
  type Timer,
  timestamp,
} from "@cnilab/core";
import { echoOnAllPorts, type Kernel, type NetNamespace, startEchoServer } from "@cnilab/linux";
import { IPPROTO_TCP, type IpAddress, type Prefix } from "@cnilab/net";
import { Subscription } from "rxjs";
import { podCidrsOf } from "./controllers/node-ipam.ts";
import { Kubelet, type KubeletObserver } from "./kubelet/kubelet.ts";

/** Port of the kubelet's own server. */
const KUBELET_PORT = 10_250;

export interface ClusterNodeOptions {
  readonly kernel: Kernel;
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: ClusterConfig;
  readonly addresses: readonly IpAddress[];
  /** The container in which engines are registered. */
  readonly root: DependencyContainer;
  /** Whether the engines are for this kind of machine; otherwise it has none. */
  readonly hasEngines: boolean;
  readonly listenOnAll: boolean;
  readonly keptAddresses: (podKey: string) => readonly IpAddress[] | undefined;
  readonly observer: KubeletObserver;
  readonly readyChanged: (ready: boolean) => void;
}

/** One machine of the cluster: its kernel, its engines out of its own container, its kubelet. */
export class ClusterNode implements NodeContext<Kernel> {
  readonly name: string;
  readonly machine: Kernel;
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: ClusterConfig;
  readonly addresses: readonly IpAddress[];
  /** Engines of this node are resolved here; `NODE` is this. */
  readonly container: DependencyContainer;
  readonly kubelet: Kubelet;
  /** Programs that run on it: overlay, policy, proxy, where they are registered. */
  readonly agents: readonly NodeAgent[];
  readonly policy: PolicyEngine | undefined;
  readonly #hasNetworkPlugin: boolean;
  readonly #ipam: IpamEngine | undefined;
  readonly #readyChanged: (ready: boolean) => void;
  readonly #notReady = new Set<NodeAgent>();
  readonly #subscriptions = new Subscription();
  #ready: boolean | undefined;
  #statusDue: Timer | undefined;
  #cidrs: { readonly spec: Node["spec"]; readonly ranges: readonly Prefix[] } | undefined;

  constructor(options: ClusterNodeOptions) {
    this.name = options.kernel.hostname;
    this.machine = options.kernel;
    this.api = options.api;
    this.clock = options.clock;
    this.random = options.random;
    this.config = options.config;
    this.addresses = options.addresses;
    this.#readyChanged = options.readyChanged;
    this.container = options.root.createChildContainer();
    this.container.register(NODE, { useValue: this });
    const engine = <T>(token: InjectionToken<T>): T | undefined =>
      options.hasEngines ? resolve(this.container, token) : undefined;
    const bridge = engine(BRIDGE);
    this.#hasNetworkPlugin = bridge !== undefined;
    this.#ipam = engine(IPAM);
    // Those that there are program Netfilter.
    this.policy = options.kernel.os === "linux" ? engine(POLICY) : undefined;
    this.agents = [engine(OVERLAY), this.policy, engine(PROXY)].filter(
      (agent): agent is NonNullable<typeof agent> => agent !== undefined,
    );
    this.kubelet = new Kubelet(this, {
      bridge,
      listenOnAll: options.listenOnAll,
      keptAddresses: options.keptAddresses,
      observer: options.observer,
      programs: resolveAll(this.container, CONTAINER_PROGRAMS) as ContainerProgram<NetNamespace>[],
    });
    this.#serve(options.listenOnAll);
  }

  get kernel(): Kernel {
    return this.machine;
  }

  /** Whether pods can have a network here. */
  get ready(): boolean {
    return this.#ready === true;
  }

  /** Whether the CNI itself brings packets for a pod's address here. */
  holds(address: IpAddress): boolean {
    const held = this.#ipam?.holds?.(address);
    return held ?? this.podCidrs().some((range) => range.contains(address));
  }

  /** Where its pods' addresses are from: its pod ranges, unless the CNI's IPAM has others. */
  podRanges(): readonly Prefix[] {
    return this.#ipam?.ranges?.() ?? this.podCidrs();
  }

  podCidrs(): readonly Prefix[] {
    const node = this.api.get("Node", this.name);
    if (node === undefined) return [];
    if (this.#cidrs?.spec !== node.spec || this.#cidrs === undefined) {
      this.#cidrs = { spec: node.spec, ranges: podCidrsOf(node) };
    }
    return this.#cidrs.ranges;
  }

  start(): void {
    for (const agent of this.agents) this.#notReady.add(agent);
    for (const agent of this.agents) {
      this.#subscriptions.add(
        agent.ready.subscribe((ready) => {
          if (ready) this.#notReady.delete(agent);
          else this.#notReady.add(agent);
          this.#judge();
        }),
      );
      agent.start();
    }
    this.#judge();
    this.#subscriptions.add(this.kubelet.start());
  }

  /** The machine is switched off, with everything that runs on it. */
  powerOff(): void {
    this.#subscriptions.unsubscribe();
    this.#statusDue?.cancel();
    this.#statusDue = undefined;
    for (const agent of this.agents) agent.stop();
    this.kubelet.powerOff();
    this.container.clearInstances();
  }

  #serve(listenOnAll: boolean): void {
    const { initNs } = this.machine;
    startEchoServer(initNs, { protocol: IPPROTO_TCP, port: KUBELET_PORT, owner: "kubelet" });
    if (listenOnAll) initNs.sockets.catchAll = echoOnAllPorts(initNs, this.name);
  }

  #judge(): void {
    const ready = this.#hasNetworkPlugin && this.#notReady.size === 0;
    if (ready === this.#ready) return;
    const isFirst = this.#ready === undefined;
    this.#ready = ready;
    if (isFirst) this.#postStatus();
    else this.#postSoon();
    this.kubelet.setNetworkReady(ready);
    this.#readyChanged(ready);
  }

  /**
   * In a task of its own, as the kubelet's loop does. Nodes that get ready in one moment so change their
   * objects right after each other, and whoever looks at all nodes does so once, not once for each.
   */
  #postSoon(): void {
    this.#statusDue ??= this.clock.schedule(0, () => {
      this.#statusDue = undefined;
      this.#postStatus();
    });
  }

  #postStatus(): void {
    const at = timestamp(this.clock.now);
    this.api.update("Node", this.name, (node) => withReady(node, this.ready, this.#why(), at));
  }

  #why(): string {
    if (!this.#hasNetworkPlugin) {
      return "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
    }
    const waiting = [...this.#notReady].map(({ name }) => name).join(", ");
    return `container runtime network not ready: waiting for ${waiting}`;
  }
}

function resolve<T>(container: DependencyContainer, token: InjectionToken<T>): T | undefined {
  return container.isRegistered(token, true) ? container.resolve(token) : undefined;
}

function resolveAll<T>(container: DependencyContainer, token: InjectionToken<T>): T[] {
  return container.isRegistered(token, true) ? container.resolveAll(token) : [];
}

function withReady(node: Node, ready: boolean, why: string, at: string): Node {
  const others = (node.status?.conditions ?? []).filter(({ type }) => type !== "Ready");
  return {
    ...node,
    status: {
      ...node.status,
      conditions: [
        ...others,
        {
          type: "Ready",
          status: ready ? "True" : "False",
          reason: ready ? "KubeletReady" : "KubeletNotReady",
          message: ready ? "kubelet is posting ready status" : why,
          lastTransitionTime: at,
        },
      ],
    },
  };
}
