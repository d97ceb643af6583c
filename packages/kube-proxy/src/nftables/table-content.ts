import type { IpFamily } from "@cnilab/net";
import { FAMILY_WORDS, type SharedSet, TABLE } from "./base-ruleset.ts";
import type { NftRuleset } from "./ruleset.ts";
import type { NftElement } from "./service-objects.ts";

/** What the table holds besides its base: the Services' objects, and chains that wait to be deleted. */
export interface TableContent {
  readonly ruleset: NftRuleset;
  /** Empty chains of Services that are gone. */
  readonly stale: ReadonlySet<string>;
}

/**
 * The chains that are left over when `ruleset` follows on `before`. kube-proxy flushes them at once
 * and deletes them in a later sync: until Linux 6.2 the kernel noticed only some time after a map's
 * element was gone that a chain was free.
 */
export function staleChains(
  before: TableContent,
  ruleset: NftRuleset,
  deleteOld: boolean,
): ReadonlySet<string> {
  const stale = new Set<string>();
  for (const name of before.ruleset.chains.keys()) if (!ruleset.chains.has(name)) stale.add(name);
  if (deleteOld) return stale;
  for (const name of before.stale) if (!ruleset.chains.has(name)) stale.add(name);
  return stale;
}

/** The commands that make one content of another; `undefined` stands for the table's base alone. */
export function contentChanges(
  family: IpFamily,
  before: TableContent | undefined,
  after: TableContent,
): string {
  return new ChangeWriter(family, before, after).write();
}

const NO_RULES: readonly string[] = [];

/**
 * Writes the commands in an order in which nothing that is still in use goes away: elements and rules
 * before the chains and sets that they name, and new ones after those.
 */
class ChangeWriter {
  readonly #table: string;
  readonly #addressType: string;
  readonly #before: TableContent | undefined;
  readonly #after: TableContent;
  readonly #lines: string[] = [];

  constructor(family: IpFamily, before: TableContent | undefined, after: TableContent) {
    const { ip, addressType } = FAMILY_WORDS[family];
    this.#table = `${ip} ${TABLE}`;
    this.#addressType = addressType;
    this.#before = before;
    this.#after = after;
  }

  write(): string {
    const sets = Object.keys(this.#after.ruleset.elements) as SharedSet[];
    for (const set of sets) this.#deleteElements(set);
    this.#addAffinitySets();
    this.#writeChains();
    this.#deleteChains();
    this.#deleteAffinitySets();
    for (const set of sets) this.#addElements(set);
    return this.#lines.join("\n");
  }

  #deleteElements(set: SharedSet): void {
    const wanted = this.#after.ruleset.elements[set];
    for (const [key, element] of this.#before?.ruleset.elements[set] ?? []) {
      const now = wanted.get(key);
      if (now !== undefined && sameElement(element, now)) continue;
      this.#lines.push(`delete element ${this.#table} ${set} { ${key} }`);
    }
  }

  #addElements(set: SharedSet): void {
    const there = this.#before?.ruleset.elements[set];
    for (const [key, element] of this.#after.ruleset.elements[set]) {
      const old = there?.get(key);
      if (old !== undefined && sameElement(old, element)) continue;
      const comment = element.comment === undefined ? "" : ` comment "${element.comment}"`;
      const verdict = element.verdict === undefined ? "" : ` : ${element.verdict}`;
      this.#lines.push(`add element ${this.#table} ${set} { ${key}${comment}${verdict} }`);
    }
  }

  #addAffinitySets(): void {
    const there = this.#before?.ruleset.affinitySets;
    for (const [name, seconds] of this.#after.ruleset.affinitySets) {
      if (there?.get(name) === seconds) continue;
      this.#lines.push(
        `add set ${this.#table} ${name} { type ${this.#addressType}; flags dynamic,timeout; timeout ${seconds}s; }`,
      );
    }
  }

  #deleteAffinitySets(): void {
    const wanted = this.#after.ruleset.affinitySets;
    for (const name of this.#before?.ruleset.affinitySets.keys() ?? []) {
      if (!wanted.has(name)) this.#lines.push(`delete set ${this.#table} ${name}`);
    }
  }

  /** All chains first: rules lead from any to any. */
  #writeChains(): void {
    const rules: string[] = [];
    const { ruleset, stale } = this.#after;
    for (const [name, wanted] of ruleset.chains) {
      const there = rulesOf(this.#before, name);
      if (there !== undefined && sameRules(there, wanted)) continue;
      this.#emptyChain(name, there);
      for (const rule of wanted) rules.push(`add rule ${this.#table} ${name} ${rule}`);
    }
    for (const name of stale) this.#emptyChain(name, rulesOf(this.#before, name));
    for (const line of rules) this.#lines.push(line);
  }

  #emptyChain(name: string, there: readonly string[] | undefined): void {
    if (there === undefined) this.#lines.push(`add chain ${this.#table} ${name}`);
    else if (there.length > 0) this.#lines.push(`flush chain ${this.#table} ${name}`);
  }

  #deleteChains(): void {
    if (this.#before === undefined) return;
    const { ruleset, stale } = this.#after;
    const gone = [...this.#before.ruleset.chains.keys(), ...this.#before.stale].filter(
      (name) => !ruleset.chains.has(name) && !stale.has(name),
    );
    // They may lead to one another.
    for (const name of gone) this.#lines.push(`flush chain ${this.#table} ${name}`);
    for (const name of gone) this.#lines.push(`delete chain ${this.#table} ${name}`);
  }
}

function rulesOf(content: TableContent | undefined, chain: string): readonly string[] | undefined {
  const rules = content?.ruleset.chains.get(chain);
  return rules ?? (content?.stale.has(chain) === true ? NO_RULES : undefined);
}

function sameRules(x: readonly string[], y: readonly string[]): boolean {
  return x === y || (x.length === y.length && x.every((rule, i) => rule === y[i]));
}

function sameElement(x: NftElement, y: NftElement): boolean {
  return x === y || (x.verdict === y.verdict && x.comment === y.comment);
}
