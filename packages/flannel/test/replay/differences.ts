/** What differs between a recording and a replay. */
export class Differences {
  readonly found: string[] = [];

  /** Rows are compared as sets, lines of text in their order. */
  compare(what: string, expected: unknown, found: unknown): void {
    const rows = Array.isArray(expected) && expected.some((e) => typeof e === "object");
    if (!rows && !isEmptyList(expected, found)) {
      if (canonical(expected) !== canonical(found)) {
        this.found.push(
          `${what}:\n  expected ${canonical(expected)}\n  found    ${canonical(found)}`,
        );
      }
      return;
    }
    const left = (found as unknown[]).map(canonical);
    for (const row of (expected as unknown[]).map(canonical)) {
      const at = left.indexOf(row);
      if (at < 0) this.found.push(`${what}: missing ${row}`);
      else left.splice(at, 1);
    }
    for (const row of left) this.found.push(`${what}: not expected ${row}`);
  }
}

/** No rows were recorded: those found are listed one by one. */
function isEmptyList(expected: unknown, found: unknown): boolean {
  return Array.isArray(expected) && expected.length === 0 && Array.isArray(found);
}

/** JSON with sorted keys. */
export function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_key, field: unknown) => {
      if (typeof field !== "object" || field === null || Array.isArray(field)) return field;
      return Object.fromEntries(Object.entries(field).sort(([x], [y]) => (x < y ? -1 : 1)));
    }) ?? "undefined"
  );
}
