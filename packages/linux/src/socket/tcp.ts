import type { Timer } from "@cnilab/core";
import {
  Data,
  formatIp,
  IPPROTO_TCP,
  type IpAddress,
  IpPacket,
  type Payload,
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TcpSegment,
} from "@cnilab/net";
import type { CgroupSocket } from "../bpf/sock-context.ts";
import { cgroupOf, runBind, runSock, runSockAddr } from "../bpf/socket-hooks.ts";
import type { Dst } from "../fib/dst.ts";
import { setLabelHash, setSocketHash } from "../ip/flow-hash.ts";
import { routeConnect, routeOutput } from "../ip/route-output.ts";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import type { Trace } from "../trace.ts";
import { isWireMessage, messageOf } from "./conversation.ts";
import { Message } from "./message.ts";
import type { Socket, SocketError } from "./socket.ts";
import { bestBound } from "./socket-table.ts";

/** Virtual milliseconds before the first retransmission; doubles each time (RFC 6298 section 2). */
const INITIAL_RTO_MS = 1000;
/** `TCP_RTO_MAX`. */
const LONGEST_RTO_MS = 120_000;

const INET_ECN_MASK = 3;
/** Bytes that a connection takes before it is accepted; it is not modelled that buffers fill. */
const WINDOW = 65_535;

/** Bytes of an IP and a TCP header without options. */
function headerBytes(address: IpAddress): number {
  return typeof address === "number" ? 40 : 60;
}

/** What a segment takes of its sender's sequence numbers. */
function lengthOf({ flags, payload }: TcpSegment): number {
  return payload.length + (flags & TCP_SYN ? 1 : 0) + (flags & TCP_FIN ? 1 : 0);
}

export interface ListenOptions {
  /** `undefined` for all addresses. */
  readonly address?: IpAddress | undefined;
  readonly port: number;
  readonly owner: string;
  /** TPROXY may give it connections to other addresses (`IP_TRANSPARENT`); those that it accepts are so, too. */
  readonly transparent?: boolean;
  /** Of what the connections send that it accepts (`SO_MARK`). */
  readonly mark?: number;
  /** A connection is established; sets its callbacks. */
  readonly onAccept?: (connection: TcpConnection) => void;
}

/** A socket that accepts TCP connections. */
export class TcpListener implements Socket {
  readonly netns: NetNamespace;
  readonly protocol: number = IPPROTO_TCP;
  readonly localAddress: IpAddress | undefined;
  readonly localPort: number;
  readonly remoteAddress = undefined;
  readonly remotePort = 0;
  readonly state = "LISTEN";
  readonly owner: string;
  readonly transparent: boolean;
  readonly mark: number;
  readonly onAccept: ((connection: TcpConnection) => void) | undefined;

  /** @throws KernelError EADDRINUSE, or what a program of the control group refuses the port with */
  constructor(netns: NetNamespace, options: ListenOptions) {
    this.netns = netns;
    this.owner = options.owner;
    this.transparent = options.transparent ?? false;
    this.mark = options.mark ?? 0;
    this.onAccept = options.onAccept;
    const { sockets } = netns;
    const cgroup = cgroupOf(netns);
    let { address, port } = options;
    if (cgroup !== undefined) {
      const cookie = netns.kernel.bpf.nextSocketCookie();
      const socket = { netns, protocol: IPPROTO_TCP, cookie, mark: this.mark };
      const choose = () => sockets.ephemeralPort(IPPROTO_TCP);
      const bound = runBind(cgroup, socket, address, port, choose);
      if (bound.error !== undefined) throw new KernelError(bound.error.errno, `TCP port ${port}`);
      ({ address, port } = bound);
    }
    sockets.checkFree(IPPROTO_TCP, address, port);
    this.localAddress = address;
    this.localPort = port;
    netns.sockets.tcpListeners.add(this);
    netns.network.touch();
  }

  close(): void {
    this.netns.sockets.tcpListeners.remove(this);
    this.netns.network.touch();
  }
}

export type TcpState = "SYN-SENT" | "SYN-RECV" | "ESTAB" | "FIN-WAIT" | "LAST-ACK" | "CLOSED";

