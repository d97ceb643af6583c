import type { Origin } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import type { NetNamespace } from "../../net-namespace.ts";
import { HOOK_NAMES, NF_ACCEPT, NF_DROP } from "../hooks.ts";
import { type BuiltinTable, hookOfChain } from "./builtin-tables.ts";
import { Chain, type Policy } from "./chain.ts";
import { isTargetName } from "./extensions.ts";
import {
  CHAIN_EXISTS,
  Complaint,
  NO_SUCH_CHAIN,
  NO_SUCH_RULE,
  parameterProblem,
} from "./iptables-error.ts";
import type { LayerTable } from "./layer-table.ts";
import { parseRule } from "./parsed-rules.ts";
import { type Rule, RuleEntry } from "./rule.ts";
import type { ParsedRules } from "./rule-parser.ts";
import type { Table } from "./table.ts";

/** `NFT_JUMP_STACK_SIZE`: chains that may have called each other. */
const MAX_DEPTH = 16;
/** `XT_EXTENSION_MAXNAMELEN`, its closing zero counted. */
const MAX_CHAIN_NAME = 29;

/** Rules as they are going to be: a transaction on one table, which nobody sees before {@link commit}. */
export class TableEdit {
  readonly #table: Table;
  readonly #netns: NetNamespace;
  readonly #family: IpFamily;
  readonly #chains: Map<string, Chain>;
  /** Begins with no chains at all, and all counts at zero. */
  readonly #empty: boolean;
  /** Arrays of this edit, which may be changed in place, by the name of their chain. */
  readonly #open: Map<string, RuleEntry[]> = new Map();
  readonly #counts: Map<RuleEntry, { readonly packets: number; readonly bytes: number }> =
    new Map();
  readonly #policyCounts: Map<string, { readonly packets: number; readonly bytes: number }> =
    new Map();
  /** Rules that call a chain, with the line they stand on. */
  readonly #newJumps: Map<RuleEntry, number> = new Map();
  #needsConntrack = false;
  /** Line of the restored text that is being read. */
  line = 0;

  constructor(table: Table, netns: NetNamespace, family: IpFamily, empty = false) {
    this.#table = table;
    this.#netns = netns;
    this.#family = family;
    this.#empty = empty;
    this.#chains = new Map(empty ? [] : table.chains);
  }

