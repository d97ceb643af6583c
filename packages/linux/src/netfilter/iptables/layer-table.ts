import type { Chain } from "./chain.ts";
import { Complaint } from "./iptables-error.ts";
import type { RuleEntry } from "./rule.ts";

/** Where calls that start in a chain lead. */
export interface Reach {
  /** Calls that can be under way inside of the layer at once. */
  readonly depth: number;
  /** Chains outside of the layer, with how many calls deep they are called at most. */
  readonly outside: ReadonlyMap<string, number>;
}

const NOTHING: ReadonlyMap<string, number> = new Map();
const LEAF: Reach = { depth: 0, outside: NOTHING };

/** A layer's chains of one table, and what a namespace must know of them: found out once for all. */
export class LayerTable {
  readonly chains: ReadonlyMap<string, Chain>;
  /** Chains that it calls and does not have. */
  readonly missing: ReadonlySet<string>;
  /** Rules that name objects of a namespace. */
  readonly naming: readonly RuleEntry[];
  readonly needsConntrack: boolean;
  readonly #reach: Map<Chain, Reach> = new Map();

  /** @throws Complaint for chains that call each other in a circle */
  constructor(chains: ReadonlyMap<string, Chain>) {
    this.chains = chains;
    const missing = new Set<string>();
    const naming: RuleEntry[] = [];
    let needsConntrack = false;
    for (const chain of chains.values()) {
      const { needs } = chain;
      for (const name of needs.calls) if (!chains.has(name)) missing.add(name);
      for (const entry of needs.naming) naming.push(entry);
      needsConntrack ||= needs.conntrack;
      this.#find(chain, 0);
    }
    this.missing = missing;
    this.naming = naming;
    this.needsConntrack = needsConntrack;
  }

  reach(chain: Chain): Reach {
    return this.#find(chain, 0);
  }

  #find(chain: Chain, nesting: number): Reach {
    const known = this.#reach.get(chain);
    if (known !== undefined) return known;
    if (nesting > this.chains.size) {
      throw new Complaint(
        "kernel",
        `RULE_APPEND failed (Too many links): rule in chain ${chain.name}`,
      );
    }
    let depth = 0;
    let outside: Map<string, number> | undefined;
    for (const name of chain.needs.calls) {
      const callee = this.chains.get(name);
      const below = callee === undefined ? undefined : this.#find(callee, nesting + 1);
      if (below === undefined) {
        outside ??= new Map();
        outside.set(name, Math.max(outside.get(name) ?? 0, 1));
        continue;
      }
      depth = Math.max(depth, 1 + below.depth);
      for (const [other, at] of below.outside) {
        outside ??= new Map();
        outside.set(other, Math.max(outside.get(other) ?? 0, at + 1));
      }
    }
    const reach =
      depth === 0 && outside === undefined ? LEAF : { depth, outside: outside ?? NOTHING };
    this.#reach.set(chain, reach);
    return reach;
  }
}
