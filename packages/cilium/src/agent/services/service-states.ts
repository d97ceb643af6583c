import { type EndpointSlice, objectKey, type Service, type Snapshot } from "@cnilab/core";
import { type Network, SharedLpmEntries } from "@cnilab/linux";
import { familyOf, type IpFamily, isUnspecified, type Prefix } from "@cnilab/net";
import {
  encodeSourceRange,
  type LbBackend,
  type LbSourceRangeKey,
  lbServiceKeyText,
  lbServiceText,
} from "../../datapath/maps/lb-maps.ts";
import { protocolNumber } from "../../policy/policy-map-key.ts";
import {
  BACKEND_STATE_FLAGS,
  type Backend,
  backendKey,
  backendsOf,
  compareBackends,
} from "../../services/backend.ts";
import type { Frontend, LbService } from "../../services/frontend.ts";
import {
  type FrontendEntries,
  frontendEntries,
  frontendNumber,
  isBehind,
  isLocalFrontend,
  type PlacedFrontend,
} from "../../services/frontend-entries.ts";
import { lbService } from "../../services/kubernetes-services.ts";
import type { LbConfig } from "../../services/lb-config.ts";
import { BucketMap } from "./bucket-map.ts";
import { EntryCounts } from "./entry-counts.ts";
import { ServiceEntry } from "./service-entry.ts";
import { healthCheckPort } from "./service-health-servers.ts";
import { ServiceNumbers } from "./service-numbers.ts";

export type SourceRanges = SharedLpmEntries<LbSourceRangeKey, true>;

export interface NumberedBackend {
  readonly id: number;
  readonly value: LbBackend;
}

/** Something that an agent could not do, as it logs it. */
export interface FrontendProblem {
  readonly service: string;
  /** `10.96.0.10:80/TCP`. */
  readonly frontend: string;
  readonly error: string;
}

/** What the maps of all nodes hold of Services at one moment. Immutable; shared by the nodes that have seen the same. */
export interface ServiceState {
  readonly services: ReadonlyMap<string, ServiceEntry>;
  /** Frontends as nodes have them that have nothing of their own to say. */
  readonly frontends: BucketMap<FrontendEntries>;
  readonly byRevNat: BucketMap<FrontendEntries>;
  readonly backends: BucketMap<NumberedBackend>;
  readonly backendCounts: Readonly<Record<IpFamily, number>>;
  readonly counts: EntryCounts;
  readonly sourceRanges: Readonly<Record<IpFamily, SourceRanges | undefined>>;
  /** Services of which nodes have entries of their own, by node and by zone. */
  readonly byNode: ReadonlyMap<string, readonly ServiceEntry[]>;
  readonly byZone: ReadonlyMap<string, readonly ServiceEntry[]>;
  /** Those that are for nodes with certain labels. */
  readonly forSome: readonly ServiceEntry[];
  /** Those that ask for a server at their `healthCheckNodePort`. */
  readonly healthChecked: readonly ServiceEntry[];
  readonly problems: readonly FrontendProblem[];
}

interface KnownBackend {
  readonly id: number;
  value: LbBackend;
  /** Services that all nodes have it for. */
  readonly services: Set<string>;
}

/** A frontend that is in the maps, or was when there was room. */
interface Placement {
  readonly service: string;
  entries: FrontendEntries;
  /** Entries that it takes in the map of services, on the node where it takes the most. */
  slots: number;
}

interface Failure {
  readonly service: string;
  readonly entries: FrontendEntries;
  readonly slots: number;
  readonly error: string;
}

const SERVICE_NAME = "kubernetes.io/service-name";
const HEADLESS = "service.kubernetes.io/headless";
const NO_SLICES: readonly EndpointSlice[] = [];

/**
 * Turns what the API server has of Services into what goes into maps, once for all nodes: a Service that did not change
 * keeps its entries, and nodes that see the same snapshots get the same state.
 */
