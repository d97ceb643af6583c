import { SeededRandom } from "@cnilab/core";
import type { ReachMember } from "../reach-members.ts";
import type { Pair } from "./finding.ts";

/** More pairs than these are not walked on each CNI: all those of 32 workloads with a port each are. */
const MOST_PAIRS = 1000;

/** The pairs that are asked on every CNI, in one order. */
export interface PairSample {
  readonly pairs: readonly Pair[];
  /** How many there are of which these were drawn. */
  readonly of: number;
}

/** All pairs of workloads with the ports that the second declares, or as many by chance, the same for one seed. */
export function samplePairs(members: readonly ReachMember[], seed: number): PairSample {
  const ports = members.flatMap(({ name, ports }) => {
    const byName = new Map(ports.map((port) => [`${port.protocol}/${port.port}`, port]));
    return [...byName.values()].map((port) => ({ name, ...port }));
  });
  const of = ports.length * (members.length - 1);
  if (of <= MOST_PAIRS) {
    const pairs = members.flatMap(({ name: source }) =>
      ports.filter((end) => end.name !== source).map((end) => pairOf(source, end)),
    );
    return { pairs, of };
  }
  const random = new SeededRandom(seed).fork("compared pairs");
  const drawn = new Map<string, Pair>();
  while (drawn.size < MOST_PAIRS) {
    const source = members[random.below(members.length)]?.name;
    const end = ports[random.below(ports.length)];
    if (source === undefined || end === undefined || end.name === source) continue;
    const pair = pairOf(source, end);
    drawn.set(pairName(pair), pair);
  }
  return { pairs: [...drawn.values()], of };
}

/** As `default/frontend -> default/cartservice:7070`. */
export function pairName({ source, destination, protocol, port }: Pair): string {
  const suffix = protocol === "TCP" ? "" : `/${protocol}`;
  return `${source} -> ${destination}:${port}${suffix}`;
}

function pairOf(
  source: string,
  { name, protocol, port }: { readonly name: string } & Omit<Pair, "source" | "destination">,
): Pair {
  return { source, destination: name, protocol, port };
}
