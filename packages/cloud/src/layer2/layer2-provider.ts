import {
  type ClusterContext,
  type EndpointSlice,
  type EventSink,
  type LoadBalancerEngine,
  type LoadBalancerIngress,
  type Node,
  objectKey,
  type Service,
} from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { addToIp, formatIp, type IpAddress } from "@cnilab/net";
import { combineLatest, type Subscription } from "rxjs";
import { type AddressPool, AddressPools } from "../address-pools.ts";
import { LoadBalancerController } from "../load-balancer-controller.ts";
import type { LoadBalancerDataplane } from "../load-balancer-dataplane.ts";
import { byService, closeRouter, METALLB, openRouter } from "../metallb.ts";
import { Announcer } from "./announcer.ts";
import { electedNode } from "./election.ts";
import type { Layer2Options } from "./layer2-options.ts";
import { Members } from "./members.ts";

/** MetalLB in layer 2 mode: a controller that gives addresses, and on each node a speaker. */
export class Layer2Provider implements LoadBalancerEngine, LoadBalancerDataplane {
  readonly name = "l2";
  readonly ipMode: NonNullable<LoadBalancerIngress["ipMode"]> = "VIP";
  readonly #cluster: ClusterContext<Kernel>;
  readonly #options: Layer2Options;
  readonly #speakerEvents: EventSink;
  readonly #subscriptions: Subscription[] = [];
  readonly #members: Members;
  /** Addresses that each Service has. */
  readonly #addresses = new Map<string, readonly IpAddress[]>();
  /** By Service, who announces it. */
  readonly #owners = new Map<string, string>();
  readonly #announcers = new Map<Kernel, Announcer>();
  #controller: LoadBalancerController | undefined;
  #slices: ReadonlyMap<string, readonly EndpointSlice[]> = new Map();
  #nodes: ReadonlyMap<string, Node> = new Map();

  constructor(cluster: ClusterContext<Kernel>, options: Layer2Options) {
    this.#cluster = cluster;
    this.#options = options;
    this.#speakerEvents = cluster.events("metallb-speaker");
    this.#members = new Members(cluster, () => this.#elect());
  }

  start(): void {
    if (this.#subscriptions.length > 0) return;
    this.#subscriptions.push(
      this.#cluster.api.watch("Service").subscribe(({ object }) => {
        if (object.spec.type === "LoadBalancer") this.#serve();
      }),
    );
  }

  stop(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
    this.#controller?.stop();
    this.#controller = undefined;
    this.#members.stop();
    for (const announcer of this.#announcers.values()) announcer.stop();
    this.#announcers.clear();
    this.#owners.clear();
  }

  program(service: Service, addresses: readonly IpAddress[]): void {
    const key = objectKey(service);
    for (const address of this.#addresses.get(key) ?? []) {
      if (!addresses.includes(address)) this.#withdraw(key, address);
    }
    this.#addresses.set(key, addresses);
    for (const address of addresses) openRouter(this.#cluster.router, service, address);
    this.#members.refresh();
    this.#electFor(key);
  }

  remove(key: string): void {
    for (const address of this.#addresses.get(key) ?? []) this.#withdraw(key, address);
    this.#addresses.delete(key);
    this.#owners.delete(key);
  }

  /** Who announces a Service's addresses now. */
  ownerOf(key: string): string | undefined {
    return this.#owners.get(key);
  }

  #serve(): void {
    if (this.#controller !== undefined) return;
    const { api, clock } = this.#cluster;
    this.#controller = new LoadBalancerController({
      api,
      clock,
      events: this.#cluster.events("metallb-controller"),
      // Which network the nodes are on shows when there are nodes: not before the first Service is served.
      pools: () => new AddressPools(this.#options.pools ?? [upperEnd(this.#cluster)]),
      dataplane: this,
      says: METALLB,
      latencyMs: 0,
      retryMs: undefined,
      loadBalancerClass: this.#options.loadBalancerClass,
    });
    this.#subscriptions.push(
      combineLatest([api.snapshots("EndpointSlice"), api.snapshots("Node")]).subscribe(
        ([slices, nodes]) => {
          this.#slices = byService(slices.objects.values());
          this.#nodes = nodes.objects;
          this.#members.refresh();
          this.#elect();
        },
      ),
    );
    this.#members.start();
    this.#controller.start();
  }

  #elect(): void {
    const there = new Set(this.#members.machines.values());
    for (const [machine, announcer] of this.#announcers) {
      if (there.has(machine)) continue;
      announcer.stop();
      this.#announcers.delete(machine);
    }
    for (const key of this.#addresses.keys()) this.#electFor(key);
  }

  #electFor(key: string): void {
    const addresses = this.#addresses.get(key) ?? [];
    const [first] = addresses;
    const service = this.#cluster.api.get("Service", key);
    if (first === undefined || service === undefined) return;
    const { machines } = this.#members;
    const slices = this.#slices.get(key) ?? [];
    const alive = new Set(machines.keys());
    const owner = electedNode(service, formatIp(first), slices, this.#nodes, alive);
    const before = this.#owners.get(key);
    const machine = owner === undefined ? undefined : machines.get(owner);
    for (const address of addresses) {
      for (const [other, announcer] of this.#announcers) {
        if (other !== machine) announcer.remove(address);
      }
      if (machine !== undefined) this.#announcerOn(machine).add(address);
    }
    if (owner === before) return;
    if (owner === undefined) {
      this.#owners.delete(key);
      return;
    }
    this.#owners.set(key, owner);
    const message = `announcing from node "${owner}" with protocol "layer2"`;
    this.#speakerEvents.record(service, "Normal", "nodeAssigned", message);
  }

  #announcerOn(machine: Kernel): Announcer {
    let announcer = this.#announcers.get(machine);
    if (announcer === undefined) {
      announcer = new Announcer(machine, this.#cluster.clock);
      this.#announcers.set(machine, announcer);
    }
    return announcer;
  }

  #withdraw(key: string, address: IpAddress): void {
    for (const announcer of this.#announcers.values()) announcer.remove(address);
    closeRouter(this.#cluster.router, address);
    this.#owners.delete(key);
  }
}

/** 254 addresses at the upper end of what the nodes' network has for hosts, as 192.168.255.1 in 192.168.0.0/16. */
function upperEnd({ nodeNetworks }: ClusterContext): AddressPool {
  const ranges = nodeNetworks.map(({ address }) => ({
    first: addToIp(address, 0xff01),
    last: addToIp(address, 0xfffe),
  }));
  return { name: "default", ranges };
}