/** The sysctl that says how often something is sent again (`tcp_write_timeout`); `tcp_retries2` for the others. */
const RETRIES: Readonly<Partial<Record<TcpState, "tcp_syn_retries" | "tcp_synack_retries">>> = {
  "SYN-SENT": "tcp_syn_retries",
  "SYN-RECV": "tcp_synack_retries",
};

/** Bytes that were sent and not acknowledged yet; a SYN or FIN counts as one. */
interface Unacked {
  readonly flags: number;
  readonly seq: number;
  readonly length: number;
  readonly message: unknown;
}

export interface TcpConnectOptions {
  readonly dst: IpAddress;
  readonly port: number;
  readonly src?: IpAddress | undefined;
  readonly localPort?: number | undefined;
  readonly owner: string;
  readonly mark?: number;
  /** The source may be an address of another machine (`IP_TRANSPARENT`). */
  readonly transparent?: boolean;
  /** The namespace's own where it is absent. */
  readonly ttl?: number | undefined;
  readonly trace?: Trace | undefined;
  /** Sets callbacks, before anything is sent: the other side may speak first. */
  readonly prepare?: (connection: TcpConnection) => void;
}

/**
 * One TCP connection: handshake, data in order, acknowledgement of every segment, retransmission on a
 * timer, path MTU discovery, reset. No congestion control, no window, no options but MSS.
 */
