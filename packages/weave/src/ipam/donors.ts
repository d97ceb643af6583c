import type { Random } from "@cnilab/core";
import type { PeerName } from "../mesh/peer-name.ts";

/** Peers in the order in which they are asked for space, by how much of it each has free. */
export type DonorOrder = (free: ReadonlyMap<PeerName, number>) => readonly PeerName[];

/** At random, those that have more sooner (ipam/ring/ring.go ChoosePeersToAskForSpace). */
export function weightedDonors(random: Random): DonorOrder {
  return (free) =>
    [...free]
      .map(([peer, count]) => ({ peer, weight: (count * random.uint32()) / 2 ** 32 }))
      .sort((x, y) => y.weight - x.weight)
      .map(({ peer }) => peer);
}
