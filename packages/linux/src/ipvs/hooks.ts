import {
  ICMP_DEST_UNREACH,
  ICMP_TIME_EXCEEDED,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  type IpFamily,
  type IpPacket,
  QuotedPacket,
  type UdpDatagram,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { Dst } from "../fib/dst.ts";
import type { FlowEffect } from "../flow-cache.ts";
import { reassemble } from "../ip/ip-input.ts";
import {
  type HookFunction,
  type HookNumber,
  type HookState,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_IP_PRI_NAT_DST,
  NF_IP_PRI_NAT_SRC,
  NF_STOLEN,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  type NfVerdict,
} from "../netfilter/hooks.ts";
import { routeMeHarder } from "../netfilter/route-me-harder.ts";
import { transportHeader } from "../netfilter/transport-header.ts";
import { PACKET_HOST, type Skb } from "../skb.ts";
import { IP_VS_CONN_F_NFCT, IP_VS_CONN_F_ONE_PACKET, type IpVsConn } from "./ip-vs-conn.ts";
import { settleConntrack, usesOldConntrack } from "./ip-vs-conntrack.ts";
import {
  IP_VS_DIR_INPUT,
  IP_VS_DIR_OUTPUT,
  type IpVsProtocol,
  setState,
} from "./ip-vs-protocol.ts";
import { traceIpvs, traceIpvsNat } from "./ip-vs-trace.ts";
import type { Ipvs } from "./ipvs.ts";
import { schedule } from "./schedule.ts";
import { transmit, transmitError } from "./transmit.ts";

const ICMP_SOURCE_QUENCH = 4;

/** Registers IPVS at the hooks of a family, when its first service comes (`ip_vs_register_hooks`). */
export function registerIpvsHooks(ipvs: Ipvs, family: IpFamily): void {
  const { netfilter } = ipvs.netns;
  for (const [hook, entry] of functionsOf(ipvs)) {
    netfilter.register(family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6, hook, entry);
  }
}

export function unregisterIpvsHooks(ipvs: Ipvs, family: IpFamily): void {
  const { netfilter } = ipvs.netns;
  for (const [hook, entry] of functionsOf(ipvs)) {
    netfilter.unregister(family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6, hook, entry);
  }
}

const functions = new WeakMap<Ipvs, readonly (readonly [HookNumber, HookFunction])[]>();

/** `ip_vs_ops4`, `ip_vs_ops6`: made once, as a hook knows its functions by identity. */
function functionsOf(ipvs: Ipvs): readonly (readonly [HookNumber, HookFunction])[] {
  let known = functions.get(ipvs);
  if (known === undefined) {
    known = [
      [NF_INET_LOCAL_IN, new AnswerHook(ipvs, NF_IP_PRI_NAT_SRC - 2)],
      [NF_INET_LOCAL_IN, new RequestHook(ipvs, NF_IP_PRI_NAT_SRC - 1)],
      [NF_INET_LOCAL_OUT, new AnswerHook(ipvs, NF_IP_PRI_NAT_DST + 1)],
      [NF_INET_LOCAL_OUT, new RequestHook(ipvs, NF_IP_PRI_NAT_DST + 2)],
      [NF_INET_FORWARD, new ForwardedErrorHook(ipvs, NF_IP_PRI_NAT_SRC - 1)],
      [NF_INET_FORWARD, new AnswerHook(ipvs, NF_IP_PRI_NAT_SRC)],
    ];
    functions.set(ipvs, known);
  }
  return known;
}

/** Packets of clients to virtual services (`ip_vs_in_hook`). */
class RequestHook implements HookFunction {
  readonly name = "ip_vs_in";
  readonly priority: number;
  readonly #ipvs: Ipvs;

  constructor(ipvs: Ipvs, priority: number) {
    this.#ipvs = ipvs;
    this.priority = priority;
  }

  run(skb: Skb, state: HookState): NfVerdict {
    const ipvs = this.#ipvs;
    if (skb.ipvsProperty || skb.dst === undefined || ipvs.settings.backupOnly) return NF_ACCEPT;
    if (skb.packetType !== PACKET_HOST && state.hook !== NF_INET_LOCAL_OUT) return NF_ACCEPT;
    const packet = skb.ip;
    if (isIcmpOf(packet)) return requestError(ipvs, skb, state);
    const protocol = ipvs.protocol(packet.protocol);
    const header = transportHeader(packet) as UdpDatagram | undefined;
    if (protocol === undefined || header === undefined) return NF_ACCEPT;
    const { src, dst } = packet;
    let conn = ipvs.connections.findIn(packet.protocol, src, header.srcPort, dst, header.dstPort);
    if (conn !== undefined) {
      const known = this.#check(conn, skb, protocol, header);
      if (known === NF_DROP) return NF_DROP;
      if (known === NF_ACCEPT) {
        if (skb.trace !== undefined) {
          traceIpvs(skb, state.netns, "established", conn.dest.service, conn.dest, "");
        }
      } else {
        conn = undefined;
      }
    }
    if (conn === undefined) {
      if (!protocol.begins(header)) return NF_ACCEPT;
      const begun = schedule(ipvs, skb, state, header);
      if (typeof begun === "number") return begun;
      conn = begun;
    }
    const { length } = packet;
    setState(protocol, conn, IP_VS_DIR_INPUT, header);
    count(ipvs, conn, true, 1, length);
    // Set before the packet goes on: whoever reads the timers on its way sees this packet.
    ipvs.connections.put(conn);
    repeatLater(ipvs, conn, true, length);
    return transmit(skb, conn, state, header);
  }

  /**
   * Whether the connection of a packet may go on: NF_ACCEPT. NF_STOLEN where it has ended and the packet
   * may begin another one; NF_DROP where it has ended and the packet is lost with it.
   */
  #check(conn: IpVsConn, skb: Skb, protocol: IpVsProtocol, header: UdpDatagram): NfVerdict {
    const ipvs = this.#ipvs;
    const { settings, connections } = ipvs;
    const { dest } = conn;
    if (protocol.beginsAnew(header)) {
      const hasQuitServer = settings.expireNodestConn && dest.weight === 0;
      const isOver =
        settings.connReuseMode !== 0 &&
        conn.control === undefined &&
        protocol.isOver(conn, settings.connReuseMode);
      if (hasQuitServer || isOver) return this.#reschedule(conn, skb);
    }
    if (dest.available) return NF_ACCEPT;
    ipvs.netns.network.recording?.unrepeatable();
    if (!settings.expireNodestConn) return lost(ipvs, skb, "its real server was deleted");
    const isTracked = usesOldConntrack(skb);
    if (!isTracked) conn.flags &= ~IP_VS_CONN_F_NFCT;
    connections.expire(conn);
    return isTracked ? lost(ipvs, skb, "its real server was deleted") : NF_STOLEN;
  }

  /**
   * A client's port is used again. Where netfilter still knows the old connection, it has to forget it
   * first: the packet is lost, and the client sends it again.
   */
  #reschedule(conn: IpVsConn, skb: Skb): NfVerdict {
    const ipvs = this.#ipvs;
    ipvs.netns.network.recording?.unrepeatable();
    const isTracked = usesOldConntrack(skb);
    if (conn.controlled > 0 && isTracked) return NF_ACCEPT;
    if (!isTracked) conn.flags &= ~IP_VS_CONN_F_NFCT;
    if (conn.controlled === 0) ipvs.connections.expire(conn);
    return isTracked ? lost(ipvs, skb, "netfilter knows an older connection by it") : NF_STOLEN;
  }
}

