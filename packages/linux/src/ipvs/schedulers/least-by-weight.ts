import type { IpVsDest } from "../ip-vs-dest.ts";

/**
 * The server for which `overhead / weight` is least, the first of equals. Fractions are compared as
 * products, and so a server of weight 0 is never less than another.
 */
export function leastByWeight(
  destinations: readonly IpVsDest[],
  overhead: (dest: IpVsDest) => number,
): IpVsDest | undefined {
  let least: IpVsDest | undefined;
  for (const dest of destinations) {
    if (dest.overloaded) continue;
    if (least === undefined) {
      if (dest.weight > 0) least = dest;
    } else if (overhead(least) * dest.weight > overhead(dest) * least.weight) {
      least = dest;
    }
  }
  return least;
}
