import type { EndpointSlice, Service } from "@cnilab/core";
import type { Backend } from "../../services/backend.ts";
import type { LbService } from "../../services/frontend.ts";
import type { FrontendEntries, PlacedFrontend } from "../../services/frontend-entries.ts";
import { isLocalFrontend, type LbPlace, usesHints } from "../../services/frontend-entries.ts";
import type { LbConfig } from "../../services/lb-config.ts";

/** Makes a frontend's entries for nodes at a place. */
export type EntriesMaker = (
  frontend: PlacedFrontend,
  place: LbPlace,
  backends: readonly Backend[],
) => FrontendEntries;

const ANYWHERE: LbPlace = { node: "", zone: undefined };

/** A Service with its backends, until either is different; what nodes have of it is worked out once for those that have the same. */
export class ServiceEntry {
  /** The object; `undefined` for what has none, as a pod's host port. */
  readonly object: Service | undefined;
  readonly slices: readonly EndpointSlice[];
  readonly service: LbService;
  readonly backends: readonly Backend[];
  readonly backendIds: ReadonlyMap<Backend, number>;
  readonly frontends: readonly PlacedFrontend[];
  readonly #make: EntriesMaker;
  readonly #config: LbConfig;
  readonly #local: readonly PlacedFrontend[];
  readonly #nodes = new Map<string, readonly FrontendEntries[]>();
  readonly #zones = new Map<string, readonly FrontendEntries[]>();
  #base: readonly FrontendEntries[] | undefined;
  /** Backends of no node, as a slice that a person wrote may have them. */
  #everywhere: readonly Backend[] | undefined;
  #byNode: ReadonlyMap<string, readonly Backend[]> | undefined;

  constructor(
    object: Service | undefined,
    slices: readonly EndpointSlice[],
    service: LbService,
    backends: readonly Backend[],
    backendIds: ReadonlyMap<Backend, number>,
    frontends: readonly PlacedFrontend[],
    make: EntriesMaker,
    config: LbConfig,
  ) {
    this.object = object;
    this.slices = slices;
    this.service = service;
    this.backends = backends;
    this.backendIds = backendIds;
    this.frontends = frontends;
    this.#make = make;
    this.#config = config;
    this.#local = frontends.filter((frontend) => isLocalFrontend(service, frontend));
  }

  /** Only nodes with certain labels have it. */
  get isForSome(): boolean {
    return this.service.nodes !== undefined;
  }

  /** What nodes have that have none of its backends, and no hints for their zone. */
  get base(): readonly FrontendEntries[] {
    this.#base ??= this.isForSome ? [] : this.#all(this.frontends, ANYWHERE);
    return this.#base;
  }

  /** Nodes that have other entries than {@link base}, because backends are on them. */
  get localNodes(): Iterable<string> {
    return this.#local.length === 0 || this.isForSome ? [] : this.#backendsByNode.keys();
  }

  /** Backends that a node may have something of its own for: those on it, or of a Service for some nodes all. */
  backendsOn(node: string): readonly Backend[] {
    return this.isForSome ? this.backends : (this.#backendsByNode.get(node) ?? []);
  }

  get #backendsByNode(): ReadonlyMap<string, readonly Backend[]> {
    if (this.#byNode !== undefined) return this.#byNode;
    const byNode = new Map<string, Backend[]>();
    for (const backend of this.backends) {
      if (backend.node === "") continue;
      const there = byNode.get(backend.node);
      if (there === undefined) byNode.set(backend.node, [backend]);
      else there.push(backend);
    }
    this.#byNode = byNode;
    return byNode;
  }

  /** The same of zones, by hints. */
  get hintedZones(): ReadonlySet<string> {
    const zones = new Set<string>();
    if (!this.#config.serviceTopology || this.isForSome) return zones;
    for (const zone of new Set(this.backends.flatMap(({ forZones }) => forZones))) {
      if (usesHints(this.service, this.backends, zone, this.#config)) zones.add(zone);
    }
    return zones;
  }

  /** Slots that a frontend has at most, of all nodes. */
  mostSlots(entries: FrontendEntries): number {
    if (!isLocalFrontend(this.service, entries.frontend)) return entries.size;
    const counts = new Map<string, number>();
    let everywhere = 0;
    for (const { node } of this.backends) {
      if (node === "") everywhere++;
      else counts.set(node, (counts.get(node) ?? 0) + 1);
    }
    return 1 + everywhere + Math.max(0, ...counts.values());
  }

  /** What is different on a node that has backends, or of a Service that is for some nodes. */
  onNode(place: LbPlace): readonly FrontendEntries[] {
    const key = `${place.node}/${place.zone ?? ""}`;
    let entries = this.#nodes.get(key);
    if (entries === undefined) {
      entries = this.isForSome ? this.#all(this.frontends, place) : this.#localEntries(place);
      this.#nodes.set(key, entries);
    }
    return entries;
  }

  inZone(zone: string): readonly FrontendEntries[] {
    let entries = this.#zones.get(zone);
    if (entries === undefined) {
      entries = this.#all(this.frontends, { node: "", zone });
      this.#zones.set(zone, entries);
    }
    return entries;
  }

  /** Without a look at backends of other nodes, which may be thousands; hints count where all backends have them. */
  #localEntries(place: LbPlace): FrontendEntries[] {
    const { zone } = place;
    const hinted = zone !== undefined && usesHints(this.service, this.backends, zone, this.#config);
    this.#everywhere ??= this.backends.filter(({ node }) => node === "");
    const near = [...this.#everywhere, ...this.backendsOn(place.node)].filter(
      ({ forZones }) => !hinted || forZones.includes(zone),
    );
    const here = { node: place.node, zone: undefined };
    return this.#local.map((frontend) => this.#make(frontend, here, near));
  }

  #all(frontends: readonly PlacedFrontend[], place: LbPlace): FrontendEntries[] {
    return frontends.map((frontend) => this.#make(frontend, place, this.backends));
  }
}
