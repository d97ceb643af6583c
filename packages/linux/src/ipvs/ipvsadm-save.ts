import {
  compareIp,
  formatEndpoint,
  formatIp,
  IPPROTO_TCP,
  IPPROTO_UDP,
  ipv4Mask,
} from "@cnilab/net";
import type { IpVsDest } from "./ip-vs-dest.ts";
import type { IpVsService } from "./ip-vs-service.ts";
import {
  IP_VS_SVC_F_ONEPACKET,
  IP_VS_SVC_F_SCHED1,
  IP_VS_SVC_F_SCHED2,
  IP_VS_SVC_F_SCHED3,
} from "./ip-vs-service-flags.ts";

const SCHED_FLAGS = [IP_VS_SVC_F_SCHED1, IP_VS_SVC_F_SCHED2, IP_VS_SVC_F_SCHED3];
/** What a scheduler calls its flags; `ipvsadm` prints nothing for those of sh and mh that have no name. */
const FLAG_NAMES: Readonly<Record<string, readonly string[]>> = {
  sh: ["sh-fallback", "sh-port"],
  mh: ["mh-fallback", "mh-port"],
};
const PLAIN_FLAG_NAMES = ["flag-1", "flag-2", "flag-3"];

/** The scheduler flags that `ipvsadm -b` takes, by name. */
export function schedulerFlag(name: string): number | undefined {
  for (const names of [PLAIN_FLAG_NAMES, ...Object.values(FLAG_NAMES)]) {
    const at = names.indexOf(name);
    if (at >= 0) return SCHED_FLAGS[at];
  }
  return undefined;
}

/** The flags that a scheduler has been given, as `-b` takes them; `undefined` without any. */
export function schedulerFlags(service: IpVsService): string | undefined {
  if (!SCHED_FLAGS.some((flag) => service.has(flag))) return undefined;
  const names = FLAG_NAMES[service.scheduler.name] ?? PLAIN_FLAG_NAMES;
  return names.filter((_, i) => service.has(SCHED_FLAGS[i] as number)).join();
}

/** In the order of `ipvsadm -L` and `-S` (libipvs `ipvs_cmp_services`, `ipvs_cmp_dests`). */
export function sortedServices(services: Iterable<IpVsService>): IpVsService[] {
  return [...services].sort(
    (x, y) =>
      x.fwmark - y.fwmark ||
      x.family - y.family ||
      x.protocol - y.protocol ||
      compareIp(x.address, y.address) ||
      x.port - y.port,
  );
}

export function sortedDests({ destinations }: IpVsService): IpVsDest[] {
  return [...destinations].sort((x, y) => compareIp(x.address, y.address) || x.port - y.port);
}

/** What `ipvsadm -Sn` prints. */
export function saveIpvs(services: Iterable<IpVsService>): string {
  const lines: string[] = [];
  for (const service of sortedServices(services)) {
    lines.push(`${serviceLine(service)}\n`);
    for (const dest of sortedDests(service)) lines.push(`${destLine(dest)}\n`);
  }
  return lines.join("");
}

/** `-A -t 10.96.0.10:80 -s rr` */
export function serviceLine(service: IpVsService): string {
  const words = [`-A ${serviceOption(service)} -s ${service.scheduler.name}`];
  if (service.isPersistent) {
    words.push(`-p ${service.timeout}`);
    const mask = netmask(service);
    if (mask !== undefined) words.push(`-M ${mask}`);
  }
  if (service.has(IP_VS_SVC_F_ONEPACKET)) words.push("-o");
  const flags = schedulerFlags(service);
  if (flags !== undefined) words.push(`-b ${flags}`);
  return words.join(" ");
}

/** `-a -t 10.96.0.10:80 -r 10.244.1.2:8080 -m -w 1` */
export function destLine(dest: IpVsDest): string {
  const to = formatEndpoint(dest.address, dest.port);
  const method = dest.forwarding === "masq" ? "-m" : "-g";
  return `-a ${serviceOption(dest.service)} -r ${to} ${method} -w ${dest.weight}`;
}

/** `-t 10.96.0.10:80` */
function serviceOption({ fwmark, family, protocol, address, port }: IpVsService): string {
  if (fwmark !== 0) return `-f ${fwmark}${family === 6 ? " -6" : ""}`;
  const option =
    protocol === IPPROTO_TCP ? "-t" : protocol === IPPROTO_UDP ? "-u" : "--sctp-service";
  return `${option} ${formatEndpoint(address, port)}`;
}

/** What persistent clients share of their addresses; `undefined` where it is all. */
export function netmask({ family, prefixLength }: IpVsService): string | undefined {
  if (family === 6) return prefixLength === 128 ? undefined : String(prefixLength);
  return prefixLength === 32 ? undefined : formatIp(ipv4Mask(prefixLength));
}
