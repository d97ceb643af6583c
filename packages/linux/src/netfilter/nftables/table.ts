import type { Origin } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import type { ConnectionCount } from "../connection-count.ts";
import type { FilterRule } from "../filter-rule.ts";
import type { ChainPlan } from "./chain-plan.ts";
import type { ChainType, TableFamily } from "./command.ts";
import type { DeviceNames } from "./data-type.ts";
import { formatStatements } from "./format.ts";
import type { NftSet } from "./nft-set.ts";
import { Registry } from "./registry.ts";
import type { SetElements } from "./set-elements.ts";
import type { Counter, Limit, Quota, Statement } from "./statement.ts";

/** One rule. Immutable: all namespaces that have the same table share it. */
export class NftRule implements FilterRule {
  /** Family, table and chain. */
  readonly location: string;
  readonly origin: Origin | undefined;
  readonly handle: number;
  readonly statements: readonly Statement[];
  readonly comment: string | undefined;
  readonly devices: DeviceNames;

  constructor(
    location: string,
    handle: number,
    statements: readonly Statement[],
    comment: string | undefined,
    origin: Origin | undefined,
    devices: DeviceNames,
  ) {
    this.location = location;
    this.handle = handle;
    this.statements = statements;
    this.comment = comment;
    this.origin = origin;
    this.devices = devices;
  }

  /** As `nft -s list ruleset` prints it. */
  get text(): string {
    const statements = formatStatements(this.statements, this.devices);
    return this.comment === undefined ? statements : `${statements} comment "${this.comment}"`;
  }
}

/** Where and when a base chain runs. */
export interface BaseChain {
  readonly type: ChainType;
  readonly hook: string;
  readonly devices: readonly string[];
  readonly priority: number;
  readonly policy: "accept" | "drop";
}

/** A chain and its rules. Only the table that made it changes it; others put a copy in its place. */
export class NftChain {
  readonly owner: Table;
  readonly name: string;
  readonly handle: number;
  base: BaseChain | undefined;
  readonly comment: string | undefined;
  readonly rules: NftRule[];
  /** What packets run through; made when the first one comes after a change. */
  plan: ChainPlan | undefined = undefined;

  constructor(
    owner: Table,
    name: string,
    handle: number,
    base: BaseChain | undefined,
    comment: string | undefined,
    rules: NftRule[] = [],
  ) {
    this.owner = owner;
    this.name = name;
    this.handle = handle;
    this.base = base;
    this.comment = comment;
    this.rules = rules;
  }
}

/** A counter, limit or quota with a name. */
export interface NftObject {
  readonly name: string;
  readonly handle: number;
  readonly comment: string | undefined;
  readonly object: Counter | Limit | Quota;
}

/** One table of one namespace, or a layer that many namespaces share. */
export class Table {
  readonly family: TableFamily;
  readonly name: string;
  readonly handle: number;
  comment: string | undefined = undefined;
  dormant = false;
  /** For which packets some rule has asked for connection tracking. */
  readonly conntrackFamilies: Set<IpFamily> = new Set();
  readonly chains: Registry<NftChain>;
  readonly sets: Registry<NftSet>;
  readonly objects: Registry<NftObject>;
  /** Chains, sets, rules and objects of a table share one count of handles. */
  lastHandle = 0;
  /** Counts, tokens and used bytes by the statement or object that they belong to. */
  readonly states: Map<object, StatementState> = new Map();
  /** Connections that have met a `ct count`. */
  readonly connections: WeakMap<object, ConnectionCount> = new WeakMap();
  /** What lies below this table, if a namespace has it. */
  #layer: Table | undefined = undefined;
  /** Of a table that others are built on. */
  #sharedBaseChains: readonly NftChain[] | undefined = undefined;
  /** Elements of the sets that change without a command. */
  readonly #volatile: Map<number, SetElements> = new Map();

  private constructor(
    family: TableFamily,
    name: string,
    handle: number,
    chains: Registry<NftChain>,
    sets: Registry<NftSet>,
    objects: Registry<NftObject>,
  ) {
    this.family = family;
    this.name = name;
    this.handle = handle;
    this.chains = chains;
    this.sets = sets;
    this.objects = objects;
  }

  static empty(family: TableFamily, name: string, handle: number): Table {
    const chains = Registry.empty<NftChain>();
    const sets = Registry.empty<NftSet>();
    return new Table(family, name, handle, chains, sets, Registry.empty<NftObject>());
  }

  /** One that begins as this is and shares all of it; this one must not change any more. */
  fork(handle: number): Table {
    const { family, name, chains, sets, objects } = this;
    const copy = new Table(family, name, handle, chains.fork(), sets.fork(), objects.fork());
    copy.comment = this.comment;
    copy.dormant = this.dormant;
    for (const ip of this.conntrackFamilies) copy.conntrackFamilies.add(ip);
    copy.lastHandle = this.lastHandle;
    return copy;
  }

  /** Puts another layer below what this table has of its own. */
  rebase(layer: Table): void {
    this.#layer = layer;
    this.chains.rebase(layer.chains);
    this.sets.rebase(layer.sets);
    this.objects.rebase(layer.objects);
    for (const number of this.#volatile.keys()) {
      if (this.sets.at(number) === undefined) this.#volatile.delete(number);
    }
    this.lastHandle = Math.max(this.lastHandle, layer.lastHandle);
    for (const ip of layer.conntrackFamilies) this.conntrackFamilies.add(ip);
  }

  /** Whether it is built on a shared layer. */
  get isLayered(): boolean {
    return this.chains.isLayered;
  }

  /** `ip kube-proxy`. */
  get title(): string {
    return `${this.family} ${this.name}`;
  }

  /** What is in a set right now. */
  elementsOf(set: NftSet, now: number): SetElements {
    if (!set.volatile) return set.elements;
    const number = this.sets.number(set.name);
    let elements = this.#volatile.get(number);
    if (elements === undefined) {
      elements = set.elements.clone(now);
      this.#volatile.set(number, elements);
    }
    return elements;
  }

  /** Forgets what a set that goes away held. */
  dropElements(set: NftSet): void {
    this.#volatile.delete(this.sets.number(set.name));
  }

  /** Without those that are part of rules. */
  listedSets(): NftSet[] {
    return byHandle(this.sets.values(), (set) => set.options.handle);
  }

  listedChains(): NftChain[] {
    return byHandle(this.chains.values(), (chain) => chain.handle);
  }

  /** Chains at hooks. A namespace that has a layer's chains does not look through them again. */
  baseChains(): readonly NftChain[] {
    const layer = this.#layer;
    if (layer === undefined || !this.chains.isLayerAlone) {
      return this.listedChains().filter((chain) => chain.base !== undefined);
    }
    layer.#sharedBaseChains ??= layer.listedChains().filter((chain) => chain.base !== undefined);
    return layer.#sharedBaseChains;
  }

  listedObjects(): NftObject[] {
    return byHandle(this.objects.values(), (object) => object.handle);
  }
}

/** What packets do to a counter, limit or quota. */
export interface StatementState {
  packets: number;
  bytes: number;
  /** Of a limit: nanoseconds' worth of tokens, and when they were counted. */
  tokens: number;
  updated: number;
}

/** The kernel lists in the order of making, which is that of the handles. */
function byHandle<T>(values: Iterable<T>, handleOf: (value: T) => number): T[] {
  return [...values].sort((x, y) => handleOf(x) - handleOf(y));
}
