import type { EndpointSlice, Node, Service } from "@cnilab/core";
import { canServe, isUsable } from "../layer2/election.ts";

/**
 * The nodes that announce a Service's addresses, all at once (MetalLB speaker/bgp_controller.go `ShouldAnnounce`): with external
 * policy Local those with an endpoint that serves, else all, as long as anybody serves.
 */
export function announcingNodes(
  { spec }: Service,
  slices: readonly EndpointSlice[],
  nodes: ReadonlyMap<string, Node>,
): ReadonlySet<string> {
  const serving = slices.flatMap((slice) => slice.endpoints).filter(canServe);
  const local = spec.externalTrafficPolicy === "Local";
  const withEndpoint = new Set(serving.map(({ nodeName }) => nodeName));
  const announcing = new Set<string>();
  if (serving.length === 0) return announcing;
  for (const [name, node] of nodes) {
    if (isUsable(node) && (!local || withEndpoint.has(name))) announcing.add(name);
  }
  return announcing;
}
