import type { TcContext } from "@cnilab/linux";
import {
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  type IpAddress,
  type IpPacket,
  QuotedPacket,
  SctpPacket,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";
import { CtTuple, TUPLE_F_IN, TUPLE_F_OUT } from "../../maps/conntrack-map.ts";
import type { NatEntry } from "../../maps/snat-map.ts";
import type { BpfObject } from "../bpf-object.ts";
import {
  DROP_INVALID,
  DROP_UNKNOWN_ICMP4_CODE,
  DROP_UNKNOWN_ICMP6_CODE,
  DROP_UNKNOWN_L4,
} from "../drop-reason.ts";
import { isServiceProtocol } from "../lb/extract-tuple.ts";
import { NAT_PUNT_TO_STACK } from "./nat-target.ts";

// ICMP errors of translated connections: the packet that they quote has to look as its sender knows it.

/** The packet that an error is about. */
function quotedOf({ ip }: TcContext): IpPacket | undefined {
  const { payload } = ip;
  if (!(payload instanceof IcmpMessage) || !(payload.payload instanceof QuotedPacket)) {
    return undefined;
  }
  return payload.payload.packet;
}

/** Its ports, or an echo's identifier; a reason where there are none. */
function numbersOf(
  obj: BpfObject,
  { payload, protocol, version }: IpPacket,
  wanted: "request" | "reply",
): { readonly sport: number; readonly dport: number } | number {
  if (isServiceProtocol(obj, protocol)) {
    const hasPorts =
      payload instanceof TcpSegment ||
      payload instanceof UdpDatagram ||
      payload instanceof SctpPacket;
    return hasPorts ? { sport: payload.srcPort, dport: payload.dstPort } : DROP_INVALID;
  }
  const icmp = version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  if (protocol !== icmp) return wanted === "request" ? NAT_PUNT_TO_STACK : DROP_UNKNOWN_L4;
  if (!(payload instanceof IcmpMessage)) return DROP_INVALID;
  const request = version === 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST;
  const reply = version === 4 ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY;
  if (payload.type === (wanted === "request" ? request : reply)) {
    return { sport: payload.echoId, dport: payload.echoId };
  }
  if (version === 6 && wanted === "request") return DROP_INVALID;
  if (payload.type === request || payload.type === reply) return NAT_PUNT_TO_STACK;
  return version === 4 ? DROP_UNKNOWN_ICMP4_CODE : DROP_UNKNOWN_ICMP6_CODE;
}

/** One end of the quoted packet, and the error's own end on the same side. */
function rewrite(
  ctx: TcContext,
  quoted: IpPacket,
  end: "src" | "dst",
  { toAddress, toPort }: NatEntry,
): void {
  setEnd(quoted, end, toAddress, toPort);
  // Through the context, for its trace; an error has no port.
  if (end === "dst") ctx.translateSource(toAddress, 0);
  else ctx.translateDestination(toAddress, 0);
}

function setEnd(packet: IpPacket, end: "src" | "dst", address: IpAddress, port: number): void {
  const { payload } = packet;
  packet[end] = address;
  if (payload instanceof IcmpMessage) payload.echoId = port;
  else (payload as UdpDatagram)[end === "src" ? "srcPort" : "dstPort"] = port;
}

/**
 * An error that goes out and quotes a packet that came in (`snat_v4_nat_handle_icmp_error`): its sender had sent that to the
 * translated address.
 * @returns 0, `NAT_PUNT_TO_STACK` or a reason to drop
 */
export function natIcmpError(ctx: TcContext, obj: BpfObject): number {
  const quoted = quotedOf(ctx);
  if (quoted === undefined) return DROP_INVALID;
  const numbers = numbersOf(obj, quoted, "reply");
  if (typeof numbers === "number") return numbers;
  const isEcho = quoted.payload instanceof IcmpMessage;
  // The connection's way out: from whom the quoted packet was for.
  const tuple = new CtTuple(
    quoted.src,
    quoted.dst,
    isEcho ? 0 : numbers.sport,
    numbers.dport,
    quoted.protocol,
    TUPLE_F_OUT,
  );
  const known = ctx.lookup(obj.maps.snat(ctx.ip.version), tuple);
  if (known === undefined) return NAT_PUNT_TO_STACK;
  rewrite(ctx, quoted, "dst", known);
  return 0;
}

/**
 * An error that comes in about a packet whose source was translated on its way out (`snat_v4_rev_nat_handle_icmp_error`,
 * `snat_v6_rev_nat_handle_icmp_pkt_toobig`).
 * @returns 0, `NAT_PUNT_TO_STACK` or a reason to drop
 */
export function reverseNatIcmpError(ctx: TcContext, obj: BpfObject): number {
  const quoted = quotedOf(ctx);
  if (quoted === undefined) return DROP_INVALID;
  const numbers = numbersOf(obj, quoted, "request");
  if (typeof numbers === "number") return numbers;
  const isEcho = quoted.payload instanceof IcmpMessage;
  const tuple = new CtTuple(
    quoted.src,
    quoted.dst,
    numbers.sport,
    isEcho ? 0 : numbers.dport,
    quoted.protocol,
    TUPLE_F_IN,
  );
  const known = ctx.lookup(obj.maps.snat(ctx.ip.version), tuple);
  if (known === undefined) return NAT_PUNT_TO_STACK;
  rewrite(ctx, quoted, "src", known);
  return 0;
}
