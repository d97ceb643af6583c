import { isDeepStrictEqual } from "node:util";
import { formatIp, parseIp, parsePrefix } from "@cnilab/net";
import {
  biggestCidrRange,
  cidrs,
  formatRange,
  type PeerName,
  Ring,
  type RingError,
  rangeOf,
  Space,
} from "../../src/index.ts";
import type { GoldenOutcome } from "./golden-outcome.ts";
import { type RingText, rangeFromText, ringOf, ringState, ringText } from "./ring-text.ts";

/** @returns what differs; `undefined` where nothing does */
function difference(want: unknown, got: unknown): string | undefined {
  if (isDeepStrictEqual(want, got)) return undefined;
  return `want ${JSON.stringify(want)}\n got ${JSON.stringify(got)}`;
}

export function peerNumber(n: number): PeerName {
  return `00:00:00:00:00:${n.toString(16).padStart(2, "0")}`;
}

export function* addressRanges(file: {
  readonly cases: readonly {
    readonly range: string;
    readonly biggestCIDRRange: string;
    readonly cidrs: readonly string[];
  }[];
}): Iterable<GoldenOutcome> {
  for (const { range, ...want } of file.cases) {
    const parsed = rangeFromText(range);
    const got = {
      biggestCIDRRange: formatRange(biggestCidrRange(parsed)),
      cidrs: cidrs(parsed).map(String),
    };
    yield { name: range, difference: difference(want, got) };
  }
}

export function* claimForPeers(file: {
  readonly cases: readonly {
    readonly peers: number;
    readonly universe: string;
    readonly ring: RingText;
  }[];
}): Iterable<GoldenOutcome> {
  for (const each of file.cases) {
    const ring = new Ring(rangeOf(parsePrefix(each.universe)), peerNumber(1));
    ring.claimForPeers(Array.from({ length: each.peers }, (_, index) => peerNumber(index + 1)));
    yield {
      name: `${each.peers} peers in ${each.universe}`,
      difference: difference(each.ring, ringText(ring)),
    };
  }
}

export function* grant(file: {
  readonly sequences: readonly {
    readonly steps: readonly {
      readonly grant: readonly [string, string, string];
      readonly ring: RingText;
    }[];
  }[];
}): Iterable<GoldenOutcome> {
  for (const [number, { steps }] of file.sequences.entries()) {
    const ring = new Ring(rangeOf(parsePrefix("10.0.0.0/24")), peerNumber(1));
    ring.claimForPeers([peerNumber(1)]);
    const differences = steps.map(({ grant: [start, end, peer], ring: want }) => {
      ring.grantRangeToHost(rangeFromText(`${start}-${end}`), peer);
      return difference(want, ringText(ring));
    });
    yield { name: `sequence ${number + 1}`, difference: differences.find(Boolean) };
  }
}

export function* merge(file: {
  readonly cases: readonly {
    readonly name: string;
    readonly before: RingText;
    readonly gossip: RingText;
    readonly after: RingText;
    readonly ourPeer: PeerName;
    readonly hasAllocations: boolean;
    readonly askedRanges: readonly string[] | null;
    readonly updated: boolean;
    readonly error: string;
  }[];
}): Iterable<GoldenOutcome> {
  for (const each of file.cases) {
    const ring = ringOf(each.before, each.ourPeer);
    const asked: string[] = [];
    let error = "";
    let updated = false;
    try {
      updated = ring.merge(ringState(each.gossip), (ranges) => {
        asked.push(...ranges.map(formatRange));
        return each.hasAllocations;
      });
    } catch (thrown) {
      error = (thrown as RingError).message;
    }
    const got = {
      after: ringText(ring),
      error,
      updated,
      askedRanges: asked.length === 0 ? null : asked,
    };
    const want = {
      after: each.after,
      error: each.error,
      updated: each.updated,
      askedRanges: each.askedRanges,
    };
    yield {
      name: `${each.name}${each.hasAllocations ? ", addresses in use" : ""}`,
      difference: difference(want, got),
    };
  }
}

export function* transfer(file: {
  readonly start: string;
  readonly steps: readonly {
    readonly op: string;
    readonly newRanges: readonly string[] | null;
    readonly ring: RingText;
  }[];
}): Iterable<GoldenOutcome> {
  const [universe = "", entries = ""] = file.start.split(" entries ").slice(0, 2);
  const range = rangeOf(parsePrefix(universe));
  const ring = new Ring(range, peerNumber(1));
  ring.restore({
    range,
    seeds: [],
    entries: [...entries.matchAll(/\((\d+),(\d+),(\d+),(\d+)\)/g)].map(
      ([, offset, peer, version, free]) => ({
        token: range.start + Number(offset),
        peer: peerNumber(Number(peer)),
        version: Number(version),
        free: Number(free),
      }),
    ),
  });
  for (const { op, newRanges, ring: want } of file.steps) {
    const [, from, to] = /^Transfer (\d+)->(\d+)$/.exec(op) ?? [];
    const got = ring.transfer(peerNumber(Number(from)), peerNumber(Number(to)));
    yield {
      name: op,
      difference: difference(
        { newRanges: newRanges ?? [], ring: want },
        { newRanges: got.map(formatRange), ring: ringText(ring) },
      ),
    };
  }
}

interface SpaceStep {
  readonly op: "allocate" | "free" | "donate" | "claim" | "updateRanges";
  readonly addr?: string;
  readonly range?: string;
}

export function* spaceRandom(file: {
  readonly sequences: readonly {
    readonly seed: number;
    readonly start: string;
    readonly steps: readonly SpaceStep[];
  }[];
}): Iterable<GoldenOutcome> {
  for (const { seed, start, steps } of file.sequences) {
    const [first = "", count] = start.split(/[+ ]/);
    const space = new Space();
    const from = parseIp(first) as number;
    space.updateRanges([{ start: from, end: from + Number(count) }]);
    const differences = steps.map((step) => {
      const got = { ...did(space, step), op: step.op };
      return difference(step, {
        ...got,
        ...(step.range !== undefined && { range: step.range }),
        freeCount: space.freeCount(),
        space: space.toString().trim(),
      });
    });
    yield { name: `sequence of seed ${seed}`, difference: differences.find(Boolean) };
  }
}

/** What a step brings, as the vectors write it. */
function did(space: Space, { op, addr = "", range = "" }: SpaceStep): object {
  const address = addr === "" ? 0 : (parseIp(addr) as number);
  switch (op) {
    case "allocate": {
      const got = space.allocate(rangeFromText(range));
      return got === undefined ? { ok: false } : { ok: true, addr: formatIp(got) };
    }
    case "donate": {
      const got = space.donate(rangeFromText(range));
      return got === undefined ? { ok: false } : { ok: true, donated: formatRange(got) };
    }
    case "claim":
      return { ok: space.claim(address), addr };
    case "free":
      return { ok: space.release(address), addr };
    case "updateRanges":
      space.updateRanges([rangeFromText(range)]);
      return {};
  }
}
