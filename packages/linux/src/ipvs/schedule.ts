import {
  formatIp,
  ICMP_DEST_UNREACH,
  ICMP_PORT_UNREACH,
  ICMPV6_DEST_UNREACH,
  ICMPV6_PORT_UNREACH,
  IPPROTO_UDP,
  type IpAddress,
  Ipv6Address,
  ipv4Mask,
  type UdpDatagram,
} from "@cnilab/net";
import { icmpSend } from "../ip/icmp-error.ts";
import { type HookState, NF_ACCEPT, NF_DROP, type NfVerdict } from "../netfilter/hooks.ts";
import type { Skb } from "../skb.ts";
import {
  IP_VS_CONN_F_NFCT,
  IP_VS_CONN_F_ONE_PACKET,
  IP_VS_CONN_F_TEMPLATE,
  IpVsConn,
  type IpVsConnKey,
} from "./ip-vs-conn.ts";
import type { IpVsDest } from "./ip-vs-dest.ts";
import type { IpVsService } from "./ip-vs-service.ts";
import { IP_VS_SVC_F_ONEPACKET } from "./ip-vs-service-flags.ts";
import { traceIpvs } from "./ip-vs-trace.ts";
import type { Ipvs } from "./ipvs.ts";

const FTPPORT = 21;
/** The port of FTP's data connections, which servers open. */
const FTPDATA = 20;

/**
 * Begins a connection for a packet that belongs to none (`ip_vs_schedule`).
 * @param header of a protocol whose packet may begin a connection
 * @returns the connection, or what becomes of the packet without one
 */
export function schedule(
  ipvs: Ipvs,
  skb: Skb,
  state: HookState,
  header: UdpDatagram,
): IpVsConn | NfVerdict {
  const { src, dst, protocol, version } = skb.ip;
  const { srcPort, dstPort } = header;
  const service = ipvs.serviceOf(version, skb.mark, protocol, dst, dstPort);
  if (service === undefined) return NF_ACCEPT;
  ipvs.netns.network.recording?.unrepeatable();
  if (srcPort === FTPDATA) return NF_ACCEPT;
  // An answer of a server on this machine, to a client that is here as well.
  if (skb.dev === undefined || skb.dev.isLoopback) {
    if (ipvs.connections.findIn(protocol, dst, dstPort, src, srcPort) !== undefined) {
      return NF_ACCEPT;
    }
  }
  const key: IpVsConnKey = { protocol, caddr: src, cport: srcPort, vaddr: dst, vport: dstPort };
  const template = service.isPersistent ? templateFor(ipvs, service, key) : undefined;
  const dest = template?.dest ?? (service.isPersistent ? undefined : choose(service, key));
  if (dest === undefined) return leave(skb, state, service);
  if (skb.trace !== undefined) {
    const why =
      template === undefined || template.controlled === 0
        ? service.scheduler.why(dest, key)
        : `${formatIp(template.caddr)} stays with its server for ${service.timeout} s`;
    traceIpvs(skb, ipvs.netns, "new", service, dest, why);
  }
  return connect(ipvs, service, key, dest, template);
}

/** A packet for a service that it does not belong to, or whose servers take none, has no server. */
function choose(service: IpVsService, key: IpVsConnKey): IpVsDest | undefined {
  if (service.fwmark === 0 && key.vport !== service.port) return undefined;
  return service.scheduler.schedule(key);
}

function connect(
  ipvs: Ipvs,
  service: IpVsService,
  key: IpVsConnKey,
  dest: IpVsDest,
  template: IpVsConn | undefined,
): IpVsConn {
  const isOnePacket = service.has(IP_VS_SVC_F_ONEPACKET) && key.protocol === IPPROTO_UDP;
  let flags = isOnePacket ? IP_VS_CONN_F_ONE_PACKET : 0;
  if (ipvs.settings.conntrack) flags |= IP_VS_CONN_F_NFCT;
  // Ports of a service for all ports, or for a mark, stay unless the server has one of its own.
  const isOwnPort = template === undefined || key.vport === service.port;
  const dport = isOwnPort && dest.port !== 0 ? dest.port : key.vport;
  const conn = new IpVsConn(key, dest, dport, flags, template);
  ipvs.connections.add(conn);
  if (template !== undefined) ipvs.connections.put(template);
  dest.stats.conns++;
  service.stats.conns++;
  ipvs.stats.conns++;
  return conn;
}

/**
 * The template that says which server a client of a persistent service gets, found or made
 * (`ip_vs_sched_persist`); `undefined` where no server takes connections.
 */
function templateFor(ipvs: Ipvs, service: IpVsService, key: IpVsConnKey): IpVsConn | undefined {
  const isServicePort = key.vport === service.port;
  const isMarked = !isServicePort && service.fwmark !== 0;
  const templateKey: IpVsConnKey = {
    protocol: isMarked ? 0 : key.protocol,
    caddr: mask(key.caddr, service.prefixLength),
    cport: 0,
    vaddr: isMarked ? service.fwmark : key.vaddr,
    vport: isServicePort && service.port !== FTPPORT ? key.vport : 0,
  };
  const found = ipvs.connections.findTemplate(templateKey);
  if (found !== undefined && isUsable(ipvs, found)) return found;
  found?.invalidate();
  const dest = service.scheduler.schedule(key);
  if (dest === undefined) return undefined;
  const dport = isServicePort && service.port !== FTPPORT ? dest.port : 0;
  let flags = IP_VS_CONN_F_TEMPLATE;
  if (ipvs.settings.conntrack) flags |= IP_VS_CONN_F_NFCT;
  const template = new IpVsConn(templateKey, dest, dport, flags, undefined);
  template.timeoutMs = 1000 * service.timeout;
  ipvs.connections.add(template);
  return template;
}

/** `ip_vs_check_template` */
function isUsable(ipvs: Ipvs, { dest }: IpVsConn): boolean {
  if (!dest.available) return false;
  return !(ipvs.settings.expireQuiescentTemplate && dest.weight === 0);
}

/** There is a service but no server: tells the client (`ip_vs_leave`). */
function leave(skb: Skb, { netns }: HookState, service: IpVsService): NfVerdict {
  const is4 = service.family === 4;
  traceIpvs(skb, netns, "no-server", service, undefined, "no server takes connections");
  icmpSend(
    skb,
    netns,
    is4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH,
    is4 ? ICMP_PORT_UNREACH : ICMPV6_PORT_UNREACH,
  );
  const detail = "no real server takes connections";
  netns.network.drop(skb, netns, "NETFILTER_DROP", skb.dev, detail, service.rule);
  return NF_DROP;
}

function mask(address: IpAddress, length: number): IpAddress {
  if (typeof address === "number") return (address & ipv4Mask(length)) >>> 0;
  if (length === 128) return address;
  const word = (i: number) =>
    address.word(i) & ipv4Mask(Math.min(32, Math.max(0, length - 32 * i)));
  return Ipv6Address.of(word(0), word(1), word(2), word(3));
}
