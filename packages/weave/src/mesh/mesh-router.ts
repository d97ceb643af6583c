import type { Clock, Random, Timer } from "@cnilab/core";
import { type NetNamespace, TcpConnection, TcpListener } from "@cnilab/linux";
import { type IpAddress, type Prefix, parseIp } from "@cnilab/net";
import { AcceptLimiter } from "./accept-limiter.ts";
import { dialError } from "./connection-error.ts";
import { ConnectionMaker } from "./connection-maker.ts";
import { GossipChannel } from "./gossip-channel.ts";
import type { Gossiper } from "./gossiper.ts";
import { LocalPeer } from "./local-peer.ts";
import { type ConnectionHost, MeshConnection } from "./mesh-connection.ts";
import { MeshCounters } from "./mesh-counters.ts";
import { MeshRoutes } from "./mesh-routes.ts";
import type { Overlay } from "./overlay.ts";
import type { PeerDescription } from "./peer.ts";
import type { NickName, PeerName, PeerUid } from "./peer-name.ts";
import { Peers } from "./peers.ts";
import { MESH_PORT, type ProtocolContent } from "./protocol.ts";
import { SHORT_IDS, type ShortId } from "./short-ids.ts";
import { TopologyData, TopologyGossiper } from "./topology-gossip.ts";

/** `defaultGossipInterval`. */
const GOSSIP_MS = 30_000;
/** `gcInterval`. */
const GARBAGE_COLLECT_MS = 1_000;
/** `--conn-limit`. */
const CONNECTION_LIMIT = 200;
const OWNER = "weaver";

export interface MeshOptions {
  readonly netns: NetNamespace;
  readonly clock: Clock;
  readonly random: Random;
  readonly name: PeerName;
  readonly nickname: NickName;
  readonly overlay: Overlay;
  /** At random where it is absent. */
  readonly shortId?: ShortId;
  readonly password?: string;
  readonly trustedSubnets?: readonly Prefix[];
  /** Whether peers are sought that others speak of; they are. */
  readonly discovery?: boolean;
  /** 200 where it is absent, none where it is 0. */
  readonly connectionLimit?: number;
}

/** What others on the node want to know of the mesh. */
export interface MeshListener {
  routesChanged?(): void;
  shortIdsChanged?(): void;
  /** A peer is out of reach, and forgotten. */
  peerRemoved?(peer: PeerDescription): void;
}

/** One peer of the mesh (mesh/router.go). */
export class MeshRouter implements ConnectionHost {
  readonly clock: Clock;
  readonly overlay: Overlay;
  readonly password: string | undefined;
  readonly counters: MeshCounters = new MeshCounters();
  readonly peers: Peers;
  readonly routes: MeshRoutes;
  readonly connectionMaker: ConnectionMaker;
  readonly #options: MeshOptions;
  readonly #local: LocalPeer;
  readonly #channels = new Map<string, GossipChannel>();
  readonly #topology: GossipChannel;
  readonly #limiter: AcceptLimiter;
  readonly #listeners: MeshListener[] = [];
  /** All, those of whom nobody knows yet who is at the other end too. */
  readonly #open = new Set<MeshConnection>();
  readonly #dialling = new Set<TcpConnection>();
  #listener: TcpListener | undefined;
  #gossipTimer: Timer | undefined;
  #garbageTimer: Timer | undefined;

