import type { Iptables } from "@cnilab/linux";

// What the plugins do with go-iptables (containernetworking/plugins pkg/utils/iptables.go). A rule is the
// text behind the chain's name on iptables' command line.

export function ensureChain(iptables: Iptables, table: string, chain: string): void {
  if (!iptables.hasChain(table, chain)) iptables.newChain(table, chain);
}

export function appendUnique(iptables: Iptables, table: string, chain: string, rule: string): void {
  if (!iptables.check(table, chain, rule)) iptables.append(table, chain, rule);
}

export function prependUnique(
  iptables: Iptables,
  table: string,
  chain: string,
  rule: string,
): void {
  if (!iptables.check(table, chain, rule)) iptables.insert(table, chain, rule);
}

/** No such rule, or no such chain, is as good as deleted. */
export function deleteRule(iptables: Iptables, table: string, chain: string, rule: string): void {
  if (hasRule(iptables, table, chain, rule)) iptables.delete(table, chain, rule);
}

/** A rule that jumps to a chain that is not there is not there either. */
export function hasRule(iptables: Iptables, table: string, chain: string, rule: string): boolean {
  if (!iptables.hasChain(table, chain)) return false;
  const target = / -j (\S+)/.exec(` ${rule}`)?.[1];
  if (target !== undefined && isOwnChain(target) && !iptables.hasChain(table, target)) return false;
  return iptables.check(table, chain, rule);
}

function isOwnChain(target: string): boolean {
  return target.startsWith("CNI-");
}

/** An argument as a shell would need it: in quotes where it has blanks or quotes. */
export function argument(text: string): string {
  return /^[^\s"'\\]+$/.test(text) ? text : `"${text.replace(/["\\]/g, "\\$&")}"`;
}

/** The arguments of a rule as one text. */
export function ruleText(args: readonly string[]): string {
  return args.map(argument).join(" ");
}
