import {
  type EndpointSlice,
  type Labels,
  objectKey,
  type Pod,
  type Protocol,
  type Service,
  type Snapshot,
  type Timer,
} from "@cnilab/core";
import { type IpAddress, isLinkLocal } from "@cnilab/net";
import { combineLatest, Subscription } from "rxjs";
import type { Frontend } from "../../services/frontend.ts";
import { hostPortServices } from "../../services/kubernetes-services.ts";
import type { AgentPart } from "../agent-part.ts";
import type { CiliumAgent } from "../cilium-agent.ts";
import { ClusterServices } from "./cluster-services.ts";
import { KubeProxyHealthz } from "./kube-proxy-healthz.ts";
import type { NodeLb } from "./node-lb.ts";
import type { ServiceEntry } from "./service-entry.ts";
import { ServiceHealthServers } from "./service-health-servers.ts";
import type { ServiceStates } from "./service-states.ts";
import { terminateStaleSockets } from "./socket-termination.ts";

/** How long the agent gathers changes before it acts on them (pkg/loadbalancer/reflectors/k8s.go reflectorWaitTime). */
const REFLECTOR_WAIT_MS = 500;
const ZONE = "topology.kubernetes.io/zone";

/** Services of one node: what the API server has of them goes into the load balancer's maps. */
export class NodeServices implements AgentPart {
  readonly name = "services";
  readonly #agent: CiliumAgent;
  readonly #states: ServiceStates;
  readonly #lb: NodeLb;
  readonly #health: ServiceHealthServers | undefined;
  readonly #healthz: KubeProxyHealthz | undefined;
  readonly #hostPorts = new Map<string, readonly ServiceEntry[]>();
  #hostPortList: readonly ServiceEntry[] = [];
  #addresses: readonly IpAddress[] = [];
  #subscription: Subscription | undefined;
  #seen: readonly [Snapshot<Service>, Snapshot<EndpointSlice>] | undefined;
  #timer: Timer | undefined;
  #lastUpdated: number;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
    const { states, lbOf } = agent.cluster.part(ClusterServices);
    this.#states = states;
    this.#lb = lbOf(agent.maps);
    this.#health = states.config.nodePort
      ? new ServiceHealthServers(agent.kernel.initNs, agent.node.name)
      : undefined;
    this.#lastUpdated = agent.node.clock.now;
    const { healthz } = agent.config.services;
    this.#healthz = healthz && new KubeProxyHealthz(agent.node, healthz, () => this.#lastUpdated);
  }

  /** Frontends that could not be written, and why, as the agent logs it. */
  get warnings(): readonly string[] {
    const problems = this.#lb.state?.problems ?? [];
    return problems.map(
      ({ service, frontend, error }) =>
        `Service ${service} is not served at ${frontend}: Updating frontend failed: ${error}`,
    );
  }

  /** Frontends as the agent knows them: those that stand for all addresses of the node once (pkg/loadbalancer/cell/restapi.go). */
  *listed(): Iterable<ListedService> {
    for (const family of this.#states.config.families) {
      for (const { frontend, revNat, backendIds } of this.#lb.frontends(family)) {
        if (frontend.nodeAddress >= 0) continue;
        const backends = backendIds.flatMap((id) => this.#lb.backend(id) ?? []);
        const { protocol } = frontend;
        yield {
          id: revNat,
          frontend,
          backends: backends.map(({ address, port, state }) => ({
            address,
            port,
            protocol,
            state,
          })),
        };
      }
    }
  }

  /** The first time at once: endpoints wait until Services are there (pkg/loadbalancer/cell/wait.go). */
  start(): void {
    const { api, name } = this.#agent.node;
    this.#subscription = new Subscription();
    this.#addresses = this.#nodePortAddresses();
    for (const family of [4, 6] as const) {
      const count = this.#addresses.filter(
        (a) => (typeof a === "number") === (family === 4),
      ).length;
      this.#states.expectNodeAddresses(family, count);
    }
    if (this.#states.config.hostPorts) {
      this.#subscription.add(
        api.watchPodsOfNode(name).subscribe(({ type, object }) => {
          if (this.#podChanged(object, type === "DELETED")) this.#schedule();
        }),
      );
    }
    this.#subscription.add(
      combineLatest([api.snapshots("Service"), api.snapshots("EndpointSlice")]).subscribe(
        (seen) => {
          this.#seen = seen;
          this.#schedule();
        },
      ),
    );
    this.#sync();
    this.#healthz?.start();
  }

  /** What is in the maps stays. */
  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#health?.stop();
    this.#healthz?.stop();
  }

  #schedule(): void {
    this.#timer ??= this.#agent.node.clock.schedule(REFLECTOR_WAIT_MS, () => this.#sync());
  }

  #sync(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#seen === undefined) return;
    const { api, name } = this.#agent.node;
    const state = this.#states.of(...this.#seen);
    const labels: Labels = api.get("Node", name)?.metadata.labels ?? NO_LABELS;
    const before = this.#lb.state;
    this.#lb.sync(state, {
      place: { node: name, zone: labels[ZONE] },
      labels,
      addresses: this.#addresses,
      hostPorts: this.#hostPortList,
    });
    this.#health?.sync(state.healthChecked);
    const { socketLb, socketLbHostOnly } = this.#agent.config.services;
    if (socketLb && state !== before)
      terminateStaleSockets(this.#agent.maps, this.#lb, !socketLbHostOnly);
    this.#lastUpdated = this.#agent.node.clock.now;
  }

  /** @returns whether its host ports are different */
  #podChanged(pod: Pod, isGone: boolean): boolean {
    const key = objectKey(pod);
    const old = this.#hostPorts.get(key);
    const ended = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
    const wanted = isGone || ended ? [] : hostPortServices(pod, this.#states.config);
    if (old === undefined && wanted.length === 0) return false;
    const holder = (name: string) => `${this.#agent.node.name} ${name}`;
    const made = wanted.map(({ service, backends }) =>
      this.#states.entryOf(undefined, holder(service.name), service, backends),
    );
    for (const entry of old ?? []) {
      const { name } = entry.service;
      const now = made.find(({ service }) => service.name === name);
      this.#states.release(holder(name), entry, now);
    }
    if (made.length === 0) this.#hostPorts.delete(key);
    else this.#hostPorts.set(key, made);
    this.#hostPortList = [...this.#hostPorts.values()].flat();
    return true;
  }

  /** Of each device that programs stand on the first address of each family, the node's own before others (pkg/datapath/tables/node_address.go). */
  #nodePortAddresses(): IpAddress[] {
    const { node, nodeConfig, kernel } = this.#agent;
    const { families } = this.#states.config;
    return nodeConfig.devices.flatMap(({ ifindex }) => {
      const dev = [...kernel.initNs.devices].find((each) => each.ifindex === ifindex);
      const all = (dev?.addresses ?? []).map(({ address }) => address);
      return families.flatMap((family) => {
        const own = all.filter(
          (a) => (typeof a === "number") === (family === 4) && !isLinkLocal(a),
        );
        return own.find((address) => node.addresses.includes(address)) ?? own[0] ?? [];
      });
    });
  }
}

/** A frontend with its backends, as the agent lists it. */
export interface ListedService {
  readonly id: number;
  readonly frontend: Frontend;
  readonly backends: readonly {
    readonly address: IpAddress;
    readonly port: number;
    readonly protocol: Protocol;
    /** As `BACKEND_STATE_FLAGS` has it. */
    readonly state: number;
  }[];
}

const NO_LABELS: Labels = {};
