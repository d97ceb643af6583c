import { familyOf, isUnspecified } from "@cnilab/net";
import { maglevTable } from "../maglev/maglev.ts";
import {
  BACKEND_STATE_FLAGS,
  type Backend,
  backendKey,
  compareBackends,
  DEFAULT_BACKEND_WEIGHT,
} from "./backend.ts";
import { type Frontend, formatFrontend, LB_LOOKUP_SCOPE_INT, type LbService } from "./frontend.ts";
import { IdAllocator } from "./id-allocator.ts";
import type { LbConfig } from "./lb-config.ts";
import {
  type AffinityMatchEntry,
  type BackendEntry,
  type MaglevEntry,
  NO_ENTRIES,
  type RevNatEntry,
  type ServiceEntries,
  type ServiceEntry,
  type SourceRangeEntry,
} from "./lb-maps.ts";
import { serviceFlags } from "./service-flags.ts";

/** Numbers that `enum lb_algorithm` has; 0 is as the agent is set. */
const LB_ALGORITHMS = { random: 1, maglev: 2 } as const;
const MAX_REV_NAT = 0xffff;
const MAX_BACKEND = 0xffffffff;

interface KnownBackend {
  readonly entry: BackendEntry;
  /** Names of the Services that it is behind. */
  readonly services: Set<string>;
}

/**
 * Services as one node's load balancing maps have them (pkg/loadbalancer/reconciler bpf_reconciler.go). Numbers are given
 * as Services come and stay while they do, so a Service can be put anew without touching others.
 */
export class ServiceMaps {
  readonly #config: LbConfig;
  readonly #serviceIds = new IdAllocator(MAX_REV_NAT);
  readonly #backendIds = new IdAllocator(MAX_BACKEND);
  readonly #services = new Map<string, ServiceEntries>();
  readonly #frontends = new Map<string, readonly string[]>();
  readonly #behind = new Map<string, readonly string[]>();
  readonly #backends = new Map<string, KnownBackend>();

  constructor(config: LbConfig) {
    this.#config = config;
  }

  /** What each Service has in the maps, by name. */
  get services(): ReadonlyMap<string, ServiceEntries> {
    return this.#services;
  }

