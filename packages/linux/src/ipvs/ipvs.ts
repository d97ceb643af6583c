import type { Origin } from "@cnilab/core";
import {
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type IpFamily,
  isLinkLocal,
  isMulticast,
  isUnspecified,
} from "@cnilab/net";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { registerDefrag } from "../netfilter/conntrack/conntrack-hooks.ts";
import { HashChains } from "./hash-chains.ts";
import { registerIpvsHooks, unregisterIpvsHooks } from "./hooks.ts";
import { IP_VS_CONN_F_NFCT, type IpVsConn } from "./ip-vs-conn.ts";
import { IpVsConnTable } from "./ip-vs-conn-table.ts";
import { dropConntrack } from "./ip-vs-conntrack.ts";
import { IpVsDest, type IpVsDestSpec } from "./ip-vs-dest.ts";
import type { IpVsProtocol } from "./ip-vs-protocol.ts";
import {
  IpVsService,
  type IpVsServiceKey,
  type IpVsServiceSettings,
  serviceHash,
} from "./ip-vs-service.ts";
import { IpVsStats } from "./ip-vs-stats.ts";
import { IpvsSettings } from "./ipvs-settings.ts";
import { ipvsadm, restoreIpvs } from "./ipvsadm.ts";
import { listConnections, listIpvs } from "./ipvsadm-list.ts";
import { saveIpvs } from "./ipvsadm-save.ts";
import { IpVsSctp } from "./sctp.ts";
import { IP_VS_TCP_S_ESTABLISHED, IP_VS_TCP_S_FIN_WAIT, IpVsTcp } from "./tcp.ts";
import { IpVsUdp } from "./udp.ts";

/** Milliseconds for which a deleted server without connections can be brought back with its counters. */
const DEST_TRASH_PERIOD = 120_000;
/** Milliseconds until connections to deleted servers are ended: one tick of the kernel's timer. */
const EXPIRE_NODEST_MS = 4;

/** How long connections live, in seconds; what is absent or 0 stays (`ipvsadm --set`). */
export interface IpvsTimeouts {
  readonly tcp?: number;
  readonly tcpFin?: number;
  readonly udp?: number;
}

/** The IP virtual servers of one namespace (net/netfilter/ipvs, Linux 6.1). */
export class Ipvs {
  readonly netns: NetNamespace;
  readonly connections: IpVsConnTable;
  /** Of all services together. */
  readonly stats: IpVsStats = new IpVsStats();
  readonly tcp: IpVsProtocol = new IpVsTcp(() => this.settings.sloppyTcp);
  readonly udp: IpVsProtocol = new IpVsUdp();
  readonly sctp: IpVsProtocol = new IpVsSctp(() => this.settings.sloppySctp);
  readonly #services = new HashChains<IpVsService>();
  readonly #markServices = new HashChains<IpVsService>();
  /** Services for all ports. */
  #anyPort = 0;
  readonly #count: Record<IpFamily, number> = { 4: 0, 6: 0 };
  /** Servers that were deleted, and since when they have no connections. */
  readonly #trash = new Map<IpVsDest, number | undefined>();
  #trashTimer = false;
  #expireNodest = false;
  #settings: IpvsSettings;

