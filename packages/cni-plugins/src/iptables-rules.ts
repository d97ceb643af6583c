import { CniError } from "@cnilab/core";
import { type Iptables, IptablesError, ruleText } from "@cnilab/linux";
import { failure } from "./failure.ts";

// What the plugins do with go-iptables (containernetworking/plugins pkg/utils/iptables.go). A rule is the
// list of arguments behind the chain's name on iptables' command line.

export type RuleArguments = readonly string[];

export function ensureChain(iptables: Iptables, table: string, chain: string): void {
  if (!iptables.hasChain(table, chain)) iptables.newChain(table, chain);
}

/** @throws CniError where iptables refuses the rule */
export function appendUnique(
  iptables: Iptables,
  table: string,
  chain: string,
  rule: RuleArguments,
): void {
  const text = ruleText(rule);
  const exists = run(iptables, "-C", table, chain, rule, () => iptables.check(table, chain, text));
  if (!exists) {
    run(iptables, "-A", table, chain, rule, () => iptables.append(table, chain, text));
  }
}

/** @throws CniError where iptables refuses the rule */
export function prependUnique(
  iptables: Iptables,
  table: string,
  chain: string,
  rule: RuleArguments,
): void {
  const text = ruleText(rule);
  const exists = run(iptables, "-C", table, chain, rule, () => iptables.check(table, chain, text));
  if (!exists) {
    run(iptables, "-I", table, chain, rule, () => iptables.insert(table, chain, text));
  }
}

/** No such rule, or no such chain, is as good as deleted. */
export function deleteRule(
  iptables: Iptables,
  table: string,
  chain: string,
  rule: RuleArguments,
): void {
  if (hasRule(iptables, table, chain, rule)) iptables.delete(table, chain, ruleText(rule));
}

/** Whether a rule is there; one that iptables does not understand is not. */
export function hasRule(
  iptables: Iptables,
  table: string,
  chain: string,
  rule: RuleArguments,
): boolean {
  if (!iptables.hasChain(table, chain)) return false;
  try {
    return iptables.check(table, chain, ruleText(rule));
  } catch (error) {
    if (!(error instanceof IptablesError)) throw error;
    return false;
  }
}

/** Puts words in front of what a failing plugin says. */
export function within<T>(words: string, what: () => T): T {
  try {
    return what();
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    throw failure(`${words}: ${error.message}`);
  }
}

function run<T>(
  { tool }: Iptables,
  command: string,
  table: string,
  chain: string,
  rule: RuleArguments,
  what: () => T,
): T {
  try {
    return what();
  } catch (error) {
    if (!(error instanceof IptablesError)) throw error;
    // Bad arguments are exit code 2, with a hint, and met by the first command; what the kernel
    // refuses is 4.
    const isUsage = /\): \S/.test(error.message);
    const words = ["-t", table, isUsage ? "-C" : command, chain, ...rule, "--wait"];
    const line = `/usr/sbin/${tool} ${words.join(" ")}`;
    const hint = isUsage ? `\nTry \`${tool} -h' or '${tool} --help' for more information.` : "";
    throw failure(`running [${line}]: exit status ${isUsage ? 2 : 4}: ${error.message}${hint}\n`);
  }
}
