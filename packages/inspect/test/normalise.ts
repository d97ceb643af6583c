/**
 * Takes out of real and modelled output what cannot be equal: interface indexes, queues by the number
 * of processors, timers, reference counts, identifiers of namespaces, and the kernel's hash order.
 */
export function normaliseText(text: string): string {
  const lines = text
    .replaceAll(/\binsp[0-9a-z]*-(HOST|POD|WIRE)\b/g, "$1")
    .split("\n")
    // Kernels up to 6.3 or so had this one as well.
    .filter((line) => !line.startsWith("::1 dev lo proto kernel metric 256"))
    .map((line) =>
      line
        .replace(/^\d+: /, "N: ")
        .replace(/@if\d+/, "@ifN")
        .replaceAll(/\bnum(tx|rx)queues \d+/g, "num$1queues N")
        .replaceAll(/_timer +[\d.]+/g, "_timer T")
        .replace(/refcnt \d+/, "refcnt N"),
    );
  return lines.join("\n");
}

/** Routes to one prefix stand in the order in which the kernel's carriers came up. */
export function sortedTwins(
  lines: readonly string[],
  prefixOf: (line: string) => string,
): string[] {
  const result: string[] = [];
  for (let at = 0; at < lines.length; ) {
    let end = at + 1;
    const prefix = prefixOf(lines[at] as string);
    while (end < lines.length && prefixOf(lines[end] as string) === prefix) end++;
    result.push(...lines.slice(at, end).sort());
    at = end;
  }
  return result;
}

/** Lines whose order is that of a hash in the kernel. */
export function sortedLines(text: string): string {
  return text.split("\n").sort().join("\n");
}

export function normaliseJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normaliseJson);
  if (typeof value !== "object" || value === null) return value;
  const result: Record<string, unknown> = {};
  for (const [key, v] of Object.entries(value)) {
    const changing = /^(ifindex|link_index|link_netnsid|num_[tr]x_queues|refcnt)$|_timer$/.test(
      key,
    );
    result[key] = changing ? "N" : normaliseJson(v);
  }
  return result;
}
