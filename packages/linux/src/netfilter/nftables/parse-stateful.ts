import { NftablesError } from "./nftables-error.ts";
import type { Counter, Limit, Quota } from "./statement.ts";
import type { TokenStream } from "./token-stream.ts";

const SIZE_UNITS: Readonly<Record<string, number>> = { bytes: 1, kbytes: 1024, mbytes: 1024 ** 2 };

/** Seconds of the units of a rate. */
export const TIME_UNITS: Readonly<Record<string, number>> = {
  second: 1,
  minute: 60,
  hour: 3600,
  day: 86400,
  week: 604800,
};

/** Packets that a limit lets through at once unless it says otherwise. */
export const DEFAULT_BURST = 5;

/** Whether a counter, limit or quota of its own (not a named one) is next. */
export function isStatefulWord(tokens: TokenStream): boolean {
  return (
    ["counter", "limit", "quota"].includes(tokens.peek().text) &&
    tokens.peek().kind === "word" &&
    !tokens.isWord("name", 1)
  );
}

/** A counter, limit or quota: in a rule, for each element of a set, or as a named object. */
export function parseStateful(tokens: TokenStream): Counter | Limit | Quota {
  const word = tokens.next().text;
  if (word === "counter") return parseCounter(tokens);
  return word === "limit" ? parseLimit(tokens) : parseQuota(tokens);
}

export function parseCounter(tokens: TokenStream): Counter {
  let packets = 0;
  let bytes = 0;
  for (;;) {
    if (tokens.takeWord("packets")) packets = tokens.number();
    else if (tokens.takeWord("bytes")) bytes = tokens.number();
    else break;
  }
  return { kind: "counter", packets, bytes };
}

/** What follows `quota`. */
export function parseQuota(tokens: TokenStream): Quota {
  const mode = tokens.takeOneOf(["over", "until"]);
  const bytes = parseSize(tokens);
  const used = tokens.takeWord("used") ? parseSize(tokens) : 0;
  return { kind: "quota", over: mode === "over", bytes, used };
}

function parseSize(tokens: TokenStream): number {
  const number = tokens.number();
  const unit = tokens.name();
  const factor = SIZE_UNITS[unit.text];
  if (factor === undefined) throw new NftablesError(unit, "Wrong rate format");
  return number * factor;
}

/** What follows `limit`. */
export function parseLimit(tokens: TokenStream): Limit {
  tokens.takeWord("rate");
  const mode = tokens.takeOneOf(["over", "until"]);
  const at = tokens.peek();
  const number = tokens.number();
  if (number === 0) throw new NftablesError(at, "limit rate cannot be 0");
  const countsBytes = !tokens.takeMark("/");
  // `10/second`, and `10 mbytes/second`, which is a number and a word
  const unit = tokens.name();
  const [size, joined] = countsBytes ? unit.text.split("/") : [undefined, unit.text];
  const time = joined ?? (tokens.takeMark("/") ? tokens.name().text : undefined);
  const factor = size === undefined ? 1 : SIZE_UNITS[size];
  const unitSeconds = time === undefined ? undefined : TIME_UNITS[time];
  if (factor === undefined || unitSeconds === undefined) {
    throw new NftablesError(unit, "Wrong rate format");
  }
  return {
    kind: "limit",
    over: mode === "over",
    rate: number * factor,
    unitSeconds,
    burst: parseBurst(tokens, countsBytes),
    countsBytes,
  };
}

function parseBurst(tokens: TokenStream, countsBytes: boolean): number {
  if (!tokens.takeWord("burst")) return countsBytes ? 0 : DEFAULT_BURST;
  if (countsBytes) return parseSize(tokens);
  const burst = tokens.number();
  tokens.expectWord("packets");
  return burst;
}
