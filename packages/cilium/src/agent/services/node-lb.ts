import type { HashSource, Network } from "@cnilab/linux";
import { familyOf, type IpAddress, type IpFamily } from "@cnilab/net";
import {
  type LbAffinityMatch,
  type LbBackend,
  type LbReverseNat,
  type LbService,
  type LbServiceKey,
  type MaglevInner,
  packAffinityMatch,
  packLbServiceKey,
} from "../../datapath/maps/lb-maps.ts";
import type { NodeMaps } from "../../datapath/node-maps.ts";
import type { Backend } from "../../services/backend.ts";
import {
  type FrontendEntries,
  frontendNumber,
  type LbPlace,
} from "../../services/frontend-entries.ts";
import { EntryCounts, type LbCounts } from "./entry-counts.ts";
import type { ServiceEntry } from "./service-entry.ts";
import { backendValue, type ServiceState } from "./service-states.ts";

/** What a node itself has to say: of Services with backends on it, of its zone, of its pods' host ports. */
interface OwnEntries {
  readonly frontends: ReadonlyMap<number, FrontendEntries>;
  readonly byRevNat: ReadonlyMap<number, FrontendEntries>;
  readonly backends: ReadonlyMap<number, LbBackend>;
  readonly counts: EntryCounts;
}

const NOTHING: OwnEntries = {
  frontends: new Map(),
  byRevNat: new Map(),
  backends: new Map(),
  counts: new EntryCounts(),
};

/** Where a node stands, and what it alone has. */
export interface NodeSide {
  readonly place: LbPlace;
  readonly labels: Readonly<Record<string, string>>;
  /** Addresses at which its NodePorts answer. */
  readonly addresses: readonly IpAddress[];
  /** Host ports of its pods. */
  readonly hostPorts: readonly ServiceEntry[];
}

const SAME_NOWHERE: NodeSide = {
  place: { node: "", zone: undefined },
  labels: {},
  addresses: [],
  hostPorts: [],
};

/**
 * The load balancer's maps of one node. They hold what the state of all nodes says, above it what this one alone has, and
 * NodePorts at its own addresses. Nothing of it is copied: 5,000 nodes with 10,000 Services have each entry once.
 */
export class NodeLb {
  readonly #network: Network;
  readonly #maps: NodeMaps;
  #state: ServiceState | undefined;
  #side: NodeSide = SAME_NOWHERE;
  #own: OwnEntries = NOTHING;
  /** What {@link #own} was made of. */
  #ownOf: readonly unknown[] = [];
  /** The node's addresses of each family, and which one an address is. */
  #addresses: Readonly<Record<IpFamily, readonly IpAddress[]>> = { 4: [], 6: [] };
  #addressIndex: ReadonlyMap<IpAddress, number> = new Map();

  constructor(maps: NodeMaps) {
    this.#network = maps.kernel.network;
    this.#maps = maps;
    maps.affinityMatch.shared = new AffinityMatchSource(this);
    for (const family of [4, 6] as const) {
      const lb = maps.lb(family);
      lb.services.shared = new ServiceSource(this, family);
      lb.backends.shared = new BackendSource(this, family);
      lb.reverseNat.shared = new ReverseNatSource(this, family);
      lb.maglev.shared = new MaglevSource(this, family);
      lb.sourceRange.shared = undefined;
    }
  }

  get state(): ServiceState | undefined {
    return this.#state;
  }

  /** What is true of this node from now on. */
  sync(state: ServiceState, side: NodeSide): void {
    const own = [
      state.byNode.get(side.place.node),
      side.place.zone === undefined ? undefined : state.byZone.get(side.place.zone),
      state.forSome,
      side.labels,
      side.hostPorts,
      side.place.zone,
    ];
    const same = own.length === this.#ownOf.length && own.every((x, i) => x === this.#ownOf[i]);
    if (same && state === this.#state && side.addresses === this.#side.addresses) return;
    if (side.addresses !== this.#side.addresses) this.#setAddresses(side.addresses);
    const before = this.#state;
    this.#state = state;
    this.#side = side;
    // Backends that come into the common map leave the node's own; what it has no room for may find some without a change of its own.
    const isFull = (before?.problems.length ?? 0) + state.problems.length > 0;
    if (!same || isFull || before?.backends !== state.backends) {
      this.#ownOf = own;
      this.#own = this.#makeOwn(state, side);
    }
    for (const family of [4, 6] as const) {
      const map = this.#maps.lb(family).sourceRange;
      if (map.shared !== state.sourceRanges[family]) map.shared = state.sourceRanges[family];
    }
    this.#network.touch();
  }

  #setAddresses(addresses: readonly IpAddress[]): void {
    const of = (family: IpFamily) => addresses.filter((address) => familyOf(address) === family);
    this.#addresses = { 4: of(4), 6: of(6) };
    this.#addressIndex = new Map(
      ([4, 6] as const).flatMap((family) =>
        this.#addresses[family].map((address, i) => [address, i] as const),
      ),
    );
  }