  constructor(netns: NetNamespace) {
    this.netns = netns;
    this.#settings = new IpvsSettings(netns.sysctl);
    this.connections = new IpVsConnTable(netns.network.clock, (conn) => this.#ended(conn));
  }

  get settings(): IpvsSettings {
    if (!this.#settings.isCurrent) this.#settings = new IpvsSettings(this.netns.sysctl);
    return this.#settings;
  }

  /** What is known of a transport protocol; `undefined` for those that are left alone. */
  protocol(number: number): IpVsProtocol | undefined {
    if (number === IPPROTO_TCP) return this.tcp;
    if (number === IPPROTO_UDP) return this.udp;
    return number === IPPROTO_SCTP ? this.sctp : undefined;
  }

  // Text, as ipvsadm 1.31 has it

  /** `ipvsadm -R` of what `ipvsadm -S` has printed; for lines that fail see {@link IpvsadmError}. */
  restore(text: string, options: { readonly origin?: Origin } = {}): void {
    restoreIpvs(this, text, options.origin);
  }

  /** One command line: `-a -t 10.96.0.10:80 -r 10.244.1.2:8080 -m`. @throws IpvsadmError */
  command(line: string, options: { readonly origin?: Origin } = {}): void {
    ipvsadm(this, line, options.origin);
  }

  /** `ipvsadm -Sn` */
  save(): string {
    return saveIpvs(this.services());
  }

  /** `ipvsadm -Ln`, or with `--stats`. */
  list({ stats = false }: { readonly stats?: boolean } = {}): string {
    return listIpvs(this, stats);
  }

  /** `ipvsadm -Lnc` */
  listConnections(): string {
    this.netns.network.settleFlows();
    return listConnections(this);
  }

  // Virtual services

  /** In no order that means anything. */
  *services(): Generator<IpVsService> {
    this.netns.network.settleFlows();
    yield* this.#services;
    yield* this.#markServices;
  }

  get serviceCount(): number {
    return this.#services.size + this.#markServices.size;
  }

  findService(key: IpVsServiceKey): IpVsService | undefined {
    if ("fwmark" in key) return this.#findMarked(key.family, key.fwmark);
    return this.#find(key.protocol, key.address, key.port);
  }

  /** The service that a packet is for: by its mark first, then by its destination (`ip_vs_service_find`). */
  serviceOf(
    family: IpFamily,
    mark: number,
    protocol: number,
    vaddr: IpAddress,
    vport: number,
  ): IpVsService | undefined {
    const marked = mark === 0 ? undefined : this.#findMarked(family, mark);
    if (marked !== undefined) return marked;
    const found = this.#find(protocol, vaddr, vport);
    if (found !== undefined || this.#anyPort === 0) return found;
    return this.#find(protocol, vaddr, 0);
  }

  /** `ipvsadm -A`. @throws KernelError EEXIST */
  addService(key: IpVsServiceKey, settings: IpVsServiceSettings, origin?: Origin): IpVsService {
    if (this.findService(key) !== undefined) throw new KernelError("EEXIST", "virtual service");
    const service = new IpVsService(key, settings, origin);
    const { family } = service;
    if (this.#count[family]++ === 0) {
      if (family === 6) registerDefrag(this.netns, 6);
      registerIpvsHooks(this, family);
    }
    if (service.fwmark !== 0) this.#markServices.add(service);
    else this.#services.add(service);
    if (service.port === 0 && service.fwmark === 0) this.#anyPort++;
    this.#changed();
    return service;
  }

  /** `ipvsadm -E` */
  editService(service: IpVsService, settings: IpVsServiceSettings): void {
    service.update(settings);
    this.#changed();
  }

  /** `ipvsadm -D`; connections stay until they end or a packet of theirs comes. */
  deleteService(service: IpVsService): void {
    const table = service.fwmark === 0 ? this.#services : this.#markServices;
    if (!table.delete(service)) throw new KernelError("ESRCH", "virtual service");
    for (const dest of service.destinations) {
      dest.available = false;
      this.#discard(dest);
    }
    service.destinations = [];
    if (service.port === 0 && service.fwmark === 0) this.#anyPort--;
    if (--this.#count[service.family] === 0) unregisterIpvsHooks(this, service.family);
    this.#changed();
  }

  /** `ipvsadm -C` */
  flush(): void {
    for (const service of [...this.services()]) this.deleteService(service);
  }

  /** `ipvsadm -Z`, of one service or all. */
  zero(service?: IpVsService): void {
    for (const each of service === undefined ? this.services() : [service]) {
      each.stats.zero();
      for (const dest of each.destinations) dest.stats.zero();
    }
    if (service === undefined) this.stats.zero();
  }

  // Real servers

  /** `ipvsadm -a`. @throws KernelError EEXIST, EINVAL for an address that no host has, ERANGE */
  addDest(service: IpVsService, spec: IpVsDestSpec): IpVsDest {
    checkNumbers(spec);
    if (service.findDest(spec.address, spec.port) !== undefined) {
      throw new KernelError("EEXIST", "real server");
    }
    const old = this.#fromTrash(service, spec);
    if (old === undefined) this.#checkAddress(spec.address);
    const dest = old ?? new IpVsDest(service, spec);
    dest.update(spec, true);
    service.link(dest);
    this.#changed();
    return dest;
  }

  /** `ipvsadm -e`. @throws KernelError ENOENT, ERANGE */
  editDest(service: IpVsService, spec: IpVsDestSpec): IpVsDest {
    checkNumbers(spec);
    const dest = service.findDest(spec.address, spec.port);
    if (dest === undefined) throw new KernelError("ENOENT", "real server");
    dest.update(spec, false);
    service.scheduler.destsChanged?.();
    this.#changed();
    return dest;
  }

  /** `ipvsadm -d`. @throws KernelError ENOENT */
  deleteDest(service: IpVsService, address: IpAddress, port: number): void {
    const dest = service.findDest(address, port);
    if (dest === undefined) throw new KernelError("ENOENT", "real server");
    service.unlink(dest);
    this.#discard(dest);
    this.#changed();
  }

  // Connections

  /** Seconds that connections live: TCP, TCP that is being closed, UDP. */
  get timeouts(): Required<IpvsTimeouts> {
    const seconds = (ms: number | undefined): number => (ms as number) / 1000;
    return {
      tcp: seconds(this.tcp.timeouts[IP_VS_TCP_S_ESTABLISHED]),
      tcpFin: seconds(this.tcp.timeouts[IP_VS_TCP_S_FIN_WAIT]),
      udp: seconds(this.udp.timeouts[0]),
    };
  }

  set timeouts({ tcp = 0, tcpFin = 0, udp = 0 }: IpvsTimeouts) {
    if (tcp > 0) this.tcp.timeouts[IP_VS_TCP_S_ESTABLISHED] = 1000 * tcp;
    if (tcpFin > 0) this.tcp.timeouts[IP_VS_TCP_S_FIN_WAIT] = 1000 * tcpFin;
    if (udp > 0) this.udp.timeouts[0] = 1000 * udp;
    this.#changed();
  }

  #ended(conn: IpVsConn): void {
    if (conn.has(IP_VS_CONN_F_NFCT)) dropConntrack(this.netns, conn);
  }

  #find(protocol: number, vaddr: IpAddress, vport: number): IpVsService | undefined {
    let service = this.#services.chain(serviceHash(protocol, vaddr, vport));
    for (; service !== undefined; service = service.next) {
      if (service.address === vaddr && service.port === vport && service.protocol === protocol) {
        return service;
      }
    }
    return undefined;
  }

  #findMarked(family: IpFamily, mark: number): IpVsService | undefined {
    let service = this.#markServices.chain(mark);
    for (; service !== undefined; service = service.next) {
      if (service.fwmark === mark && service.family === family) return service;
    }
    return undefined;
  }

  /** A real server has an address that a host can have, or one of this machine's own. */
  #checkAddress(address: IpAddress): void {
    const isGroup = isUnspecified(address) || isMulticast(address);
    if (typeof address === "number") {
      const type = this.netns.fib4.addressType(address);
      if (!isGroup && (type === "unicast" || type === "local")) return;
    } else if (!(isGroup || isLinkLocal(address)) || this.netns.isLocalAddress(address)) {
      return;
    }
    throw new KernelError("EINVAL", "address of the real server");
  }