/** Packets of real servers to clients (`ip_vs_out_hook`). */
class AnswerHook implements HookFunction {
  readonly name = "ip_vs_out";
  readonly priority: number;
  readonly #ipvs: Ipvs;

  constructor(ipvs: Ipvs, priority: number) {
    this.#ipvs = ipvs;
    this.priority = priority;
  }

  run(skb: Skb, state: HookState): NfVerdict {
    const ipvs = this.#ipvs;
    if (skb.ipvsProperty) return NF_ACCEPT;
    if (isIcmpOf(skb.ip)) return answerError(ipvs, skb, state);
    const protocol = ipvs.protocol(skb.ip.protocol);
    if (protocol === undefined) return NF_ACCEPT;
    if (skb.ip.isFragment && skb.ip.version === 4) {
      ipvs.netns.network.recording?.unrepeatable();
      if (!reassemble(skb, state.netns, "ipvs")) return NF_STOLEN;
    }
    const packet = skb.ip;
    const header = transportHeader(packet) as UdpDatagram | undefined;
    if (header === undefined) return NF_ACCEPT;
    const { src, dst } = packet;
    const conn = ipvs.connections.findOut(
      packet.protocol,
      src,
      header.srcPort,
      dst,
      header.dstPort,
    );
    if (conn === undefined) return NF_ACCEPT;
    if (skb.trace !== undefined) {
      traceIpvs(skb, state.netns, "reply", conn.dest.service, conn.dest, "");
    }
    if (conn.forwarding === "masq") {
      header.srcPort = conn.vport;
      packet.src = conn.vaddr;
      traceIpvsNat(skb, state.netns, conn, true);
      if (!reroute(ipvs, skb, state)) return NF_STOLEN;
    }
    const { length } = packet;
    setState(protocol, conn, IP_VS_DIR_OUTPUT, header);
    count(ipvs, conn, false, 1, length);
    ipvs.connections.put(conn);
    repeatLater(ipvs, conn, false, length);
    skb.ipvsProperty = true;
    settleConntrack(skb, conn, false);
    return NF_ACCEPT;
  }
}

