/** Text as Go's `%q` prints it, for the printable strings that appear in messages. */
export function quote(text: string): string {
  return JSON.stringify(text);
}

/** Lists as Go's `%v` prints them: `[a b]`. */
export function listText(list: readonly (string | readonly string[])[]): string {
  return `[${list.map((item) => (typeof item === "string" ? item : listText(item))).join(" ")}]`;
}

/** JSON as Go writes a map: keys in order, nothing for `undefined`. */
export function mapJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    item !== null && typeof item === "object" && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([x], [y]) => (x < y ? -1 : x > y ? 1 : 0)))
      : item,
  );
}
