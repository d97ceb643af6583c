import {
  FragmentPayload,
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_FRAG_NEEDED,
  ICMP_PARAMETERPROB,
  ICMP_TIME_EXCEEDED,
  ICMPV6_DEST_UNREACH,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_PARAMPROB,
  ICMPV6_PKT_TOOBIG,
  ICMPV6_TIME_EXCEED,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IPIP,
  IPPROTO_IPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  IpPacket,
  isIcmpError,
  isLinkLocal,
  isMulticast,
  NeighbourMessage,
  QuotedPacket,
} from "@cnilab/net";
import { tunnelError } from "../device/ip-tunnel.ts";
import type { NetDevice } from "../device/net-device.ts";
import { ndReceive } from "../neighbour/ndisc.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import { rawError } from "../socket/raw-socket.ts";
import { sctpError } from "../socket/sctp.ts";
import type { SocketError } from "../socket/socket.ts";
import { tcpError } from "../socket/tcp.ts";
import { udpError } from "../socket/udp.ts";
import { sendFromIcmpSocket } from "./icmp-socket.ts";
import { routeOutput } from "./route-output.ts";

/** An ICMP or ICMPv6 message for this machine (`icmp_rcv`, `icmpv6_rcv`). */
export function icmpReceive(skb: Skb, netns: NetNamespace): void {
  const packet = skb.ip;
  const message = packet.payload;
  if (message instanceof NeighbourMessage) {
    ndReceive(skb.dev as NetDevice, skb, message);
    return;
  }
  if (!(message instanceof IcmpMessage)) {
    netns.network.drop(
      skb,
      netns,
      "UNHANDLED_PROTO",
      skb.dev,
      "not an ICMP message that is modelled",
    );
    return;
  }
  const version = packet.version;
  if (message.type === (version === 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST)) {
    echoReply(skb, netns, message);
  } else if (message.type === (version === 4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY)) {
    const socket = netns.sockets.pings.on(message.echoId)?.[0];
    skb.trace?.steps.push({
      kind: "deliver",
      netns,
      packet: skb.number,
      socket,
      text: "echo reply",
    });
    socket?.onReply?.(packet.src, message);
  } else if (isIcmpError(version, message.type)) {
    icmpErrorReceived(skb, netns, message);
  } else {
    netns.network.drop(skb, netns, "UNHANDLED_PROTO", skb.dev, `ICMP type ${message.type}`);
  }
}

/** `icmp_echo`: the answer goes out from the address that was asked. */
function echoReply(skb: Skb, netns: NetNamespace, request: IcmpMessage): void {
  const packet = skb.ip;
  const version = packet.version;
  const ignore = version === 4 ? "net/ipv4/icmp_echo_ignore_all" : "net/ipv6/icmp/echo_ignore_all";
  if (netns.sysctl.get(ignore) !== 0) return;
  if (
    version === 4 &&
    skb.dst?.type !== "local" &&
    netns.sysctl.get("net/ipv4/icmp_echo_ignore_broadcasts") !== 0
  ) {
    return;
  }
  skb.trace?.steps.push({
    kind: "deliver",
    netns,
    packet: skb.number,
    socket: undefined,
    text: "echo request",
  });
  const mark = netns.reflectsMark(version) ? skb.mark : 0;
  const src: IpAddress | undefined =
    isMulticast(packet.dst) || skb.dst?.type !== "local" ? undefined : packet.dst;
  const protocol = version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  const oif = version === 6 && isLinkLocal(packet.src) ? skb.iif : undefined;
  const route = routeOutput(netns, { dst: packet.src, src, oif, mark, protocol, tos: packet.tos });
  if (typeof route === "string") {
    netns.network.drop(skb, netns, "IP_OUTNOROUTES", skb.dev, `no route back to ${packet.src}`);
    return;
  }
  const type = version === 4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY;
  const message = new IcmpMessage(type, 0, request.rest, request.payload);
  const answer = new IpPacket(route.src, packet.src, protocol, message, netns.defaultTtl(version));
  answer.tos = packet.tos;
  const reply = Skb.ofIp(answer, skb.trace);
  reply.mark = mark;
  reply.dst = route.dst;
  sendFromIcmpSocket(reply, netns);
}

/** An error about a packet that was sent from here: learns path MTUs, tells the socket. */
function icmpErrorReceived(skb: Skb, netns: NetNamespace, message: IcmpMessage): void {
  const quoted = message.payload;
  if (!(quoted instanceof QuotedPacket)) return;
  const about = quoted.packet;
  const version = skb.ip.version;
  // IPv6 has no handler for what a later fragment quotes (`icmpv6_notify`).
  if (version === 6 && about.fragmentOffset !== 0) return;
  const tooBig =
    version === 4
      ? message.type === ICMP_DEST_UNREACH && message.code === ICMP_FRAG_NEEDED
      : message.type === ICMPV6_PKT_TOOBIG;
  skb.trace?.steps.push({
    kind: "deliver",
    netns,
    packet: skb.number,
    socket: undefined,
    text: tooBig
      ? `ICMP: too big, MTU ${message.rest}`
      : `ICMP ${icmpText(version, message.type, message.code)}`,
  });
  const error: SocketError = {
    errno: tooBig ? "EMSGSIZE" : errnoOf(version, message.type, message.code),
    from: skb.ip.src,
    message: `ICMP ${icmpText(version, message.type, message.code)}`,
  };
  // The quoted transport header may be that of a first fragment.
  const inner =
    about.payload instanceof FragmentPayload
      ? about.withPayload(about.payload.whole.payload)
      : about;
  if (tooBig) learnPathMtu(skb, netns, about, message.rest);
  rawError(netns, about, isFatal(version, message.type, message.code), error);
  switch (about.protocol) {
    case IPPROTO_UDP:
      udpError(netns, inner, error);
      return;
    case IPPROTO_TCP:
      tcpError(netns, inner, error, skb.trace);
      return;
    case IPPROTO_SCTP:
      sctpError(netns, inner, error);
      return;
    case IPPROTO_IPIP:
    case IPPROTO_IPV6:
      if (!tooBig) tunnelError(netns, about, message.type);
      return;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6: {
      // About requests only: nobody hears of replies that were refused (`ping_supported`).
      const echo = inner.payload;
      if (!(echo instanceof IcmpMessage)) return;
      if (echo.type !== (version === 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST)) return;
      netns.sockets.pings.on(echo.echoId)?.[0]?.onError?.(error);
      return;
    }
  }
}

