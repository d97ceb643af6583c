import { isDeepStrictEqual } from "node:util";
import {
  broadcastRelays,
  type Links,
  type PeerName,
  type Topology,
  unicastRoutes,
} from "../../src/index.ts";
import type { GoldenOutcome } from "./golden-outcome.ts";

interface RoutesText {
  readonly unicastNextHop: Readonly<Record<PeerName, PeerName | null>>;
  readonly broadcastFrom: Readonly<Record<PeerName, readonly PeerName[]>>;
}

export function* meshRoutes(file: {
  readonly topologies: readonly {
    readonly name: string;
    readonly links: readonly (readonly [PeerName, PeerName, boolean])[];
    readonly routesOf: Readonly<Record<PeerName, Readonly<Record<Links, RoutesText>>>>;
  }[];
}): Iterable<GoldenOutcome> {
  for (const { name, links, routesOf } of file.topologies) {
    const peers = new Map<PeerName, Map<PeerName, { established: boolean }>>();
    for (const peer of Object.keys(routesOf)) peers.set(peer, new Map());
    for (const [from, to, established] of links) peers.get(from)?.set(to, { established });
    const topology: Topology = { connections: (peer) => peers.get(peer) };
    for (const [peer, want] of Object.entries(routesOf)) {
      const got = {
        all: routes(topology, peer, "all", Object.keys(want.all.broadcastFrom)),
        established: routes(
          topology,
          peer,
          "established",
          Object.keys(want.established.broadcastFrom),
        ),
      };
      yield {
        name: `${name}, ${peer}`,
        difference: isDeepStrictEqual(want, got)
          ? undefined
          : `want ${JSON.stringify(want)}\n got ${JSON.stringify(got)}`,
      };
    }
  }
}

function routes(
  topology: Topology,
  peer: PeerName,
  links: Links,
  origins: readonly PeerName[],
): RoutesText {
  const unicast = [...unicastRoutes(topology, peer, links)];
  return {
    unicastNextHop: Object.fromEntries(unicast.map(([to, hop]) => [to, hop ?? null])),
    broadcastFrom: Object.fromEntries(
      origins.map((origin) => [origin, [...broadcastRelays(topology, peer, origin, links)].sort()]),
    ),
  };
}
