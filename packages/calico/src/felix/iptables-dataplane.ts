import {
  ChainLayer,
  type Ipsets,
  type Iptables,
  LayerChain,
  type NetNamespace,
} from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import { iptablesHashes, iptablesRule } from "../rules/iptables-text.ts";
import type { TableChain, TableRule } from "../rules/rule.ts";
import { ipSetChanges } from "./ip-set-commands.ts";
import type { WantedIpSet } from "./ip-sets.ts";
import { TABLES, type TableName, type WantedTables } from "./tables.ts";

/** Under which the node's chains are attached. */
const LAYER = "felix";

/** Felix's rules and sets in one family of a node's iptables. Only what is different from the last time is read and programmed. */
export class IptablesDataplane {
  readonly #netns: NetNamespace;
  readonly #family: IpFamily;
  readonly #append: boolean;
  readonly #shared: ReadChains;
  #sets: ReadonlyMap<string, WantedIpSet> = new Map();
  /** What stands in built-in chains, by table and chain, as text. */
  #hooks = new Map<string, string>();

  /** @param shared of all nodes of a cluster */
  constructor(
    netns: NetNamespace,
    family: IpFamily,
    options: { readonly append: boolean; readonly shared: ReadChains },
  ) {
    this.#netns = netns;
    this.#family = family;
    this.#append = options.append;
    this.#shared = options.shared;
  }

  apply(tables: WantedTables, sets: ReadonlyMap<string, WantedIpSet>, maxIpsetSize: number): void {
    const ipsets: Ipsets = this.#netns.ipsets;
    const changes = ipSetChanges(this.#sets, sets, this.#family, maxIpsetSize);
    // Sets must be there before the rules that name them, and until those are gone.
    if (changes.before !== "") ipsets.restore(changes.before);
    const iptables = this.#netns.iptables(this.#family);
    iptables.setLayer(LAYER, this.#layer(tables));
    for (const table of TABLES) this.#hook(iptables, table, tables);
    if (changes.after !== "") ipsets.restore(changes.after);
    this.#sets = sets;
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
      this.#bring(iptables, table, chain, hashed(chain, rules), this.#append ? "-A" : "-I");
    }
    for (const [chain, rules] of tables[table].appended) {
      this.#bring(iptables, table, chain, hashed(chain, rules, "*appends*"), "-A");
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
    for (const rule of before?.split("\n") ?? []) {
      if (iptables.check(table, chain, rule)) iptables.delete(table, chain, rule);
    }
    // The last one inserted stands first.
    const ordered = how === "-I" ? rules.toReversed() : rules;
    const lines = ordered.map((rule) => `${how} ${chain} ${rule}`);
    iptables.restore(`*${table}\n${lines.join("\n")}\nCOMMIT\n`, { noflush: true });
    this.#hooks.set(key, text);
  }
}

/** Chains that have been read, for all nodes that have them. */
export class ReadChains {
  readonly #read = new WeakMap<TableChain, Map<string, LayerChain>>();

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

/** Rules of a built-in chain with their hashes. @param suffix tells appended ones from inserted ones (`felix/iptables/table.go`) */
export function hashed(chain: string, rules: readonly TableRule[], suffix = ""): string[] {
  const hashes = iptablesHashes({ name: chain + suffix, rules });
  return rules.map((rule, i) => iptablesRule(rule, hashes[i]));
}