  /** A deleted server of this service that still has connections, or had some a short time ago. */
  #fromTrash(service: IpVsService, { address, port }: IpVsDestSpec): IpVsDest | undefined {
    for (const dest of this.#trash.keys()) {
      if (dest.address !== address || dest.port !== port) continue;
      if (!isSameKey(dest.service, service)) continue;
      this.#trash.delete(dest);
      if (dest.service !== service) dest.stats.zero();
      dest.service = service;
      return dest;
    }
    return undefined;
  }

  #discard(dest: IpVsDest): void {
    this.#trash.set(dest, undefined);
    this.#emptyTrashLater();
    if (this.settings.expireNodestConn) this.#expireNodestConns();
  }

  #emptyTrashLater(): void {
    if (this.#trashTimer) return;
    this.#trashTimer = true;
    const empty = () => {
      this.#trashTimer = false;
      this.#emptyTrash();
      if (this.#trash.size > 0) this.#emptyTrashLater();
    };
    this.netns.network.clock.schedule(DEST_TRASH_PERIOD / 2, empty, { background: true });
  }

  /** `ip_vs_dest_trash_expire` */
  #emptyTrash(): void {
    const { now } = this.netns.network.clock;
    for (const [dest, idleSince] of this.#trash) {
      if (!dest.isIdle) continue;
      if (idleSince === undefined) this.#trash.set(dest, now);
      else if (now - idleSince >= DEST_TRASH_PERIOD) this.#trash.delete(dest);
    }
  }

  /** Ends the connections to servers that were deleted (`ip_vs_expire_nodest_conn_flush`). */
  #expireNodestConns(): void {
    if (this.#expireNodest) return;
    this.#expireNodest = true;
    const { network } = this.netns;
    const flush = () => {
      this.#expireNodest = false;
      for (const conn of this.connections.entries()) {
        if (conn.dest.available || conn.controlled > 0) continue;
        if (conn.control !== undefined) conn.timeoutMs = 0;
        this.connections.expire(conn);
        if (conn.control?.controlled === 0) this.connections.expire(conn.control);
      }
    };
    network.clock.schedule(EXPIRE_NODEST_MS, flush, { background: true });
  }

  #changed(): void {
    this.netns.network.touch();
  }
}

function checkNumbers({ weight = 1, upperThreshold = 0, lowerThreshold = 0 }: IpVsDestSpec): void {
  if (weight < 0) throw new KernelError("ERANGE", `weight ${weight}`);
  if (lowerThreshold > upperThreshold) {
    throw new KernelError("ERANGE", `lower threshold ${lowerThreshold} above ${upperThreshold}`);
  }
}

function isSameKey(x: IpVsService, y: IpVsService): boolean {
  return (
    x.fwmark === y.fwmark &&
    x.protocol === y.protocol &&
    x.address === y.address &&
    x.port === y.port &&
    x.family === y.family
  );
}
