import type { Clock, HostFiles, Random, Timer } from "@cnilab/core";
import { type NetNamespace, startEchoServer } from "@cnilab/linux";
import { type InterfaceAddress, IPPROTO_TCP, type Ipv4Address, parseIp } from "@cnilab/net";
import {
  type BridgeRulesConfig,
  configureBridgeRules,
  resetBridgeRules,
  WEAVE_BRIDGE,
} from "../bridge/bridge-rules.ts";
import { NoMasqLocalTracker } from "../bridge/no-masq-local.ts";
import { Allocator, TICK_MS } from "../ipam/allocator.ts";
import { weightedDonors } from "../ipam/donors.ts";
import type { RingEntry } from "../ipam/ring-entry.ts";
import { IpsecTunnels } from "../ipsec/ipsec-tunnels.ts";
import { IpamChannel } from "../mesh/ipam-channel.ts";
import { MeshRouter } from "../mesh/mesh-router.ts";
import type { NickName, PeerName } from "../mesh/peer-name.ts";
import { MESH_PORT } from "../mesh/protocol.ts";
import { expose, reexpose } from "../net/expose.ts";
import { IptablesCanary } from "../net/iptables-canary.ts";
import { type BridgeKind, bridgeMtu, ensureBridge } from "../net/weave-bridge.ts";
import { NetworkRouter } from "../router/network-router.ts";
import { createOverlays } from "./overlays.ts";
import type { IpallocInit, WeaverConfig } from "./weaver-config.ts";
import { WeaverDatabase } from "./weaver-database.ts";

/** Whose the bridge's own address is. */
export const EXPOSE_IDENT = "weave:expose";
/** `--http-addr` of weave-kube. */
const CONTROL_PORT = 6784;
const LOOPBACK = parseIp("127.0.0.1") as Ipv4Address;
/** `--metrics-addr` of weave-kube. */
const METRICS_PORT = 6782;
const OWNER = "weaver";
/** So many ticks are waited for, should nothing happen meanwhile; they go on behind that. */
const AWAITED_TICKS = 24;
/** Far more than it takes to get what one of hundreds of peers has. */
const REQUESTS_IN_VAIN = 100;

export interface WeaverOptions {
  readonly netns: NetNamespace;
  readonly files: HostFiles;
  readonly clock: Clock;
  readonly random: Random;
  readonly name: PeerName;
  readonly nickname: NickName;
  readonly config: WeaverConfig;
  readonly ipallocInit: IpallocInit;
  /** Addresses of peers to begin with. */
  readonly peers: readonly string[];
}

/** The router of a node, from start to end of its process (prog/weaver/main.go). */
export class Weaver {
  readonly config: WeaverConfig;
  readonly router: MeshRouter;
  /** What carries containers' frames. */
  readonly network: NetworkRouter;
  readonly allocator: Allocator;
  /** Virtual milliseconds. */
  readonly startedAt: number;
  readonly #options: WeaverOptions;
  readonly #netns: NetNamespace;
  readonly #database: WeaverDatabase;
  readonly #canary: IptablesCanary;
  readonly #noMasqLocal: NoMasqLocalTracker | undefined;
  readonly #clock: Clock;
  readonly #servers: { close(): void }[] = [];
  #tick: Timer | undefined;
  #ticks = 0;
  #ring: readonly RingEntry[] | undefined;
  #ownedVersion = -1;

  /** Makes the node's devices and rules. @throws WeaverError where they cannot be */
  constructor(options: WeaverOptions) {
    const { netns, clock, random, files, name, nickname, config } = options;
    this.#options = options;
    this.#netns = netns;
    this.#clock = clock;
    this.startedAt = clock.now;
    this.config = config;
    const iptables = netns.iptables(4);
    resetBridgeRules(iptables, netns.ipsets, this.#rules);
    ensureBridge(netns, {
      kind: this.bridgeKind,
      name,
      ...(config.mtu !== undefined && { mtu: config.mtu }),
    });
    configureBridgeRules(iptables, this.#rules);
    reexpose(netns, config.expectNpc);
    this.#canary = new IptablesCanary(iptables, clock, () => {
      configureBridgeRules(iptables, this.#rules);
      reexpose(netns, config.expectNpc);
    });
    this.#noMasqLocal = config.noMasqLocal ? new NoMasqLocalTracker(netns.ipsets) : undefined;
    const ipsec =
      config.password === undefined ? undefined : new IpsecTunnels(netns, random.fork("ipsec"));
    const { overlay, injectorConsumer } = createOverlays(netns, clock, this.bridgeKind, ipsec);
    this.router = new MeshRouter({
      netns,
      clock,
      random: random.fork("mesh"),
      name,
      nickname,
      overlay,
      discovery: config.discovery,
      connectionLimit: config.connectionLimit,
      trustedSubnets: config.trustedSubnets,
      ...(config.password !== undefined && { password: config.password }),
    });
    this.network = new NetworkRouter({ clock, mesh: this.router, overlay, injectorConsumer });
    this.#database = new WeaverDatabase(files, name);
    this.allocator = this.#makeAllocator();
  }

  get bridgeKind(): BridgeKind {
    return this.config.fastdp ? "bridged_fastdp" : "bridge";
  }

  /** Bytes that a container's packet may have by its device. */
  get mtu(): number {
    return bridgeMtu({
      kind: this.bridgeKind,
      ...(this.config.mtu !== undefined && { mtu: this.config.mtu }),
    });
  }

  get #rules(): BridgeRulesConfig {
    const { expectNpc, noMasqLocal } = this.config;
    return { npc: expectNpc, noMasqLocal, port: MESH_PORT, controlPort: CONTROL_PORT };
  }

