import type { Origin } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import { type BuiltinTable, builtinTable, hookOfChain } from "./builtin-tables.ts";
import { Chain } from "./chain.ts";
import { Complaint, NO_SUCH_CHAIN, parameterProblem } from "./iptables-error.ts";
import { LayerTable } from "./layer-table.ts";
import { type ChainName, RuleEntry } from "./rule.ts";
import { RuleParser } from "./rule-parser.ts";
import { checkChainName } from "./table-edit.ts";
import { splitWords } from "./words.ts";

/** Tells what caused a rule of a layer. */
export type LayerRuleOrigin = (table: string, chain: string, rule: string) => Origin | undefined;

/** Rules by chain by table, without `-A CHAIN`; `undefined` takes a chain away. */
export type ChainChanges = Readonly<
  Record<string, Readonly<Record<string, readonly string[] | undefined>>>
>;

/** A rule of a {@link LayerChain}, without `-A CHAIN`. */
export interface LayerRule {
  readonly text: string;
  readonly origin?: Origin | undefined;
}

/** One user chain of one table, read once for any number of layers. Immutable. */
export class LayerChain {
  readonly family: IpFamily;
  readonly table: string;
  /** @hidden */
  readonly chain: Chain;

  private constructor(family: IpFamily, chain: Chain) {
    this.family = family;
    this.table = chain.place.table;
    this.chain = chain;
  }

  /** @throws IptablesError */
  static read(
    family: IpFamily,
    table: string,
    name: string,
    rules: readonly LayerRule[],
  ): LayerChain {
    try {
      checkLayerChain(family, findTable(table), name);
      const place = { table, chain: name };
      const entries = rules.flatMap(({ text, origin }) =>
        readRule(family, place, text, () => origin),
      );
      return new LayerChain(family, new Chain(place, entries.slice(), undefined));
    } catch (error) {
      if (error instanceof Complaint) throw error.ofCommand(family);
      throw error;
    }
  }

  get name(): string {
    return this.chain.name;
  }
}

/**
 * User chains of several tables that many namespaces share: parsed once, looked up through the same
 * indexes. What they count belongs to each namespace. Immutable; {@link with} makes changed ones.
 */
export class ChainLayer {
  readonly family: IpFamily;
  readonly #tables: ReadonlyMap<string, LayerTable>;

  private constructor(family: IpFamily, tables: ReadonlyMap<string, LayerTable>) {
    this.family = family;
    this.#tables = tables;
  }

  /** A layer without chains. */
  static empty(family: IpFamily): ChainLayer {
    return new ChainLayer(family, new Map());
  }

  /** A layer of chains that have been read before. @throws IptablesError for chains that call each other in a circle */
  static of(family: IpFamily, all: Iterable<LayerChain>): ChainLayer {
    const byTable = new Map<string, Map<string, Chain>>();
    for (const { table, chain } of all) {
      const chains = byTable.get(table);
      if (chains === undefined) byTable.set(table, new Map([[chain.name, chain]]));
      else chains.set(chain.name, chain);
    }
    try {
      const tables = [...byTable].map(([name, chains]) => [name, new LayerTable(chains)] as const);
      return new ChainLayer(family, new Map(tables));
    } catch (error) {
      if (error instanceof Complaint) throw error.ofCommand(family);
      throw error;
    }
  }

  /**
   * Reads a layer: `*table`, `:CHAIN`, `-A CHAIN …` and `COMMIT` lines as iptables-restore reads them.
   * @throws IptablesError, also for builtin chains, which cannot be shared
   */
  static parse(family: IpFamily, text: string, origin?: LayerRuleOrigin): ChainLayer {
    const reader = new LayerReader(family, origin);
    let line = 0;
    try {
      for (const content of text.split("\n")) {
        line++;
        reader.read(content.trim());
      }
      return new ChainLayer(family, reader.tables());
    } catch (error) {
      if (error instanceof Complaint) throw error.ofRestore(family, line);
      throw error;
    }
  }

  /** A layer in which some chains are others. Only those are read. @throws IptablesError */
  with(changes: ChainChanges, origin?: LayerRuleOrigin): ChainLayer {
    try {
      return this.#with(changes, origin);
    } catch (error) {
      if (error instanceof Complaint) throw error.ofCommand(this.family);
      throw error;
    }
  }

