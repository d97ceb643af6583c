import type { PeerName } from "./peer-name.ts";

/** What routes are calculated over: peers and the connections that they say they have. */
export interface Topology {
  /** How many peers there are, where that is known: once all are reached nothing more is looked for. */
  readonly size?: number;
  /** Established or not, by the remote peer's name; `undefined` where the peer is not known. */
  connections(peer: PeerName): ReadonlyMap<PeerName, { readonly established: boolean }> | undefined;
}

/** Connections that count: those that both ends call established, for data; or all, for gossip. */
export type Links = "established" | "all";

/** The neighbour through whom each peer is reached; itself has `undefined`. */
export type UnicastRoutes = ReadonlyMap<PeerName, PeerName | undefined>;

/**
 * Routes from a peer by breadth, each level in the order of names, so that all peers that know the same topology find the same routes
 * (mesh/peer.go routes).
 */
export function unicastRoutes(topology: Topology, from: PeerName, links: Links): UnicastRoutes {
  return widen(topology, from, links).routes;
}

/**
 * To whom `ourself` passes on what comes from `origin`: neighbours that the origin's own widening had not reached when it came to us
 * (mesh/routes.go calculateBroadcast). While the topology rests every peer gets each broadcast once.
 */
export function broadcastRelays(
  topology: Topology,
  ourself: PeerName,
  origin: PeerName,
  links: Links,
): readonly PeerName[] {
  if (topology.connections(origin) === undefined) return [];
  const { found, routes } = widen(topology, origin, links, ourself);
  if (!found) return [];
  return neighbours(topology, ourself, links).filter((peer) => !routes.has(peer));
}

function widen(
  topology: Topology,
  from: PeerName,
  links: Links,
  stopAt?: PeerName,
): { readonly found: boolean; readonly routes: UnicastRoutes } {
  const routes = new Map<PeerName, PeerName | undefined>([[from, undefined]]);
  for (let level = [from]; level.length > 0; ) {
    const next: PeerName[] = [];
    for (const peer of level.sort()) {
      if (peer === stopAt) return { found: true, routes };
      if (routes.size === topology.size)
        return { found: stopAt !== undefined && routes.has(stopAt), routes };
      const hop = routes.get(peer);
      for (const [remote, link] of topology.connections(peer) ?? []) {
        // Most lead back to who is reached already: that is asked first.
        if (routes.has(remote) || !counts(topology, peer, remote, link, links)) continue;
        next.push(remote);
        routes.set(remote, peer === from ? remote : hop);
      }
    }
    level = next;
  }
  return { found: false, routes };
}

function neighbours(topology: Topology, peer: PeerName, links: Links): PeerName[] {
  const found: PeerName[] = [];
  for (const [remote, link] of topology.connections(peer) ?? []) {
    if (counts(topology, peer, remote, link, links)) found.push(remote);
  }
  return found;
}

function counts(
  topology: Topology,
  peer: PeerName,
  remote: PeerName,
  { established }: { readonly established: boolean },
  links: Links,
): boolean {
  if (links === "all") return true;
  return established && topology.connections(remote)?.get(peer)?.established === true;
}
