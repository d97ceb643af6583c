import type { Origin } from "@cnilab/core";
import { TABLE } from "./names.ts";

/** A set or map with its elements, each by its key. */
export interface ContentSet {
  /** As nft declares it: `set x { type ipv4_addr; }` without name: `type ipv4_addr`. */
  readonly type: string;
  readonly isMap: boolean;
  /** Key → verdict; a set's elements have none. */
  readonly elements: ReadonlyMap<string, string | undefined>;
}

export interface ContentRule {
  readonly text: string;
  readonly origin: Origin | undefined;
}

/** The chains, sets and maps of the agent's table besides its base chains. */
export interface TableContent {
  readonly sets: ReadonlyMap<string, ContentSet>;
  readonly chains: ReadonlyMap<string, readonly ContentRule[]>;
}

export const NO_CONTENT: TableContent = { sets: new Map(), chains: new Map() };

/**
 * The nft commands that make one content of another, in an order in which nothing goes away that is still in use:
 * elements and rules before the chains and sets that they name, and new ones after those.
 */
export function contentChanges(before: TableContent, after: TableContent): string {
  return [
    ...changedElements(before, after, "delete"),
    ...newSets(before, after),
    ...changedChains(before, after),
    ...changedElements(before, after, "add"),
    ...goneChains(before, after),
    ...goneSets(before, after),
  ].join("\n");
}

function changedElements(
  before: TableContent,
  after: TableContent,
  what: "add" | "delete",
): readonly string[] {
  const [from, to] = what === "add" ? [after, before] : [before, after];
  const lines: string[] = [];
  for (const [name, { elements }] of from.sets) {
    const other = to.sets.get(name);
    // A set that goes takes its elements along, unless they hold chains.
    const changed = [...elements]
      .filter(([key, verdict]) => !other?.elements.has(key) || other.elements.get(key) !== verdict)
      .map(([key, verdict]) =>
        what === "add" && verdict !== undefined ? `${key} : ${verdict}` : key,
      );
    if (changed.length === 0) continue;
    lines.push(`${what} element inet ${TABLE} ${name} { ${changed.join(", ")} }`);
  }
  return lines;
}

function newSets(before: TableContent, after: TableContent): readonly string[] {
  return [...after.sets]
    .filter(([name]) => !before.sets.has(name))
    .map(
      ([name, { type, isMap }]) =>
        `add ${isMap ? "map" : "set"} inet ${TABLE} ${name} { ${type}; }`,
    );
}

function goneSets(before: TableContent, after: TableContent): readonly string[] {
  return [...before.sets]
    .filter(([name]) => !after.sets.has(name))
    .map(([name, { isMap }]) => `delete ${isMap ? "map" : "set"} inet ${TABLE} ${name}`);
}

function changedChains(before: TableContent, after: TableContent): readonly string[] {
  const chains: string[] = [];
  const rules: string[] = [];
  for (const [name, wanted] of after.chains) {
    const there = before.chains.get(name);
    if (there !== undefined && sameRules(there, wanted)) continue;
    chains.push(`${there === undefined ? "add" : "flush"} chain inet ${TABLE} ${name}`);
    for (const { text } of wanted) rules.push(`add rule inet ${TABLE} ${name} ${text}`);
  }
  return [...chains, ...rules];
}

function goneChains(before: TableContent, after: TableContent): readonly string[] {
  const gone = [...before.chains.keys()].filter((name) => !after.chains.has(name));
  // They may lead to one another.
  return ["flush", "delete"].flatMap((what) =>
    gone.map((name) => `${what} chain inet ${TABLE} ${name}`),
  );
}

function sameRules(x: readonly ContentRule[], y: readonly ContentRule[]): boolean {
  return x.length === y.length && x.every(({ text }, i) => text === y[i]?.text);
}