  *backends(): Iterable<BackendEntry> {
    for (const { entry } of this.#backends.values()) yield entry;
  }

  /** Puts a Service, new or changed. @returns what it has in the maps now */
  put(service: LbService, backends: readonly Backend[]): ServiceEntries {
    const frontends = service.frontends.flatMap((frontend) => this.#expanded(frontend));
    const names = frontends.map(formatFrontend);
    for (const gone of this.#frontends.get(service.name) ?? []) {
      if (!names.includes(gone)) this.#serviceIds.release(gone);
    }
    this.#frontends.set(service.name, names);
    const used = new Set<string>();
    const entries: MutableEntries = {
      services: [],
      revNat: [],
      affinityMatch: [],
      sourceRanges: [],
      maglev: [],
    };
    for (const frontend of frontends) this.#frontend(service, frontend, backends, entries, used);
    for (const key of this.#behind.get(service.name) ?? []) {
      if (!used.has(key)) this.#releaseBackend(key, service.name);
    }
    this.#behind.set(service.name, [...used]);
    this.#services.set(service.name, entries);
    return entries;
  }

  /** The Service is gone. @returns what it had in the maps */
  delete(name: string): ServiceEntries {
    const had = this.#services.get(name) ?? NO_ENTRIES;
    for (const frontend of this.#frontends.get(name) ?? []) this.#serviceIds.release(frontend);
    for (const key of this.#behind.get(name) ?? []) this.#releaseBackend(key, name);
    this.#frontends.delete(name);
    this.#behind.delete(name);
    this.#services.delete(name);
    return had;
  }

  /** A NodePort, and a host port that names no address, answer at every address of the node, too. */
  #expanded(frontend: Frontend): Frontend[] {
    const { type, address } = frontend;
    if (type !== "NodePort" && !(type === "HostPort" && isUnspecified(address))) return [frontend];
    const family = familyOf(address);
    const own = this.#config.nodePortAddresses.filter((each) => familyOf(each) === family);
    return [frontend, ...own.map((each) => ({ ...frontend, address: each }))];
  }

  #frontend(
    service: LbService,
    frontend: Frontend,
    all: readonly Backend[],
    entries: MutableEntries,
    used: Set<string>,
  ): void {
    const revNat = this.#serviceIds.acquire(formatFrontend(frontend));
    // Out of numbers: the agent warns, and the frontend is not served.
    if (revNat === undefined) return;
    const flags = this.#flags(service, frontend);
    const { address, port, protocol, scope } = frontend;
    const key = { address, port, protocol, scope } as const;
    const selected = this.#select(service, frontend, all).sort(compareBackends);
    // Without kube-proxy's work the agent does not keep clients to their backends, nor ranges from services.
    const { kubeProxyReplacement } = this.#config;
    const affinityTimeout = (kubeProxyReplacement ? service.affinityTimeout : undefined) ?? 0;
    const inSlots = selected.filter(({ state }) => state !== "maintenance");
    const ids = selected.map((backend) => this.#backend(backend, service.name, used));
    inSlots.forEach(({ state }, i) => {
      const backendId = ids[i] as number;
      entries.services.push({
        ...key,
        slot: i + 1,
        backendId,
        affinityTimeout: 0,
        algorithm: 0,
        count: 0,
        qcount: 0,
        revNat,
        flags,
      });
      if (affinityTimeout > 0 && state === "active") {
        entries.affinityMatch.push({ revNat, backendId });
      }
    });
    const active = count(inSlots, "active");
    // Terminating ones serve where there is nobody else (KEP-1669).
    const serving = active > 0 ? active : count(inSlots, "terminating");
    entries.services.push({
      ...key,
      slot: 0,
      backendId: 0,
      affinityTimeout,
      algorithm: service.algorithm === undefined ? 0 : LB_ALGORITHMS[service.algorithm],
      count: serving,
      qcount: inSlots.length - serving,
      revNat,
      flags,
    });
    entries.revNat.push({ revNat, address, port });
    for (const prefix of kubeProxyReplacement ? service.sourceRanges : []) {
      if (prefix.family === familyOf(address)) entries.sourceRanges.push({ revNat, prefix });
    }
    if (serving > 0 && this.#usesMaglev(service, frontend)) {
      const backends = selected.slice(0, serving).map((backend, i) => ({
        id: ids[i] as number,
        address: backend.address,
        port: backend.port,
        protocol: backend.protocol,
        weight: DEFAULT_BACKEND_WEIGHT,
      }));
      const table = maglevTable(backends, this.#config.maglev);
      entries.maglev.push({ revNat, family: familyOf(address), table });
    }
  }

  #flags(service: LbService, { type, address, protocol }: Frontend): number {
    const { externalClusterIp, sourceRangeAllTypes, mode } = this.#config;
    const sourceRange =
      service.sourceRanges.length > 0 && (sourceRangeAllTypes || type === "LoadBalancer");
    const byDefault = mode === "hybrid" ? (protocol === "TCP" ? "dsr" : "snat") : mode;
    return serviceFlags({
      type,
      extLocal: service.extLocal,
      intLocal: service.intLocal,
      affinity: service.affinityTimeout !== undefined,
      routable: !isUnspecified(address) && (type !== "ClusterIP" || externalClusterIp),
      sourceRange,
      sourceRangeDeny: sourceRange && service.sourceRangesDeny,
      loopback: service.loopbackHostPort,
      dsr: (service.forwardingMode ?? byDefault) === "dsr",
    });
  }

  /** Who answers at a frontend (pkg/loadbalancer/writer DefaultSelectBackends). */
  #select(service: LbService, frontend: Frontend, all: readonly Backend[]): Backend[] {
    const { node, zone, serviceTopology } = this.#config;
    const family = familyOf(frontend.address);
    const isInternal = frontend.scope === LB_LOOKUP_SCOPE_INT || frontend.type === "ClusterIP";
    const onlyLocal =
      frontend.type !== "HostPort" && (isInternal ? service.intLocal : service.extLocal);
    // Hints count where every backend has some and one is for this zone.
    const byZone =
      serviceTopology &&
      service.preferClose &&
      zone !== undefined &&
      all.every(({ forZones }) => forZones.length > 0) &&
      all.some(({ forZones }) => forZones.includes(zone));
    return all.filter(
      (backend) =>
        backend.protocol === frontend.protocol &&
        familyOf(backend.address) === family &&
        (!onlyLocal || backend.node === "" || backend.node === node) &&
        (!byZone || backend.forZones.includes(zone)) &&
        (frontend.portName === "" ||
          backend.portNames.length === 0 ||
          backend.portNames.includes(frontend.portName)),
    );
  }

  /** Only what the network may ask for is worth a table. */
  #usesMaglev({ algorithm }: LbService, { type, address }: Frontend): boolean {
    if (isUnspecified(address)) return false;
    if (algorithm !== undefined) return algorithm === "maglev";
    return (
      this.#config.algorithm === "maglev" &&
      (type !== "ClusterIP" || this.#config.externalClusterIp)
    );
  }

  #backend(backend: Backend, service: string, used: Set<string>): number {
    const key = backendKey(backend);
    used.add(key);
    const known = this.#backends.get(key);
    const id = known?.entry.id ?? (this.#backendIds.acquire(key) as number);
    const { address, port, protocol } = backend;
    const state = BACKEND_STATE_FLAGS[backend.state];
    const services = known?.services ?? new Set<string>();
    services.add(service);
    if (known?.entry.state !== state) {
      this.#backends.set(key, { entry: { id, address, port, protocol, state }, services });
    }
    return id;
  }

  #releaseBackend(key: string, service: string): void {
    const known = this.#backends.get(key);
    known?.services.delete(service);
    if (known === undefined || known.services.size > 0) return;
    this.#backends.delete(key);
    this.#backendIds.release(key);
  }
}

interface MutableEntries {
  readonly services: ServiceEntry[];
  readonly revNat: RevNatEntry[];
  readonly affinityMatch: AffinityMatchEntry[];
  readonly sourceRanges: SourceRangeEntry[];
  readonly maglev: MaglevEntry[];
}

function count(backends: readonly Backend[], state: Backend["state"]): number {
  return backends.filter((backend) => backend.state === state).length;
}
