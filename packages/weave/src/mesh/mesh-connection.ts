import type { Clock, Timer } from "@cnilab/core";
import {
  isWireMessage,
  MessageReader,
  say,
  type TcpConnection,
  type WireMessage,
} from "@cnilab/linux";
import { formatIp, type IpAddress } from "@cnilab/net";
import { readError, readTimeout } from "./connection-error.ts";
import { GossipSender } from "./gossip-sender.ts";
import {
  checkEncryption,
  checkHeader,
  checkIsAnother,
  featuresOf,
  readFeatures,
} from "./handshake.ts";
import type { MeshCounters } from "./mesh-counters.ts";
import type { Overlay, OverlayConnection } from "./overlay.ts";
import type { PeerDescription, PeerLink } from "./peer.ts";
import type { Peers } from "./peers.ts";
import {
  EncryptionFlag,
  Features,
  PROTOCOL_VERSIONS,
  type ProtocolContent,
  ProtocolHeader,
  ProtocolMessage,
} from "./protocol.ts";

/** `headerTimeout`. */
const HEADER_TIMEOUT_MS = 10_000;
/** `tcpHeartbeat`; who is silent for two is gone. */
const HEARTBEAT_MS = 30_000;

/** The peer that has a connection. */
export interface ConnectionHost {
  readonly clock: Clock;
  readonly peers: Peers;
  readonly overlay: Overlay;
  readonly counters: MeshCounters;
  readonly password: string | undefined;
  trusts(address: IpAddress): boolean;
  /** The other end has said who it is. @throws Error where the connection must not be */
  add(connection: MeshConnection, isRestartedPeer: boolean): void;
  established(connection: MeshConnection): void;
  ended(connection: MeshConnection, error: Error): void;
  /** @throws Error that ends the connection */
  receive(content: Extract<ProtocolContent, { readonly channel: string }>): void;
}

type Phase = "header" | "encryption" | "features" | "ready" | "ended";

/** One connection of ours to a neighbour (mesh/connection.go LocalConnection). */
export class MeshConnection {
  /** Where the other end is: what was dialled, or where it came from. */
  readonly address: string;
  readonly outbound: boolean;
  readonly tcp: TcpConnection;
  readonly #host: ConnectionHost;
  /** Whether peers are welcome that the mesh does not know. */
  readonly #acceptNewPeer: boolean;
  readonly #reader = new MessageReader();
  readonly #inbox: unknown[] = [];
  readonly #senders = new Map<string, GossipSender>();
  readonly #trusts: boolean;
  #trustsUs = false;
  #phase: Phase = "header";
  #started = false;
  #uid: bigint;
  #remote: PeerDescription | undefined;
  #overlay: OverlayConnection | undefined;
  #established = false;
  #link: PeerLink | undefined;
  #heartbeat: Timer | undefined;
  #deadline: Timer | undefined;
  #lastHeard = 0;

