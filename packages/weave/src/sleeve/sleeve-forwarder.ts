import type { Clock, Timer } from "@cnilab/core";
import {
  fragmentPacket,
  type NetDevice,
  type NetNamespace,
  RawSocket,
  type Skb,
  type SocketError,
  type Trace,
} from "@cnilab/linux";
import {
  ETH_P_IP,
  ETHERNET_HEADER_LENGTH,
  EthernetFrame,
  formatEndpoint,
  IPPROTO_UDP,
  type IpAddress,
  IpPacket,
  type Mac,
  SLEEVE_FRAME_OVERHEAD,
  type SleeveFrame,
  SleevePacket,
  UdpDatagram,
} from "@cnilab/net";
import type { GossipPayload } from "../mesh/gossiper.ts";
import { peerText } from "../mesh/peer.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import type { FlowOp, ForwardPacketKey } from "../router/flow-op.ts";
import {
  AWAITED_HEARTBEATS,
  FAST_HEARTBEAT_MS,
  HEARTBEAT_TIMEOUT_MS,
  SLOW_HEARTBEAT_MS,
} from "../router/heartbeat.ts";
import type { NetworkConnectionParams, OverlayForwarder } from "../router/network-overlay.ts";
import { fragNeeded } from "./frag-needed.ts";
import { FrameQueue, type QueuedFrame, traceOf } from "./frame-queue.ts";
import { type MtuStep, PathMtuSearch } from "./path-mtu-search.ts";
import { peerNumber } from "./peer-number.ts";
import { SleeveCrypto } from "./sleeve-crypto.ts";
import {
  CONNECTION_ESTABLISHED,
  EMPTY_MESSAGE,
  FRAGMENTATION_RECEIVED,
  PMTU_VERIFIED,
  PmtuVerified,
} from "./sleeve-message.ts";
import {
  discoveryFrame,
  fragmentationTestFrame,
  heartbeatFrame,
  mtuTestFrame,
  type SpecialFrame,
} from "./special-frame.ts";

/** `UDPOverhead`: IPv4 and UDP. */
const UDP_OVERHEAD = 28;
/** `MaxUDPPacketSize`, `DefaultMTU`. */
const MAX_PACKET = 65_535;
/** `FragTestInterval`. */
const FRAGMENTATION_TEST_MS = 300_000;
export const WEAVER = "weaver";

/** Where a peer's packets come from. */
export interface SleeveEndpoint {
  readonly address: IpAddress;
  readonly port: number;
}

/** Who has the connections of sleeve: the overlay. */
export interface SleeveHost {
  readonly netns: NetNamespace;
  readonly clock: Clock;
  /** The device through which weaver is on the bridge: traces tell of it. */
  readonly device: NetDevice;
  readonly port: number;
  readonly localPeer: PeerName;
  /** Sends a packet that may be cut on the way. */
  send(
    to: SleeveEndpoint,
    packet: SleevePacket,
    trace: Trace | undefined,
    carried: number | undefined,
  ): SocketError | undefined;
  /** A frame is here, from another peer or from weave itself. */
  consume(key: ForwardPacketKey, frame: Skb): void;
  /** From now on what the peer sends is of this connection. */
  confirmed(forwarder: SleeveForwarder): void;
  stopped(forwarder: SleeveForwarder): void;
}

/** One connection's frames in UDP (router/sleeve.go sleeveForwarder). */
export class SleeveForwarder implements OverlayForwarder {
  readonly name = "sleeve";
  readonly remote: PeerName;
  readonly crypto: SleeveCrypto;
  readonly #host: SleeveHost;
  readonly #params: NetworkConnectionParams;
  readonly #localNumber: Mac;
  readonly #remoteNumber: Mac;
  /** Bytes that an IP packet of the network grows by. */
  readonly #overhead: number;
  /** What leaves whole, and what may be cut on the way. */
  readonly #uncut = new FrameQueue();
  readonly #cuttable = new FrameQueue();
  readonly #search = new PathMtuSearch();
  /** Unknown to the one that was dialled until it hears of the other. */
  #endpoint: SleeveEndpoint | undefined;
  #socket: RawSocket | undefined;
  #mtu = MAX_PACKET;
  /** Bytes of UDP payload that the path takes. */
  #maxPayload = MAX_PACKET - UDP_OVERHEAD;
  /** Whether packets that the kernel cuts come together at the other end. */
  #stackFragments = false;
  /** 0 until it is confirmed. */
  #heartbeatMs = 0;
  #heartbeats = 0;
  #ackedHeartbeat = false;
  #heartbeat: Timer | undefined;
  #deadline: Timer | undefined;
  #lastHeard = 0;
  #fragmentationTest: Timer | undefined;
  #mtuTest: Timer | undefined;
  /** What waits while something else is done: there is one thread for a connection. */
  readonly #events: (() => void)[] = [];
  #busy = false;
  #turnAwaits = false;
  #ended = false;

