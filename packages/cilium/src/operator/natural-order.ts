const COLLATOR = new Intl.Collator("en", { numeric: true });

/** `node2` before `node10`, as the nodes were made. */
export function inNaturalOrder(x: string, y: string): number {
  return COLLATOR.compare(x, y);
}
