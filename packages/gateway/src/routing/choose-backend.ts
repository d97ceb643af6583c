import type { Random } from "@cnilab/core";
import type { RouteBackend } from "./decision.ts";

/** One of the backends, each as often as its weight says. There is at least one. */
export function chooseBackend(backends: readonly RouteBackend[], random: Random): RouteBackend {
  const [first] = backends;
  if (first === undefined) throw new RangeError("no backends to choose from");
  if (backends.length === 1) return first;
  let at = random.below(backends.reduce((sum, { weight }) => sum + weight, 0));
  for (const backend of backends) {
    at -= backend.weight;
    if (at < 0) return backend;
  }
  return first;
}
