import { NF_ACCEPT, type NF_DROP } from "../hooks.ts";
import { Dispatch } from "./dispatch.ts";
import type { ChainName, RuleEntry } from "./rule.ts";

export type Policy = typeof NF_ACCEPT | typeof NF_DROP;

/** Rules in order. Immutable: a change makes another chain. */
export class Chain {
  readonly place: ChainName;
  readonly entries: readonly RuleEntry[];
  /** What becomes of packets that no rule decided about; builtin chains only. */
  readonly policy: Policy | undefined;
  /** Made for the first packet; `null` where it would not pay. */
  #dispatch: Dispatch | null | undefined;
  #calls: ReadonlySet<string> | undefined;

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

  /** Chains that its rules call. */
  get calls(): ReadonlySet<string> {
    if (this.#calls === undefined) {
      const calls = new Set<string>();
      for (const { rule } of this.entries) if (rule.jump !== undefined) calls.add(rule.jump);
      this.#calls = calls;
    }
    return this.#calls;
  }

  /** Rules that name objects of a namespace. */
  get naming(): readonly RuleEntry[] {
    return this.entries.filter(({ rule }) => rule.namesObjects);
  }

  get needsConntrack(): boolean {
    return this.entries.some(({ rule }) => rule.needsConntrack);
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
