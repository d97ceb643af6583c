import type { Origin } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import type { NetNamespace } from "../../net-namespace.ts";
import { HOOK_NAMES, type HookNumber, NFPROTO_IPV4, NFPROTO_IPV6 } from "../hooks.ts";
import { registerNat } from "../nat.ts";
import { BUILTIN_TABLES, builtinTable } from "./builtin-tables.ts";
import { formatPolicy } from "./chain.ts";
import type { ChainLayer } from "./chain-layer.ts";
import { ExtensionState } from "./extension-state.ts";
import { CHAIN_EXISTS, Complaint, parameterProblem } from "./iptables-error.ts";
import type { LayerTable } from "./layer-table.ts";
import { type RestoreOptions, RestoreProblem, restore } from "./restore.ts";
import type { RuleEntry } from "./rule.ts";
import { SetHolds } from "./set-holds.ts";
import { Count, Table } from "./table.ts";
import { TableEdit } from "./table-edit.ts";
import { TableHook } from "./table-hook.ts";
import { splitWords } from "./words.ts";

/**
 * The tables of one family in one namespace, as iptables 1.8.9 (nf_tables) shows them. A table, its
 * builtin chains and their hooks appear when somebody first uses them.
 */
export class Iptables {
  readonly family: IpFamily;
  readonly #netns: NetNamespace;
  readonly #tables: Map<string, Table> = new Map();
  /** Builtin chains that have their hook. */
  readonly #hooked: Set<string> = new Set();
  readonly #layers: Map<string, ChainLayer> = new Map();
  /** What matches remember: lists of `recent`, token buckets. */
  readonly #memory: ExtensionState = new ExtensionState();
  readonly #setHolds: SetHolds;
  /** Grows with every change of rules: who looks after some knows when to look again. */
  generation = 0;

  constructor(netns: NetNamespace, family: IpFamily) {
    this.#netns = netns;
    this.family = family;
    this.#setHolds = new SetHolds(netns);
  }

  /** The tool's name: `iptables` or `ip6tables`. */
  get tool(): string {
    return this.family === 4 ? "iptables" : "ip6tables";
  }

  /** iptables-restore. @throws IptablesError; tables committed before it stay */
  restore(text: string, options: RestoreOptions = {}): void {
    try {
      restore(text, options, `${this.tool}-restore`, (name) => {
        const table = this.#findOrCreate(name);
        return table && new TableEdit(table, this.#netns, this.family, options.noflush !== true);
      });
    } catch (error) {
      if (error instanceof RestoreProblem) throw error.complaint.ofRestore(this.family, error.line);
      throw error;
    } finally {
      this.#settle();
    }
  }

  /** iptables-save without its comments. */
  save(table?: string, options: { readonly counters?: boolean } = {}): string {
    this.#netns.network.settleFlows();
    return BUILTIN_TABLES.filter(({ name }) => table === undefined || name === table)
      .map(({ name }) => this.#tables.get(name))
      .map((found) => (found === undefined ? "" : saveTable(found, options.counters === true)))
      .join("");
  }

  /** iptables -S. @throws IptablesError */
  list(table: string, chain?: string): string[] {
    return this.#run(() => {
      const found = this.#table(table);
      const chains = chain === undefined ? found.listed : listOf(found.findListed(chain));
      if (chain !== undefined && chains.length === 0) {
        throw parameterProblem(
          `chain \`${chain}' in table \`${table}' is incompatible, use 'nft' tool.`,
        );
      }
      const heads = chains.map((c) => (c.isBuiltin ? c.policyRule.text : `-N ${c.name}`));
      return [...heads, ...chains.flatMap((c) => c.entries.map((entry) => entry.text))];
    });
  }

  newChain(table: string, chain: string): void {
    this.#edit(table, (edit) => edit.newChain(chain));
  }

  deleteChain(table: string, chain: string): void {
    this.#edit(table, (edit) => edit.deleteChain(chain));
  }

  /** Every chain of the table's own if none is named. */
  flush(table: string, chain?: string): void {
    this.#edit(table, (edit) => edit.flush(chain));
  }

  setPolicy(table: string, chain: string, policy: "ACCEPT" | "DROP"): void {
    this.#edit(table, (edit) => edit.setPolicy(chain, policy));
  }

  hasChain(table: string, chain: string): boolean {
    return this.#tables.get(table)?.find(chain) !== undefined;
  }

  append(table: string, chain: string, rule: string, origin?: Origin): void {
    this.#edit(table, (edit) => edit.append(chain, splitWords(rule), origin));
  }

  /** @param position from 1 */
  insert(table: string, chain: string, rule: string, position = 1, origin?: Origin): void {
    this.#edit(table, (edit) => edit.insert(chain, splitWords(rule), position, origin));
  }

  delete(table: string, chain: string, rule: string): void {
    this.#edit(table, (edit) => edit.delete(chain, splitWords(rule)));
  }

