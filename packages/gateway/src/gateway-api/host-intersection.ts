import { hostMatches } from "../routing/host-index.ts";

/**
 * The names of a route that a listener can have (apis/v1/httproute_types.go HTTPRouteSpec.hostnames), as the route writes
 * them: those are what precedence goes by. Empty text is any name; `undefined` where none is left.
 */
export function sharedHostnames(
  listener: string,
  route: readonly string[] | undefined,
): readonly string[] | undefined {
  if (route === undefined || route.length === 0) return [""];
  if (listener === "") return route;
  const shared = route.filter((name) => hostsOverlap(listener, name));
  return shared.length === 0 ? undefined : shared;
}

/** Whether some name is both; an empty one is any. */
export function hostsOverlap(x: string, y: string): boolean {
  if (x === "" || y === "" || x === y) return true;
  const [bareX, bareY] = [x.replace(/^\*\./, "a."), y.replace(/^\*\./, "a.")];
  // Of two wildcards, one holds the other or they have nothing in common.
  return hostMatches(x, bareY, "any labels") || hostMatches(y, bareX, "any labels");
}
