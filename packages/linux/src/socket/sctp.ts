import type { Timer } from "@cnilab/core";
import {
  Data,
  formatIp,
  IPPROTO_SCTP,
  IPV6_ANY,
  type IpAddress,
  IpPacket,
  type Payload,
  SCTP_ABORT,
  SCTP_COOKIE_ACK,
  SCTP_COOKIE_ECHO,
  SCTP_DATA,
  SCTP_INIT,
  SCTP_INIT_ACK,
  SCTP_SACK,
  SCTP_SHUTDOWN,
  SCTP_SHUTDOWN_ACK,
  SCTP_SHUTDOWN_COMPLETE,
  SctpPacket,
} from "@cnilab/net";
import type { Dst } from "../fib/dst.ts";
import { routeOutput } from "../ip/route-output.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import type { Trace } from "../trace.ts";
import { Message } from "./message.ts";
import type { Socket, SocketError } from "./socket.ts";
import { bestBound } from "./socket-table.ts";

/** Milliseconds until data is sent again while no round trip has been measured (RFC 9260 section 16). */
const RTO_INITIAL = 3000;

/** Milliseconds between two INITs at most, and how often one is sent again (`net.sctp.rto_max`, `max_init_retransmits`). */
const MAX_INIT_TIMEO = 60_000;
const MAX_INIT_RETRANSMITS = 8;

/** A message that has not been acknowledged. */
interface Sent {
  readonly length: number;
  readonly message: unknown;
  readonly at: number;
  /** What fitted the path when it was sent last. */
  fits: number;
}

/** A socket that accepts SCTP associations. */
export class SctpListener implements Socket {
  readonly netns: NetNamespace;
  readonly protocol: number = IPPROTO_SCTP;
  readonly localAddress: IpAddress | undefined;
  readonly localPort: number;
  readonly remoteAddress = undefined;
  readonly remotePort = 0;
  readonly state = "LISTEN";
  readonly owner: string;
  readonly onAssociate: ((association: SctpAssociation) => void) | undefined;

  /** @throws KernelError EADDRINUSE */
  constructor(
    netns: NetNamespace,
    options: {
      readonly address?: IpAddress | undefined;
      readonly port: number;
      readonly owner: string;
      readonly onAssociate?: (association: SctpAssociation) => void;
    },
  ) {
    this.netns = netns;
    this.localAddress = options.address;
    this.localPort = options.port;
    this.owner = options.owner;
    this.onAssociate = options.onAssociate;
    netns.sockets.checkFree(IPPROTO_SCTP, options.address, options.port);
    netns.sockets.sctpListeners.add(this);
    netns.network.touch();
  }

  close(): void {
    this.netns.sockets.sctpListeners.remove(this);
    this.netns.network.touch();
  }
}

/**
 * What a listener sends with its INIT ACK and gets back with the COOKIE ECHO: all it has to know, so
 * that it keeps no state before (RFC 9260 section 5.1.3). It takes no bytes on the wire here.
 */
class Cookie {
  readonly ownTag: number;
  readonly peerTag: number;

  constructor(ownTag: number, peerTag: number) {
    this.ownTag = ownTag;
    this.peerTag = peerTag;
  }
}

export type SctpState =
  | "COOKIE-WAIT"
  | "COOKIE-ECHOED"
  | "ESTAB"
  | "SHUTDOWN-SENT"
  | "SHUTDOWN-ACK-SENT"
  | "CLOSED";

/**
 * One SCTP association over a single path: the four-way handshake, whose chunks are sent again, and acknowledged data
 * (RFC 9260). No multi-homing, as with sockets that are bound to one address; no streams; data that is lost stays lost.
 */