  constructor(options: MeshOptions) {
    const { clock, overlay, name, nickname, random, shortId = random.below(SHORT_IDS) } = options;
    this.#options = options;
    this.clock = clock;
    this.overlay = overlay;
    this.password = options.password;
    const changed = () => this.routes.recalculate();
    this.peers = new Peers({ name, nickname, uid: randomUid(random), shortId }, random, {
      removed: (peer) => this.#tell((listener) => listener.peerRemoved?.(peer)),
      shortIdsChanged: () => this.#tell((listener) => listener.shortIdsChanged?.()),
      ourselfChanged: () => this.#local.tellLater(),
    });
    this.routes = new MeshRoutes(this.peers, name, {
      clock,
      random,
      changed: () => this.#tell((listener) => listener.routesChanged?.()),
    });
    this.#local = new LocalPeer({
      clock,
      peers: this.peers,
      connectionLimit: options.connectionLimit ?? CONNECTION_LIMIT,
      changed,
      tell: (peers) => this.#topology.send(new TopologyData(this.peers, peers)),
    });
    this.connectionMaker = new ConnectionMaker({
      clock,
      random,
      peers: this.peers,
      discovery: this.discovery,
      dial: (address, acceptNewPeer) => this.#dial(address, acceptNewPeer),
    });
    this.#limiter = new AcceptLimiter(clock);
    this.#topology = this.newGossip(
      "topology",
      new TopologyGossiper(this.peers, (isNews) => {
        this.#garbageTimer ??= clock.schedule(GARBAGE_COLLECT_MS, () => {
          this.#garbageTimer = undefined;
          this.peers.garbageCollect();
        });
        if (!isNews) return;
        this.connectionMaker.refresh();
        changed();
      }),
    );
  }

  /** Whether peers are sought that others speak of. */
  get discovery(): boolean {
    return this.#options.discovery ?? true;
  }

  get port(): number {
    return MESH_PORT;
  }

  /** Nothing is encrypted between peers that both are in such. */
  get trustedSubnets(): readonly Prefix[] {
    return this.#options.trustedSubnets ?? [];
  }

  /** Our connections, by the neighbour's name. */
  get connections(): ReadonlyMap<PeerName, MeshConnection> {
    return this.#local.connections;
  }

  listen(listener: MeshListener): void {
    this.#listeners.push(listener);
  }

  /** A channel that all peers should have, of one name. @throws Error where there is one of that name */
  newGossip(name: string, gossiper: Gossiper): GossipChannel {
    if (this.#channels.has(name)) throw new Error(`[gossip] duplicate channel ${name}`);
    const { routes } = this;
    const channel = new GossipChannel(name, gossiper, {
      ourself: this.#options.name,
      routes,
      connectionTo: (peer) => this.#local.connections.get(peer),
    });
    this.#channels.set(name, channel);
    return channel;
  }

  /**
   * Takes connections, and seeks these peers.
   * @throws KernelError where somebody has the port, Error where a peer is no address
   */
  start(peers: readonly string[]): void {
    this.#listener = new TcpListener(this.#options.netns, {
      port: MESH_PORT,
      owner: OWNER,
      onAccept: (tcp) => this.#accept(tcp),
    });
    this.connectionMaker.initiate(peers);
    this.#gossipLater();
  }

  /** The process ends; its kernel resets the connections, and nobody is told more. */
  stop(): void {
    this.#listener?.close();
    this.connectionMaker.stop();
    this.routes.stop();
    this.#local.stop();
    this.#gossipTimer?.cancel();
    this.#garbageTimer?.cancel();
    for (const tcp of this.#dialling) tcp.abandon();
    const open = [...this.#open];
    for (const connection of open) connection.abandon();
    for (const { tcp } of open) tcp.reset();
  }

  // --- as the connections' host

  trusts(address: IpAddress): boolean {
    return this.trustedSubnets.some((subnet) => subnet.contains(address));
  }

  add(connection: MeshConnection, isRestartedPeer: boolean): void {
    const isReached = this.routes.unicast("established").has(connection.remote.name);
    this.#local.add(connection);
    this.connectionMaker.created(connection);
    if (!isReached || isRestartedPeer) this.#sendAllDown(connection);
  }

  established(connection: MeshConnection): void {
    this.#local.established(connection);
  }

  ended(connection: MeshConnection, error: Error): void {
    this.#open.delete(connection);
    if (connection.hasRemote) this.#local.delete(connection);
    this.connectionMaker.terminated(connection, error);
  }

  receive(content: Extract<ProtocolContent, { readonly channel: string }>): void {
    this.#channels.get(content.channel)?.deliver(content);
  }

  // --- connections

  #accept(tcp: TcpConnection): void {
    const connection = this.#connection(tcp, false, true);
    const delayMs = this.#limiter.take();
    if (delayMs === 0) connection.start();
    else this.clock.schedule(delayMs, () => connection.start());
  }

  #dial(address: string, acceptNewPeer: boolean): void {
    const [host = "", port] = address.split(":");
    const failed = (error: Error) => this.connectionMaker.aborted(address, error);
    try {
      this.#local.checkLimit();
    } catch (error) {
      failed(error as Error);
      return;
    }
    const tcp = TcpConnection.connect(this.#options.netns, {
      dst: parseIp(host),
      port: Number(port),
      owner: OWNER,
      prepare: (made) => {
        this.#dialling.add(made);
        made.onEnd = () => {
          this.#dialling.delete(made);
          failed(dialError(address, made.error));
        };
        made.onEstablished = () => {
          this.#dialling.delete(made);
          this.#connection(made, true, acceptNewPeer).start();
        };
      },
    });
    if ("errno" in tcp) failed(dialError(address, tcp));
  }

  #connection(tcp: TcpConnection, outbound: boolean, acceptNewPeer: boolean): MeshConnection {
    const { random } = this.#options;
    const id = (BigInt(random.uint32()) << 32n) | BigInt(random.uint32());
    const connection = new MeshConnection(this, tcp, { outbound, acceptNewPeer, id });
    this.#open.add(connection);
    return connection;
  }

  // --- gossip

  #gossipLater(): void {
    const gossip = () => {
      this.#gossipLater();
      for (const channel of this.#channels.values()) {
        const data = channel.gossiper.gossip();
        if (data !== undefined) channel.send(data);
      }
    };
    this.#gossipTimer = this.clock.schedule(GOSSIP_MS, gossip, { background: true });
  }

  #sendAllDown(connection: MeshConnection): void {
    for (const channel of this.#channels.values()) {
      const data = channel.gossiper.gossip();
      if (data !== undefined) channel.sendDown(connection, data);
    }
  }

  #tell(what: (listener: MeshListener) => void): void {
    for (const listener of this.#listeners) what(listener);
  }
}

/** 53 bits; 0 is that of peers of whom only the name is known. */
function randomUid(random: Random): PeerUid {
  return random.uint32() * 2 ** 21 + (random.uint32() >>> 11) || 1;
}