  constructor(host: SleeveHost, params: NetworkConnectionParams) {
    this.#host = host;
    this.#params = params;
    this.remote = params.remote.name;
    this.#localNumber = peerNumber(host.localPeer);
    this.#remoteNumber = peerNumber(this.remote);
    this.crypto = new SleeveCrypto(params.encrypted ? params.connectionUid : undefined);
    this.#overhead =
      UDP_OVERHEAD + this.crypto.packetOverhead + SLEEVE_FRAME_OVERHEAD + ETHERNET_HEADER_LENGTH;
    const { outbound, remoteAddress: address, remotePort: port } = params;
    if (outbound) this.#endpoint = { address, port };
  }

  get mtu(): number {
    return this.#mtu;
  }

  /** Whether longer packets than the path takes may be left to the machines on the way. */
  get stackFragments(): boolean {
    return this.#stackFragments;
  }

  confirm(): void {
    this.#do(() => {
      if (this.#heartbeatMs !== 0) return;
      this.#host.confirmed(this);
      this.#heartbeatMs = FAST_HEARTBEAT_MS;
      if (this.#endpoint !== undefined) this.#sendHeartbeat();
      this.#lastHeard = this.#host.clock.now;
      this.#watch(HEARTBEAT_TIMEOUT_MS);
    });
  }

