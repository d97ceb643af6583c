import type { Origin } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import { type BuiltinTable, builtinTable, hookOfChain } from "./builtin-tables.ts";
import { Chain } from "./chain.ts";
import { Complaint, parameterProblem } from "./iptables-error.ts";
import { LayerTable } from "./layer-table.ts";
import { type Rule, RuleEntry } from "./rule.ts";
import { RuleParser } from "./rule-parser.ts";
import { checkChainName } from "./table-edit.ts";
import { splitWords } from "./words.ts";

/** Tells what caused a rule of a layer. */
export type LayerRuleOrigin = (table: string, chain: string, rule: string) => Origin | undefined;

/** Rules by chain by table, without `-A CHAIN`; `undefined` takes a chain away. */
export type ChainChanges = Readonly<
  Record<string, Readonly<Record<string, readonly string[] | undefined>>>
>;

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

  /**
   * Reads a layer: `*table`, `:CHAIN`, `-A CHAIN …` and `COMMIT` lines as iptables-restore reads them.
   * @throws IptablesError, also for builtin chains, which cannot be shared
   */
  static parse(family: IpFamily, text: string, origin?: LayerRuleOrigin): ChainLayer {
    const changes: Record<string, Record<string, string[]>> = {};
    let table: Record<string, string[]> | undefined;
    let line = 0;
    try {
      for (const raw of text.split("\n")) {
        line++;
        const content = raw.trim();
        if (content === "" || content.startsWith("#")) continue;
        if (content === "COMMIT") table = undefined;
        else if (content.startsWith("*")) {
          const name = content.slice(1);
          changes[name] ??= {};
          table = changes[name];
        } else addLine(table, content);
      }
      return ChainLayer.empty(family).#with(changes, origin);
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
      const builtin = builtinTable(name);
      if (builtin === undefined) throw parameterProblem(`table '${name}' does not exist`);
      const changed = new Map(tables.get(name)?.chains);
      for (const [chain, rules] of Object.entries(chains)) {
        if (rules === undefined) changed.delete(chain);
        else changed.set(chain, readChain(this.family, builtin, chain, rules, origin));
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

  /** Its chains of a table; `undefined` where it has none. */
  table(name: string): LayerTable | undefined {
    return this.#tables.get(name);
  }
}

function readChain(
  family: IpFamily,
  table: BuiltinTable,
  chain: string,
  rules: readonly string[],
  origin: LayerRuleOrigin | undefined,
): Chain {
  checkChainName(chain, family);
  if (hookOfChain(table, chain) !== undefined) {
    throw parameterProblem(`builtin chain ${chain} cannot be in a layer`);
  }
  const place = { table: table.name, chain };
  const entries = rules.flatMap((text) =>
    new RuleParser(family, splitWords(text), place).parse().rules.map((rule: Rule) => {
      rule.check({ ...place, family, protocol: rule.protocol });
      return new RuleEntry(rule, place, origin?.(table.name, chain, text));
    }),
  );
  return new Chain(place, entries, undefined);
}

function addLine(table: Record<string, string[]> | undefined, line: string): void {
  if (table === undefined) throw new Complaint("lookup", "no table is open");
  if (line.startsWith(":")) {
    const [name = ""] = line.slice(1).split(/\s/, 1);
    table[name] = [];
    return;
  }
  const rule = /^(?:-A|--append)\s+(\S+)\s*(.*)$/.exec(line);
  if (rule === null) throw new Complaint("argument", `Bad argument \`${line.split(/\s/, 1)[0]}'`);
  const [, chain = "", text = ""] = rule;
  const rules = table[chain];
  if (rules === undefined) throw new Complaint("lookup", "No chain/target/match by that name.");
  rules.push(text);
}
