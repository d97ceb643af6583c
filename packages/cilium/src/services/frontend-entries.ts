import type { Origin } from "@cnilab/core";
import { familyOf, type IpAddress, type IpFamily, isUnspecified, type Prefix } from "@cnilab/net";
import type { LbService as ServiceValue } from "../datapath/maps/lb-maps.ts";
import { addressNumber } from "../datapath/maps/map-key.ts";
import { type MaglevBackend, maglevTable } from "../maglev/maglev.ts";
import type { MaglevConfig } from "../maglev/maglev-config.ts";
import { protocolNumber } from "../policy/policy-map-key.ts";
import { type Backend, compareBackends, DEFAULT_BACKEND_WEIGHT } from "./backend.ts";
import { type Frontend, LB_LOOKUP_SCOPE_INT, type LbService } from "./frontend.ts";
import type { LbConfig } from "./lb-config.ts";
import { serviceFlags } from "./service-flags.ts";

/** Numbers that `enum lb_algorithm` has; 0 is as the agent is set. */
const LB_ALGORITHMS = { random: 1, maglev: 2 } as const;

/** A frontend at an address that all nodes have in their maps, or at an address of the node itself. */
export interface PlacedFrontend extends Frontend {
  /** Which of the node's addresses of the family it is; -1 where {@link Frontend.address} says it. */
  readonly nodeAddress: number;
}

/** A node as far as the choice of backends goes. */
export interface LbPlace {
  /** Its name; empty stands for nodes that have no backend of a Service. */
  readonly node: string;
  readonly zone: string | undefined;
}

/** What a frontend is known by in tables of frontends. */
export function frontendNumber(
  address: IpAddress,
  nodeAddress: number,
  port: number,
  proto: number,
  scope: number,
): number {
  const who = nodeAddress < 0 ? addressNumber(address) : nodeAddress;
  const kind = (nodeAddress < 0 ? 0 : 2) + (typeof address === "number" ? 0 : 1);
  const protocol = proto === 6 ? 0 : proto === 17 ? 1 : proto === 132 ? 2 : 3;
  return ((kind * 2 ** 32 + who) * 65_536 + port) * 8 + protocol * 2 + scope;
}

/** One frontend in the maps of the nodes that choose its backends alike. */
export class FrontendEntries {
  readonly frontend: PlacedFrontend;
  readonly number: number;
  readonly family: IpFamily;
  readonly proto: number;
  readonly revNat: number;
  /** Values of `cilium_lb4_services_v2` by slot; one that could not be written is missing. */
  readonly slots: readonly (ServiceValue | undefined)[];
  /** Ids of the backends that it has any use for. */
  readonly backendIds: readonly number[];
  /** Of them, those that clients with session affinity may come back to. */
  readonly affinity: ReadonlySet<number>;
  readonly sourceRanges: readonly Prefix[];
  readonly origin: Origin | undefined;
  /** Nothing of it failed to be written: it has a way back, ranges and its slot 0. */
  readonly isComplete: boolean;
  readonly #maglev: readonly MaglevBackend[] | undefined;
  readonly #config: MaglevConfig;
  #table: Uint32Array | undefined;

  constructor(
    fields: Pick<
      FrontendEntries,
      "frontend" | "revNat" | "slots" | "backendIds" | "affinity" | "sourceRanges" | "origin"
    >,
    maglev: readonly MaglevBackend[] | undefined,
    config: MaglevConfig,
    isComplete = true,
  ) {
    const { address, nodeAddress, port, protocol, scope } = fields.frontend;
    this.frontend = fields.frontend;
    this.family = familyOf(address);
    this.proto = protocolNumber(protocol);
    this.number = frontendNumber(address, nodeAddress, port, this.proto, scope);
    this.revNat = fields.revNat;
    this.slots = fields.slots;
    this.backendIds = fields.backendIds;
    this.affinity = fields.affinity;
    this.sourceRanges = fields.sourceRanges;
    this.origin = fields.origin;
    this.isComplete = isComplete;
    this.#maglev = maglev;
    this.#config = config;
  }

  /** How many entries it has in the map of services. */
  get size(): number {
    let size = 0;
    for (const slot of this.slots) if (slot !== undefined) size++;
    return size;
  }

  get hasMaglev(): boolean {
    return this.#maglev !== undefined;
  }

  /** Worked out when somebody first looks: tables of ten thousand Services are hundreds of megabytes. */
  get maglev(): Uint32Array | undefined {
    if (this.#maglev === undefined) return undefined;
    this.#table ??= maglevTable(this.#maglev, this.#config);
    return this.#table;
  }

  /** The same where the map was full: what is left of `before`, and the slots that there was room for. */
  cutOff(room: number, before: FrontendEntries | undefined): FrontendEntries {
    const slots: (ServiceValue | undefined)[] = [before?.slots[0]];
    for (let slot = 1; slot < this.slots.length; slot++) {
      const isThere = before?.slots[slot] !== undefined;
      if (!isThere && room-- <= 0) break;
      slots.push(this.slots[slot]);
    }
    for (let slot = slots.length; slot < (before?.slots.length ?? 0); slot++) {
      slots.push(before?.slots[slot]);
    }
    return new FrontendEntries(
      {
        ...this.#fields(),
        slots,
        sourceRanges: before?.sourceRanges ?? [],
        affinity: before?.affinity ?? new Set(),
      },
      undefined,
      this.#config,
      before?.isComplete ?? false,
    );
  }

  #fields() {
    const { frontend, revNat, slots, backendIds, affinity, sourceRanges, origin } = this;
    return { frontend, revNat, slots, backendIds, affinity, sourceRanges, origin };
  }
}

export interface FrontendNumbers {
  readonly revNat: number;
  /** Of a backend that the frontend selects. */
  backendId(backend: Backend): number;
}

