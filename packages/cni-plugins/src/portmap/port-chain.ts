import type { Iptables } from "@cnilab/linux";
import { failure } from "../failure.ts";
import { listText } from "../go-text.ts";
import { appendUnique, ensureChain, hasRule, prependUnique } from "../iptables-rules.ts";

const TABLE = "nat";

/** A chain of the nat table with the rules that lead to it (plugins/meta/portmap/chain.go). */
export interface PortChain {
  readonly name: string;
  /** Chains from which {@link entryRules} jump here. */
  readonly entryChains: readonly string[];
  readonly entryRules: readonly (readonly string[])[];
  readonly rules: readonly (readonly string[])[];
  readonly prependEntry?: boolean;
}

/** Makes what is missing of a chain. */
export function setupChain(iptables: Iptables, chain: PortChain): void {
  ensureChain(iptables, TABLE, chain.name);
  for (const rule of chain.rules) appendUnique(iptables, TABLE, chain.name, rule);
  const insert = chain.prependEntry ? prependUnique : appendUnique;
  for (const from of chain.entryChains) {
    for (const rule of chain.entryRules) {
      insert(iptables, TABLE, from, [...rule, "-j", chain.name]);
    }
  }
}

/** Removes a chain and whatever jumps to it from {@link PortChain.entryChains}; no chain is no error. */
export function teardownChain(
  iptables: Iptables,
  name: string,
  entryChains: readonly string[],
): void {
  if (!iptables.hasChain(TABLE, name)) return;
  for (const from of entryChains) {
    if (!iptables.hasChain(TABLE, from)) continue;
    const prefix = `-A ${from} `;
    for (const line of iptables.list(TABLE, from)) {
      if (line.startsWith(prefix) && line.endsWith(`-j ${name}`)) {
        iptables.delete(TABLE, from, line.slice(prefix.length));
      }
    }
  }
  iptables.flush(TABLE, name);
  iptables.deleteChain(TABLE, name);
}

/** @throws CniError where something of the chain is missing */
export function checkChain(iptables: Iptables, chain: PortChain): void {
  const { name, rules, entryChains, entryRules } = chain;
  if (!iptables.hasChain(TABLE, name)) {
    throw failure(`chain ${name} not found in iptables table ${TABLE}`);
  }
  if (rules.some((rule) => !hasRule(iptables, TABLE, name, rule))) {
    throw failure(
      `rule ${listText(rules.map(listText))} in chain ${name} not found in table ${TABLE}`,
    );
  }
  for (const from of entryChains) {
    const missing = entryRules.some(
      (rule) => !hasRule(iptables, TABLE, from, [...rule, "-j", name]),
    );
    if (missing) {
      throw failure(
        `rule ${listText(entryRules.map(listText))} in chain ${from} not found in table ${TABLE}`,
      );
    }
  }
}
