/** Without the named tables (`ip filter`) of what `nft list ruleset` printed; their lines are left empty. */
export function withoutTables(text: string, names: ReadonlySet<string>): string {
  let inside = false;
  return text
    .split("\n")
    .map((line) => {
      const table = /^table (\S+ \S+) \{/.exec(line)?.[1];
      if (table !== undefined) inside = names.has(table);
      const kept = inside ? "" : line;
      if (line === "}") inside = false;
      return kept;
    })
    .join("\n");
}