/** A frontend as the maps have it (pkg/loadbalancer/reconciler bpf_reconciler.go updateFrontend). */
export function frontendEntries(
  service: LbService,
  frontend: PlacedFrontend,
  all: readonly Backend[],
  place: LbPlace,
  numbers: FrontendNumbers,
  config: LbConfig,
): FrontendEntries {
  const { revNat } = numbers;
  const family = familyOf(frontend.address);
  const selected = selectBackends(service, frontend, all, place, config).sort(compareBackends);
  const flags = flagsOf(service, frontend, config);
  const { origin } = service;
  // The flag of a service says what is asked for; whether the agent does it is another matter.
  const affinityTimeout = (config.sessionAffinity ? service.affinityTimeout : undefined) ?? 0;
  const backendIds = selected.map((backend) => numbers.backendId(backend));
  const affinity = new Set<number>();
  const slots: ServiceValue[] = [];
  const counts = { active: 0, terminating: 0, other: 0 };
  selected.forEach(({ state }, i) => {
    if (state === "maintenance") return;
    counts[state === "active" || state === "terminating" ? state : "other"]++;
    const backendId = backendIds[i] as number;
    slots.push({
      backendId,
      affinityTimeout: 0,
      algorithm: 0,
      count: 0,
      qcount: 0,
      revNat,
      flags,
      origin,
    });
    if (affinityTimeout > 0 && state === "active") affinity.add(backendId);
  });
  // Terminating ones serve where there is nobody else (KEP-1669).
  const serving = counts.active > 0 ? counts.active : counts.terminating;
  slots.unshift({
    backendId: 0,
    affinityTimeout,
    algorithm: service.algorithm === undefined ? 0 : LB_ALGORITHMS[service.algorithm],
    count: serving,
    qcount: slots.length - serving,
    revNat,
    flags,
    origin,
  });
  const maglev =
    serving > 0 && usesMaglev(service, frontend, config)
      ? selected.slice(0, serving).map(({ address, port, protocol }, i) => ({
          id: backendIds[i] as number,
          address,
          port,
          protocol,
          weight: DEFAULT_BACKEND_WEIGHT,
        }))
      : undefined;
  const ranges = config.nodePort && config.sourceRanges ? service.sourceRanges : [];
  return new FrontendEntries(
    {
      frontend,
      revNat,
      slots,
      backendIds,
      affinity,
      sourceRanges: ranges.filter((prefix) => prefix.family === family),
      origin,
    },
    maglev,
    config.maglev,
  );
}

function flagsOf(
  service: LbService,
  { type, address, protocol, nodeAddress }: PlacedFrontend,
  { externalClusterIp, sourceRangeAllTypes, mode }: LbConfig,
): number {
  const sourceRange =
    service.sourceRanges.length > 0 && (sourceRangeAllTypes || type === "LoadBalancer");
  const byDefault = mode === "hybrid" ? (protocol === "TCP" ? "dsr" : "snat") : mode;
  const isSurrogate = nodeAddress < 0 && isUnspecified(address);
  return serviceFlags({
    type,
    extLocal: service.extLocal,
    intLocal: service.intLocal,
    affinity: service.affinityTimeout !== undefined,
    routable: !isSurrogate && (type !== "ClusterIP" || externalClusterIp),
    sourceRange,
    sourceRangeDeny: sourceRange && service.sourceRangesDeny,
    loopback: service.loopbackHostPort || service.delegateIfLocal,
    dsr: (service.forwardingMode ?? byDefault) === "dsr",
  });
}

/** Whether nodes choose its backends by where they are. */
export function isLocalFrontend(service: LbService, frontend: Frontend): boolean {
  if (frontend.type === "HostPort") return false;
  const isInternal = frontend.scope === LB_LOOKUP_SCOPE_INT || frontend.type === "ClusterIP";
  return isInternal ? service.intLocal : service.extLocal;
}

/** Whether a backend is one of the frontend's, wherever it is. */
export function isBehind(frontend: Frontend, backend: Backend): boolean {
  return (
    backend.protocol === frontend.protocol &&
    familyOf(backend.address) === familyOf(frontend.address) &&
    (frontend.portName === "" ||
      backend.portNames.length === 0 ||
      backend.portNames.includes(frontend.portName))
  );
}

/** Whether hints count: where every backend has some and one is for this zone. */
export function usesHints(
  service: LbService,
  all: readonly Backend[],
  zone: string,
  config: LbConfig,
): boolean {
  return (
    config.serviceTopology &&
    service.preferClose &&
    all.every(({ forZones }) => forZones.length > 0) &&
    all.some(({ forZones }) => forZones.includes(zone))
  );
}

/** Who answers at a frontend (pkg/loadbalancer/writer DefaultSelectBackends). */
function selectBackends(
  service: LbService,
  frontend: Frontend,
  all: readonly Backend[],
  { node, zone }: LbPlace,
  config: LbConfig,
): Backend[] {
  const onlyLocal = isLocalFrontend(service, frontend);
  const byZone = zone !== undefined && usesHints(service, all, zone, config) ? zone : undefined;
  return all.filter(
    (backend) =>
      isBehind(frontend, backend) &&
      (!onlyLocal || backend.node === "" || backend.node === node) &&
      (byZone === undefined || backend.forZones.includes(byZone)),
  );
}

/** Only what the network may ask for is worth a table. */
function usesMaglev(
  { algorithm }: LbService,
  { type, address, nodeAddress }: PlacedFrontend,
  config: LbConfig,
): boolean {
  if (nodeAddress < 0 && isUnspecified(address)) return false;
  if (algorithm !== undefined) return algorithm === "maglev";
  return config.algorithm === "maglev" && (type !== "ClusterIP" || config.externalClusterIp);
}
