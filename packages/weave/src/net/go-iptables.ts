import type { Iptables } from "@cnilab/linux";

// What weaver and weave-npc do with the library go-iptables.

export function ensureChain(iptables: Iptables, table: string, chain: string): void {
  if (!iptables.hasChain(table, chain)) iptables.newChain(table, chain);
}

/** Afterwards the chain is there, without rules. */
export function clearChain(iptables: Iptables, table: string, chain: string): void {
  if (iptables.hasChain(table, chain)) iptables.flush(table, chain);
  else iptables.newChain(table, chain);
}

export function appendUnique(iptables: Iptables, table: string, chain: string, rule: string): void {
  if (!iptables.check(table, chain, rule)) iptables.append(table, chain, rule);
}