export class SctpAssociation implements Socket {
  readonly netns: NetNamespace;
  readonly protocol: number = IPPROTO_SCTP;
  readonly localAddress: IpAddress;
  readonly localPort: number;
  readonly remoteAddress: IpAddress;
  readonly remotePort: number;
  readonly owner: string;
  state: SctpState;
  error: SocketError | undefined = undefined;
  softError: SocketError | undefined = undefined;
  received = 0;
  acknowledged = 0;
  onData: ((data: Payload, association: SctpAssociation) => void) | undefined = undefined;
  /** Of one that asked for it: from then on it can send. */
  onEstablished: (() => void) | undefined = undefined;
  trace: Trace | undefined;
  readonly #dst: Dst | undefined;
  readonly #tag: number;
  #peerTag: number;
  /** What has not been acknowledged, and how much fitted the path when it was sent last. */
  #sent: Sent | undefined;
  /** What the handshake waits with for its answer (T1-init, T1-cookie). */
  #timer: Timer | undefined;
  #initTimeo = RTO_INITIAL;
  /** How often the timer has ended. */
  #expiries = 0;

  constructor(
    netns: NetNamespace,
    ends: {
      readonly localAddress: IpAddress;
      readonly localPort: number;
      readonly remoteAddress: IpAddress;
      readonly remotePort: number;
    },
    options: {
      readonly owner: string;
      /** `undefined` where there is no way to the other end. */
      readonly dst: Dst | undefined;
      /** The tag that its packets carry; 0 while it is not known. */
      readonly peerTag: number;
      /** The tag that packets to it carry; chosen at random where it is absent. */
      readonly tag?: number;
      readonly trace: Trace | undefined;
    },
  ) {
    this.netns = netns;
    this.localAddress = ends.localAddress;
    this.localPort = ends.localPort;
    this.remoteAddress = ends.remoteAddress;
    this.remotePort = ends.remotePort;
    this.owner = options.owner;
    this.state = options.peerTag === 0 ? "COOKIE-WAIT" : "ESTAB";
    this.trace = options.trace;
    this.#dst = options.dst;
    this.#tag = options.tag ?? (netns.kernel.random.uint32() || 1);
    this.#peerTag = options.peerTag;
    netns.sockets.sctpAssociations.add(this);
  }

  /**
   * Sends an INIT and lets it run to its end. Where there is no way nothing is sent, and nothing is said
   * until the caller's patience ends (`sctp_packet_transmit`, "drop packet if no dst").
   */
  static connect(
    netns: NetNamespace,
    options: {
      readonly dst: IpAddress;
      readonly port: number;
      readonly src?: IpAddress | undefined;
      readonly localPort?: number | undefined;
      readonly owner: string;
      readonly trace?: Trace | undefined;
    },
  ): SctpAssociation {
    const localPort = options.localPort ?? netns.sockets.ephemeralPort(IPPROTO_SCTP);
    const route = routeOutput(netns, {
      dst: options.dst,
      src: options.src,
      protocol: IPPROTO_SCTP,
      srcPort: localPort,
      dstPort: options.port,
    });
    const found = typeof route === "string" ? undefined : route;
    const any = typeof options.dst === "number" ? 0 : IPV6_ANY;
    const association = new SctpAssociation(
      netns,
      {
        localAddress: found?.src ?? options.src ?? any,
        localPort,
        remoteAddress: options.dst,
        remotePort: options.port,
      },
      { owner: options.owner, dst: found?.dst, peerTag: 0, trace: options.trace },
    );
    if (typeof route === "string") {
      const message = `no route to ${formatIp(options.dst)}`;
      association.softError = { errno: route, from: undefined, message };
    }
    // The tag of an INIT is 0; its own tag is inside the chunk.
    association.#ask(SCTP_INIT);
    netns.network.run();
    return association;
  }

