import { formatIp, parseIp } from "@cnilab/net";
import { type AddressRange, formatRange, Ring, type RingState } from "../../src/index.ts";

/** A ring as the vectors write it. */
export interface RingText {
  readonly start: string;
  readonly end: string;
  readonly seeds: readonly string[];
  readonly entries: readonly {
    readonly token: string;
    readonly peer: string;
    readonly version: number;
    readonly free: number;
  }[];
  readonly ownedRanges: readonly string[];
}

export function ringText(ring: Ring): RingText {
  return {
    end: formatIp(ring.range.end >>> 0),
    entries: ring.entries.map(({ token, ...entry }) => ({ ...entry, token: formatIp(token) })),
    ownedRanges: ring.ownedRanges().map(formatRange),
    seeds: ring.seeds,
    start: formatIp(ring.range.start),
  };
}

export function ringState(text: RingText): RingState {
  return {
    range: { start: parseIp(text.start) as number, end: parseIp(text.end) as number },
    seeds: text.seeds,
    entries: text.entries.map(({ token, peer, version, free }) => ({
      token: parseIp(token) as number,
      peer,
      version,
      free,
    })),
  };
}

export function ringOf(text: RingText, peer: string): Ring {
  const state = ringState(text);
  const ring = new Ring(state.range, peer);
  ring.restore(state);
  return ring;
}

/** `10.0.0.0-10.0.0.16`, the end not included. */
export function rangeFromText(text: string): AddressRange {
  const [start = "", end = ""] = text.split("-");
  return { start: parseIp(start) as number, end: parseIp(end) as number };
}