export class ServiceStates {
  readonly config: LbConfig;
  readonly numbers: ServiceNumbers = new ServiceNumbers();
  readonly #network: Network;
  #made = new WeakMap<Snapshot<Service>, WeakMap<Snapshot<EndpointSlice>, ServiceState>>();
  readonly #slicesByService = new WeakMap<
    Snapshot<EndpointSlice>,
    ReadonlyMap<string, readonly EndpointSlice[]>
  >();
  #services: ReadonlyMap<string, ServiceEntry> = new Map();
  readonly #placed = new Map<number, Placement>();
  readonly #failed = new Map<number, Failure>();
  readonly #unnumbered = new Map<string, readonly Frontend[]>();
  readonly #backends = new Map<string, KnownBackend>();
  readonly #used: Record<IpFamily, { services: number; ranges: number }> = {
    4: { services: 0, ranges: 0 },
    6: { services: 0, ranges: 0 },
  };
  /** The most addresses of a family that a node has for NodePorts. */
  readonly #nodeAddresses: Record<IpFamily, number> = { 4: 1, 6: 1 };
  #last: ServiceState = {
    services: new Map(),
    frontends: new BucketMap(),
    byRevNat: new BucketMap(),
    backends: new BucketMap(),
    backendCounts: { 4: 0, 6: 0 },
    counts: new EntryCounts(),
    sourceRanges: { 4: undefined, 6: undefined },
    byNode: new Map(),
    byZone: new Map(),
    forSome: [],
    healthChecked: [],
    problems: [],
  };

  constructor(network: Network, config: LbConfig) {
    this.#network = network;
    this.config = config;
  }

  /** A node has so many addresses of the family: where none had so many, states are made anew. */
  expectNodeAddresses(family: IpFamily, count: number): void {
    if (count <= this.#nodeAddresses[family]) return;
    this.#nodeAddresses[family] = count;
    this.#services = new Map();
    this.#made = new WeakMap();
  }

  of(services: Snapshot<Service>, slices: Snapshot<EndpointSlice>): ServiceState {
    let bySlices = this.#made.get(services);
    if (bySlices === undefined) {
      bySlices = new WeakMap();
      this.#made.set(services, bySlices);
    }
    let state = bySlices.get(slices);
    if (state === undefined) {
      state = this.make(services.objects.values(), this.#grouped(slices));
      bySlices.set(slices, state);
    }
    return state;
  }

  /** @param slices by `namespace/name` of their Service */
  make(
    services: Iterable<Service>,
    slices: ReadonlyMap<string, readonly EndpointSlice[]>,
  ): ServiceState {
    const entries = new Map<string, ServiceEntry>();
    const changed: ServiceEntry[] = [];
    for (const service of services) {
      const key = objectKey(service);
      const own = slices.get(key) ?? NO_SLICES;
      const known = this.#services.get(key);
      if (known !== undefined && known.object === service && sameItems(known.slices, own)) {
        entries.set(key, known);
      } else {
        const entry = this.#entry(key, service, own);
        entries.set(key, entry);
        changed.push(entry);
      }
    }
    const gone = [...this.#last.services].filter(([key]) => !entries.has(key));
    if (changed.length === 0 && gone.length === 0) return this.#last;
    this.#services = entries;
    this.#last = this.#next(entries, changed, gone);
    return this.#last;
  }

  /** A Service, or a pod's host port, with numbers for all that it has. */
  entryOf(
    object: Service | undefined,
    holder: string,
    service: LbService,
    backends: readonly Backend[],
    slices: readonly EndpointSlice[] = NO_SLICES,
  ): ServiceEntry {
    const frontends: PlacedFrontend[] = [];
    const unnumbered: Frontend[] = [];
    const ids = new Map<PlacedFrontend, number>();
    for (const frontend of service.frontends.flatMap((each) => this.#expanded(each))) {
      const id = this.numbers.holdFrontend(numberOf(frontend), holder);
      if (id === undefined) unnumbered.push(frontend);
      else {
        frontends.push(frontend);
        ids.set(frontend, id);
      }
    }
    if (unnumbered.length > 0) this.#unnumbered.set(holder, unnumbered);
    else this.#unnumbered.delete(holder);
    const behind = backends.filter((backend) => frontends.some((f) => isBehind(f, backend)));
    const backendIds = new Map(
      behind.map((backend) => [backend, this.numbers.holdBackend(backend, holder)] as const),
    );
    const backendId = (backend: Backend) => backendIds.get(backend) as number;
    return new ServiceEntry(
      object,
      slices,
      service,
      behind,
      backendIds,
      frontends,
      (frontend, place, of) => {
        const revNat = ids.get(frontend) as number;
        const numbers = { revNat, backendId };
        return frontendEntries(service, frontend, of, place, numbers, this.config);
      },
      this.config,
    );
  }

  /** Lets go of the numbers of `old` that `entry` does not have. */
  release(holder: string, old: ServiceEntry, entry?: ServiceEntry): void {
    const frontends = new Set(entry?.frontends.map(numberOf));
    for (const frontend of old.frontends) {
      const number = numberOf(frontend);
      if (!frontends.has(number)) this.numbers.releaseFrontend(number, holder);
    }
    const backends = new Set(entry?.backends.map(backendKey));
    for (const backend of old.backends) {
      const key = backendKey(backend);
      if (!backends.has(key)) this.numbers.releaseBackend(key, holder);
    }
  }

  #entry(name: string, object: Service, slices: readonly EndpointSlice[]): ServiceEntry {
    // Sorted, so that numbers go up in the order of slots.
    const backends = backendsOf(slices).sort(compareBackends);
    return this.entryOf(object, name, lbService(object, this.config), backends, slices);
  }

  /** A NodePort, and a host port that names no address, answer at every address of the node, too. */
  #expanded(frontend: Frontend): PlacedFrontend[] {
    const placed = [{ ...frontend, nodeAddress: -1 }];
    const { type, address } = frontend;
    if (type !== "NodePort" && !(type === "HostPort" && isUnspecified(address))) return placed;
    const count = this.#nodeAddresses[familyOf(address)];
    for (let i = 0; i < count; i++) placed.push({ ...frontend, nodeAddress: i });
    return placed;
  }

  #next(
    services: ReadonlyMap<string, ServiceEntry>,
    changed: readonly ServiceEntry[],
    gone: readonly (readonly [string, ServiceEntry])[],
  ): ServiceState {
    const change = new Change(this.#last);
    for (const [name, entry] of gone) {
      this.#withdraw(name, entry, undefined, change);
      this.release(name, entry);
      this.#unnumbered.delete(name);
    }
    for (const entry of changed) {
      const { name } = entry.service;
      const old = this.#last.services.get(name);
      if (old === undefined) continue;
      this.#withdraw(name, old, entry, change);
      this.release(name, old, entry);
    }
    for (const entry of changed) {
      const { name } = entry.service;
      this.#putBackends(name, entry, change);
      for (const entries of entry.base) {
        this.#place({ service: name, entries, slots: entry.mostSlots(entries) }, change);
      }
    }
    // The agent tries again what failed, until it goes well.
    for (const failure of [...this.#failed.values()]) this.#place(failure, change);
    const touched = [...changed, ...gone.map(([, entry]) => entry)];
    const before = changed.flatMap((entry) => this.#last.services.get(entry.service.name) ?? []);
    return change.state({
      services,
      problems: this.#problems(),
      ...this.#indexes(services, [...touched, ...before]),
      rangesOf: (family) => this.#sourceRanges(family),
    });
  }

  /** Frontends and backends that `entry`, the Service as it is now, has no more. */
  #withdraw(
    name: string,
    old: ServiceEntry,
    entry: ServiceEntry | undefined,
    change: Change,
  ): void {
    const kept = new Set(entry?.base.map(({ number }) => number));
    for (const frontend of old.frontends) {
      const number = numberOf(frontend);
      if (kept.has(number)) continue;
      if (this.#failed.get(number)?.service === name) this.#failed.delete(number);
      const placement = this.#placed.get(number);
      if (placement?.service !== name) continue;
      this.#placed.delete(number);
      this.#account(placement, -1);
      change.frontend(number, placement.entries, undefined);
    }
    const users = new Set(sharedBackends(entry).map(backendKey));
    for (const backend of sharedBackends(old)) {
      const key = backendKey(backend);
      if (users.has(key)) continue;
      const known = this.#backends.get(key);
      known?.services.delete(name);
      if (known === undefined || known.services.size > 0) continue;
      this.#backends.delete(key);
      change.backend(known.id, known.value, undefined);
    }
  }

  #putBackends(name: string, entry: ServiceEntry, change: Change): void {
    for (const backend of sharedBackends(entry)) {
      const key = backendKey(backend);
      let known = this.#backends.get(key);
      const value = backendValue(backend);
      if (known === undefined) {
        known = { id: this.numbers.backendId(backend), value, services: new Set() };
        this.#backends.set(key, known);
        change.backend(known.id, undefined, value);
      } else if (known.value.state !== value.state) {
        change.backend(known.id, known.value, value);
        known.value = value;
      }
      known.services.add(name);
    }
  }

  /** Writes a frontend, as far as there is room (bpf_reconciler.go updateFrontend). */
  #place({ service, entries, slots }: Omit<Failure, "error">, change: Change): void {
    const { number, family } = entries;
    const before = this.#placed.get(number);
    if (before !== undefined && before.service !== service) {
      const error = `frontend already owned by another service: ${before.service}`;
      this.#failed.set(number, { service, entries, slots, error });
      return;
    }
    const used = this.#used[family];
    const room = this.config.mapMax - used.services + (before?.slots ?? 0) - slots;
    const ranges =
      used.ranges + entries.sourceRanges.length - (before?.entries.sourceRanges.length ?? 0);
    let placement: Placement = { service, entries, slots };
    if (room < 0 || ranges > this.config.mapMax) {
      const free = this.config.mapMax - used.services;
      const cut = entries.cutOff(room < 0 ? free : Number.POSITIVE_INFINITY, before?.entries);
      placement = { service, entries: cut, slots: Math.max(before?.slots ?? 0, cut.size) };
      const error =
        room < 0 ? fullError(entries, cut) : "update source range: no space left on device";
      this.#failed.set(number, { service, entries, slots, error });
    } else this.#failed.delete(number);
    if (before !== undefined) this.#account(before, -1);
    this.#account(placement, 1);
    this.#placed.set(number, placement);
    change.frontend(number, before?.entries, placement.entries);
  }

  #account({ entries, slots }: Placement, by: 1 | -1): void {
    const used = this.#used[entries.family];
    used.services += by * slots;
    used.ranges += by * entries.sourceRanges.length;
  }

  #indexes(
    services: ReadonlyMap<string, ServiceEntry>,
    touched: readonly ServiceEntry[],
  ): Pick<ServiceState, "byNode" | "byZone" | "forSome" | "healthChecked"> {
    const { byNode, byZone, forSome, healthChecked } = this.#last;
    const index = (
      before: ReadonlyMap<string, readonly ServiceEntry[]>,
      of: (entry: ServiceEntry) => Iterable<string>,
    ) => {
      const isThere = (entry: ServiceEntry) => services.get(entry.service.name) === entry;
      const coming = new Map<string, ServiceEntry[]>();
      for (const entry of touched) {
        for (const place of of(entry)) {
          const those = coming.get(place) ?? [];
          if (isThere(entry)) those.push(entry);
          coming.set(place, those);
        }
      }
      if (coming.size === 0) return before;
      const made = new Map(before);
      for (const [place, entries] of coming) {
        const all = [...(made.get(place) ?? []).filter(isThere), ...entries];
        if (all.length === 0) made.delete(place);
        else made.set(place, all);
      }
      return made;
    };
    const all = [...services.values()];
    const those = (before: readonly ServiceEntry[], are: (entry: ServiceEntry) => boolean) =>
      touched.some(are) ? all.filter(are) : before;
    return {
      byNode: index(byNode, (entry) => entry.localNodes),
      byZone: index(byZone, (entry) => entry.hintedZones),
      forSome: those(forSome, (entry) => entry.isForSome),
      healthChecked: those(healthChecked, (entry) => healthCheckPort(entry) > 0),
    };
  }

  #sourceRanges(family: IpFamily): SourceRanges {
    const made: SourceRanges = new SharedLpmEntries(
      this.#network,
      family === 4 ? 64 : 160,
      encodeSourceRange,
    );
    for (const { entries } of this.#placed.values()) {
      if (entries.family !== family) continue;
      for (const prefix of entries.sourceRanges) {
        made.set(sourceRangeKey(entries.revNat, prefix), true);
      }
    }
    return made;
  }

  #problems(): FrontendProblem[] {
    return [
      ...[...this.#failed.values()].map(({ service, entries, error }) => ({
        service,
        frontend: frontendText(entries),
        error,
      })),
      ...[...this.#unnumbered].flatMap(([service, frontends]) =>
        frontends.map((frontend) => ({
          service,
          frontend: lbServiceKeyText({ ...keyOf(frontend), slot: 0 }).replace(/ \(0\)$/, ""),
          error: "failed to allocate id: no service ID available",
        })),
      ),
    ];
  }

  /** Slices by the Service that they belong to. */
  #grouped(snapshot: Snapshot<EndpointSlice>): ReadonlyMap<string, readonly EndpointSlice[]> {
    const known = this.#slicesByService.get(snapshot);
    if (known !== undefined) return known;
    const grouped = new Map<string, EndpointSlice[]>();
    for (const slice of snapshot.objects.values()) {
      const { labels, namespace = "default" } = slice.metadata;
      const name = labels?.[SERVICE_NAME];
      if (name === undefined || name === "" || labels?.[HEADLESS] !== undefined) continue;
      const key = `${namespace}/${name}`;
      const slices = grouped.get(key);
      if (slices === undefined) grouped.set(key, [slice]);
      else slices.push(slice);
    }
    for (const slices of grouped.values()) {
      slices.sort((x, y) => (x.metadata.name < y.metadata.name ? -1 : 1));
    }
    this.#slicesByService.set(snapshot, grouped);
    return grouped;
  }
}