  #makeAllocator(): Allocator {
    const { clock, random, config, ipallocInit, peers } = this.#options;
    const { router } = this;
    const { name, uid, nickname } = router.peers.ourself;
    const channel = new IpamChannel(router);
    const known = ipallocInit.kind === "consensus" && ipallocInit.peers;
    const allocator = new Allocator({
      name,
      uid,
      nickname,
      universe: config.ipallocRange,
      ...(ipallocInit.kind === "seed" && { seed: ipallocInit.peers }),
      observer: ipallocInit.kind === "observer",
      // Where nobody says how many there are: those that it was given, and itself (determineQuorum).
      quorum: () => Math.floor((known || peers.length + 1) / 2) + 1,
      gossip: channel,
      donors: weightedDonors(random.fork("donors")),
      isKnownPeer: (peer) => router.peers.get(peer) !== undefined,
      now: () => clock.now,
      requestsInVain: REQUESTS_IN_VAIN,
      acted: () => this.#ipamActed(),
    });
    channel.attach(allocator);
    return allocator;
  }

  /** @throws KernelError where somebody has one of its ports; it is to be stopped then */
  start(): void {
    const { allocator, router } = this;
    allocator.start(this.#database.load());
    this.#claimExisting();
    this.network.start();
    router.start(this.#options.peers);
    this.#listen({ address: LOOPBACK, port: CONTROL_PORT });
    this.#listen({ port: METRICS_PORT });
    this.#canary.start();
    this.#ipamActed();
  }

  /** The process ends; devices, rules and flows stay. */
  stop(): void {
    this.#tick?.cancel();
    this.#tick = undefined;
    this.#canary.stop();
    for (const server of this.#servers.splice(0)) server.close();
    this.router.stop();
    this.network.stop();
  }

  /** Gives the bridge an address, once there is one (`weave expose`). @param done told when it has it */
  expose(done: () => void): void {
    const { ipallocRange: subnet, expectNpc } = this.config;
    this.allocator.allocate({ ident: EXPOSE_IDENT, subnet, isContainer: false }, (address) => {
      if (address instanceof Error) return;
      expose(this.#netns, this.addressOf(address), expectNpc);
      done();
    });
  }

  /** In the range that all share: containers are one subnet. */
  addressOf(address: Ipv4Address): InterfaceAddress {
    return { address, length: this.config.ipallocRange.length };
  }

  #listen(where: { readonly address?: Ipv4Address; readonly port: number }): void {
    const server = { protocol: IPPROTO_TCP, owner: OWNER, ...where };
    this.#servers.push(startEchoServer(this.#netns, server));
  }

  /** What the bridge has is its own still, though the database may be gone (prog/weaver/reclaim.go). */
  #claimExisting(): void {
    const { addresses4 } = this.#netns.device(WEAVE_BRIDGE);
    for (const { address, prefixLength: length } of addresses4) {
      const claim = { ident: EXPOSE_IDENT, address: address as Ipv4Address, length };
      this.allocator.claim({ ...claim, isContainer: false }, () => {});
    }
  }

  #ipamActed(): void {
    const { allocator } = this;
    if (allocator === undefined) return;
    const { entries } = allocator.ring;
    if (entries !== this.#ring || allocator.owned.version !== this.#ownedVersion) {
      if (entries !== this.#ring) this.#noMasqLocal?.update(allocator.ring.ownedRanges());
      this.#ring = entries;
      if (allocator.owned.version !== this.#ownedVersion) this.#ticks = 0;
      this.#ownedVersion = allocator.owned.version;
      if (entries.length > 0) this.#database.save(allocator.persist());
    }
    if (allocator.needsTicks) this.#tickLater();
  }

  /** Messages may have been lost: what waits is tried again. */
  #tickLater(): void {
    if (this.#tick !== undefined) return;
    const tick = () => {
      this.#tick = undefined;
      this.#ticks++;
      this.allocator.tick();
    };
    const background = this.#ticks >= AWAITED_TICKS;
    this.#tick = this.#clock.schedule(TICK_MS, tick, { background });
  }
}