  constructor(
    host: ConnectionHost,
    tcp: TcpConnection,
    options: {
      readonly outbound: boolean;
      readonly acceptNewPeer: boolean;
      /** 64 bits at random. */
      readonly id: bigint;
    },
  ) {
    this.#host = host;
    this.tcp = tcp;
    this.outbound = options.outbound;
    this.#acceptNewPeer = options.acceptNewPeer;
    this.#uid = options.id;
    this.address = `${formatIp(tcp.remoteAddress)}:${tcp.remotePort}`;
    this.#trusts = host.trusts(tcp.remoteAddress);
    tcp.onData = (data) => {
      const message = this.#reader.take(data);
      if (message === undefined) return;
      if (this.#started) this.#receive(message);
      else this.#inbox.push(message);
    };
    tcp.onEnd = () => this.shutdown(readError(tcp));
  }

  /** Known from the handshake on. */
  get remote(): PeerDescription {
    const { name } = this.#remote as PeerDescription;
    return this.#host.peers.get(name) ?? (this.#remote as PeerDescription);
  }

  get isEstablished(): boolean {
    return this.#established;
  }

  /** The same number at both ends, once there is a remote: of two connections the one with the lower stays. */
  get uid(): bigint {
    return this.#uid;
  }

  /** What its data is carried by. */
  get overlayName(): string {
    return this.#overlay?.name ?? "none";
  }

  /** What carries its data, once the other end has said who it is. */
  get overlayConnection(): OverlayConnection | undefined {
    return this.#overlay;
  }

  /** Both ends have the password, and not both are in trusted subnets. */
  get isEncrypted(): boolean {
    return this.#host.password !== undefined && !(this.#trusts && this.#trustsUs);
  }

  /** The same object while it says the same: descriptions are compared by it. */
  get link(): PeerLink {
    const { address, outbound } = this;
    if (this.#link?.established !== this.#established) {
      this.#link = { address, outbound, established: this.#established };
    }
    return this.#link;
  }

  start(): void {
    if (this.#started || this.#phase === "ended") return;
    this.#started = true;
    this.#setDeadline(HEADER_TIMEOUT_MS);
    this.#write(new ProtocolHeader(PROTOCOL_VERSIONS));
    for (const message of this.#inbox.splice(0)) this.#receive(message);
  }

  say(content: ProtocolContent): void {
    if (this.#phase !== "ready") return;
    this.#write(new ProtocolMessage(content, this.#host.password !== undefined));
  }

  /** What a channel has to say to this neighbour. */
  sender(channel: string): GossipSender {
    const known = this.#senders.get(channel);
    if (known !== undefined) return known;
    const source = this.#host.peers.ourself.name;
    const made = new GossipSender(this.#host.clock, {
      gossip: (payload) => this.say({ kind: "gossip", channel, source, payload }),
      broadcast: (origin, payload) =>
        this.say({ kind: "broadcast", channel, source: origin, payload }),
    });
    this.#senders.set(channel, made);
    return made;
  }

  /** Ends it; the other end sees a reset. */
  shutdown(error: Error): void {
    if (this.#phase === "ended") return;
    this.abandon();
    this.tcp.reset();
    if (this.#remote !== undefined) this.#host.peers.release(this.#remote.name);
    this.#host.ended(this, error);
  }

  /** Nothing more is done with it; the socket is left. */
  abandon(): void {
    this.#phase = "ended";
    this.#heartbeat?.cancel();
    this.#deadline?.cancel();
    for (const sender of this.#senders.values()) sender.stop();
    this.#overlay?.stop();
    this.tcp.onData = undefined;
    this.tcp.onEnd = undefined;
  }

  /** Whether the other end has said who it is. */
  get hasRemote(): boolean {
    return this.#remote !== undefined;
  }

  #write(message: WireMessage): void {
    this.#host.counters.count(message);
    say(this.tcp, message);
  }

  #receive(message: unknown): void {
    const { clock, password, peers } = this.#host;
    this.#lastHeard = clock.now;
    try {
      switch (this.#phase) {
        case "header":
          checkHeader(message);
          this.#phase = "encryption";
          this.#setDeadline(2 * HEARTBEAT_MS);
          this.#write(new EncryptionFlag(password !== undefined));
          return;
        case "encryption": {
          checkEncryption(message, password);
          this.#phase = "features";
          const features = featuresOf(peers.ourself, this.#uid, this.#trusts);
          this.#host.overlay.addFeaturesTo(features);
          this.#write(new Features(features, password));
          return;
        }
        case "features":
          this.#introduced(message);
          return;
        case "ready":
          if (isWireMessage(message) && message instanceof ProtocolMessage) {
            this.#hear(message.content);
          }
      }
    } catch (error) {
      // What the other end said is wrong ends the connection; what is wrong with our own code is no news of it.
      if (!(error instanceof Error) || error instanceof TypeError) throw error;
      this.shutdown(error);
    }
  }

  #hear(content: ProtocolContent): void {
    if (content.kind === "overlay") this.#overlay?.controlMessage(content.tag, content.message);
    else if (content.kind !== "heartbeat") this.#host.receive(content);
  }

  #introduced(message: unknown): void {
    const { peers, password, overlay } = this.#host;
    const { peer, connectionId, trustsUs, all } = readFeatures(message, password);
    this.#uid ^= connectionId;
    this.#trustsUs = trustsUs;
    checkIsAnother(peer, peers.ourself);
    if (!this.#acceptNewPeer && peers.get(peer.name) === undefined) {
      throw new Error(`Found unknown remote name: ${peer.name} at ${this.address}`);
    }
    const known = peers.hold(peer);
    this.#remote = known;
    this.#overlay = overlay.prepareConnection({
      remote: known,
      localAddress: this.tcp.localAddress,
      remoteAddress: this.tcp.remoteAddress,
      remotePort: this.tcp.remotePort,
      outbound: this.outbound,
      connectionUid: this.#uid,
      encrypted: this.isEncrypted,
      features: all,
      sendControlMessage: (tag, control) => this.say({ kind: "overlay", tag, message: control }),
      established: () => this.#setEstablished(),
      failed: (error) => this.shutdown(error),
    });
    this.#host.add(this, known.uid !== peer.uid);
    if (this.#phase === "ended") return;
    this.#phase = "ready";
    this.#overlay.confirm();
    this.#beat();
  }

  #setEstablished(): void {
    if (this.#established || this.#phase === "ended") return;
    this.#established = true;
    this.#host.established(this);
  }

  #beat(): void {
    const beat = () => {
      this.#beat();
      this.say({ kind: "heartbeat" });
    };
    this.#heartbeat = this.#host.clock.schedule(HEARTBEAT_MS, beat, { background: true });
  }

  /** Looks again when what was heard meanwhile is as old. */
  #setDeadline(silenceMs: number): void {
    const { clock } = this.#host;
    this.#deadline?.cancel();
    this.#lastHeard = clock.now;
    const check = () => {
      const left = this.#lastHeard + silenceMs - clock.now;
      if (left > 0) this.#deadline = clock.schedule(left, check, { background: true });
      else this.shutdown(readTimeout(this.tcp));
    };
    this.#deadline = clock.schedule(silenceMs, check, { background: true });
  }
}