  #makeOwn(state: ServiceState, { place, labels, hostPorts }: NodeSide): OwnEntries {
    const local = state.byNode.get(place.node) ?? [];
    const zoned = place.zone === undefined ? [] : (state.byZone.get(place.zone) ?? []);
    const some = state.forSome.filter(({ service }) => service.nodes?.(labels));
    if (local.length + zoned.length + some.length + hostPorts.length === 0) return NOTHING;
    const frontends = new Map<number, FrontendEntries>();
    for (const entry of zoned) {
      for (const each of entry.inZone(place.zone as string)) frontends.set(each.number, each);
    }
    for (const entry of [...local, ...some]) {
      for (const each of entry.onNode(place)) frontends.set(each.number, each);
    }
    for (const entry of hostPorts) {
      for (const each of entry.base) frontends.set(each.number, each);
    }
    const counts = new EntryCounts();
    const byRevNat = new Map<number, FrontendEntries>();
    for (const [number, entries] of frontends) {
      const base = state.frontends.get(number);
      // One that the common map has no room for has none here, either.
      if (base !== undefined && !base.isComplete) {
        frontends.delete(number);
        continue;
      }
      byRevNat.set(entries.revNat, entries);
      counts.count(entries, 1);
      if (base !== undefined) counts.count(base, -1);
    }
    return {
      frontends,
      byRevNat,
      backends: this.#ownBackends(state, place, [...local, ...some], hostPorts),
      counts,
    };
  }

  #ownBackends(
    state: ServiceState,
    { node }: LbPlace,
    services: readonly ServiceEntry[],
    hostPorts: readonly ServiceEntry[],
  ): ReadonlyMap<number, LbBackend> {
    const backends = new Map<number, LbBackend>();
    const put = (entry: ServiceEntry, backend: Backend) => {
      const id = entry.backendIds.get(backend) as number;
      if (state.backends.get(id) === undefined) backends.set(id, backendValue(backend));
    };
    for (const entry of services) {
      for (const backend of entry.backendsOn(node)) put(entry, backend);
    }
    for (const entry of hostPorts) for (const backend of entry.backends) put(entry, backend);
    return backends;
  }

  frontend(
    address: IpAddress,
    port: number,
    proto: number,
    scope: number,
  ): FrontendEntries | undefined {
    const number = frontendNumber(address, -1, port, proto, scope);
    const found = this.#own.frontends.get(number) ?? this.#state?.frontends.get(number);
    if (found !== undefined) return found;
    const index = this.#addressIndex.get(address);
    if (index === undefined) return undefined;
    const own = frontendNumber(address, index, port, proto, scope);
    return this.#own.frontends.get(own) ?? this.#state?.frontends.get(own);
  }

  byRevNat(revNat: number): FrontendEntries | undefined {
    const found = this.#own.byRevNat.get(revNat) ?? this.#state?.byRevNat.get(revNat);
    return found === undefined || this.addressOf(found) === undefined ? undefined : found;
  }

  backend(id: number): LbBackend | undefined {
    return this.#own.backends.get(id) ?? this.#state?.backends.get(id)?.value;
  }

  /** Where a frontend is on this node; `undefined` where the node has no such address. */
  addressOf({ frontend, family }: FrontendEntries): IpAddress | undefined {
    const { address, nodeAddress } = frontend;
    return nodeAddress < 0 ? address : this.#addresses[family][nodeAddress];
  }

  /** All frontends that this node has in its maps. */
  *frontends(family: IpFamily): Iterable<FrontendEntries> {
    const own = this.#own.frontends;
    for (const entries of this.#state?.frontends.values() ?? []) {
      if (entries.family !== family || own.has(entries.number)) continue;
      if (this.addressOf(entries) !== undefined) yield entries;
    }
    for (const entries of own.values()) {
      if (entries.family === family && this.addressOf(entries) !== undefined) yield entries;
    }
  }

  *backends(family: IpFamily): Iterable<readonly [number, LbBackend]> {
    for (const { id, value } of this.#state?.backends.values() ?? []) {
      if (familyOf(value.address) === family) yield [id, value];
    }
    for (const [id, value] of this.#own.backends) {
      if (familyOf(value.address) === family) yield [id, value];
    }
  }

  count(map: keyof LbCounts, family: IpFamily): number {
    const addresses = this.#addresses[family].length;
    const common = this.#state?.counts.of(family, map, addresses) ?? 0;
    return common + this.#own.counts.of(family, map, addresses);
  }

  countBackends(family: IpFamily): number {
    let count = this.#state?.backendCounts[family] ?? 0;
    for (const { address } of this.#own.backends.values()) {
      if (familyOf(address) === family) count++;
    }
    return count;
  }
}

