import type { FlowEffect } from "../../flow-cache.ts";
import type { Network } from "../../network.ts";
import { HOOK_NAMES, type HookNumber, NF_ACCEPT } from "../hooks.ts";
import type { BuiltinTable } from "./builtin-tables.ts";
import { Chain } from "./chain.ts";
import type { LayerTable } from "./layer-table.ts";
import type { RuleEntry } from "./rule.ts";

/** Packets and bytes that a rule or a policy has seen. */
export class Count {
  packets: number;
  bytes: number;

  constructor(packets = 0, bytes = 0) {
    this.packets = packets;
    this.bytes = bytes;
  }
}

/** One more packet of a length for each packet of a cached flow. */
class RepeatedCount implements FlowEffect {
  readonly #count: Count;
  readonly #bytes: number;

  constructor(count: Count, bytes: number) {
    this.#count = count;
    this.#bytes = bytes;
  }

  repeat(packets: number): void {
    this.#count.packets += packets;
    this.#count.bytes += packets * this.#bytes;
  }
}

/** One table of a namespace. Chains are replaced, never changed. */
export class Table {
  readonly builtin: BuiltinTable;
  readonly #network: Network;
  #chains: ReadonlyMap<string, Chain> = new Map();
  #shared: readonly LayerTable[] = [];
  /** Builtin chains by their hook. */
  readonly #base: (Chain | undefined)[] = new Array(HOOK_NAMES.length).fill(undefined);
  /** Counts go with their rules; most rules never have one. */
  readonly #counts: WeakMap<RuleEntry, Count> = new WeakMap();
  /** What met a builtin chain's policy, by its hook. */
  readonly #policyCounts: (Count | undefined)[] = [];

  constructor(builtin: BuiltinTable, network: Network) {
    this.builtin = builtin;
    this.#network = network;
  }

  get name(): string {
    return this.builtin.name;
  }

  /** The namespace's own chains, builtin ones included. */
  get chains(): ReadonlyMap<string, Chain> {
    return this.#chains;
  }

  /** Chains of layers. */
  get shared(): readonly LayerTable[] {
    return this.#shared;
  }

  find(name: string): Chain | undefined {
    const own = this.#chains.get(name);
    if (own !== undefined) return own;
    for (const layer of this.#shared) {
      const found = layer.chains.get(name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The builtin chain at a hook; `undefined` while nobody has used it. */
  base(hook: HookNumber): Chain | undefined {
    return this.#base[hook];
  }

  /** All chains as the tool lists them: builtin ones, also those nobody has used, then the others by name. */
  get listed(): Chain[] {
    const builtin = this.builtin.hooks.map((hook) => this.#listedBase(hook));
    const users = [...this.#chains.values()].filter((chain) => !chain.isBuiltin);
    for (const { chains } of this.#shared) users.push(...chains.values());
    users.sort((x, y) => (x.name < y.name ? -1 : 1));
    return [...builtin, ...users];
  }

  /** One of those that are {@link listed}, without sorting them all. */
  findListed(name: string): Chain | undefined {
    const hook = this.builtin.hooks.find((number) => HOOK_NAMES[number] === name);
    return hook === undefined ? this.find(name) : this.#listedBase(hook);
  }

  #listedBase(hook: HookNumber): Chain {
    const place = { table: this.name, chain: HOOK_NAMES[hook] };
    return this.#base[hook] ?? new Chain(place, [], NF_ACCEPT);
  }

  /** Rules that name objects of the namespace, for each layer and chain; the same lists as long as these are the same. */
  get naming(): readonly (readonly RuleEntry[])[] {
    const naming: (readonly RuleEntry[])[] = this.#shared.map((layer) => layer.naming);
    for (const chain of this.#chains.values()) naming.push(chain.needs.naming);
    return naming.filter((rules) => rules.length > 0);
  }

  /** Puts other chains in place. */
  replace(chains: ReadonlyMap<string, Chain>, shared: readonly LayerTable[]): void {
    this.#chains = chains;
    this.#shared = shared;
    for (const hook of this.builtin.hooks) this.#base[hook] = chains.get(HOOK_NAMES[hook]);
  }

  /** A rule matched. */
  count(entry: RuleEntry, bytes: number): void {
    let count = this.#counts.get(entry);
    if (count === undefined) {
      count = new Count();
      this.#counts.set(entry, count);
    }
    this.#add(count, bytes);
  }

  /** A packet met the policy of a builtin chain. */
  countPolicy(hook: HookNumber, bytes: number): void {
    let count = this.#policyCounts[hook];
    if (count === undefined) {
      count = new Count();
      this.#policyCounts[hook] = count;
    }
    this.#add(count, bytes);
  }

  #add(count: Count, bytes: number): void {
    count.packets++;
    count.bytes += bytes;
    this.#network.recording?.effect(new RepeatedCount(count, bytes));
  }

  countOf(entry: RuleEntry): Count | undefined {
    return this.#counts.get(entry);
  }

  setCount(entry: RuleEntry, packets: number, bytes: number): void {
    this.#counts.set(entry, new Count(packets, bytes));
  }

  policyCountOf(hook: HookNumber): Count | undefined {
    return this.#policyCounts[hook];
  }

  setPolicyCount(hook: HookNumber, packets: number, bytes: number): void {
    this.#policyCounts[hook] = new Count(packets, bytes);
  }
}
