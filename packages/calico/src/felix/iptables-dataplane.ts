import {
  ChainLayer,
  type Ipset,
  type Iptables,
  LayerChain,
  type NetNamespace,
  type SharedElements,
} from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import { iptablesHashes, iptablesRule } from "../rules/iptables-text.ts";
import type { TableChain } from "../rules/rule.ts";
import { createIpSet, ipSetChanges } from "./ip-set-commands.ts";
import type { WantedIpSet } from "./ip-sets.ts";
import { hashedRules } from "./restore-input.ts";
import { TABLES, type TableName, type WantedTables } from "./tables.ts";

/** Under which the node's chains are attached. */
const LAYER = "felix";

/** Felix's rules and sets in one family of a node's iptables. Only what is different from the last time is read and programmed. */
export class IptablesDataplane {
  readonly #netns: NetNamespace;
  readonly #family: IpFamily;
  readonly #append: boolean;
  readonly #shared: SharedIptables;
  /** Sets that are there, whatever became of the rules. */
  readonly #sets = new Map<string, WantedIpSet>();
  /** What stands in built-in chains, by table and chain, as text. */
  #hooks = new Map<string, string>();

  /** @param shared of all nodes of a cluster */
  constructor(
    netns: NetNamespace,
    family: IpFamily,
    options: { readonly append: boolean; readonly shared: SharedIptables },
  ) {
    this.#netns = netns;
    this.#family = family;
    this.#append = options.append;
    this.#shared = options.shared;
  }

  apply(tables: WantedTables, sets: ReadonlyMap<string, WantedIpSet>, maxIpsetSize: number): void {
    // Sets must be there before the rules that name them, and until those are gone.
    this.#updateSets(sets, maxIpsetSize);
    const iptables = this.#netns.iptables(this.#family);
    iptables.setLayer(LAYER, this.#layer(tables));
    for (const table of TABLES) this.#hook(iptables, table, tables);
    this.#deleteSets(sets);
  }

  /** Takes all away, as Felix does with what it programmed before it was told to use nftables. */
  clear(): void {
    const iptables = this.#netns.iptables(this.#family);
    for (const [key, text] of this.#hooks) {
      const [table = "", chain = ""] = key.split(" ");
      for (const rule of text.split("\n")) {
        if (iptables.check(table, chain, rule)) iptables.delete(table, chain, rule);
      }
    }
    this.#hooks.clear();
    iptables.setLayer(LAYER, undefined);
    this.#deleteSets(new Map());
  }

  #updateSets(sets: ReadonlyMap<string, WantedIpSet>, maxIpsetSize: number): void {
    const { ipsets } = this.#netns;
    for (const [name, wanted] of sets) {
      const there = ipsets.find(name) === undefined ? undefined : this.#sets.get(name);
      if (there?.members === wanted.members) continue;
      if (there === undefined) {
        ipsets.run(createIpSet(name, wanted, this.#family, maxIpsetSize));
        this.#sets.set(name, { kind: wanted.kind, members: NONE });
      }
      const set = ipsets.find(name) as Ipset;
      const known = this.#shared.elements(wanted.members);
      if (known !== undefined && wanted.members.size <= maxIpsetSize) {
        set.adopt(known);
      } else {
        ipsets.restore(ipSetChanges(name, there, wanted).join("\n"), { exist: true });
        this.#shared.remember(wanted.members, set.share());
      }
      this.#sets.set(name, wanted);
    }
  }

  #deleteSets(wanted: ReadonlyMap<string, WantedIpSet>): void {
    const { ipsets } = this.#netns;
    for (const name of [...this.#sets.keys()]) {
      if (wanted.has(name)) continue;
      if (ipsets.find(name) !== undefined) ipsets.run(`destroy ${name}`);
      this.#sets.delete(name);
    }
  }

  #layer(tables: WantedTables): ChainLayer {
    const chains: LayerChain[] = [];
    for (const table of TABLES) {
      for (const chain of tables[table].chains.values()) {
        chains.push(this.#shared.of(this.#family, table, chain));
      }
    }
    return ChainLayer.of(this.#family, chains);
  }

  /** Puts the jumps into built-in chains, and again where somebody has flushed them. */
  #hook(iptables: Iptables, table: TableName, tables: WantedTables): void {
    for (const [chain, rules] of tables[table].inserted) {
      this.#bring(iptables, table, chain, hashedRules(chain, rules), this.#append ? "-A" : "-I");
    }
    for (const [chain, rules] of tables[table].appended) {
      this.#bring(iptables, table, chain, hashedRules(chain, rules, "*appends*"), "-A");
    }
  }

  #bring(
    iptables: Iptables,
    table: TableName,
    chain: string,
    rules: readonly string[],
    how: "-A" | "-I",
  ): void {
    const key = `${table} ${chain} ${how}`;
    const text = rules.join("\n");
    const before = this.#hooks.get(key);
    const isThere = rules.every((rule) => iptables.check(table, chain, rule));
    if (before === text && isThere) return;
    const old = before === undefined || before === "" ? [] : before.split("\n");
    for (const rule of old) {
      if (iptables.check(table, chain, rule)) iptables.delete(table, chain, rule);
    }
    // The last one inserted stands first.
    const ordered = how === "-I" ? rules.toReversed() : rules;
    const lines = ordered.map((rule) => `${how} ${chain} ${rule}`);
    iptables.restore(`*${table}\n${lines.join("\n")}\nCOMMIT\n`, { noflush: true });
    this.#hooks.set(key, text);
  }
}

/** Chains that have been read and elements that sets have, for all nodes of a cluster. */
export class SharedIptables {
  readonly #read = new WeakMap<TableChain, Map<string, LayerChain>>();
  readonly #elements = new WeakMap<ReadonlySet<string>, SharedElements>();

  /** What a set with these members has in it, where some node has one. */
  elements(members: ReadonlySet<string>): SharedElements | undefined {
    return this.#elements.get(members);
  }

  remember(members: ReadonlySet<string>, elements: SharedElements): void {
    this.#elements.set(members, elements);
  }

  of(family: IpFamily, table: TableName, chain: TableChain): LayerChain {
    let variants = this.#read.get(chain);
    if (variants === undefined) {
      variants = new Map();
      this.#read.set(chain, variants);
    }
    const key = `${family} ${table}`;
    let read = variants.get(key);
    if (read === undefined) {
      const hashes = iptablesHashes(chain);
      const rules = chain.rules.map((rule, i) => ({
        text: iptablesRule(rule, hashes[i]),
        origin: rule.origin,
      }));
      read = LayerChain.read(family, table, chain.name, rules);
      variants.set(key, read);
    }
    return read;
  }
}

const NONE: ReadonlySet<string> = new Set();
