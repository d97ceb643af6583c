import { categorizeEndpoints, type NodeTopology } from "./endpoint-categories.ts";
import type { ProxiedPort } from "./service-state.ts";

/** Nodes for which this is equal use the same endpoints of a service port. */
export function endpointVariant({ port, endpoints }: ProxiedPort, node: NodeTopology): string {
  const { cluster, local } = categorizeEndpoints(endpoints, port, node);
  const texts = (list: typeof cluster) => list.map((e) => e.text).join();
  return `${texts(cluster)};${texts(local)}`;
}

/** Whether the source ranges of a service port, if there are any, let the node itself in. */
export function sourceVariant({ port }: ProxiedPort, nodeIsIn: (range: string) => boolean): string {
  if (port.sourceRanges.length === 0) return "";
  return port.sourceRanges.some(nodeIsIn) ? "y" : "n";
}