/** What a map of one family has of a node's. */
abstract class FamilySource {
  protected readonly lb: NodeLb;
  protected readonly family: IpFamily;

  constructor(lb: NodeLb, family: IpFamily) {
    this.lb = lb;
    this.family = family;
  }
}

class ServiceSource extends FamilySource implements HashSource<LbServiceKey, LbService> {
  get size(): number {
    return this.lb.count("services", this.family);
  }

  find(
    _packed: unknown,
    { address, port, proto, scope, slot }: LbServiceKey,
  ): LbService | undefined {
    return this.lb.frontend(address, port, proto, scope)?.slots[slot];
  }

  *entries(): Iterable<readonly [string, { key: LbServiceKey; value: LbService }]> {
    for (const entries of this.lb.frontends(this.family)) {
      const address = this.lb.addressOf(entries) as IpAddress;
      const { port, scope } = entries.frontend;
      for (const [slot, value] of entries.slots.entries()) {
        if (value === undefined) continue;
        const key: LbServiceKey = { address, port, proto: entries.proto, scope, slot };
        yield [packLbServiceKey(key), { key, value }];
      }
    }
  }
}

class BackendSource extends FamilySource implements HashSource<number, LbBackend> {
  get size(): number {
    return this.lb.countBackends(this.family);
  }

  find(_packed: unknown, id: number): LbBackend | undefined {
    const backend = this.lb.backend(id);
    return backend !== undefined && familyOf(backend.address) === this.family ? backend : undefined;
  }

  *entries(): Iterable<readonly [number, { key: number; value: LbBackend }]> {
    for (const [key, value] of this.lb.backends(this.family)) yield [key, { key, value }];
  }
}

class ReverseNatSource extends FamilySource implements HashSource<number, LbReverseNat> {
  get size(): number {
    return this.lb.count("reverseNat", this.family);
  }

  find(_packed: unknown, revNat: number): LbReverseNat | undefined {
    const entries = this.lb.byRevNat(revNat);
    return entries?.family === this.family && entries.isComplete ? this.#value(entries) : undefined;
  }

  #value(entries: FrontendEntries): LbReverseNat {
    const address = this.lb.addressOf(entries) as IpAddress;
    return { address, port: entries.frontend.port, origin: entries.origin };
  }

  *entries(): Iterable<readonly [number, { key: number; value: LbReverseNat }]> {
    for (const entries of this.lb.frontends(this.family)) {
      const { revNat, isComplete } = entries;
      if (isComplete) yield [revNat, { key: revNat, value: this.#value(entries) }];
    }
  }
}

class MaglevSource extends FamilySource implements HashSource<number, MaglevInner> {
  get size(): number {
    return this.lb.count("maglev", this.family);
  }

  find(_packed: unknown, revNat: number): MaglevInner | undefined {
    const entries = this.lb.byRevNat(revNat);
    return entries?.family === this.family ? entries.maglev : undefined;
  }

  *entries(): Iterable<readonly [number, { key: number; value: MaglevInner }]> {
    for (const entries of this.lb.frontends(this.family)) {
      const { revNat, maglev } = entries;
      if (maglev !== undefined) yield [revNat, { key: revNat, value: maglev }];
    }
  }
}

class AffinityMatchSource implements HashSource<LbAffinityMatch, true> {
  readonly #lb: NodeLb;

  constructor(lb: NodeLb) {
    this.#lb = lb;
  }

  get size(): number {
    return this.#lb.count("affinity", 4) + this.#lb.count("affinity", 6);
  }

  find(_packed: unknown, { revNat, backendId }: LbAffinityMatch): true | undefined {
    return this.#lb.byRevNat(revNat)?.affinity.has(backendId) === true ? true : undefined;
  }

  *entries(): Iterable<readonly [number, { key: LbAffinityMatch; value: true }]> {
    for (const family of [4, 6] as const) {
      for (const { revNat, affinity } of this.#lb.frontends(family)) {
        for (const backendId of affinity) {
          const key = { revNat, backendId };
          yield [packAffinityMatch(key), { key, value: true }];
        }
      }
    }
  }
}
