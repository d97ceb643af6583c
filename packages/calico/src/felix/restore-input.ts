import { iptablesAppend, iptablesHashes, iptablesRule } from "../rules/iptables-text.ts";
import type { TableRule } from "../rules/rule.ts";
import { TABLES, type TableName, type WantedTable, type WantedTables } from "./tables.ts";

/**
 * What Felix writes to iptables-restore to get from one state to another (`felix/iptables/table.go` applyUpdates, in the mode for
 * iptables-nft): a chain with any change is written anew; chains that go are deleted in a transaction of their own. The real one writes
 * chains in no order; here it is that of their names.
 */
export function restoreInput(
  before: WantedTables | undefined,
  after: WantedTables,
  append = false,
): string {
  return TABLES.map((table) => tableInput(table, before?.[table], after[table], append)).join("");
}

function tableInput(
  table: TableName,
  before: WantedTable | undefined,
  after: WantedTable,
  append: boolean,
): string {
  const changed = [...after.chains.values()]
    .filter((chain) => {
      const there = before?.chains.get(chain.name);
      return there !== chain && (there === undefined || !sameHashes(there, chain));
    })
    .sort((x, y) => (x.name < y.name ? -1 : 1));
  const lines = changed.map(({ name }) => `:${name} - -`);
  for (const chain of changed) {
    const hashes = iptablesHashes(chain);
    for (const [i, rule] of chain.rules.entries()) {
      lines.push(iptablesAppend(chain.name, rule, hashes[i]));
    }
  }
  if (before === undefined) lines.push(...hookLines(after, append));
  const gone = [...(before?.chains.keys() ?? [])].filter((name) => !after.chains.has(name)).sort();
  const deletions = [
    ...gone.map((name) => `:${name} - -`),
    ...gone.map((name) => `--delete-chain ${name}`),
  ];
  return transaction(table, lines) + transaction(table, deletions);
}

function hookLines({ inserted, appended }: WantedTable, append: boolean): string[] {
  const lines: string[] = [];
  for (const [chain, rules] of inserted) {
    const texts = hashedRules(chain, rules);
    // The last one inserted stands first.
    for (const text of append ? texts : texts.toReversed()) {
      lines.push(`${append ? "-A" : "-I"} ${chain} ${text}`);
    }
  }
  for (const [chain, rules] of appended) {
    lines.push(...hashedRules(chain, rules, "*appends*").map((text) => `-A ${chain} ${text}`));
  }
  return lines;
}

/** Texts by chain and suffix. */
const hashed = new WeakMap<readonly TableRule[], Map<string, readonly string[]>>();

/** Rules of a built-in chain with their hashes. @param suffix tells appended ones from inserted ones (`felix/iptables/table.go`) */
export function hashedRules(
  chain: string,
  rules: readonly TableRule[],
  suffix = "",
): readonly string[] {
  const name = chain + suffix;
  let byName = hashed.get(rules);
  if (byName === undefined) {
    byName = new Map();
    hashed.set(rules, byName);
  }
  let texts = byName.get(name);
  if (texts === undefined) {
    const hashes = iptablesHashes({ name, rules });
    texts = rules.map((rule, i) => iptablesRule(rule, hashes[i]));
    byName.set(name, texts);
  }
  return texts;
}

function sameHashes(
  x: { readonly name: string; readonly rules: readonly TableRule[] },
  y: { readonly name: string; readonly rules: readonly TableRule[] },
): boolean {
  return iptablesHashes(x).join() === iptablesHashes(y).join();
}

function transaction(table: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : `*${table}\n${lines.join("\n")}\nCOMMIT\n`;
}