  #with(changes: ChainChanges, origin: LayerRuleOrigin | undefined): ChainLayer {
    const tables = new Map(this.#tables);
    for (const [name, chains] of Object.entries(changes)) {
      const builtin = findTable(name);
      const changed = new Map(tables.get(name)?.chains);
      for (const [chain, rules] of Object.entries(chains)) {
        if (rules === undefined) {
          changed.delete(chain);
          continue;
        }
        checkLayerChain(this.family, builtin, chain);
        const place = { table: name, chain };
        const entries = rules.flatMap((rule) => readRule(this.family, place, rule, origin));
        changed.set(chain, new Chain(place, entries.slice(), undefined));
      }
      if (changed.size > 0) tables.set(name, new LayerTable(changed));
      else tables.delete(name);
    }
    return new ChainLayer(this.family, tables);
  }

  /** Names of the tables in which it has chains. */
  get tables(): Iterable<string> {
    return this.#tables.keys();
  }

  /**
   * Its chains of a table, for the tables that it joins; `undefined` where it has none.
   * @hidden
   */
  table(name: string): LayerTable | undefined {
    return this.#tables.get(name);
  }
}

/** Collects chains line by line. */
class LayerReader {
  readonly #family: IpFamily;
  readonly #origin: LayerRuleOrigin | undefined;
  readonly #chains: Map<BuiltinTable, Map<string, RuleEntry[]>> = new Map();
  #table: BuiltinTable | undefined;

  constructor(family: IpFamily, origin: LayerRuleOrigin | undefined) {
    this.#family = family;
    this.#origin = origin;
  }

  /** @throws Complaint */
  read(line: string): void {
    if (line === "" || line.startsWith("#")) return;
    if (line.startsWith("*")) {
      this.#table = findTable(line.slice(1));
      return;
    }
    const table = this.#table;
    if (table === undefined) throw new Complaint("line", "");
    if (line === "COMMIT") this.#table = undefined;
    else if (line.startsWith(":")) this.#declare(table, line.slice(1).split(/\s/, 1)[0] as string);
    else this.#append(table, line);
  }

  #declare(table: BuiltinTable, chain: string): void {
    checkLayerChain(this.#family, table, chain);
    const chains = this.#chains.get(table);
    if (chains === undefined) this.#chains.set(table, new Map([[chain, []]]));
    else chains.set(chain, []);
  }

  #append(table: BuiltinTable, line: string): void {
    const [, chain = "", rule = ""] = /^(?:-A|--append)\s+(\S+)\s*(.*)$/.exec(line) ?? [];
    if (chain === "") throw new Complaint("argument", `Bad argument \`${line.split(/\s/, 1)[0]}'`);
    const entries = this.#chains.get(table)?.get(chain);
    if (entries === undefined) throw new Complaint("lookup", NO_SUCH_CHAIN);
    entries.push(...readRule(this.#family, { table: table.name, chain }, rule, this.#origin));
  }

  /** @throws Complaint */
  tables(): Map<string, LayerTable> {
    const tables = new Map<string, LayerTable>();
    for (const [{ name }, chains] of this.#chains) {
      const made = new Map<string, Chain>();
      for (const [chain, entries] of chains) {
        made.set(chain, new Chain({ table: name, chain }, entries, undefined));
      }
      tables.set(name, new LayerTable(made));
    }
    return tables;
  }
}

/** @throws Complaint */
function findTable(name: string): BuiltinTable {
  const table = builtinTable(name);
  if (table === undefined) throw parameterProblem(`table '${name}' does not exist`);
  return table;
}

/** @throws Complaint */
function checkLayerChain(family: IpFamily, table: BuiltinTable, chain: string): void {
  checkChainName(chain, family);
  if (hookOfChain(table, chain) === undefined) return;
  throw parameterProblem(`builtin chain ${chain} cannot be in a layer`);
}

/** @throws Complaint */
function readRule(
  family: IpFamily,
  place: ChainName,
  text: string,
  origin: LayerRuleOrigin | undefined,
): RuleEntry[] {
  const { rules } = new RuleParser(family, splitWords(text), place).parse();
  return rules.map((rule) => {
    rule.check({ ...place, family, protocol: rule.protocol });
    return new RuleEntry(rule, place, origin?.(place.table, place.chain, text));
  });
}