  check(table: string, chain: string, rule: string): boolean {
    return this.#run(() => {
      const edit = new TableEdit(this.#table(table), this.#netns, this.family);
      return edit.check(chain, splitWords(rule));
    });
  }

  /** Packets and bytes of a chain's rules, in order (`iptables -L -v`). */
  counts(
    table: string,
    chain: string,
  ): readonly { readonly packets: number; readonly bytes: number }[] {
    this.#netns.network.settleFlows();
    const found = this.#tables.get(table);
    return found?.find(chain)?.entries.map((entry) => found.countOf(entry) ?? NO_COUNT) ?? [];
  }

  /**
   * Puts chains that other namespaces have as well into the tables, in place of those of the same key.
   * @throws IptablesError where a rule would call a chain that is not there, or names would clash
   */
  setLayer(key: string, layer: ChainLayer | undefined): void {
    const old = this.#layers.get(key);
    const names = new Set([...(old?.tables ?? []), ...(layer?.tables ?? [])]);
    this.#run(() => {
      const changes = [...names].map((name) => {
        const table = this.#table(name);
        const shared = this.#sharedWith(name, key, layer);
        this.#verifyLayer(table, shared, layer?.table(name));
        return { table, shared };
      });
      for (const { table, shared } of changes) table.replace(table.chains, shared);
      if (layer === undefined) this.#layers.delete(key);
      else this.#layers.set(key, layer);
      const tracks = [...names].some((name) => layer?.table(name)?.needsConntrack);
      if (tracks) this.#netns.requireConntrack(this.family);
    });
    this.#settle();
  }

  /** The shared chains of a table if `layer` stood under `key`. */
  #sharedWith(table: string, key: string, layer: ChainLayer | undefined): LayerTable[] {
    const layers = new Map(this.#layers);
    if (layer === undefined) layers.delete(key);
    else layers.set(key, layer);
    return [...layers.values()].flatMap((l) => l.table(table) ?? []);
  }

  /** @throws Complaint */
  #verifyLayer(table: Table, shared: readonly LayerTable[], added: LayerTable | undefined): void {
    if (added !== undefined) {
      const others = [table, ...shared.filter((layer) => layer !== added)];
      if (others.some(({ chains }) => overlap(chains, added.chains))) {
        throw new Complaint("lookup", CHAIN_EXISTS);
      }
    }
    const called = [...table.chains.values()].map((chain) => chain.needs.calls);
    for (const names of [...called, ...shared.map((layer) => layer.missing)]) {
      for (const name of names) {
        if (table.chains.has(name) || shared.some(({ chains }) => chains.has(name))) continue;
        throw parameterProblem(`Chain '${name}' does not exist`);
      }
    }
    for (const { rule, place } of added?.naming ?? []) {
      rule.resolve(this.#netns, { ...place, family: this.family, protocol: rule.protocol });
    }
    new TableEdit(table, this.#netns, this.family).verify(shared, true);
  }

  #edit(name: string, change: (edit: TableEdit) => void): void {
    this.#run(() => {
      const edit = new TableEdit(this.#table(name), this.#netns, this.family);
      change(edit);
      edit.verify();
      edit.commit();
    });
    this.#settle();
  }

  #run<T>(what: () => T): T {
    try {
      return what();
    } catch (error) {
      if (error instanceof Complaint) throw error.ofCommand(this.family);
      throw error;
    }
  }

  /** @throws Complaint */
  #table(name: string): Table {
    const table = this.#findOrCreate(name);
    if (table !== undefined) return table;
    throw parameterProblem(
      `table '${name}' does not exist\nPerhaps ${this.tool} or your kernel needs to be upgraded.`,
    );
  }

  #findOrCreate(name: string): Table | undefined {
    const builtin = builtinTable(name);
    if (builtin === undefined) return undefined;
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new Table(builtin, this.#netns.network);
      this.#tables.set(name, table);
    }
    return table;
  }

  /** Gives new builtin chains their hooks, and tells caches that rules have changed. */
  #settle(): void {
    this.generation++;
    this.#setHolds.update([...this.#tables.values()].flatMap((table) => table.naming));
    for (const table of this.#tables.values()) {
      for (const hook of table.builtin.hooks) {
        if (table.base(hook) !== undefined) this.#hook(table, hook);
      }
    }
    this.#netns.network.touch();
  }

  #hook(table: Table, hook: HookNumber): void {
    const key = `${table.name} ${HOOK_NAMES[hook]}`;
    if (this.#hooked.has(key)) return;
    this.#hooked.add(key);
    const fn = new TableHook(this.tool, table, hook, this.#memory);
    if (table.name === "nat") {
      registerNat(this.#netns, this.family, hook, fn);
    } else {
      const family = this.family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
      this.#netns.netfilter.register(family, hook, fn);
    }
  }
}

const NO_COUNT = new Count();

function saveTable(table: Table, counters: boolean): string {
  const chains = table.listed;
  const heads = chains.map((chain) => {
    const hook = table.builtin.hooks.find((h) => HOOK_NAMES[h] === chain.name);
    const count = hook === undefined ? undefined : table.policyCountOf(hook);
    return `:${chain.name} ${formatPolicy(chain.policy)} ${formatCount(count)}\n`;
  });
  const rules = chains.flatMap((chain) =>
    chain.entries.map((entry) => `${saveRule(table, entry, counters)}\n`),
  );
  return `*${table.name}\n${heads.join("")}${rules.join("")}COMMIT\n`;
}

function saveRule(table: Table, entry: RuleEntry, counters: boolean): string {
  return counters ? `${formatCount(table.countOf(entry))} ${entry.text}` : entry.text;
}

function formatCount(count: Count | undefined): string {
  return `[${count?.packets ?? 0}:${count?.bytes ?? 0}]`;
}

/** Whether two maps have a key in common. */
function overlap(x: ReadonlyMap<string, unknown>, y: ReadonlyMap<string, unknown>): boolean {
  const [few, many] = x.size < y.size ? [x, y] : [y, x];
  for (const key of few.keys()) if (many.has(key)) return true;
  return false;
}

function listOf<T>(item: T | undefined): readonly T[] {
  return item === undefined ? [] : [item];
}