/** What is different between two states. */
class Change {
  readonly #last: ServiceState;
  readonly #frontends = new Map<number, FrontendEntries | undefined>();
  readonly #byRevNat = new Map<number, FrontendEntries | undefined>();
  readonly #backends = new Map<number, NumberedBackend | undefined>();
  readonly #counts: EntryCounts;
  readonly #backendCounts: Record<IpFamily, number>;
  readonly #ranges = new Set<IpFamily>();

  constructor(last: ServiceState) {
    this.#last = last;
    this.#counts = new EntryCounts(last.counts);
    this.#backendCounts = { ...last.backendCounts };
  }

  frontend(
    number: number,
    before: FrontendEntries | undefined,
    after: FrontendEntries | undefined,
  ): void {
    this.#frontends.set(number, after);
    if (before !== undefined) {
      this.#counts.count(before, -1);
      this.#byRevNat.set(before.revNat, undefined);
    }
    if (after !== undefined) {
      this.#counts.count(after, 1);
      this.#byRevNat.set(after.revNat, after);
    }
    if (!sameItems(before?.sourceRanges ?? [], after?.sourceRanges ?? [])) {
      this.#ranges.add((after ?? before)?.family ?? 4);
    }
  }

  backend(id: number, before: LbBackend | undefined, after: LbBackend | undefined): void {
    this.#backends.set(id, after && { id, value: after });
    const family = familyOf((after ?? (before as LbBackend)).address);
    this.#backendCounts[family] += Number(after !== undefined) - Number(before !== undefined);
  }

