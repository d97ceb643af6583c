import type { Pair } from "./finding.ts";

/** Names as a list of words: `a`, `a and b`, `a, b and c`. */
export function listed(names: readonly string[]): string {
  if (names.length < 2) return names[0] ?? "";
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** Indexes of what is equal, by the first of them. */
export function alike<T>(values: readonly T[], key: (value: T) => string): (readonly number[])[] {
  const groups = new Map<string, number[]>();
  values.forEach((value, i) => {
    const known = groups.get(key(value));
    if (known === undefined) groups.set(key(value), [i]);
    else known.push(i);
  });
  return [...groups.values()];
}

/** Takes a namespace away that all ends of the pairs are in. */
export function shortNames(pairs: readonly Pair[]): (text: string) => string {
  const names = pairs.flatMap(({ source, destination }) => [source, destination]);
  const [only, ...others] = new Set(names.map((name) => name.split("/")[0]));
  if (only === undefined || others.length > 0) return (text) => text;
  const prefix = new RegExp(`(?<![\\w/-])${only}/`, "g");
  return (text) => text.replaceAll(prefix, "");
}

/** Some of the names as a list of words, and `each` for all of several. */
export function pick(names: readonly string[], indexes: readonly number[]): string {
  if (names.length > 1 && indexes.length === names.length) return "each";
  return listed(indexes.map((i) => names[i] as string));
}

/** The same where it is said that something is not so. */
export function pickAny(names: readonly string[], indexes: readonly number[]): string {
  return names.length > 1 && indexes.length === names.length ? "any" : pick(names, indexes);
}

/** What there is to say of each name, those together of which it is the same; nothing of those without. */
export function told(
  all: readonly (readonly [name: string, text: string | undefined])[],
): string[] {
  const names = all.map(([name]) => name);
  return alike(all, ([, text]) => text ?? "").flatMap((group) => {
    const text = all[group[0] as number]?.[1];
    return text === undefined ? [] : [`${pick(names, group)} ${text}`];
  });
}
