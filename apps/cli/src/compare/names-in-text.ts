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

/** Takes a namespace away that all names are of. */
export function shortNames(names: readonly string[]): (text: string) => string {
  const namespaces = new Set(names.map((name) => name.split("/")[0]));
  const [only] = namespaces;
  if (namespaces.size !== 1 || only === undefined) return (text) => text;
  return (text) => text.replaceAll(new RegExp(`(?<![\\w-])${only}/`, "g"), "");
}
