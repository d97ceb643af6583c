import type { Command } from "./command.ts";
import { NO_DEVICES } from "./evaluate-expression.ts";
import { NftablesError } from "./nftables-error.ts";
import { parseCommands } from "./parse-command.ts";
import type { Table } from "./table.ts";
import { type RuleOrigin, type Ruleset, Transaction, tableKey } from "./transaction.ts";

/**
 * The content of one table, read and compiled once and attached to any number of namespaces by
 * `Nftables.setLayer`: 5,000 nodes share one table of kube-proxy. It never changes. A namespace that
 * changes a chain or set has its own copy of that one from then on; counters, limits and the elements
 * of dynamic sets are each namespace's own in any case. Rules of a layer cannot name devices by index
 * (`iif`, `oif`): `iifname` does.
 */
export class NftTableLayer {
  private constructor(table: Table) {
    tables.set(this, table);
  }

  /** @param text nft commands about one table, which the first of them adds. @throws NftablesError */
  static parse(text: string, options: { readonly origin?: RuleOrigin } = {}): NftTableLayer {
    const ruleset: Ruleset = { tables: new Map(), lastTable: 0 };
    const commands = parseCommands(text);
    run(ruleset, commands, options.origin);
    const [table, another] = ruleset.tables.values();
    if (table === undefined || another !== undefined) {
      const location = commands[0]?.location ?? { line: 1, column: 1, lastColumn: 1 };
      throw new NftablesError(location, "a layer has one table");
    }
    return new NftTableLayer(table);
  }

  /** The layer that further commands make of this one. Costs what they change. @throws NftablesError */
  with(text: string, options: { readonly origin?: RuleOrigin } = {}): NftTableLayer {
    const before = tableOf(this);
    const table = before.fork(before.handle);
    const only = new Map([[tableKey(table.family, table.name), table]]);
    run({ tables: only, lastTable: table.handle }, parseCommands(text), options.origin);
    return new NftTableLayer(table);
  }
}

/** The tables of layers: apart from them, so that nobody else changes one. */
const tables: WeakMap<NftTableLayer, Table> = new WeakMap();

/** Not to be changed. */
export function tableOf(layer: NftTableLayer): Table {
  return tables.get(layer) as Table;
}

function run(ruleset: Ruleset, commands: readonly Command[], origin: RuleOrigin | undefined): void {
  new Transaction(ruleset, NO_DEVICES, 0, origin).run(commands);
}