  controlMessage(tag: number, message: GossipPayload): void {
    this.#do(() => {
      switch (tag) {
        case CONNECTION_ESTABLISHED:
          this.#heartbeatAcked();
          return;
        case FRAGMENTATION_RECEIVED:
          this.#stackFragments = true;
          return;
        case PMTU_VERIFIED:
          if (message instanceof PmtuVerified) this.#tryMtu(this.#search.arrived(message.mtu));
      }
    });
  }

  stop(): void {
    this.#host.stopped(this);
    this.#end();
  }

  forward(key: ForwardPacketKey): FlowOp {
    return {
      discards: false,
      process: (frame, broadcast) => this.#forward(key, frame, broadcast),
    };
  }

  /** A frame that the peer has made for this connection itself. */
  special(frame: SpecialFrame, from: SleeveEndpoint): void {
    this.#do(() => {
      switch (frame.kind) {
        case "heartbeat":
          if (frame.connectionUid === this.#params.connectionUid) this.#heard(from);
          return;
        case "fragmentation test":
          this.#params.sendControlMessage(FRAGMENTATION_RECEIVED, EMPTY_MESSAGE);
          return;
        case "mtu test":
          this.#params.sendControlMessage(PMTU_VERIFIED, new PmtuVerified(frame.mtu));
      }
    });
  }

  /** One thing after the other: what comes while a packet is sent waits until that is done. */
  #do(event: () => void): void {
    this.#events.push(event);
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        if (!this.#ended) next();
      }
    } finally {
      this.#busy = false;
    }
  }

  #later(delayMs: number, what: () => void, background: boolean): Timer {
    return this.#host.clock.schedule(delayMs, () => this.#do(what), { background });
  }

  // --- heartbeats

  #sendHeartbeat(): void {
    const background =
      this.#heartbeatMs === SLOW_HEARTBEAT_MS || ++this.#heartbeats >= AWAITED_HEARTBEATS;
    this.#heartbeat?.cancel();
    this.#heartbeat = this.#later(this.#heartbeatMs, () => this.#sendHeartbeat(), background);
    this.#sendSpecial(heartbeatFrame(this.#params.connectionUid), true);
  }

  /** Looks again when what was heard meanwhile is as old. */
  #watch(delayMs: number): void {
    const check = () => {
      const left = this.#lastHeard + HEARTBEAT_TIMEOUT_MS - this.#host.clock.now;
      if (left > 0) this.#watch(left);
      else this.#fail(new Error("timed out waiting for UDP heartbeat"));
    };
    this.#deadline = this.#later(delayMs, check, true);
  }

  #heard(from: SleeveEndpoint): void {
    const isFirst = this.#endpoint === undefined;
    if (this.#endpoint?.address !== from.address || this.#endpoint.port !== from.port) {
      this.#endpoint = from; // it may have moved, as behind NAT
    }
    if (isFirst && this.#heartbeatMs !== 0) this.#sendHeartbeat();
    if (!this.#ackedHeartbeat) {
      this.#ackedHeartbeat = true;
      this.#params.sendControlMessage(CONNECTION_ESTABLISHED, EMPTY_MESSAGE);
    }
    this.#lastHeard = this.#host.clock.now;
  }

  #heartbeatAcked(): void {
    if (this.#heartbeatMs !== SLOW_HEARTBEAT_MS) {
      this.#heartbeatMs = SLOW_HEARTBEAT_MS;
      this.#heartbeat?.cancel();
      this.#heartbeat = this.#later(SLOW_HEARTBEAT_MS, () => this.#sendHeartbeat(), true);
      this.#params.established();
    }
    this.#testFragmentation();
    // The kernel refuses it, and says what it would take.
    this.#sendSpecial(discoveryFrame(), true);
  }

  #testFragmentation(): void {
    this.#fragmentationTest?.cancel();
    const again = () => this.#testFragmentation();
    this.#fragmentationTest = this.#later(FRAGMENTATION_TEST_MS, again, true);
    this.#stackFragments = false;
    this.#sendSpecial(fragmentationTestFrame(), false);
  }

  // --- what the path takes

  #tryMtu(step: MtuStep | undefined): void {
    if (step === undefined) return;
    this.#mtuTest?.cancel();
    this.#mtuTest = undefined;
    if (step.kind === "verified") {
      this.#setMtu(step.mtu, step.mtu + this.#overhead - UDP_OVERHEAD);
      return;
    }
    const timedOut = () => this.#tryMtu(this.#search.timedOut());
    this.#mtuTest = this.#later(step.timeoutMs, timedOut, false);
    this.#sendSpecial(mtuTestFrame(step.mtu), true);
  }

  #setMtu(mtu: number, maxPayload: number): void {
    this.#mtu = mtu;
    this.#maxPayload = maxPayload;
  }

  /** The kernel takes packets of so many bytes for the path. */
  #pathMtuIs(pathMtu: number): void {
    const mtu = pathMtu - this.#overhead;
    const step = this.#search.begin(mtu);
    if (step === undefined) return;
    this.#setMtu(mtu, pathMtu - UDP_OVERHEAD);
    this.#tryMtu(step);
  }

  // --- frames

  /** `curriedForward.Process` */
  #forward(key: ForwardPacketKey, frame: Skb, broadcast: boolean): void {
    if (this.#endpoint === undefined) {
      this.#drop(frame, "WEAVE_NO_CONNECTION", `sleeve awaits contact with ${this.#peer}`);
      return;
    }
    const ip = frame.etherType === ETH_P_IP ? frame.ip : undefined;
    const isTooBig = frame.length > this.#mtu;
    if (ip?.dontFragment !== true) {
      if (ip === undefined || this.#stackFragments) this.#enqueue(this.#cuttable, key, frame);
      else if (!isTooBig) this.#enqueue(this.#uncut, key, frame);
      else this.#cut(key, frame);
      return;
    }
    if (!isTooBig) {
      this.#enqueue(this.#uncut, key, frame);
      return;
    }
    const detail = `${frame.length} bytes, MTU ${this.#mtu} of sleeve to ${this.#peer}`;
    this.#drop(frame, "PKT_TOO_BIG", broadcast ? `${detail}; it is broadcast` : detail);
    if (broadcast) return;
    const { srcMac, dstMac, srcPeer, dstPeer } = key;
    const back = { srcMac: dstMac, dstMac: srcMac, srcPeer: dstPeer, dstPeer: srcPeer };
    this.#host.consume(back, fragNeeded(frame, this.#mtu));
  }

  /** As the machines on the way do not cut what is too long, or lose the pieces. */
  #cut(key: ForwardPacketKey, frame: Skb): void {
    const pieces = fragmentPacket(frame.ip, this.#mtu);
    frame.trace?.steps.push({
      kind: "fragment",
      netns: this.#host.netns,
      packet: frame.number,
      count: pieces.length,
      mtu: this.#mtu,
    });
    for (const piece of pieces) this.#enqueue(this.#uncut, key, frame, piece);
  }

  #enqueue(queue: FrameQueue, key: ForwardPacketKey, origin: Skb, piece?: IpPacket): void {
    const { dstMac, srcMac, etherType, trace, number } = origin;
    const frame = new EthernetFrame(dstMac, srcMac, etherType, piece ?? origin.packet.clone());
    const carried: SleeveFrame = {
      src: peerNumber(key.srcPeer),
      dst: peerNumber(key.dstPeer),
      frame,
      number: trace === undefined ? undefined : number,
    };
    queue.add({ carried, origin });
    if (this.#turnAwaits) return;
    this.#turnAwaits = true;
    this.#host.netns.network.afterFrames(() => {
      this.#turnAwaits = false;
      this.#do(() => {
        this.#sendQueued(this.#cuttable, false, MAX_PACKET - UDP_OVERHEAD);
        this.#sendQueued(this.#uncut, true, this.#maxPayload);
      });
    });
  }

  #sendQueued(queue: FrameQueue, dontFragment: boolean, limit: number): void {
    while (!queue.isEmpty && !this.#ended) {
      const taken = queue.take(this.crypto.packetOverhead, limit, this.#maxPayload);
      if (Array.isArray(taken)) this.#send(taken, dontFragment);
      else if (taken.tooBig.origin !== undefined) {
        const detail = `${taken.tooBig.carried.frame.length} bytes, sleeve takes ${limit}`;
        this.#drop(taken.tooBig.origin, "PKT_TOO_BIG", detail);
      }
    }
  }

  #sendSpecial(frame: EthernetFrame, dontFragment: boolean): void {
    const carried: SleeveFrame = {
      src: this.#localNumber,
      dst: this.#remoteNumber,
      frame,
      number: undefined,
    };
    this.#send([{ carried, origin: undefined }], dontFragment);
  }

  #send(frames: readonly QueuedFrame[], dontFragment: boolean): void {
    const to = this.#endpoint;
    if (to === undefined) return;
    const trace = traceOf(frames);
    const carried = frames.map((frame) => frame.carried);
    const packet = new SleevePacket(this.#localNumber, carried, this.crypto.seal(dontFragment));
    if (trace !== undefined) this.#traceEncapsulation(to, packet, trace);
    const number = carried.find((frame) => frame.number !== undefined)?.number;
    const error = dontFragment
      ? this.#sendUncut(to, packet, trace, number)
      : this.#host.send(to, packet, trace, number);
    if (error === undefined) return;
    const pathMtu = error.errno === "EMSGSIZE" ? this.#socket?.pathMtu : undefined;
    for (const { origin } of frames) {
      if (origin !== undefined) this.#drop(origin, "PKT_TOO_BIG", error.message);
    }
    if (pathMtu !== undefined) this.#pathMtuIs(pathMtu);
    else
      this.#fail(new Error(`write udp ->${formatEndpoint(to.address, to.port)}: ${error.message}`));
  }

  /** A raw socket, as an UDP socket has one setting for all that it sends (`udpSenderDF`). */
  #sendUncut(
    { address, port }: SleeveEndpoint,
    packet: SleevePacket,
    trace: Trace | undefined,
    carried: number | undefined,
  ): SocketError | undefined {
    if (this.#socket?.remoteAddress !== address) {
      this.#socket?.close();
      this.#socket = new RawSocket(this.#host.netns, {
        protocol: IPPROTO_UDP,
        localAddress: this.#params.localAddress,
        remoteAddress: address,
        owner: WEAVER,
        dontFragment: true,
      });
    }
    const datagram = new UdpDatagram(this.#host.port, port, packet);
    datagram.noChecksum = true;
    return this.#socket.send(datagram, { trace, carried });
  }

  #traceEncapsulation({ address, port }: SleeveEndpoint, packet: SleevePacket, trace: Trace): void {
    const { netns, device, port: localPort } = this.#host;
    const datagram = new UdpDatagram(localPort, port, packet);
    const outer = new IpPacket(this.#params.localAddress, address, IPPROTO_UDP, datagram);
    const { protocol } = this.crypto;
    for (const { number } of packet.frames) {
      if (number === undefined) continue;
      trace.steps.push({
        kind: "encapsulate",
        netns,
        packet: number,
        dev: device,
        outer,
        protocol,
      });
    }
  }

  get #peer(): string {
    return peerText(this.#params.remote);
  }

  #drop(frame: Skb, reason: "WEAVE_NO_CONNECTION" | "PKT_TOO_BIG", detail: string): void {
    const { netns, device } = this.#host;
    netns.network.drop(frame, netns, reason, device, detail);
  }

  // --- its end

  #fail(error: Error): void {
    if (this.#ended) return;
    this.#end();
    this.#params.failed(error);
  }

  #end(): void {
    this.#ended = true;
    this.#events.length = 0;
    this.#heartbeat?.cancel();
    this.#deadline?.cancel();
    this.#fragmentationTest?.cancel();
    this.#mtuTest?.cancel();
    this.#socket?.close();
    this.#socket = undefined;
  }
}
