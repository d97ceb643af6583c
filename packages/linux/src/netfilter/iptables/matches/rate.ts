import { parameterProblem } from "../iptables-error.ts";

/** Tenths of a millisecond in a second: intervals between packets are counted in these (`XT_LIMIT_SCALE`). */
const SCALE = 10_000;

/** Longest first, with their length in {@link SCALE}ths of a second. */
const UNITS: readonly (readonly [string, number])[] = [
  ["day", 24 * 60 * 60 * SCALE],
  ["hour", 60 * 60 * SCALE],
  ["min", 60 * SCALE],
  ["sec", SCALE],
];

/** The shortest beginnings that name a unit, as the tool reads them. */
function unitLength(text: string): number | undefined {
  if (text === "") return undefined;
  const whole = ["day", "hour", "minute", "second"];
  const index = whole.findIndex((unit) => unit.startsWith(text.toLowerCase()));
  return UNITS[index]?.[1];
}

/** `5/sec`, `10/minute` or `7`, as the time between two packets in 1/10,000 s. @throws Complaint */
export function parseRate(text: string): number {
  const [count = "", unit = "second"] = text.split("/", 2);
  const length = unitLength(unit);
  const rate = /^[0-9]+$/.test(count) ? Number(count) : 0;
  if (length === undefined || rate === 0) throw parameterProblem(`bad rate "${text}"'`);
  if (rate / length > SCALE / SCALE) throw parameterProblem(`Rate too fast "${text}"`);
  return Math.floor(length / rate);
}

/** The time between two packets as the rate that the tool prints (`print_rate` of libxt_limit.c). */
export function formatRate(interval: number): string {
  let best = UNITS[0] as readonly [string, number];
  for (const unit of UNITS.slice(1)) {
    const [, length] = unit;
    if (interval > length || Math.floor(length / interval) < length % interval) break;
    best = unit;
  }
  return `${Math.floor(best[1] / interval)}/${best[0]}`;
}

/** Lets a packet pass for each token; tokens come at a steady rate, up to a number. */
export class TokenBucket {
  /** Milliseconds that a token takes to come. */
  readonly #interval: number;
  readonly #capacity: number;
  /** In milliseconds, as what it took for them to come. */
  #tokens: number;
  #last: number;

  /** Full at first. @param interval in 1/10,000 s */
  constructor(interval: number, burst: number, now: number) {
    this.#interval = interval / (SCALE / 1000);
    this.#capacity = this.#interval * burst;
    this.#tokens = this.#capacity;
    this.#last = now;
  }

  /** Takes a token if there is one. */
  take(now: number): boolean {
    this.#tokens = Math.min(this.#capacity, this.#tokens + now - this.#last);
    this.#last = now;
    if (this.#tokens < this.#interval) return false;
    this.#tokens -= this.#interval;
    return true;
  }

  get isFull(): boolean {
    return this.#tokens >= this.#capacity;
  }
}
