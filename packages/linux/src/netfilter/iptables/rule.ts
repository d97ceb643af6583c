import type { Origin } from "@cnilab/core";
import type { NetNamespace } from "../../net-namespace.ts";
import type { FilterRule } from "../filter-rule.ts";
import type { Match, RulePlace, Target } from "./extension.ts";
import type { HeaderMatch } from "./header-match.ts";
import { CommentMatch } from "./matches/comment.ts";
import { invalidRule } from "./rule-refusal.ts";
import type { Walk } from "./walk.ts";

/** What a rule does with a packet that it matches: it acts, or goes to a user chain. */
export type RuleAction =
  | { readonly target: Target }
  | { readonly chain: string; readonly goto: boolean }
  | undefined;

/** A rule without its place. Immutable. */
export class Rule {
  readonly header: HeaderMatch;
  readonly matches: readonly Match[];
  /** {@link matches} that can fail. */
  readonly #tests: readonly Match[];
  readonly target: Target | undefined;
  /** The user chain that it goes to. */
  readonly jump: string | undefined;
  /** `-g`: what comes back from {@link jump} goes on where this chain was called. */
  readonly goto: boolean;
  #text: string | undefined;

  constructor(header: HeaderMatch, matches: readonly Match[], action: RuleAction) {
    this.header = header;
    this.matches = matches;
    const silent = matches.some((match) => match instanceof CommentMatch);
    // What `filter` returns has room to grow; the copy has not.
    this.#tests = silent
      ? matches.filter((match) => !(match instanceof CommentMatch)).slice()
      : matches;
    this.target = action !== undefined && "target" in action ? action.target : undefined;
    this.jump = action !== undefined && "chain" in action ? action.chain : undefined;
    this.goto = action !== undefined && "chain" in action && action.goto;
  }

  fits(walk: Walk): boolean {
    if (!this.header.matches(walk)) return false;
    for (const test of this.#tests) if (!test.matches(walk)) return false;
    return true;
  }

  /** As iptables-save prints it behind `-A CHAIN`. */
  get text(): string {
    this.#text ??= joinWords(
      this.header.text,
      ...this.matches.map((match) => match.text),
      this.#actionText,
    );
    return this.#text;
  }

  get #actionText(): string {
    if (this.jump !== undefined) return `${this.goto ? "-g" : "-j"} ${this.jump}`;
    return this.target?.text ?? "";
  }

  /** Whether connections must be tracked for it. */
  get needsConntrack(): boolean {
    return (
      this.target?.needsConntrack === true || this.matches.some((match) => match.needsConntrack)
    );
  }

  /** Whether its matches and its target work there. @throws Complaint */
  check(place: RulePlace): void {
    if (this.header.excludesAllAddresses) throw invalidRule(place);
    for (const match of this.matches) match.check?.(place);
    this.target?.check?.(place);
  }

  /** Whether it names objects of a namespace. */
  get namesObjects(): boolean {
    return this.target?.resolve !== undefined || this.matches.some((m) => m.resolve !== undefined);
  }

  /** Sets that it names. */
  get sets(): string[] {
    return [...this.matches.flatMap((match) => match.sets ?? []), ...(this.target?.sets ?? [])];
  }

  /** Whether the objects that it names are there. @throws Complaint */
  resolve(netns: NetNamespace, place: RulePlace): void {
    for (const match of this.matches) match.resolve?.(netns, place);
    this.target?.resolve?.(netns, place);
  }

  get protocol(): number {
    const { protocol } = this.header;
    return protocol === undefined || protocol.inverted ? 0 : protocol.protocol;
  }
}

/** Where rules stand. */
export interface ChainName {
  readonly table: string;
  readonly chain: string;
}

/** A rule in its chain. Immutable; what it counts belongs to the namespace. */
export class RuleEntry implements FilterRule {
  readonly rule: Rule;
  readonly place: ChainName;
  readonly origin: Origin | undefined;

  constructor(rule: Rule, place: ChainName, origin: Origin | undefined) {
    this.rule = rule;
    this.place = place;
    this.origin = origin;
  }

  get location(): string {
    return `${this.place.table} ${this.place.chain}`;
  }

  get text(): string {
    return joinWords("-A", this.place.chain, this.rule.text);
  }
}

/** Parts with blanks between them, empty ones left out. */
export function joinWords(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(" ");
}
