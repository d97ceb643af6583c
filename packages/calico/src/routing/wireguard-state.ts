import {
  RouteLayer,
  type SharedRoute,
  type WireguardPeer,
  WireguardPeerLayer,
} from "@cnilab/linux";
import type { IpAddress, IpFamily, Prefix } from "@cnilab/net";
import type { L3Route, L3Routes } from "../calc/l3-routes/l3-routes.ts";
import type { NodeFacts } from "../calc/l3-routes/node-facts.ts";

/** What decides how a node makes peers of the others. */
export interface WireguardView {
  readonly family: IpFamily;
  readonly port: number;
  readonly keepAlive: number;
  /** Whether nodes' own addresses go through the tunnel, too. */
  readonly hostEncryption: boolean;
}

/** What all nodes with WireGuard have in common, each but for itself. */
export interface WireguardState {
  readonly peers: WireguardPeerLayer;
  /** Into the tunnel: what peers may have. */
  readonly routes: RouteLayer;
  /** What nodes without a key have: it goes the plain way (`throw`). */
  readonly plain: readonly L3Route[];
}

const statesOf = new WeakMap<L3Routes, Map<string, WireguardState>>();

/** `felix/wireguard/wireguard.go`: a node's pods are reached by WireGuard where it has an address and a key that nobody else has. */
export function wireguardState(routes: L3Routes, view: WireguardView): WireguardState {
  let byView = statesOf.get(routes);
  if (byView === undefined) {
    byView = new Map();
    statesOf.set(routes, byView);
  }
  const key = `${view.family} ${view.port} ${view.keepAlive} ${view.hostEncryption}`;
  let state = byView.get(key);
  if (state === undefined) {
    state = render(routes, view);
    byView.set(key, state);
  }
  return state;
}

function render(routes: L3Routes, view: WireguardView): WireguardState {
  const { family } = view;
  const owners = keyOwners(routes, family);
  const allowed = new Map<string, Prefix[]>();
  const into: SharedRoute[] = [];
  const plain: L3Route[] = [];
  for (const route of routes.routes) {
    if (route.dst.family !== family || !isCarried(route, view)) continue;
    const node = routes.nodes.get(route.node as string);
    if (!isPeer(node, family, owners)) {
      plain.push(route);
      continue;
    }
    into.push({ prefix: route.dst, gateway: undefined, onlink: false });
    const there = allowed.get(node.name);
    if (there === undefined) allowed.set(node.name, [route.dst]);
    else there.push(route.dst);
  }
  const peers: WireguardPeer[] = [];
  for (const node of routes.nodes.values()) {
    if (!isPeer(node, family, owners)) continue;
    peers.push({
      publicKey: node[family].wireguardPublicKey as string,
      endpoint: { address: node[family].address as IpAddress, port: view.port },
      allowedIps: allowed.get(node.name) ?? [],
      persistentKeepalive: view.keepAlive,
    });
  }
  return { peers: new WireguardPeerLayer(peers), routes: new RouteLayer(into), plain };
}

/** Number of nodes by key. */
function keyOwners(routes: L3Routes, family: IpFamily): ReadonlyMap<string, number> {
  const owners = new Map<string, number>();
  for (const node of routes.nodes.values()) {
    const key = node[family].wireguardPublicKey;
    if (key !== undefined) owners.set(key, (owners.get(key) ?? 0) + 1);
  }
  return owners;
}

/** shouldProgramWireguardPeer */
function isPeer(
  node: NodeFacts | undefined,
  family: IpFamily,
  owners: ReadonlyMap<string, number>,
): node is NodeFacts {
  const { address, wireguardPublicKey } = node?.[family] ?? {};
  return (
    address !== undefined &&
    wireguardPublicKey !== undefined &&
    owners.get(wireguardPublicKey) === 1
  );
}

/** Pods' and tunnels' addresses (`felix/dataplane/linux/wireguard_mgr.go` OnUpdate). */
function isCarried(
  { node, workloadNodes, tunnelNode, host }: L3Route,
  { hostEncryption }: WireguardView,
): boolean {
  if (node === undefined) return false;
  if (host !== undefined) return hostEncryption;
  return workloadNodes.length > 0 || tunnelNode !== undefined;
}

/** What of a node's own stays out of the tunnel: its blocks, and its addresses beside them (getLocalNodeCIDRUpdates). */
export function localPrefixes(routes: L3Routes, node: string, view: WireguardView): Prefix[] {
  const own = routes
    .routesOf(node)
    .filter((r) => r.dst.family === view.family && r.host === undefined && isCarried(r, view))
    .map((r) => r.dst);
  const blocks = own.filter((prefix) => !prefix.isHost);
  return own.filter((p) => !p.isHost || !blocks.some((block) => block.covers(p)));
}
