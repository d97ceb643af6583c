import { formatIp, isUnspecified } from "@cnilab/net";
import { RouteType, type RouteUpdate } from "../messages.ts";
import type { L3Route, L3Routes, WorkloadRoute } from "./l3-routes.ts";

/** Whether a route's node is in the subnet of the node that asks, where that counts. */
export function isSameSubnet(route: L3Route, routes: L3Routes, local: string): boolean {
  if (!route.crossSubnet || route.node === undefined || !routes.nodes.has(route.node)) return false;
  const { family } = route.dst;
  const subnet = routes.nodes.get(local)?.[family].subnet;
  const address = routes.nodes.get(route.node)?.[family].address;
  return subnet !== undefined && address !== undefined && subnet.contains(address);
}

/** A route as one node's calculation graph sends it. */
export function routeUpdate(route: L3Route, routes: L3Routes, local: string): RouteUpdate {
  const { dst, pool, node, nodeAddress, tunnelType } = route;
  return {
    dst: String(dst),
    types: typesOf(route, local),
    ipPoolType: pool?.type ?? "NONE",
    ...(node !== undefined && { dstNodeName: node }),
    ...(nodeAddress !== undefined && { dstNodeIp: formatIp(nodeAddress) }),
    ...(isSameSubnet(route, routes, local) && { sameSubnet: true }),
    ...(route.natOutgoing && { natOutgoing: true }),
    ...(route.hasWorkload && node === local && { localWorkload: true }),
    ...(tunnelType !== undefined && { tunnelType }),
    ...(route.borrowed && { borrowed: true }),
  };
}

function typesOf({ workloadNodes, host, tunnelNode }: L3Route, local: string): number {
  let types: number = RouteType.CIDR_INFO;
  for (const node of workloadNodes) {
    types |= node === local ? RouteType.LOCAL_WORKLOAD : RouteType.REMOTE_WORKLOAD;
  }
  if (host !== undefined) types |= host === local ? RouteType.LOCAL_HOST : RouteType.REMOTE_HOST;
  if (tunnelNode !== undefined) {
    types |= tunnelNode === local ? RouteType.LOCAL_TUNNEL : RouteType.REMOTE_TUNNEL;
  }
  return types;
}

/** All that a node's calculation graph sends, its pods' routes included. */
export function routeUpdates(
  routes: L3Routes,
  local: string,
  workloads: readonly WorkloadRoute[],
): RouteUpdate[] {
  const updates = new Map<string, RouteUpdate>();
  for (const route of [...routes.routes, ...workloads.map((w) => routes.workload(w))]) {
    // Felix takes the unspecified address for none.
    if (route.dst.isHost && isUnspecified(route.dst.address)) continue;
    updates.set(String(route.dst), routeUpdate(route, routes, local));
  }
  return [...updates.values()];
}
