import {
  ACCEPT,
  type Filter,
  PEER_DEFAULTS,
  type PeerConfig,
  REJECT,
  Speaker,
  type SpeakerConfig,
  type StaticRoute,
} from "@cnilab/bgp";
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
import { familyOf, type IpAddress, type IpFamily, Prefix } from "@cnilab/net";
import { combineLatest, type Subscription } from "rxjs";
import { AddressPools } from "../address-pools.ts";
import { CLOUD_POOL } from "../cloud/cloud-options.ts";
import { LoadBalancerController } from "../load-balancer-controller.ts";
import type { LoadBalancerDataplane } from "../load-balancer-dataplane.ts";
import { byService, closeRouter, METALLB, openRouter } from "../metallb.ts";
import { announcingNodes } from "./announcing-nodes.ts";
import type { BgpOptions } from "./bgp-options.ts";

const ALL: Filter = [ACCEPT];
const NONE: Filter = [REJECT];
const BGP_PORT = 179;
/** Seconds, unless a BGPPeer of MetalLB says otherwise. */
const HOLD_TIME = 90;

/** A speaker on one machine, and what it is to have for a configuration. */
interface Running {
  readonly machine: Kernel;
  readonly speaker: Speaker;
}

/**
 * MetalLB in BGP mode: a controller that gives addresses, and on each node a speaker that tells the nodes' router of them. The router
 * sends each connection to one of the nodes that told it so (equal-cost multipath).
 */
export class BgpProvider implements LoadBalancerEngine, LoadBalancerDataplane {
  readonly name = "bgp";
  readonly ipMode: NonNullable<LoadBalancerIngress["ipMode"]> = "VIP";
  readonly #cluster: ClusterContext<Kernel>;
  readonly #options: BgpOptions;
  readonly #speakerEvents: EventSink;
  readonly #subscriptions: Subscription[] = [];
  readonly #addresses = new Map<string, readonly IpAddress[]>();
  /** By Service, who announces it. */
  readonly #announcers = new Map<string, ReadonlySet<string>>();
  /** By node and family. */
  readonly #speakers = new Map<string, Running>();
  readonly #routers = new Map<IpFamily, Speaker>();
  #controller: LoadBalancerController | undefined;
  #slices: ReadonlyMap<string, readonly EndpointSlice[]> = new Map();
  #nodes: ReadonlyMap<string, Node> = new Map();

