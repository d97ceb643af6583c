import { formatEndpoint, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import { IP_VS_CTPL_S_ASSURED, type IpVsConn } from "./ip-vs-conn.ts";
import type { IpVsDest } from "./ip-vs-dest.ts";
import type { IpVsService } from "./ip-vs-service.ts";
import { IP_VS_SVC_F_ONEPACKET } from "./ip-vs-service-flags.ts";
import type { IpVsStats } from "./ip-vs-stats.ts";
import type { Ipvs } from "./ipvs.ts";
import { netmask, schedulerFlags, sortedDests, sortedServices } from "./ipvsadm-save.ts";

/** What `ipvsadm -Ln` prints, with `stats` as with `--stats`. */
export function listIpvs(ipvs: Ipvs, stats: boolean): string {
  const lines = [
    "IP Virtual Server version 1.2.1 (size=4096)",
    ...(stats ? STATS_HEAD : SERVICES_HEAD),
  ];
  for (const service of sortedServices(ipvs.services())) {
    const name = serviceName(service);
    lines.push(stats ? `${name.padEnd(33)}${counts(service.stats)}` : `${name} ${how(service)}`);
    for (const dest of sortedDests(service)) {
      const to = `  -> ${formatEndpoint(dest.address, dest.port)}`;
      lines.push(
        stats ? `${to.padEnd(33)}${counts(dest.stats)}` : `${to.padEnd(33)} ${load(dest)}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

const SERVICES_HEAD = [
  "Prot LocalAddress:Port Scheduler Flags",
  "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
];
const STATS_HEAD = [
  "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes",
  "  -> RemoteAddress:Port",
];

/** `TCP  10.96.0.10:80`, `FWM  9 IPv6` */
function serviceName(service: IpVsService): string {
  if (service.fwmark !== 0) {
    return `FWM  ${service.fwmark}${service.family === 6 ? " IPv6" : ""}`;
  }
  const protocol = protocolName(service.protocol).padEnd(4);
  return `${protocol} ${formatEndpoint(service.address, service.port)}`;
}

/** The scheduler and what else a service has been told: `sh (sh-port) persistent 60 ops`. */
function how(service: IpVsService): string {
  const words: string[] = [service.scheduler.name];
  const flags = schedulerFlags(service);
  if (flags !== undefined) words.push(`(${flags})`);
  if (service.isPersistent) {
    words.push(`persistent ${service.timeout}`);
    const mask = netmask(service);
    if (mask !== undefined) words.push(`mask ${mask}`);
  }
  if (service.has(IP_VS_SVC_F_ONEPACKET)) words.push("ops");
  return words.join(" ");
}

function load({ forwarding, weight, activeConns, inactConns }: IpVsDest): string {
  const method = forwarding === "masq" ? "Masq" : "Route";
  const columns = [
    method.padEnd(7),
    String(weight).padEnd(6),
    String(activeConns).padEnd(10),
    String(inactConns).padEnd(10),
  ];
  return columns.join(" ");
}

function counts(stats: IpVsStats): string {
  const { conns, inPackets, outPackets, inBytes, outBytes } = stats;
  return [conns, inPackets, outPackets, inBytes, outBytes].map(largeNumber).join("");
}

/** In full up to eight digits, then in thousands, millions … (`print_largenum`). */
function largeNumber(count: number): string {
  if (count < 1e8) return String(count).padStart(9);
  const [unit, factor] = (UNITS.find(([, , below]) => count < below) ?? UNITS.at(-1)) as Unit;
  return `${String(Math.floor(count / factor)).padStart(8)}${unit}`;
}

type Unit = readonly [name: string, factor: number, below: number];
const UNITS: readonly Unit[] = [
  ["K", 1e3, 1e9],
  ["M", 1e6, 1e11],
  ["G", 1e9, 1e14],
  ["T", 1e12, Number.POSITIVE_INFINITY],
];

/** What `ipvsadm -Lnc` prints, the oldest connection first: the kernel's order is that of its hash. */
export function listConnections(ipvs: Ipvs): string {
  const { now } = ipvs.netns.network.clock;
  const lines = [
    "IPVS connection entries",
    "pro expire state       source             virtual            destination",
  ];
  for (const conn of ipvs.connections.entries()) {
    const columns = [
      protocolName(conn.protocol).padEnd(3),
      minutes(conn.expires - now).padEnd(6),
      stateName(ipvs, conn).padEnd(11),
      formatEndpoint(conn.caddr, conn.cport).padEnd(18),
      // A template of a service that is known by a mark has the mark in the place of the address.
      formatEndpoint(conn.vaddr, conn.vport).padEnd(18),
      formatEndpoint(conn.daddr, conn.dport),
    ];
    lines.push(columns.join(" "));
  }
  return `${lines.join("\n")}\n`;
}

/** `mm:ss` */
function minutes(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, "0");
  return `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
}

function stateName(ipvs: Ipvs, conn: IpVsConn): string {
  if (conn.isTemplate) return (conn.state & IP_VS_CTPL_S_ASSURED) !== 0 ? "ASSURED" : "NONE";
  return ipvs.protocol(conn.protocol)?.stateNames[conn.state] ?? "NONE";
}

function protocolName(protocol: number): string {
  if (protocol === 0) return "IP";
  return protocol === IPPROTO_TCP ? "TCP" : protocol === IPPROTO_UDP ? "UDP" : "SCTP";
}