  /** Sends a chunk of the handshake, and again until it is answered. */
  #ask(chunkType: number, cookie?: Cookie): void {
    const { network } = this.netns;
    this.#timer?.cancel();
    const again = (): void => {
      this.#timer = undefined;
      if (++this.#expiries > MAX_INIT_RETRANSMITS) {
        this.error ??= { errno: "ETIMEDOUT", from: undefined, message: "no answer" };
        this.#end();
        return;
      }
      // Each length of time serves twice at first, as the path was tried once when it ended (sctp_cmd_t1_timer_update).
      if (this.#expiries > 1) this.#initTimeo = Math.min(2 * this.#initTimeo, MAX_INIT_TIMEO);
      this.#ask(chunkType, cookie);
      network.run();
    };
    this.#timer = network.clock.schedule(this.#initTimeo, again, { background: true });
    this.transmit(chunkType, this.#peerTag, 0, cookie);
  }

  get tag(): number {
    return this.#tag;
  }

  /** Bytes of data in one packet; a chunk is padded to four bytes (kernel `SCTP_TRUNC4`). */
  get maxSegmentSize(): number {
    const dst = this.#dst;
    const mtu = dst === undefined ? 1500 : this.netns.pathMtu(dst, this.remoteAddress);
    // IP header, common header, DATA chunk header
    return (mtu - (typeof this.remoteAddress === "number" ? 20 : 40) - 12 - 16) & ~3;
  }

  /** Sends one message of at most {@link maxSegmentSize} bytes and lets it run to its end. */
  send(length: number, message?: unknown): void {
    const at = this.netns.network.clock.now;
    this.#sent = { length, message, at, fits: this.maxSegmentSize };
    this.transmit(SCTP_DATA, this.#peerTag, length, message);
    this.netns.network.run();
  }

  /** Says goodbye if there is somebody to say it to (RFC 9260 section 9.2), and forgets the association. */
  close(): void {
    if (this.state === "ESTAB") {
      this.state = "SHUTDOWN-SENT";
      this.transmit(SCTP_SHUTDOWN, this.#peerTag, 0);
      this.netns.network.run();
    }
    if (this.state !== "CLOSED") this.#end();
  }

  #end(): void {
    this.state = "CLOSED";
    this.#timer?.cancel();
    this.#timer = undefined;
    this.netns.sockets.sctpAssociations.remove(this);
  }

  /** @param mayBeCut whether the packet may be sent in pieces (`ipfragok`) */
  transmit(
    chunkType: number,
    tag: number,
    length: number,
    message?: unknown,
    mayBeCut = false,
  ): void {
    const { netns } = this;
    const route = routeOutput(netns, {
      dst: this.remoteAddress,
      src: this.localAddress,
      protocol: IPPROTO_SCTP,
      srcPort: this.localPort,
      dstPort: this.remotePort,
    });
    if (typeof route === "string") return;
    const chunk = new SctpPacket(
      this.localPort,
      this.remotePort,
      chunkType,
      tag,
      length > 0 || message !== undefined ? new Message(length, message) : Data.empty,
    );
    if (chunkType === SCTP_INIT || chunkType === SCTP_INIT_ACK) chunk.initiateTag = this.#tag;
    const version = typeof this.remoteAddress === "number" ? 4 : 6;
    const packet = new IpPacket(
      this.localAddress,
      this.remoteAddress,
      IPPROTO_SCTP,
      chunk,
      netns.defaultTtl(version),
    );
    packet.dontFragment = !mayBeCut;
    const skb = Skb.ofIp(packet, this.trace);
    skb.socket = this;
    skb.dst = route.dst;
    const text = describeChunk(chunkType);
    skb.trace?.steps.push({ kind: "send", netns, packet: skb.number, socket: this, text });
    netns.ipLocalOut(skb);
  }

  receive(skb: Skb, chunk: SctpPacket): void {
    if (skb.trace !== undefined) this.trace = skb.trace;
    switch (chunk.chunkType) {
      case SCTP_INIT_ACK:
        if (this.state !== "COOKIE-WAIT") return;
        this.#peerTag = chunk.initiateTag;
        this.state = "COOKIE-ECHOED";
        this.#ask(SCTP_COOKIE_ECHO, cookieOf(chunk));
        return;
      case SCTP_COOKIE_ACK:
        if (this.state !== "COOKIE-ECHOED") return;
        this.state = "ESTAB";
        this.#timer?.cancel();
        this.#timer = undefined;
        this.onEstablished?.();
        return;
      case SCTP_DATA:
        this.received += chunk.payload.length;
        this.transmit(SCTP_SACK, this.#peerTag, 0);
        this.onData?.(chunk.payload, this);
        return;
      case SCTP_SACK:
        this.acknowledged += this.#sent?.length ?? 0;
        this.#sent = undefined;
        return;
      case SCTP_ABORT:
        this.error = {
          errno: this.state === "ESTAB" ? "ECONNRESET" : "ECONNREFUSED",
          from: skb.ip.src,
          message: "ABORT",
        };
        this.#end();
        return;
      case SCTP_SHUTDOWN:
        this.state = "SHUTDOWN-ACK-SENT";
        this.transmit(SCTP_SHUTDOWN_ACK, this.#peerTag, 0);
        return;
      case SCTP_SHUTDOWN_ACK:
        this.transmit(SCTP_SHUTDOWN_COMPLETE, this.#peerTag, 0);
        this.#end();
        return;
      case SCTP_SHUTDOWN_COMPLETE:
        this.#end();
        return;
    }
  }

  /**
   * `sctp_v4_err_handle`: only a host that does not speak SCTP ends the attempt, whatever else is said is
   * "only an error on timeout". What was too long is sent again, as it is, in pieces (`sctp_packet_will_fit`):
   * when its timer ends if the error came while the sender was still in its call (`pmtu_pending`).
   */
  icmpError(error: SocketError): void {
    if (error.errno === "ENOPROTOOPT" && this.state === "COOKIE-WAIT") {
      this.error = error;
      this.#end();
      return;
    }
    this.softError = error;
    if (error.errno !== "EMSGSIZE" || this.#sent === undefined) return;
    const sent = this.#sent;
    // Who is told what it knows does nothing (`sctp_icmp_frag_needed`).
    if (sent.length <= this.maxSegmentSize || this.maxSegmentSize >= sent.fits) return;
    sent.fits = this.maxSegmentSize;
    const again = (): void => {
      if (this.#sent !== sent) return;
      this.transmit(SCTP_DATA, this.#peerTag, sent.length, sent.message, true);
      this.netns.network.run();
    };
    const { network } = this.netns;
    if (network.clock.now === sent.at) network.later(RTO_INITIAL, again);
    else again();
  }
}

/** An SCTP packet for this machine (`sctp_rcv`). */
export function sctpReceive(skb: Skb, netns: NetNamespace): void {
  const packet = skb.ip;
  const chunk = packet.payload as SctpPacket;
  const association = netns.sockets.sctpAssociations.find({
    localAddress: packet.dst,
    localPort: chunk.dstPort,
    remoteAddress: packet.src,
    remotePort: chunk.srcPort,
  });
  const text = describeChunk(chunk.chunkType);
  const listener = bestBound(netns.sockets.sctpListeners.on(chunk.dstPort), packet.dst);
  skb.trace?.steps.push({
    kind: "deliver",
    netns,
    packet: skb.number,
    socket: association ?? listener,
    text,
  });
  if (association !== undefined) {
    association.receive(skb, chunk);
    return;
  }
  const owner = listener?.owner ?? netns.sockets.catchAll?.owner;
  if (
    owner === undefined ||
    (chunk.chunkType !== SCTP_INIT && chunk.chunkType !== SCTP_COOKIE_ECHO)
  ) {
    // RFC 9260 section 8.4: these two are never answered.
    const { chunkType } = chunk;
    if (chunkType !== SCTP_ABORT && chunkType !== SCTP_SHUTDOWN_COMPLETE) {
      answer(skb, netns, chunk, SCTP_ABORT, 0, 0);
    }
    netns.network.drop(
      skb,
      netns,
      "NO_SOCKET",
      skb.dev,
      `nobody listens on SCTP port ${chunk.dstPort}`,
    );
    return;
  }
  if (chunk.chunkType === SCTP_INIT) {
    const tag = netns.kernel.random.uint32() || 1;
    const cookie = new Cookie(tag, chunk.initiateTag);
    answer(skb, netns, chunk, SCTP_INIT_ACK, chunk.initiateTag, tag, cookie);
    return;
  }
  const cookie = cookieOf(chunk);
  if (cookie === undefined) return; // not one of ours: silently discarded
  const route = routeOutput(netns, { dst: packet.src, src: packet.dst, protocol: IPPROTO_SCTP });
  if (typeof route === "string") return;
  const accepted = new SctpAssociation(
    netns,
    {
      localAddress: packet.dst,
      localPort: chunk.dstPort,
      remoteAddress: packet.src,
      remotePort: chunk.srcPort,
    },
    {
      owner,
      dst: route.dst,
      peerTag: cookie.peerTag,
      tag: cookie.ownTag,
      trace: skb.trace,
    },
  );
  (listener === undefined ? netns.sockets.catchAll?.onAssociate : listener.onAssociate)?.(accepted);
  accepted.transmit(SCTP_COOKIE_ACK, cookie.peerTag, 0);
}

function cookieOf({ payload }: SctpPacket): Cookie | undefined {
  return payload instanceof Message && payload.message instanceof Cookie
    ? payload.message
    : undefined;
}

function answer(
  skb: Skb,
  netns: NetNamespace,
  chunk: SctpPacket,
  chunkType: number,
  tag: number,
  initiateTag: number,
  cookie?: Cookie,
): void {
  const packet = skb.ip;
  const route = routeOutput(netns, { dst: packet.src, src: packet.dst, protocol: IPPROTO_SCTP });
  if (typeof route === "string") return;
  const reply = new SctpPacket(
    chunk.dstPort,
    chunk.srcPort,
    chunkType,
    tag || chunk.verificationTag,
    cookie === undefined ? Data.empty : new Message(0, cookie),
  );
  reply.initiateTag = initiateTag;
  const out = Skb.ofIp(
    new IpPacket(packet.dst, packet.src, IPPROTO_SCTP, reply, netns.defaultTtl(packet.version)),
    skb.trace,
  );
  out.ip.dontFragment = true;
  out.dst = route.dst;
  netns.ipLocalOut(out);
}

/** An ICMP error about a packet that was sent from here. */
export function sctpError(netns: NetNamespace, quoted: IpPacket, error: SocketError): void {
  const chunk = quoted.payload as SctpPacket;
  const association = netns.sockets.sctpAssociations.find({
    localAddress: quoted.src,
    localPort: chunk.srcPort,
    remoteAddress: quoted.dst,
    remotePort: chunk.dstPort,
  });
  association?.icmpError(error);
}

const CHUNK_NAMES: Readonly<Record<number, string>> = {
  [SCTP_DATA]: "DATA",
  [SCTP_INIT]: "INIT",
  [SCTP_INIT_ACK]: "INIT ACK",
  [SCTP_SACK]: "SACK",
  [SCTP_ABORT]: "ABORT",
  [SCTP_COOKIE_ECHO]: "COOKIE ECHO",
  [SCTP_COOKIE_ACK]: "COOKIE ACK",
  [SCTP_SHUTDOWN]: "SHUTDOWN",
  [SCTP_SHUTDOWN_ACK]: "SHUTDOWN ACK",
  [SCTP_SHUTDOWN_COMPLETE]: "SHUTDOWN COMPLETE",
};

function describeChunk(type: number): string {
  return CHUNK_NAMES[type] ?? `chunk ${type}`;
}