  constructor(cluster: ClusterContext<Kernel>, options: BgpOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#speakerEvents = cluster.events("metallb-speaker");
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
    for (const { speaker } of this.#speakers.values()) speaker.kill();
    for (const speaker of this.#routers.values()) speaker.kill();
    this.#speakers.clear();
    this.#routers.clear();
  }

  program(service: Service, addresses: readonly IpAddress[]): void {
    const key = objectKey(service);
    for (const address of this.#addresses.get(key) ?? []) {
      if (!addresses.includes(address)) closeRouter(this.#cluster.router, address);
    }
    this.#addresses.set(key, addresses);
    for (const address of addresses) openRouter(this.#cluster.router, service, address);
    this.#announce();
  }

  remove(key: string): void {
    for (const address of this.#addresses.get(key) ?? []) {
      closeRouter(this.#cluster.router, address);
    }
    this.#addresses.delete(key);
    this.#announcers.delete(key);
    this.#announce();
  }

  /** Nodes that announce a Service's addresses now. */
  announcersOf(key: string): ReadonlySet<string> {
    return this.#announcers.get(key) ?? new Set();
  }

  #serve(): void {
    if (this.#controller !== undefined) return;
    const { api, clock } = this.#cluster;
    this.#controller = new LoadBalancerController({
      api,
      clock,
      events: this.#cluster.events("metallb-controller"),
      pools: () => new AddressPools(this.#options.pools ?? [CLOUD_POOL]),
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
          this.#announce();
        },
      ),
    );
    this.#controller.start();
  }

  /** Brings all speakers in step with Services, endpoints and nodes. */
  #announce(): void {
    const addresses = new Map<string, IpAddress[]>();
    for (const key of this.#addresses.keys()) {
      for (const node of this.#chooseNodes(key)) {
        const known = addresses.get(node) ?? [];
        addresses.set(node, [...known, ...(this.#addresses.get(key) ?? [])]);
      }
    }
    for (const family of [4, 6] as const) {
      const router = this.#routerAddress(family);
      if (router === undefined) continue;
      const machines = this.#machines(family);
      this.#runRouter(family, router, [...machines.values()]);
      for (const [node, { machine, address }] of machines) {
        const own = (addresses.get(node) ?? []).filter((a) => familyOf(a) === family);
        this.#runSpeaker(`${node} ${family}`, machine, this.#nodeConfig(address, router, own));
      }
    }
  }

  #chooseNodes(key: string): ReadonlySet<string> {
    const service = this.#cluster.api.get("Service", key);
    if (service === undefined) return new Set();
    const chosen = announcingNodes(service, this.#slices.get(key) ?? [], this.#nodes);
    const before = this.announcersOf(key);
    this.#announcers.set(key, chosen);
    for (const node of chosen) {
      if (before.has(node)) continue;
      const message = `announcing from node "${node}" with protocol "bgp"`;
      this.#speakerEvents.record(service, "Normal", "nodeAssigned", message);
    }
    return chosen;
  }

  #routerAddress(family: IpFamily): IpAddress | undefined {
    const { initNs } = this.#cluster.router;
    return initNs.device("eth0").addressesOf(family).find(isGlobal)?.address;
  }

  /** Of nodes that are on, with their address of a family. */
  #machines(family: IpFamily): Map<string, { machine: Kernel; address: IpAddress }> {
    const machines = new Map<string, { machine: Kernel; address: IpAddress }>();
    for (const name of this.#nodes.keys()) {
      const machine = this.#cluster.machine(name);
      const address = machine?.initNs.findDevice("eth0")?.addressesOf(family).find(isGlobal);
      if (machine !== undefined && address !== undefined) {
        machines.set(name, { machine, address: address.address });
      }
    }
    return machines;
  }

  #runRouter(
    family: IpFamily,
    router: IpAddress,
    nodes: readonly { readonly address: IpAddress }[],
  ): void {
    const { myAsn, peerAsn } = this.#options;
    const peers = nodes.map(
      ({ address }, i): PeerConfig => ({
        ...PEER_DEFAULTS,
        name: `node${i + 1}`,
        neighbor: address,
        remoteAs: myAsn,
        localAs: peerAsn,
        sourceAddress: router,
        passive: true,
        importFilter: ALL,
        exportFilter: NONE,
      }),
    );
    const config = this.#config(router, peers, [], true);
    const running = this.#routers.get(family);
    if (running !== undefined) {
      running.configure(config);
      return;
    }
    const { initNs } = this.#cluster.router;
    // One connection keeps to one node, another one may go to the next.
    initNs.sysctl.set(`net.ipv${family}.fib_multipath_hash_policy`, 1);
    const options = { program: "bgpd", recover: false };
    const speaker = new Speaker(initNs, this.#cluster.clock, config, options);
    this.#routers.set(family, speaker);
    speaker.start();
  }

  #runSpeaker(key: string, machine: Kernel, config: SpeakerConfig): void {
    const running = this.#speakers.get(key);
    if (running?.machine === machine) {
      running.speaker.configure(config);
      return;
    }
    running?.speaker.kill();
    const options = { program: "speaker", recover: false };
    const speaker = new Speaker(machine.initNs, this.#cluster.clock, config, options);
    this.#speakers.set(key, { machine, speaker });
    speaker.start();
  }

  /** MetalLB's own speaker connects and tells; it takes no connections and no routes. */
  #nodeConfig(
    address: IpAddress,
    router: IpAddress,
    announced: readonly IpAddress[],
  ): SpeakerConfig {
    const { myAsn, peerAsn } = this.#options;
    const peer: PeerConfig = {
      ...PEER_DEFAULTS,
      name: "router",
      neighbor: router,
      remoteAs: peerAsn,
      localAs: myAsn,
      sourceAddress: address,
      gracefulRestartTime: undefined,
      holdTime: HOLD_TIME,
      importFilter: NONE,
      exportFilter: ALL,
    };
    const statics = announced.map((a) => ({ prefix: Prefix.host(a) }));
    return this.#config(address, [peer], statics, false);
  }

  #config(
    address: IpAddress,
    peers: readonly PeerConfig[],
    statics: readonly StaticRoute[],
    isRouter: boolean,
  ): SpeakerConfig {
    return {
      release: "2.0",
      family: familyOf(address),
      routerId: typeof address === "number" ? address : address.d >>> 0,
      listen: isRouter ? { address, port: BGP_PORT } : undefined,
      statics,
      directInterfaces: isRouter ? ["*"] : [],
      kernel: isRouter ? { exportFilter: ALL, mergePaths: true } : undefined,
      peers,
    };
  }
}

function isGlobal({ address }: { readonly address: IpAddress }): boolean {
  return typeof address === "number" || address.a >>> 22 !== 0x3fa;
}
