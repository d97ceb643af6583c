import { RouteLayer, type SharedRoute } from "@cnilab/linux";
import type { IpAddress, IpFamily, Mac, Prefix } from "@cnilab/net";
import type { L3Route, L3Routes } from "../calc/l3-routes/l3-routes.ts";
import { hasVtep, macOfVtep } from "../calc/l3-routes/vteps.ts";

/** Which of Felix's route managers run on a node, and from where it looks at the others. */
export interface RouteView {
  readonly family: IpFamily;
  readonly vxlan: boolean;
  readonly ipip: boolean;
  readonly noEncap: boolean;
  /** The subnet that the node's own address is in. */
  readonly subnet: Prefix | undefined;
}

/** Routes of one way to other nodes that all nodes of a view have in common, each but for what is its own. */
export interface RouteLayers {
  /** Into the VXLAN device. */
  readonly vxlan: RouteLayer;
  /** Into the IPIP device. */
  readonly ipip: RouteLayer;
  /** By the node's own interface: to the same subnet, or without encapsulation. */
  readonly direct: RouteLayer;
}

/** The other ends of VXLAN tunnels. */
export interface VtepLayers {
  readonly neighbours: ReadonlyMap<IpAddress, Mac>;
  readonly fdb: ReadonlyMap<Mac, IpAddress>;
}

const layersOf = new WeakMap<L3Routes, Map<string, RouteLayers>>();

export function routeLayers(routes: L3Routes, view: RouteView): RouteLayers {
  const { family, vxlan, ipip, noEncap, subnet } = view;
  let byView = layersOf.get(routes);
  if (byView === undefined) {
    byView = new Map();
    layersOf.set(routes, byView);
  }
  // Where no pool asks for the subnet, all nodes see the same.
  const matters = routes.pools.some((p) => p.crossSubnet && p.cidr.family === family);
  const key = `${family} ${vxlan} ${ipip} ${noEncap} ${matters ? subnet : ""}`;
  let layers = byView.get(key);
  if (layers === undefined) {
    layers = render(routes, view);
    byView.set(key, layers);
  }
  return layers;
}

/** updateRoutes of `felix/dataplane/linux/route_mgr.go` for every pool type, as a node without any route of its own would see it. */
function render(routes: L3Routes, view: RouteView): RouteLayers {
  const vxlan: SharedRoute[] = [];
  const ipip: SharedRoute[] = [];
  const direct: SharedRoute[] = [];
  for (const route of routes.routes) {
    if (route.dst.family !== view.family || !isRouted(route, view)) continue;
    const near = directRoute(route, routes, view);
    if (near !== undefined) {
      direct.push(near);
      continue;
    }
    const type = route.pool?.type;
    const far = type === "VXLAN" ? vxlanRoute(route, routes) : ipipRoute(route);
    if (far !== undefined) (type === "VXLAN" ? vxlan : ipip).push(far);
  }
  return {
    vxlan: new RouteLayer(vxlan),
    ipip: new RouteLayer(ipip),
    direct: new RouteLayer(direct),
  };
}

/** Blocks, addresses out of others' blocks, and tunnels' addresses that no block's route leads to (isRemoteTunnelRoute, isBorrowedRoute). */
function isRouted({ pool, node, workloadNodes, tunnelNode, borrowed }: L3Route, view: RouteView) {
  if (node === undefined) return false;
  const type = pool?.type;
  const hasManager =
    (type === "VXLAN" && view.vxlan) ||
    (type === "IPIP" && view.ipip) ||
    (type === "NO_ENCAP" && view.noEncap);
  return hasManager && (workloadNodes.length > 0 || (tunnelNode !== undefined && borrowed));
}

function directRoute(
  { dst, pool, crossSubnet, node, nodeAddress }: L3Route,
  routes: L3Routes,
  { subnet }: RouteView,
): SharedRoute | undefined {
  if (nodeAddress === undefined) return undefined;
  const isNear =
    pool?.type === "NO_ENCAP" ||
    (crossSubnet && routes.nodes.has(node as string) && subnet?.contains(nodeAddress) === true);
  return isNear ? { prefix: dst, gateway: nodeAddress, onlink: true } : undefined;
}

function vxlanRoute(route: L3Route, routes: L3Routes): SharedRoute | undefined {
  const { dst, node, workloadNodes, tunnelNode, borrowed } = route;
  // The tunnel's end itself is on the link.
  if (tunnelNode !== undefined && (workloadNodes.length > 0 || borrowed)) {
    return { prefix: dst, gateway: undefined, onlink: false };
  }
  const facts = routes.nodes.get(node as string);
  if (facts === undefined || !hasVtep(facts, dst.family)) return undefined;
  return { prefix: dst, gateway: facts[dst.family].vxlanAddress, onlink: true };
}

function ipipRoute({ dst, nodeAddress }: L3Route): SharedRoute | undefined {
  if (nodeAddress === undefined) return undefined;
  return { prefix: dst, gateway: nodeAddress, onlink: true };
}

const vtepsOf = new WeakMap<L3Routes, Map<IpFamily, VtepLayers>>();

/** What `felix/vxlanfdb` programs, on a node that is none of them. */
export function vtepLayers(routes: L3Routes, family: IpFamily): VtepLayers {
  let byFamily = vtepsOf.get(routes);
  if (byFamily === undefined) {
    byFamily = new Map();
    vtepsOf.set(routes, byFamily);
  }
  let layers = byFamily.get(family);
  if (layers === undefined) {
    const neighbours = new Map<IpAddress, Mac>();
    const fdb = new Map<Mac, IpAddress>();
    for (const node of routes.nodes.values()) {
      if (!hasVtep(node, family)) continue;
      const mac = macOfVtep(node, family);
      neighbours.set(node[family].vxlanAddress as IpAddress, mac);
      fdb.set(mac, node[family].address as IpAddress);
    }
    layers = { neighbours, fdb };
    byFamily.set(family, layers);
  }
  return layers;
}

/** Blocks of a node's own: what nobody there has leads nowhere (routeIsLocalBlock, blackholeRoutes). */
export function blackholes(routes: L3Routes, node: string, view: RouteView): Prefix[] {
  return routes
    .routesOf(node)
    .filter((r) => r.dst.family === view.family && !r.dst.isHost && isRouted(r, view))
    .filter((r) => r.workloadNodes.includes(node))
    .map((r) => r.dst);
}