  state({
    rangesOf,
    ...rest
  }: Pick<
    ServiceState,
    "services" | "problems" | "byNode" | "byZone" | "forSome" | "healthChecked"
  > & {
    readonly rangesOf: (family: IpFamily) => SourceRanges;
  }): ServiceState {
    const { frontends, byRevNat, backends, sourceRanges } = this.#last;
    const ranges = (family: IpFamily) =>
      this.#ranges.has(family) ? rangesOf(family) : sourceRanges[family];
    return {
      ...rest,
      frontends: frontends.with(this.#frontends),
      byRevNat: byRevNat.with(this.#byRevNat),
      backends: backends.with(this.#backends),
      backendCounts: this.#backendCounts,
      counts: this.#counts,
      sourceRanges: { 4: ranges(4), 6: ranges(6) },
    };
  }
}

export function sourceRangeKey(revNat: number, { address, length }: Prefix): LbSourceRangeKey {
  return { revNat, address, prefixLength: length };
}

export function backendValue({ address, port, protocol, state }: Backend): LbBackend {
  return { address, port, proto: protocolNumber(protocol), state: BACKEND_STATE_FLAGS[state] };
}

/** Backends that nodes have whatever node they are: those of a frontend that is only local are its own nodes'. */
function sharedBackends(entry: ServiceEntry | undefined): readonly Backend[] {
  if (entry === undefined || entry.isForSome) return [];
  const { service, frontends, backends } = entry;
  const shared = frontends.filter((frontend) => !isLocalFrontend(service, frontend));
  return backends.filter(
    (backend) =>
      shared.some((frontend) => isBehind(frontend, backend)) ||
      (backend.node === "" && frontends.length > 0),
  );
}

function numberOf(frontend: PlacedFrontend): number {
  const { address, nodeAddress, port, protocol, scope } = frontend;
  return frontendNumber(address, nodeAddress, port, protocolNumber(protocol), scope);
}

function keyOf({ address, port, protocol, scope }: Frontend) {
  return { address, port, proto: protocolNumber(protocol), scope };
}

/** `10.96.0.10:80/TCP` */
export function frontendText({ frontend }: FrontendEntries): string {
  return lbServiceKeyText({ ...keyOf(frontend), slot: 0 }).replace(/ \(0\)$/, "");
}

/** The agent's words for E2BIG (bpf_reconciler.go upsertService). */
function fullError({ frontend, slots }: FrontendEntries, cut: FrontendEntries): string {
  const failed = cut.slots.findIndex((slot, i) => i > 0 && slot === undefined);
  const slot = failed > 0 ? failed : cut.slots.length < slots.length ? cut.slots.length : 0;
  const key = { ...keyOf(frontend), slot };
  const value = slots[slot];
  return (
    `Unable to update service entry ${lbServiceKeyText(key)} => ${value === undefined ? "" : lbServiceText(value, key)}: ` +
    'Unable to update element for LB bpf map: You can resize it with the flag "--bpf-lb-map-max". ' +
    "The resizing might break existing connections to services"
  );
}

function sameItems<T>(x: readonly T[], y: readonly T[]): boolean {
  return x.length === y.length && x.every((item, i) => item === y[i]);
}
