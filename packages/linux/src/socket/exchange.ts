import {
  Data,
  decrypted,
  EspPacket,
  GenevePacket,
  type IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  IpPacket,
  NeighbourMessage,
  type Payload,
  SleevePacket,
  UdpDatagram,
  VxlanPacket,
  WireguardData,
  WireguardHandshake,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { FilterRule } from "../netfilter/filter-rule.ts";
import type { Drop } from "../network.ts";
import type { Trace } from "../trace.ts";
import { fullSegment } from "./full-segment.ts";
import { Message } from "./message.ts";
import { PingSocket } from "./ping-socket.ts";
import { SctpAssociation } from "./sctp.ts";
import { ServerReport } from "./server-report.ts";
import type { SocketError } from "./socket.ts";
import { TcpConnection } from "./tcp.ts";
import { UdpSocket } from "./udp.ts";

export interface ExchangeRequest {
  /** IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP or IPPROTO_ICMP (ICMPv6 for IPv6 destinations). */
  readonly protocol: number;
  readonly dst: IpAddress;
  /** Not for ICMP. */
  readonly port: number;
  readonly src?: IpAddress | undefined;
  readonly srcPort?: number | undefined;
  /** Name of the program that asks, for traces. */
  readonly owner?: string;
  readonly trace?: Trace | undefined;
  /**
   * Virtual milliseconds to wait where nothing happens at once, as for a neighbour that does not
   * answer. 0 (the default) judges by this moment alone, but waits for packets that are on their way
   * (link delay, proxy ARP) or are sent again, as long as that takes.
   */
  readonly waitMs?: number;
  /** Bytes of a UDP or ICMP request. */
  readonly length?: number;
  /** Of what a TCP client sends. */
  readonly ttl?: number | undefined;
  /** Rules that do nothing to this exchange, as in {@link Network.overlooks}. */
  readonly overlooks?: ((rule: FilterRule) => boolean) | undefined;
}

/**
 * Virtual milliseconds in which either side of a TCP connection sends again what was lost while the path's MTU was learnt:
 * nobody calls it a stall before that. Nothing is waited for where data comes through at once.
 */
const SECOND_TRY_MS = 2500;

/** What a person sees of an attempt to talk to somebody. */
export type ExchangeOutcome =
  /** An answer came, and (TCP, SCTP) full-sized segments went both ways. */
  | "connected"
  /** Somebody said no: RST, ABORT, port unreachable. */
  | "refused"
  /** A router or this machine knows no way. */
  | "unreachable"
  /** The handshake went well, full-sized segments do not get through. */
  | "stalled"
  /** Silence. */
  | "timeout";

export interface Exchange {
  readonly outcome: ExchangeOutcome;
  /** Who answered, and whom it saw; only when an echo server did. */
  readonly report: ServerReport | undefined;
  /** Address that an answer to ICMP came from. */
  readonly replyFrom: IpAddress | undefined;
  readonly error: SocketError | undefined;
  /** Packets of this exchange that ended on the way, in order. */
  readonly drops: readonly Drop[];
  /** Addresses that nobody has answered for yet. */
  readonly unresolved: readonly { readonly dev: NetDevice; readonly ip: IpAddress }[];
}

/** Milliseconds that packets on their way are waited for at most. */
const IN_FLIGHT_LIMIT_MS = 60_000;

/**
 * Connects, sends and hears back, as a client program does: a TCP connection is a SYN, its answer,
 * then a full-sized segment with DF set each way.
 * @throws KernelError for a protocol that has no exchange
 */
export function exchange(netns: NetNamespace, request: ExchangeRequest): Exchange {
  const { network } = netns;
  network.takeDrops();
  network.overlooks = request.overlooks;
  try {
    const result = attempt(netns, request);
    const drops = network.takeDrops().filter((d) => concerns(d, request));
    return { ...result, drops, unresolved: [...network.unresolved] };
  } finally {
    network.overlooks = undefined;
  }
}

type Attempt = Omit<Exchange, "drops" | "unresolved">;

function attempt(netns: NetNamespace, request: ExchangeRequest): Attempt {
  switch (request.protocol) {
    case IPPROTO_TCP:
    case IPPROTO_SCTP:
      return stream(netns, request);
    case IPPROTO_UDP:
      return datagram(netns, request);
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return ping(netns, request);
    default:
      throw new KernelError("EINVAL", `no exchange over IP protocol ${request.protocol}`);
  }
}

function stream(netns: NetNamespace, request: ExchangeRequest): Attempt {
  const options = {
    dst: request.dst,
    port: request.port,
    src: request.src,
    localPort: request.srcPort,
    owner: request.owner ?? "client",
    ttl: request.ttl,
    trace: request.trace,
  };
  const connection =
    request.protocol === IPPROTO_TCP
      ? TcpConnection.connect(netns, options)
      : SctpAssociation.connect(netns, options);
  if ("errno" in connection) return failed(connection);
  let report: ServerReport | undefined;
  connection.onData = (data: Payload) => {
    if (data instanceof Message && data.message instanceof ServerReport) report = data.message;
  };
  wait(netns, request, () => connection.state === "ESTAB" || connection.state === "CLOSED");
  if (connection.state !== "ESTAB") {
    const error = connection.error;
    if (connection instanceof TcpConnection) connection.abandon();
    else connection.close();
    return failed(error);
  }
  connection.send(fullSegment(connection), {}); // its pieces are told by the object to belong together
  const done = () =>
    (connection.acknowledged > 0 && connection.received > 0) || connection.state !== "ESTAB";
  const patience = connection instanceof TcpConnection ? SECOND_TRY_MS : 0;
  wait(netns, { ...request, waitMs: Math.max(request.waitMs ?? 0, patience) }, done);
  const through = connection.acknowledged > 0 && connection.received > 0;
  const error = connection.error ?? connection.softError;
  connection.close();
  if (through) return { outcome: "connected", report, replyFrom: undefined, error: undefined };
  if (error?.errno === "ECONNRESET") return failed(error);
  return { outcome: "stalled", report, replyFrom: undefined, error };
}

function datagram(netns: NetNamespace, request: ExchangeRequest): Attempt {
  let report: ServerReport | undefined;
  let answered = false;
  let error: SocketError | undefined;
  const socket = new UdpSocket(netns, {
    ...(request.src === undefined ? {} : { localAddress: request.src }),
    ...(request.srcPort === undefined ? {} : { localPort: request.srcPort }),
    remoteAddress: request.dst,
    remotePort: request.port,
    owner: request.owner ?? "client",
    trace: request.trace,
    onReceive: ({ payload }) => {
      answered = true;
      if (payload instanceof Message && payload.message instanceof ServerReport) {
        report = payload.message;
      }
    },
    onError: (e) => {
      error = e;
    },
  });
  const send = () =>
    socket.sendTo(request.dst, request.port, new Data(request.length ?? 64), {
      trace: request.trace,
    });
  const failure = send();
  if (failure !== undefined) {
    socket.close();
    return failed(failure);
  }
  wait(netns, request, () => answered || error !== undefined);
  // A datagram that was too long for the path is sent again in pieces, as the path is known now.
  if (!answered && error?.errno === "EMSGSIZE") {
    error = undefined;
    send();
    wait(netns, request, () => answered || error !== undefined);
  }
  socket.close();
  if (answered) return { outcome: "connected", report, replyFrom: undefined, error: undefined };
  return failed(error);
}

function ping(netns: NetNamespace, request: ExchangeRequest): Attempt {
  let replyFrom: IpAddress | undefined;
  let error: SocketError | undefined;
  const socket = new PingSocket(netns, request.owner ?? "ping");
  socket.onReply = (from: IpAddress, _message: IcmpMessage) => {
    replyFrom = from;
  };
  socket.onError = (e) => {
    error = e;
  };
  const failure = socket.send(request.dst, request.length ?? 56, {
    trace: request.trace,
    ...(request.src === undefined ? {} : { src: request.src }),
  });
  if (failure === undefined)
    wait(netns, request, () => replyFrom !== undefined || error !== undefined);
  socket.close();
  if (failure !== undefined) return failed(failure);
  if (replyFrom !== undefined) return { outcome: "connected", report: undefined, replyFrom, error };
  return failed(error);
}

function failed(error: SocketError | undefined): Attempt {
  const none = { report: undefined, replyFrom: undefined, error };
  switch (error?.errno) {
    case undefined:
    case "ETIMEDOUT":
      return { outcome: "timeout", ...none };
    case "ECONNREFUSED":
    case "ECONNRESET":
      return { outcome: "refused", ...none };
    default:
      return { outcome: "unreachable", ...none };
  }
}

/** Turns the clock until `done`, as long as packets are on their way or the request may wait. */
function wait(netns: NetNamespace, request: ExchangeRequest, done: () => boolean): void {
  const { network } = netns;
  const { clock } = network;
  const patience = clock.now + (request.waitMs ?? 0);
  const limit = request.waitMs ? patience : clock.now + IN_FLIGHT_LIMIT_MS;
  while (!done()) {
    if (network.inFlight > 0 ? !clock.step(limit) : !clock.step(patience)) break;
  }
  if (!done() && patience > clock.now) clock.runUntil(patience);
}

/** Whether a dropped packet belongs to the exchange: its own packets, answers, errors about them. */
function concerns({ skb, reason }: Drop, request: ExchangeRequest): boolean {
  if (!skb.isIp || reason === "OTHERHOST") return false;
  const innermost = innermostOf(skb.ip);
  if (innermost.payload instanceof NeighbourMessage) return false;
  return (
    innermost.protocol === request.protocol ||
    innermost.protocol === IPPROTO_ICMP ||
    innermost.protocol === IPPROTO_ICMPV6
  );
}

/** The packet inside all tunnels. */
function innermostOf(packet: IpPacket): IpPacket {
  const { payload } = packet;
  if (payload instanceof IpPacket) return innermostOf(payload);
  if (payload instanceof EspPacket) return innermostOf(decrypted(packet, payload));
  if (!(payload instanceof UdpDatagram)) return packet;
  const carried = payload.payload;
  if (carried instanceof WireguardData) return innermostOf(carried.packet);
  if (carried instanceof WireguardHandshake) return innermostOf(carried.waiting);
  const framed = carried instanceof VxlanPacket || carried instanceof GenevePacket;
  const sleeve = carried instanceof SleevePacket ? carried.frames[0] : undefined;
  const frame = framed ? carried.frame : sleeve?.frame;
  return frame?.payload instanceof IpPacket ? innermostOf(frame.payload) : packet;
}