  get #builtin(): BuiltinTable {
    return this.#table.builtin;
  }

  #find(name: string): Chain | undefined {
    const chain = this.#chains.get(name);
    if (chain !== undefined) return chain;
    // A builtin chain is there as soon as somebody names it.
    if (hookOfChain(this.#builtin, name) === undefined) return undefined;
    return this.#put(new Chain({ table: this.#table.name, chain: name }, [], NF_ACCEPT));
  }

  /** An own chain; those of layers belong to somebody else. @throws Complaint */
  #own(name: string): Chain {
    const chain = this.#find(name);
    if (chain === undefined) throw new Complaint("lookup", NO_SUCH_CHAIN);
    return chain;
  }

  #put(chain: Chain): Chain {
    this.#chains.set(chain.name, chain);
    return chain;
  }

  #shared(name: string): Chain | undefined {
    return this.#table.shared.find(({ chains }) => chains.has(name))?.chains.get(name);
  }

  /** The rules of a chain, to be changed in place. */
  #entries(chain: Chain): RuleEntry[] {
    let entries = this.#open.get(chain.name);
    if (entries === undefined) {
      entries = [...chain.entries];
      this.#open.set(chain.name, entries);
      this.#put(chain.withEntries(entries));
    }
    return entries;
  }

  has(name: string): boolean {
    return this.#chains.has(name) || this.#shared(name) !== undefined;
  }

  newChain(name: string): void {
    checkChainName(name, this.#family);
    if (this.has(name) || hookOfChain(this.#builtin, name) !== undefined) {
      throw new Complaint("lookup", CHAIN_EXISTS);
    }
    this.#put(new Chain({ table: this.#table.name, chain: name }, [], undefined));
  }

  /** A line `:CHAIN POLICY`: a user chain is there and empty from here on. */
  declare(
    name: string,
    policy: string,
    count: { packets: number; bytes: number } | undefined,
  ): void {
    if (hookOfChain(this.#builtin, name) !== undefined) {
      const chain = this.#own(name);
      if (policy !== "-") this.#put(chain.withPolicy(parsePolicy(policy)));
      if (count !== undefined) this.#policyCounts.set(name, count);
      return;
    }
    if (this.#chains.has(name)) this.flush(name);
    else this.newChain(name);
  }

  renameChain(from: string, to: string): void {
    const chain = this.#own(from);
    if (chain.isBuiltin || this.#isCalled(from)) throw busy(from);
    this.newChain(to);
    const place = { table: this.#table.name, chain: to };
    const entries = chain.entries.map((e) => new RuleEntry(e.rule, place, e.origin));
    this.#chains.delete(from);
    this.#open.delete(from);
    this.#put(new Chain(place, entries, undefined));
  }

  /** Every user chain if no name is given. */
  deleteChain(name?: string): void {
    if (name === undefined) {
      const users = [...this.#chains.values()].filter((chain) => !chain.isBuiltin);
      // Those that nobody calls go first, which frees others.
      for (let left = users; left.length > 0; ) {
        const free = left.filter(
          (chain) => chain.entries.length === 0 && !this.#isCalled(chain.name),
        );
        const [first] = left;
        if (free.length === 0 && first !== undefined) throw busy(first.name);
        for (const chain of free) this.#chains.delete(chain.name);
        left = left.filter((chain) => !free.includes(chain));
      }
      return;
    }
    const chain = this.#own(name);
    if (chain.entries.length > 0 || this.#isCalled(name)) throw busy(name);
    this.#chains.delete(name);
    this.#open.delete(name);
  }

  #isCalled(name: string): boolean {
    for (const chain of this.#chains.values()) {
      if (chain.entries.some(({ rule }) => rule.jump === name)) return true;
    }
    return this.#table.shared.some((layer) => layer.missing.has(name));
  }

  /** Every own chain if no name is given. */
  flush(name?: string): void {
    for (const chain of name === undefined ? this.#chains.values() : [this.#own(name)]) {
      this.#entries(chain).length = 0;
    }
  }

  zero(name?: string): void {
    for (const chain of name === undefined ? this.#chains.values() : [this.#own(name)]) {
      for (const entry of chain.entries) this.#counts.set(entry, { packets: 0, bytes: 0 });
      this.#policyCounts.set(chain.name, { packets: 0, bytes: 0 });
    }
  }

  setPolicy(name: string, policy: string): void {
    if (this.#table.name === "nat" && policy === "DROP") throw noDropInNat();
    const chain = this.#find(name);
    if (chain === undefined || !chain.isBuiltin) {
      throw new Complaint(
        "lookup",
        chain === undefined ? NO_SUCH_CHAIN : "Bad built-in chain name.",
      );
    }
    this.#put(chain.withPolicy(parsePolicy(policy)));
  }

  append(name: string, words: readonly string[], origin?: Origin): void {
    this.#insertAll(name, words, undefined, origin);
  }

  /** @param position from 1 */
  insert(name: string, words: readonly string[], position: number, origin?: Origin): void {
    if (position === 0) throw parameterProblem("Invalid rule number `0'");
    this.#insertAll(name, words, position - 1, origin);
  }

  replace(name: string, words: readonly string[], position: number, origin?: Origin): void {
    this.deleteAt(name, position, "replacement");
    this.#insertAll(name, words, position - 1, origin);
  }

  #insertAll(
    name: string,
    words: readonly string[],
    index: number | undefined,
    origin: Origin | undefined,
  ): void {
    const { rules, count } = this.#parse(name, words);
    const chain = this.#own(name);
    if (index !== undefined && index > chain.entries.length) {
      throw new Complaint("lookup", "Index of insertion too big.");
    }
    const added = rules.map((rule) => this.#entry(chain, rule, origin));
    this.#entries(chain).splice(index ?? chain.entries.length, 0, ...added);
    if (count !== undefined) for (const entry of added) this.#counts.set(entry, count);
  }

  #entry(chain: Chain, rule: Rule, origin: Origin | undefined): RuleEntry {
    const place = { ...chain.place, family: this.#family, protocol: rule.protocol };
    rule.check(place);
    rule.resolve(this.#netns, place);
    const entry = new RuleEntry(rule, chain.place, origin);
    if (rule.jump !== undefined) this.#newJumps.set(entry, this.line);
    if (rule.needsConntrack) this.#needsConntrack = true;
    return entry;
  }

  #parse(name: string, words: readonly string[]): ParsedRules {
    const place = { table: this.#table.name, chain: name };
    const parsed = parseRule(this.#family, words, place);
    const drops = parsed.rules.some((rule) => rule.target?.text === "-j DROP");
    if (drops && this.#table.name === "nat") throw noDropInNat();
    return parsed;
  }

  /** Deletes the first rule like this one, of each that the words stand for. */
  delete(name: string, words: readonly string[]): void {
    const { rules } = this.#parse(name, words);
    const chain = this.#chains.get(name);
    for (const rule of rules) {
      const index = chain === undefined ? -1 : findRule(this.#current(chain), rule);
      if (chain === undefined || index < 0) throw new Complaint("lookup", NO_SUCH_RULE);
      this.#entries(chain).splice(index, 1);
    }
  }

  #current(chain: Chain): readonly RuleEntry[] {
    return this.#open.get(chain.name) ?? chain.entries;
  }

  deleteAt(name: string, position: number, what: "deletion" | "replacement" = "deletion"): void {
    const chain = this.#own(name);
    if (position === 0) throw parameterProblem("Invalid rule number `0'");
    if (position > chain.entries.length) throw new Complaint("lookup", `Index of ${what} too big.`);
    this.#entries(chain).splice(position - 1, 1);
  }

  check(name: string, words: readonly string[]): boolean {
    const { rules } = this.#parse(name, words);
    const chain = this.#chains.get(name);
    return chain !== undefined && rules.every((rule) => findRule(chain.entries, rule) >= 0);
  }

  /**
   * Whether every call leads somewhere and ends.
   * @param shared chains of layers
   * @param always look though this edit adds no call
   * @throws Complaint, with {@link line} set to the rule's
   */
  verify(shared: readonly LayerTable[] = this.#table.shared, always = false): void {
    for (const { rule } of this.#newJumps.keys()) {
      const { jump } = rule;
      if (jump === undefined || this.#chains.has(jump)) continue;
      if (shared.some(({ chains }) => chains.has(jump))) continue;
      throw parameterProblem(`Chain '${jump}' does not exist`);
    }
    if (this.#newJumps.size === 0 && !always) return;
    const depths = new Map<string, number>();
    for (const hook of this.#builtin.hooks) this.#descend(HOOK_NAMES[hook], 0, [], depths, shared);
  }

  /**
   * Goes down all calls; a chain is looked at again only when it is reached deeper.
   * @param path the calls that are under way, of own rules
   */
  #descend(
    name: string,
    depth: number,
    path: RuleEntry[],
    depths: Map<string, number>,
    shared: readonly LayerTable[],
  ): void {
    if ((depths.get(name) ?? -1) >= depth) return;
    depths.set(name, depth);
    const own = this.#chains.get(name);
    if (own === undefined) {
      this.#descendLayer(name, depth, path, depths, shared);
      return;
    }
    for (const entry of own.entries) {
      const { jump } = entry.rule;
      if (jump === undefined) continue;
      path.push(entry);
      if (depth + 1 >= MAX_DEPTH) throw this.#tooDeep(path, name);
      this.#descend(jump, depth + 1, path, depths, shared);
      path.pop();
    }
  }

  #descendLayer(
    name: string,
    depth: number,
    path: RuleEntry[],
    depths: Map<string, number>,
    shared: readonly LayerTable[],
  ): void {
    const layer = shared.find(({ chains }) => chains.has(name));
    const chain = layer?.chains.get(name);
    if (layer === undefined || chain === undefined) return;
    const reach = layer.reach(chain);
    if (depth + reach.depth >= MAX_DEPTH) throw this.#tooDeep(path, name);
    for (const [outside, calls] of reach.outside) {
      if (depth + calls >= MAX_DEPTH) throw this.#tooDeep(path, name);
      this.#descend(outside, depth + calls, path, depths, shared);
    }
  }

  /** The kernel refuses the rule with which the calls became too many: the last one of the text. */
  #tooDeep(path: readonly RuleEntry[], chain: string): Complaint {
    let culprit = chain;
    let line = 0;
    for (const entry of path) {
      const at = this.#newJumps.get(entry) ?? 0;
      if (at <= line) continue;
      line = at;
      culprit = entry.place.chain;
    }
    if (line > 0) this.line = line;
    return new Complaint("kernel", `RULE_APPEND failed (Too many links): rule in chain ${culprit}`);
  }

  /** Puts the rules in place. Cannot fail after {@link verify}. */
  commit(): void {
    if (this.#needsConntrack) this.#netns.requireConntrack(this.#family);
    // Copies, which have no room to grow.
    for (const name of this.#open.keys()) {
      const chain = this.#own(name);
      this.#put(chain.withEntries(chain.entries.slice()));
    }
    this.#table.replace(this.#chains, this.#table.shared);
    if (this.#empty) for (const hook of this.#builtin.hooks) this.#table.setPolicyCount(hook, 0, 0);
    for (const [entry, { packets, bytes }] of this.#counts)
      this.#table.setCount(entry, packets, bytes);
    for (const [name, { packets, bytes }] of this.#policyCounts) {
      const hook = hookOfChain(this.#builtin, name);
      if (hook !== undefined) this.#table.setPolicyCount(hook, packets, bytes);
    }
  }
}

function findRule(entries: readonly RuleEntry[], rule: Rule): number {
  return entries.findIndex((entry) => entry.rule === rule || entry.rule.text === rule.text);
}

function parsePolicy(policy: string): Policy {
  if (policy === "ACCEPT") return NF_ACCEPT;
  if (policy === "DROP") return NF_DROP;
  throw new Complaint("lookup", "Bad policy name.");
}

function busy(chain: string): Complaint {
  return new Complaint("kernel", `CHAIN_DEL failed (Device or resource busy): chain ${chain}`);
}

function noDropInNat(): Complaint {
  return parameterProblem(
    '\nThe "nat" table is not intended for filtering, the use of DROP is therefore inhibited.\n\n',
  );
}

/** @throws Complaint */
export function checkChainName(name: string, family: IpFamily): void {
  if (name.length >= MAX_CHAIN_NAME) {
    throw parameterProblem(
      `chain name \`${name}' too long (must be under ${MAX_CHAIN_NAME} chars)`,
    );
  }
  if (name.startsWith("-") || name.startsWith("!")) {
    throw parameterProblem(`chain name not allowed to start with \`${name.charAt(0)}'`);
  }
  if (name === "" || /\s/.test(name)) throw parameterProblem("Invalid chain name");
  if (isTargetName(family, name)) {
    throw parameterProblem("chain name may not clash with target name");
  }
}