/**
 * Learns a smaller path MTU, for the route of what the error is about. TCP knows its own; for others it is looked up by
 * the quoted packet without ports, for IPv6 without protocol, for ICMPv6 by the device that the error came by
 * (`ipv4_sk_update_pmtu`, `ip6_sk_update_pmtu`, `icmpv6_err`): that may be another than what rules led the packet to.
 */
function learnPathMtu(skb: Skb, netns: NetNamespace, about: IpPacket, mtu: number): void {
  const { src, dst, protocol, version } = about;
  const isDatagram =
    protocol === IPPROTO_UDP || protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6;
  if (!isDatagram || !netns.fib(version).hasCustomRules) {
    netns.learnPathMtu(dst, mtu);
    return;
  }
  const route = routeOutput(netns, {
    dst,
    src,
    anySource: true,
    ...(version === 4 ? { protocol } : {}),
    ...(protocol === IPPROTO_ICMPV6 ? { oif: skb.iif } : {}),
  });
  if (typeof route !== "string") netns.learnPathMtu(dst, mtu, route.dst.nexthop);
}

/** `icmp_err_convert`, `icmpv6_err_convert`. */
function errnoOf(version: 4 | 6, type: number, code: number): SocketError["errno"] {
  if (version === 4) {
    if (type === ICMP_TIME_EXCEEDED) return "EHOSTUNREACH";
    if (type === ICMP_PARAMETERPROB) return "EPROTO";
    const codes: SocketError["errno"][] = [
      "ENETUNREACH",
      "EHOSTUNREACH",
      "ENOPROTOOPT",
      "ECONNREFUSED",
      "EMSGSIZE",
    ];
    return (
      codes[code] ?? (code === 9 || code === 11 || code === 6 ? "ENETUNREACH" : "EHOSTUNREACH")
    );
  }
  if (type === ICMPV6_TIME_EXCEED) return "EHOSTUNREACH";
  if (type === ICMPV6_PARAMPROB) return "EPROTO";
  if (type !== ICMPV6_DEST_UNREACH) return "EPROTO";
  const codes: SocketError["errno"][] = [
    "ENETUNREACH",
    "EACCES",
    "EHOSTUNREACH",
    "EHOSTUNREACH",
    "ECONNREFUSED",
    "EACCES",
    "EACCES",
  ];
  return codes[code] ?? "EPROTO";
}

/** Whether a connected raw socket's next call fails with it (`raw_err`, `icmp_err_convert`; `rawv6_err`). */
function isFatal(version: 4 | 6, type: number, code: number): boolean {
  if (version === 4) {
    if (type === ICMP_PARAMETERPROB) return true;
    return type === ICMP_DEST_UNREACH && !PASSING_4.has(code);
  }
  if (type === ICMPV6_PKT_TOOBIG || type === ICMPV6_PARAMPROB) return true;
  return type === ICMPV6_DEST_UNREACH && !PASSING_6.has(code);
}

/** Codes of networks and hosts that cannot be reached now. */
const PASSING_4: ReadonlySet<number> = new Set([0, 1, 5, 11, 12]);
const PASSING_6: ReadonlySet<number> = new Set([0, 2, 3]);

const UNREACHABLE_4: Readonly<Record<number, string>> = {
  0: "network unreachable",
  1: "host unreachable",
  2: "protocol unreachable",
  3: "port unreachable",
  4: "fragmentation needed",
  9: "network prohibited",
  10: "host prohibited",
  13: "administratively prohibited",
};
const UNREACHABLE_6: Readonly<Record<number, string>> = {
  0: "no route",
  1: "administratively prohibited",
  2: "beyond scope of source address",
  3: "address unreachable",
  4: "port unreachable",
  5: "source address failed policy",
  6: "reject route",
};

/** An ICMP error in words. */
export function icmpText(version: 4 | 6, type: number, code: number): string {
  if (version === 4) {
    if (type === ICMP_DEST_UNREACH) return UNREACHABLE_4[code] ?? `unreachable code ${code}`;
    if (type === ICMP_TIME_EXCEEDED)
      return code === 0 ? "time exceeded" : "reassembly time exceeded";
    return `type ${type} code ${code}`;
  }
  if (type === ICMPV6_DEST_UNREACH) return UNREACHABLE_6[code] ?? `unreachable code ${code}`;
  if (type === ICMPV6_PKT_TOOBIG) return "packet too big";
  if (type === ICMPV6_TIME_EXCEED) return code === 0 ? "time exceeded" : "reassembly time exceeded";
  return `type ${type} code ${code}`;
}