export class TcpConnection implements Socket, CgroupSocket {
  readonly netns: NetNamespace;
  readonly protocol: number = IPPROTO_TCP;
  readonly localAddress: IpAddress;
  readonly localPort: number;
  readonly remoteAddress: IpAddress;
  readonly remotePort: number;
  readonly owner: string;
  readonly mark: number;
  readonly transparent: boolean;
  /** Of what it sends (`IP_TTL`); `undefined` for the namespace's own. */
  readonly ttl: number | undefined;
  /** TTL of the SYN that opened it, for a server (`TCP_SAVED_SYN`). */
  synTtl: number | undefined = undefined;
  state: TcpState;
  /** What ended it early. */
  error: SocketError | undefined = undefined;
  /** Errors of ICMP that do not end it, the last one. */
  softError: SocketError | undefined = undefined;
  /** Bytes of data received in order, and acknowledged by the other side. */
  received = 0;
  acknowledged = 0;
  onEstablished: (() => void) | undefined = undefined;
  onData: ((data: Payload, connection: TcpConnection) => void) | undefined = undefined;
  /** The other side has said goodbye, or it is over: `error` says why. Not called for what this side ends itself. */
  onEnd: ((connection: TcpConnection) => void) | undefined = undefined;
  trace: Trace | undefined;
  readonly #dst: Dst;
  readonly #fixedMtu: number | undefined;
  /**
   * Source for routing. IPv6 keeps the route that `connect` found while there was no source yet, which
   * is what the same question finds again (net/ipv6/inet6_connection_sock.c `inet6_csk_route_socket`).
   */
  readonly #routeSource: IpAddress | undefined;
  #sendNext: number;
  #receiveNext = 0;
  #peerMss = 536;
  #unacked: Unacked[] = [];
  #timer: Timer | undefined;
  #rto = INITIAL_RTO_MS;
  /** The least path MTU that an ICMP error has told of. */
  #reducedMtu = Number.POSITIVE_INFINITY;
  #retries = 0;
  #cookie: number;
  readonly #accept: ((connection: TcpConnection) => void) | undefined;

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
      readonly mark: number;
      readonly transparent: boolean;
      readonly ttl?: number | undefined;
      readonly dst: Dst;
      readonly routeSource: IpAddress | undefined;
      readonly state: TcpState;
      readonly trace: Trace | undefined;
      /** The number that programs of its control group know it by, where they have seen it. */
      readonly cookie?: number;
      readonly onAccept?: ((connection: TcpConnection) => void) | undefined;
    },
  ) {
    this.netns = netns;
    this.localAddress = ends.localAddress;
    this.localPort = ends.localPort;
    this.remoteAddress = ends.remoteAddress;
    this.remotePort = ends.remotePort;
    this.owner = options.owner;
    this.mark = options.mark;
    this.transparent = options.transparent;
    this.ttl = options.ttl;
    this.state = options.state;
    this.trace = options.trace;
    this.#dst = options.dst;
    this.#fixedMtu = fixedMtu(netns, options.dst, ends.remoteAddress);
    this.#routeSource = options.routeSource;
    this.#cookie = options.cookie ?? 0;
    this.#accept = options.onAccept;
    this.#sendNext = netns.kernel.random.uint32();
    netns.sockets.tcpConnections.add(this);
    if (this.transparent) netns.sockets.transparent.add(this);
  }

  /**
   * Sends a SYN and lets it run to its end; what became of it is in `state` and `error`. A routing
   * failure is returned instead of a connection.
   */
  static connect(netns: NetNamespace, options: TcpConnectOptions): TcpConnection | SocketError {
    let { dst, port } = options;
    let cookie = 0;
    const cgroup = cgroupOf(netns);
    if (cgroup !== undefined) {
      cookie = netns.kernel.bpf.nextSocketCookie();
      const socket = { netns, protocol: IPPROTO_TCP, cookie, mark: options.mark ?? 0 };
      const hooked = runSockAddr(cgroup, "connect", socket, dst, port, options.trace);
      if (hooked?.error !== undefined) return hooked.error;
      dst = hooked?.address ?? dst;
      port = hooked?.port ?? port;
    }
    const localPort = options.localPort ?? netns.sockets.ephemeralPort(IPPROTO_TCP);
    const route = routeConnect(netns, {
      dst,
      src: options.src,
      mark: options.mark ?? 0,
      protocol: IPPROTO_TCP,
      srcPort: localPort,
      dstPort: port,
      anySource: options.transparent === true,
    });
    if (typeof route === "string") {
      return { errno: route, from: undefined, message: `no route to ${formatIp(dst)}` };
    }
    const connection = new TcpConnection(
      netns,
      {
        localAddress: route.src,
        localPort,
        remoteAddress: dst,
        remotePort: port,
      },
      {
        owner: options.owner,
        mark: options.mark ?? 0,
        transparent: options.transparent ?? false,
        ttl: options.ttl,
        dst: route.dst,
        routeSource: typeof dst === "number" ? route.src : options.src,
        cookie,
        state: "SYN-SENT",
        trace: options.trace,
      },
    );
    options.prepare?.(connection);
    connection.#queue(TCP_SYN, 1);
    netns.network.run();
    return connection;
  }

  get cookie(): number {
    this.#cookie ||= this.netns.kernel.bpf.nextSocketCookie();
    return this.#cookie;
  }

  /** Who is at the other end, as programs are told (`getpeername`). */
  get peerName(): { readonly address: IpAddress; readonly port: number } {
    const { remoteAddress: address, remotePort: port, netns } = this;
    const cgroup = cgroupOf(netns);
    return (
      (cgroup && runSockAddr(cgroup, "getpeername", this, address, port, undefined)) ?? {
        address,
        port,
      }
    );
  }

  /** Bytes of data that one segment may carry now. */
  get maxSegmentSize(): number {
    const mtu = this.#fixedMtu ?? this.netns.pathMtu(this.#dst, this.remoteAddress);
    return Math.max(1, Math.min(this.#peerMss, mtu - headerBytes(this.remoteAddress)));
  }

  /**
   * Sends `length` bytes, in full-sized segments as far as they go, and lets them run to their end.
   * @param message what the bytes mean; each segment brings it along
   */
  send(length: number, message?: unknown): void {
    for (let left = length; left > 0; ) {
      const size = Math.min(left, this.maxSegmentSize);
      this.#queue(TCP_ACK | TCP_PSH, size, message);
      left -= size;
    }
    this.netns.network.run();
  }

  /** Says goodbye if there is somebody to say it to, lets that run to its end, and forgets the connection. */
  close(): void {
    if (this.state === "ESTAB") {
      this.state = "FIN-WAIT";
      this.#transmit(TCP_FIN | TCP_ACK, this.#sendNext, 0);
      this.#sendNext = (this.#sendNext + 1) >>> 0;
      this.netns.network.run();
    }
    if (this.state !== "CLOSED") this.#end();
  }

  /** Ends the connection with a RST (close after `SO_LINGER` of 0). */
  reset(): void {
    if (this.state !== "CLOSED" && this.state !== "SYN-SENT") {
      this.#transmit(TCP_RST | TCP_ACK, this.#sendNext, 0);
      this.netns.network.run();
    }
    this.#end();
  }

  /** Forgets the connection without a word. */
  abandon(): void {
    this.#end();
  }

  #broken(): void {
    this.#end();
    this.onEnd?.(this);
  }

  #end(): void {
    this.state = "CLOSED";
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#unacked = [];
    this.netns.sockets.tcpConnections.remove(this);
    if (this.transparent) this.netns.sockets.transparent.delete(this);
    const cgroup = cgroupOf(this.netns);
    if (cgroup !== undefined) {
      runSock(cgroup, "sock_release", this, this);
    }
  }

  /** Sends something that the other side must acknowledge. */
  #queue(flags: number, length: number, message?: unknown): void {
    const item: Unacked = { flags, seq: this.#sendNext, length, message };
    this.#sendNext = (this.#sendNext + length) >>> 0;
    this.#unacked.push(item);
    this.#arm();
    this.#transmit(flags, item.seq, flags & TCP_SYN ? 0 : length, message);
  }

  #arm(): void {
    if (this.#timer !== undefined) return;
    // In the background: a connection that waits does not keep the rest of the world from being quiet.
    this.#timer = this.netns.network.clock.schedule(this.#rto, () => this.#timeout(), {
      background: true,
    });
  }

  #timeout(): void {
    this.#timer = undefined;
    this.#rto = Math.min(2 * this.#rto, LONGEST_RTO_MS);
    if (this.#unacked.length === 0) return;
    const most = RETRIES[this.state] ?? "tcp_retries2";
    if (this.#retries++ >= this.netns.sysctl.get(`net/ipv4/${most}`)) {
      this.error ??= this.softError ?? {
        errno: "ETIMEDOUT",
        from: undefined,
        message: "no answer",
      };
      this.#broken();
      return;
    }
    this.#arm();
    this.#retransmit(false);
    this.netns.network.run();
  }

  /**
   * Sends again what is not acknowledged, in segments of today's size: after the timer one by one, else as one piece
   * for the device to cut (`tcp_retransmit_skb` with one segment or several).
   */
  #retransmit(inOnePiece: boolean): void {
    const cut: Unacked[] = [];
    for (const item of this.#unacked) {
      if (item.flags & TCP_SYN) {
        cut.push(item);
        continue;
      }
      const size = this.maxSegmentSize;
      for (let offset = 0; offset < item.length; offset += size) {
        const length = Math.min(size, item.length - offset);
        cut.push({ ...item, seq: (item.seq + offset) >>> 0, length });
      }
    }
    this.#unacked = cut;
    for (const { flags, seq, length, message } of [...cut]) {
      if (!this.#unacked.some((u) => u.seq === seq)) continue; // acknowledged meanwhile
      const gso = inOnePiece && cut.length > 1;
      this.#transmit(flags, seq, flags & TCP_SYN ? 0 : length, message, gso);
    }
  }

  #transmit(flags: number, seq: number, length: number, message?: unknown, gso = false): void {
    const { netns } = this;
    const segment = new TcpSegment(
      this.localPort,
      this.remotePort,
      flags,
      seq,
      flags & TCP_ACK ? this.#receiveNext : 0,
      length > 0 ? new Message(length, message) : Data.empty,
    );
    if (flags & TCP_SYN) segment.mss = advertisedMss(this.#dst, this.remoteAddress);
    const version = typeof this.remoteAddress === "number" ? 4 : 6;
    const packet = new IpPacket(
      this.localAddress,
      this.remoteAddress,
      IPPROTO_TCP,
      segment,
      this.ttl ?? netns.defaultTtl(version),
    );
    packet.dontFragment = true; // ip_no_pmtu_disc = 0
    const route = routeOutput(netns, {
      dst: this.remoteAddress,
      src: this.#routeSource,
      mark: this.mark,
      protocol: IPPROTO_TCP,
      srcPort: this.localPort,
      dstPort: this.remotePort,
      anySource: this.transparent,
    });
    if (typeof route === "string") return;
    const skb = Skb.ofIp(packet, this.trace);
    skb.socket = this;
    skb.gso = gso;
    setSocketHash(skb);
    skb.mark = this.mark;
    skb.dst = route.dst;
    if (skb.trace !== undefined) {
      const text = describeSegment(segment);
      skb.trace.steps.push({ kind: "send", netns, packet: skb.number, socket: this, text });
    }
    netns.ipLocalOut(skb);
  }

  /** A segment for this connection (`tcp_rcv_state_process`, `tcp_rcv_established`). */
  receive(skb: Skb, segment: TcpSegment): void {
    if (skb.trace !== undefined) this.trace = skb.trace;
    if (this.state === "SYN-RECV" && !this.#completes(skb, segment)) return;
    if (segment.flags & TCP_RST) {
      this.error = {
        errno: this.state === "SYN-SENT" ? "ECONNREFUSED" : "ECONNRESET",
        from: skb.ip.src,
        message: "RST",
      };
      this.#broken();
      return;
    }
    if (this.state === "SYN-SENT") {
      if (!(segment.flags & TCP_SYN) || !(segment.flags & TCP_ACK)) return;
      this.#receiveNext = (segment.seq + 1) >>> 0;
      if (segment.mss > 0) this.#peerMss = segment.mss;
      this.#acknowledge(segment.ack);
      this.state = "ESTAB";
      this.#transmit(TCP_ACK, this.#sendNext, 0);
      this.onEstablished?.();
      return;
    }
    if (segment.flags & TCP_SYN) return;
    if (segment.flags & TCP_ACK) this.#acknowledge(segment.ack);
    if (this.state === "SYN-RECV" && this.#unacked.length === 0) {
      this.state = "ESTAB";
      this.#accept?.(this);
    }
    const length = segment.payload.length;
    if (length > 0) {
      const fresh = segment.seq === this.#receiveNext;
      if (fresh) {
        this.#receiveNext = (this.#receiveNext + length) >>> 0;
        this.received += length;
      }
      this.#transmit(TCP_ACK, this.#sendNext, 0);
      if (fresh) this.onData?.(segment.payload, this);
    }
    if (segment.flags & TCP_FIN && (segment.seq + length) >>> 0 === this.#receiveNext) {
      this.#receiveNext = (this.#receiveNext + 1) >>> 0;
      if (this.state === "FIN-WAIT") {
        this.#transmit(TCP_ACK, this.#sendNext, 0);
        this.#end();
      } else {
        this.state = "LAST-ACK";
        this.#transmit(TCP_ACK | TCP_FIN, this.#sendNext, 0);
        this.#sendNext = (this.#sendNext + 1) >>> 0;
        this.onEnd?.(this);
      }
    } else if (this.state === "LAST-ACK" && segment.ack === this.#sendNext) {
      this.#end();
    }
  }

  /**
   * Whether a segment ends the wait for the ACK of a SYN-ACK, by that ACK or a RST; what else comes is answered
   * and forgotten (`tcp_check_req`).
   */
  #completes(skb: Skb, segment: TcpSegment): boolean {
    const { flags, seq } = segment;
    const kind = flags & (TCP_SYN | TCP_ACK | TCP_RST);
    if (kind === TCP_SYN && seq === (this.#receiveNext - 1) >>> 0) {
      this.#retransmit(true); // our answer was lost
      return false;
    }
    if (kind & TCP_ACK && !(kind & TCP_RST) && segment.ack !== this.#sendNext) {
      sendReset(skb, this.netns, segment, this);
      return false;
    }
    // Sequence numbers wrap: the difference tells which is behind.
    const ahead = (seq - this.#receiveNext) | 0;
    const inWindow = ahead === 0 || (ahead + lengthOf(segment) > 0 && ahead < WINDOW);
    if (!inWindow || (kind & TCP_RST && ahead !== 0)) {
      if (inWindow || !(kind & TCP_RST)) this.#transmit(TCP_ACK, this.#sendNext, 0);
      return false;
    }
    if (kind & TCP_SYN && ahead >= 0) {
      sendReset(skb, this.netns, segment, this);
      this.#end();
      return false;
    }
    return (kind & (TCP_ACK | TCP_RST)) !== 0;
  }

  /** The first segment of a connection that a listener takes. */
  answerSyn(segment: TcpSegment): void {
    this.#receiveNext = (segment.seq + 1) >>> 0;
    if (segment.mss > 0) this.#peerMss = segment.mss;
    this.#queue(TCP_SYN | TCP_ACK, 1);
  }

  #acknowledge(ack: number): void {
    // They are in the order of their numbers, and each ACK is for a few of many.
    let done = 0;
    for (const { flags, seq, length } of this.#unacked) {
      // Sequence numbers wrap: the difference tells which is behind.
      if (((ack - (seq + length)) | 0) < 0) break;
      if (!(flags & TCP_SYN)) this.acknowledged += length;
      done++;
    }
    if (done === 0) return;
    this.#unacked.splice(0, done);
    this.#rto = INITIAL_RTO_MS;
    this.#retries = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#unacked.length > 0) this.#arm();
    // Forward progress proves that the next hop is there (dst_confirm).
    const { dev, gateway } = this.#dst;
    dev.neighbours?.confirm(gateway ?? this.remoteAddress);
  }

  /** An ICMP error about one of its segments (`tcp_v4_err`). */
  icmpError(error: SocketError, trace: Trace | undefined): void {
    if (error.errno === "EMSGSIZE") {
      if (trace !== undefined) this.trace = trace;
      this.softError = error;
      const mtu = this.netns.pathMtu(this.#dst, this.remoteAddress);
      // What was said before of this path is done (tcp_v4_mtu_reduced, icsk_pmtu_cookie).
      if (this.#fixedMtu !== undefined || mtu >= this.#reducedMtu) return;
      this.#reducedMtu = mtu;
      this.#retransmit(true);
      return;
    }
    this.softError = error;
    // Before the handshake is done an unreachable destination ends the attempt.
    if (this.state === "SYN-SENT" || this.state === "SYN-RECV") {
      this.error = error;
      this.#broken();
    }
  }
}

/**
 * The path MTU of a connection that keeps the one from its beginning. To an IPv4 address that another device than lo has
 * (NAT made it that), each route is a copy for one socket: what ICMP tells is learnt for the next sockets, but only
 * copies that the nexthop keeps are replaced (net/ipv4/route.c `__mkroute_output`, `update_or_create_fnhe`).
 */
function fixedMtu(netns: NetNamespace, dst: Dst, remote: IpAddress): number | undefined {
  const owner = dst.nexthop?.dev;
  const isCopy = typeof remote === "number" && dst.isLocal && owner !== dst.dev;
  return isCopy ? netns.pathMtu(dst, remote) : undefined;
}

function advertisedMss(dst: Dst, remote: IpAddress): number {
  const given = dst.nexthop?.route.advmss ?? 0;
  return given > 0 ? given : Math.min(65535, dst.mtu) - headerBytes(remote);
}

/** A segment for this machine (`tcp_v4_rcv`). */
export function tcpReceive(skb: Skb, netns: NetNamespace): void {
  const packet = skb.ip;
  const segment = packet.payload as TcpSegment;
  const { assigned, connection } = connectionOf(skb, netns, segment);
  const traceTo = (socket: Socket | undefined) =>
    skb.trace?.steps.push({
      kind: "deliver",
      netns,
      packet: skb.number,
      socket,
      text: describeSegment(segment),
    });
  if (connection !== undefined) {
    traceTo(connection);
    connection.receive(skb, segment);
    return;
  }
  const isSyn = (segment.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) === TCP_SYN;
  const listener =
    assigned ?? bestBound(netns.sockets.tcpListeners.on(segment.dstPort), packet.dst);
  const [mark, transparent] = [listener?.mark ?? 0, listener?.transparent ?? false];
  const owner = listener?.owner ?? netns.sockets.catchAll?.owner;
  if (isSyn && owner !== undefined) {
    const route = routeOutput(netns, {
      dst: packet.src,
      src: packet.dst,
      mark,
      protocol: IPPROTO_TCP,
      srcPort: segment.dstPort,
      dstPort: segment.srcPort,
      anySource: transparent,
    });
    if (typeof route === "string") {
      netns.network.drop(skb, netns, "IP_OUTNOROUTES", skb.dev, `no route back to ${packet.src}`);
      return;
    }
    const accepted = new TcpConnection(
      netns,
      {
        localAddress: packet.dst,
        localPort: segment.dstPort,
        remoteAddress: packet.src,
        remotePort: segment.srcPort,
      },
      {
        owner,
        mark,
        transparent,
        dst: route.dst,
        routeSource: packet.dst,
        state: "SYN-RECV",
        trace: skb.trace,
        onAccept: listener === undefined ? netns.sockets.catchAll?.onAccept : listener.onAccept,
      },
    );
    // A program on every port has no listener to name.
    traceTo(listener ?? accepted);
    accepted.synTtl = packet.ttl;
    accepted.answerSyn(segment);
    return;
  }
  const reason = isSyn ? "nobody listens" : "no such connection";
  netns.network.drop(skb, netns, "NO_SOCKET", skb.dev, `${reason} on TCP port ${segment.dstPort}`);
  if (!(segment.flags & TCP_RST)) sendReset(skb, netns, segment, listener);
}

/**
 * Who takes a segment before anybody is looked for by its port: whom TPROXY gave it to (`inet_steal_sock`), or who is
 * connected.
 */
function connectionOf(
  { socket, ip }: Skb,
  netns: NetNamespace,
  segment: TcpSegment,
): { readonly assigned?: TcpListener; readonly connection?: TcpConnection | undefined } {
  if (socket instanceof TcpListener) return { assigned: socket };
  if (socket instanceof TcpConnection) return { connection: socket };
  const connection = netns.sockets.tcpConnections.find({
    localAddress: ip.dst,
    localPort: segment.dstPort,
    remoteAddress: ip.src,
    remotePort: segment.srcPort,
  });
  return { connection };
}

/** Answers a segment that nobody wants (`tcp_v4_send_reset`). */
function sendReset(
  skb: Skb,
  netns: NetNamespace,
  segment: TcpSegment,
  socket: Socket | undefined,
): void {
  const packet = skb.ip;
  const tos = packet.tos & ~INET_ECN_MASK;
  const reflected = netns.reflectsMark(packet.version) ? skb.mark : 0;
  const mark = reflected || (socket?.mark ?? 0);
  const route = routeOutput(netns, {
    dst: packet.src,
    src: packet.dst,
    mark,
    protocol: IPPROTO_TCP,
    srcPort: segment.dstPort,
    dstPort: segment.srcPort,
    tos,
    anySource: socket?.transparent === true,
  });
  if (typeof route === "string") return;
  const hasAck = (segment.flags & TCP_ACK) !== 0;
  const reset = new TcpSegment(
    segment.dstPort,
    segment.srcPort,
    hasAck ? TCP_RST : TCP_RST | TCP_ACK,
    hasAck ? segment.ack : 0,
    hasAck ? 0 : (segment.seq + lengthOf(segment)) >>> 0,
  );
  reset.window = 0;
  const answer = new IpPacket(
    packet.dst,
    packet.src,
    IPPROTO_TCP,
    reset,
    netns.defaultTtl(packet.version),
  );
  answer.tos = tos;
  answer.dontFragment = true;
  const out = Skb.ofIp(answer, skb.trace);
  out.mark = mark;
  out.dst = route.dst;
  if (netns.kernel.resetsHaveOwner) out.socket = socket;
  setLabelHash(out);
  netns.ipLocalOut(out);
}

/** An ICMP error about a segment that was sent from here. */
export function tcpError(
  netns: NetNamespace,
  quoted: IpPacket,
  error: SocketError,
  trace: Trace | undefined,
): void {
  const segment = quoted.payload as TcpSegment;
  const connection = netns.sockets.tcpConnections.find({
    localAddress: quoted.src,
    localPort: segment.srcPort,
    remoteAddress: quoted.dst,
    remotePort: segment.dstPort,
  });
  connection?.icmpError(error, trace);
}

/** As `SYN-ACK`, `1400 bytes` or, where somebody says something that is modelled, `77 bytes of GET /cart`. */
export function describeSegment(segment: TcpSegment): string {
  const names: string[] = [];
  if (segment.flags & TCP_SYN) names.push("SYN");
  if (segment.flags & TCP_FIN) names.push("FIN");
  if (segment.flags & TCP_RST) names.push("RST");
  if (segment.flags & TCP_ACK && names.length > 0) names.push("ACK");
  if (names.length > 0) return names.join("-");
  const { payload } = segment;
  if (payload.length === 0) return "ACK";
  const message = messageOf(payload);
  return `${payload.length} bytes${isWireMessage(message) ? ` of ${message}` : ""}`;
}
