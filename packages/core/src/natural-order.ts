/** Made once: `localeCompare` would make one for each pair. */
const COLLATOR = new Intl.Collator("en", { numeric: true });

/** Names with numbers as people count: `node2` before `node10`. */
export function inNaturalOrder(x: string, y: string): number {
  return COLLATOR.compare(x, y);
}
