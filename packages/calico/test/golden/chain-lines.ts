import type { IpFamily } from "@cnilab/net";
import { iptablesAppend } from "../../src/rules/iptables-text.ts";
import { nftablesRule } from "../../src/rules/nftables-text.ts";
import type { TableChain } from "../../src/rules/rule.ts";

/** A chain as the vectors have it. */
export interface GoldenChain {
  readonly name: string;
  readonly rules: readonly string[];
}

/** Rules of a chain as the vectors have them: without hashes; nft's comments behind ` ## `. */
export function chainLines(
  { name, rules }: TableChain,
  backend: "iptables" | "nftables",
  family: IpFamily,
): string[] {
  return rules.map((rule) => {
    if (backend === "iptables") return iptablesAppend(name, rule);
    const { text, comment } = nftablesRule(rule, family);
    return comment === undefined ? text : `${text} ## ${comment}`;
  });
}

/** Compares chains by name and in order. @returns the first difference */
export function differentChains(
  what: string,
  wanted: readonly GoldenChain[],
  have: readonly TableChain[],
  backend: "iptables" | "nftables",
  family: IpFamily,
): string | undefined {
  const names = new Map(have.map((chain) => [chain.name, chain]));
  for (const { name, rules } of wanted) {
    const chain = names.get(name);
    if (chain === undefined) return `${what}: no chain ${name}`;
    names.delete(name);
    const lines = chainLines(chain, backend, family);
    for (let i = 0; i < Math.max(lines.length, rules.length); i++) {
      if (lines[i] === rules[i]) continue;
      return `${what} ${name} rule ${i}\n  wanted ${rules[i]}\n  have   ${lines[i]}`;
    }
  }
  const [surplus] = names.keys();
  return surplus === undefined ? undefined : `${what}: surplus chain ${surplus}`;
}
