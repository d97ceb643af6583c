import type { FilterRule } from "../filter-rule.ts";
import { NF_ACCEPT, type NF_DROP } from "../hooks.ts";
import { Dispatch } from "./dispatch.ts";
import type { ChainName, RuleEntry } from "./rule.ts";

export type Policy = typeof NF_ACCEPT | typeof NF_DROP;

/** What the rules of a chain ask of the namespace that they are in. */
export interface ChainNeeds {
  /** Chains that they call. */
  readonly calls: readonly string[];
  /** Rules that name objects of the namespace. */
  readonly naming: readonly RuleEntry[];
  /** Whether connections must be tracked. */
  readonly conntrack: boolean;
}

/** Rules in order. Immutable: a change makes another chain. */
export class Chain {
  readonly place: ChainName;
  readonly entries: readonly RuleEntry[];
  /** What becomes of packets that no rule decided about; builtin chains only. */
  readonly policy: Policy | undefined;
  /** Made for the first packet; `null` where it would not pay. */
  #dispatch: Dispatch | null | undefined;
  #needs: ChainNeeds | undefined;
  #policyRule: FilterRule | undefined;

  constructor(place: ChainName, entries: readonly RuleEntry[], policy: Policy | undefined) {
    this.place = place;
    this.entries = entries;
    this.policy = policy;
  }

  get name(): string {
    return this.place.chain;
  }

  get isBuiltin(): boolean {
    return this.policy !== undefined;
  }

  /** Finds the rules that can match a packet; `null` when all must be tried in turn. */
  get dispatch(): Dispatch | null {
    if (this.#dispatch === undefined) this.#dispatch = Dispatch.of(this.entries) ?? null;
    return this.#dispatch;
  }

  /** For traces: the policy as a rule. */
  get policyRule(): FilterRule {
    this.#policyRule ??= {
      location: `${this.place.table} ${this.name}`,
      text: `-P ${this.name} ${formatPolicy(this.policy)}`,
      origin: undefined,
    };
    return this.#policyRule;
  }

  /** What its rules ask of a namespace; found out when first asked for. */
  get needs(): ChainNeeds {
    this.#needs ??= needsOf(this.entries);
    return this.#needs;
  }

  withEntries(entries: readonly RuleEntry[]): Chain {
    return new Chain(this.place, entries, this.policy);
  }

  withPolicy(policy: Policy): Chain {
    return new Chain(this.place, this.entries, policy);
  }
}

export function formatPolicy(policy: Policy | undefined): string {
  return policy === undefined ? "-" : policy === NF_ACCEPT ? "ACCEPT" : "DROP";
}

const NO_NEEDS: ChainNeeds = { calls: [], naming: [], conntrack: false };
const ONLY_CONNTRACK: ChainNeeds = { ...NO_NEEDS, conntrack: true };

function needsOf(entries: readonly RuleEntry[]): ChainNeeds {
  const calls = new Set<string>();
  for (const { rule } of entries) if (rule.jump !== undefined) calls.add(rule.jump);
  const naming = entries.filter(({ rule }) => rule.namesObjects);
  const conntrack = entries.some(({ rule }) => rule.needsConntrack);
  if (calls.size === 0 && naming.length === 0) return conntrack ? ONLY_CONNTRACK : NO_NEEDS;
  return { calls: [...calls], naming: naming.length === 0 ? NO_NEEDS.naming : naming, conntrack };
}