/** ICMP errors that pass through to somebody who is no address of this machine (`ip_vs_forward_icmp`). */
class ForwardedErrorHook implements HookFunction {
  readonly name = "ip_vs_forward_icmp";
  readonly priority: number;
  readonly #ipvs: Ipvs;

  constructor(ipvs: Ipvs, priority: number) {
    this.#ipvs = ipvs;
    this.priority = priority;
  }

  run(skb: Skb, state: HookState): NfVerdict {
    if (!isIcmpOf(skb.ip) || this.#ipvs.settings.backupOnly) return NF_ACCEPT;
    return requestError(this.#ipvs, skb, state);
  }
}

/** A client, or a router on the way to it, tells of an error with an answer (`ip_vs_in_icmp`). */
function requestError(ipvs: Ipvs, skb: Skb, state: HookState): NfVerdict {
  const quoted = quotedPacket(skb.ip);
  const header = quoted && (transportHeader(quoted) as UdpDatagram | undefined);
  if (quoted === undefined || header === undefined) return NF_ACCEPT;
  if (ipvs.protocol(quoted.protocol) === undefined) return NF_ACCEPT;
  const { src, dst, protocol } = quoted;
  const conn = ipvs.connections.findIn(protocol, dst, header.dstPort, src, header.srcPort);
  if (conn === undefined) return NF_ACCEPT;
  ipvs.netns.network.recording?.unrepeatable();
  count(ipvs, conn, true, 1, skb.ip.length);
  return transmitError(skb, conn, state, quoted, header, state.hook !== NF_INET_FORWARD);
}

/** A server, or a router on the way to it, tells of an error with a request (`ip_vs_out_icmp`). */
function answerError(ipvs: Ipvs, skb: Skb, state: HookState): NfVerdict {
  const packet = skb.ip;
  const quoted = quotedPacket(packet);
  const header = quoted && (transportHeader(quoted) as UdpDatagram | undefined);
  if (quoted === undefined || header === undefined) return NF_ACCEPT;
  if (ipvs.protocol(quoted.protocol) === undefined) return NF_ACCEPT;
  const { src, dst, protocol } = quoted;
  const conn = ipvs.connections.findOut(protocol, dst, header.dstPort, src, header.srcPort);
  if (conn === undefined) return NF_ACCEPT;
  ipvs.netns.network.recording?.unrepeatable();
  if (conn.forwarding === "masq") {
    packet.src = conn.vaddr;
    quoted.dst = conn.vaddr;
    header.dstPort = conn.vport;
    traceIpvsNat(skb, state.netns, conn, true);
    if (!reroute(ipvs, skb, state)) return NF_STOLEN;
  }
  count(ipvs, conn, false, 1, packet.length);
  skb.ipvsProperty = true;
  settleConntrack(skb, conn, false);
  return NF_ACCEPT;
}

/** Whether a packet is of the ICMP of its own family. */
function isIcmpOf({ version, protocol }: IpPacket): boolean {
  return protocol === (version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/** The packet that an ICMP error is about; `undefined` for other messages. */
function quotedPacket(packet: IpPacket): IpPacket | undefined {
  const message = transportHeader(packet);
  if (!(message instanceof IcmpMessage && message.payload instanceof QuotedPacket))
    return undefined;
  const { type } = message;
  const isError =
    packet.version === 6
      ? type < 128
      : type === ICMP_DEST_UNREACH || type === ICMP_SOURCE_QUENCH || type === ICMP_TIME_EXCEEDED;
  return isError ? message.payload.packet : undefined;
}

/** Routes an answer as one of this machine's own (`ip_vs_route_me_harder`). False where there is no way. */
function reroute(ipvs: Ipvs, skb: Skb, { hook, netns, out }: HookState): boolean {
  if (!ipvs.settings.snatReroute || hook === NF_INET_LOCAL_IN) return true;
  if (skb.dst?.isLocal === true) return true;
  const isBridged = skb.dst === undefined;
  // br_netfilter's stand-in for a route; the frame goes where it is addressed to, whatever comes of it.
  if (isBridged) skb.dst = new Dst("unicast", out as NetDevice, undefined, undefined);
  const errno = routeMeHarder(skb, netns);
  if (isBridged) skb.dst = undefined;
  if (errno === undefined) return true;
  const detail = "no route for the answer from its virtual address";
  netns.network.drop(skb, netns, "IP_OUTNOROUTES", skb.dev, detail);
  return false;
}

function lost(ipvs: Ipvs, skb: Skb, detail: string): typeof NF_DROP {
  const { netns } = ipvs;
  netns.network.drop(
    skb,
    netns,
    "NETFILTER_DROP",
    skb.dev,
    `an IPVS connection is over: ${detail}`,
  );
  return NF_DROP;
}

/** `ip_vs_in_stats`, `ip_vs_out_stats`; nobody counts for a server that was deleted. */
function count(
  ipvs: Ipvs,
  { dest }: IpVsConn,
  isRequest: boolean,
  packets: number,
  bytes: number,
): void {
  if (!dest.available) return;
  for (const stats of [dest.stats, dest.service.stats, ipvs.stats]) {
    if (isRequest) {
      stats.inPackets += packets;
      stats.inBytes += packets * bytes;
    } else {
      stats.outPackets += packets;
      stats.outBytes += packets * bytes;
    }
  }
}

/** What each packet of an established flow does to its connection. */
class CountAndRefresh implements FlowEffect {
  readonly #ipvs: Ipvs;
  readonly #conn: IpVsConn;
  readonly #isRequest: boolean;
  readonly #bytes: number;

  constructor(ipvs: Ipvs, conn: IpVsConn, isRequest: boolean, bytes: number) {
    this.#ipvs = ipvs;
    this.#conn = conn;
    this.#isRequest = isRequest;
    this.#bytes = bytes;
  }

  repeat(packets: number, time: number): void {
    count(this.#ipvs, this.#conn, this.#isRequest, packets, this.#bytes);
    if (!this.#conn.ended) this.#ipvs.connections.put(this.#conn, time);
  }
}

function repeatLater(ipvs: Ipvs, conn: IpVsConn, isRequest: boolean, bytes: number): void {
  const { recording } = ipvs.netns.network;
  if (recording === undefined) return;
  if (conn.has(IP_VS_CONN_F_ONE_PACKET)) {
    recording.unrepeatable();
    return;
  }
  recording.effect(new CountAndRefresh(ipvs, conn, isRequest, bytes));
  recording.dependsOn(conn.condition);
  recording.expires(conn.expires - 1);
}
