import type { IpAddress } from "@cnilab/net";
import {
  type ConntrackEntry,
  directionOf,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IP_CT_UNTRACKED,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_DST_NAT,
  IPS_EXPECTED,
  IPS_SEEN_REPLY,
  IPS_SRC_NAT,
} from "../../conntrack-entry.ts";
import { type Match, type MatchExtension, not, type OptionValues } from "../extension.ts";
import { and, asPrefix, parseAddress, parseProtocol } from "../header-match.ts";
import { parameterProblem } from "../iptables-error.ts";
import { formatRange, parseUint, type Range } from "../numbers.ts";
import type { Walk } from "../walk.ts";
import { quoteWord } from "../words.ts";

/** A packet's relation to its connection as one bit (`XT_CONNTRACK_STATE_BIT`). */
const STATES: Readonly<Record<string, number>> = {
  INVALID: 1 << 0,
  NEW: 1 << 3,
  RELATED: 1 << 2,
  ESTABLISHED: 1 << 1,
  UNTRACKED: 1 << 6,
  SNAT: 1 << 4,
  DNAT: 1 << 5,
};

const STATUSES: Readonly<Record<string, number>> = {
  NONE: 0,
  EXPECTED: IPS_EXPECTED,
  SEEN_REPLY: IPS_SEEN_REPLY,
  ASSURED: IPS_ASSURED,
  CONFIRMED: IPS_CONFIRMED,
};

function stateBit(walk: Walk): number {
  const { ct, ctInfo } = walk.skb;
  if (ct !== undefined) return 1 << ((ctInfo % 3) + 1);
  return ctInfo === IP_CT_UNTRACKED
    ? (STATES["UNTRACKED"] as number)
    : (STATES["INVALID"] as number);
}

function parseBits(
  list: string,
  bits: Readonly<Record<string, number>>,
  complaint: (word: string) => Error,
): number {
  let mask = 0;
  for (const word of list.split(",")) {
    const bit = Object.hasOwn(bits, word.toUpperCase()) ? bits[word.toUpperCase()] : undefined;
    if (bit === undefined) throw complaint(word);
    mask |= bit;
  }
  return mask;
}

function formatBits(mask: number, bits: Readonly<Record<string, number>>): string {
  return Object.keys(bits)
    .filter((name) => (mask & (bits[name] as number)) !== 0)
    .join(",");
}

/** `--state`: what a packet is to its connection. Also all that many rules with `--ctstate` ask. */
class StateMatch implements Match {
  readonly pure = true;
  readonly needsConntrack = true;
  readonly #name: "conntrack" | "state";
  readonly #mask: number;
  readonly #inverted: boolean;

  constructor(name: "conntrack" | "state", mask: number, inverted: boolean) {
    this.#name = name;
    this.#mask = mask;
    this.#inverted = inverted;
  }

  matches(walk: Walk): boolean {
    return matchesState(walk, this.#mask) !== this.#inverted;
  }

  get text(): string {
    const option = this.#name === "state" ? "--state" : "--ctstate";
    return `-m ${this.#name} ${not(this.#inverted)}${option} ${formatBits(this.#mask, STATES)}`;
  }
}

function matchesState(walk: Walk, mask: number): boolean {
  let bits = stateBit(walk);
  const { ct } = walk.skb;
  if (ct !== undefined && (mask & 0x30) !== 0) {
    const { status } = ct;
    if ((status & IPS_SRC_NAT) !== 0) bits |= STATES["SNAT"] as number;
    if ((status & IPS_DST_NAT) !== 0) bits |= STATES["DNAT"] as number;
  }
  return (bits & mask) !== 0;
}

/** A property of the connection that `--ct…` asks for. */
interface ConntrackTest {
  readonly text: string;
  readonly inverted: boolean;
  holds(ct: ConntrackEntry, walk: Walk): boolean;
}

/** Options in the order in which iptables-save prints them. */
const TEST_OPTIONS: Readonly<
  Record<string, (word: string, walkFamily: 4 | 6) => Omit<ConntrackTest, "inverted">>
> = {
  ctproto: (word) => {
    const protocol = parseProtocol(word);
    if (protocol === 0) throw parameterProblem("conntrack: rule would never match protocol");
    return { text: `--ctproto ${protocol}`, holds: (ct) => ct.original.protocol === protocol };
  },
  ctorigsrc: (word, family) => addressTest("ctorigsrc", word, family, (ct) => ct.original.src),
  ctorigdst: (word, family) => addressTest("ctorigdst", word, family, (ct) => ct.original.dst),
  ctreplsrc: (word, family) => addressTest("ctreplsrc", word, family, (ct) => ct.reply.src),
  ctrepldst: (word, family) => addressTest("ctrepldst", word, family, (ct) => ct.reply.dst),
  ctorigsrcport: (word) => portTest("ctorigsrcport", word, (ct) => ct.original.srcPort),
  ctorigdstport: (word) => portTest("ctorigdstport", word, (ct) => ct.original.dstPort),
  ctreplsrcport: (word) => portTest("ctreplsrcport", word, (ct) => ct.reply.srcPort),
  ctrepldstport: (word) => portTest("ctrepldstport", word, (ct) => ct.reply.dstPort),
  ctstatus: (word) => {
    const bad = (text: string) => parameterProblem(`Bad ctstatus "${text}"`);
    const mask = parseBits(word, STATUSES, bad);
    return {
      text: `--ctstatus ${formatBits(mask, STATUSES) || "NONE"}`,
      holds: (ct) => (mask === 0 ? (ct.status & 0xf) === 0 : (ct.status & mask) !== 0),
    };
  },
  ctexpire: (word) => {
    const range = parseRange(word, 0xffffffff);
    if (range === undefined)
      throw parameterProblem(`conntrack: Bad value for "--ctexpire" option: "${word}"`);
    return {
      text: `--ctexpire ${formatRange(range)}`,
      holds: (ct, walk) => {
        walk.netns.network.recording?.unrepeatable();
        const seconds = Math.trunc(ct.remainingMs / 1000);
        return seconds >= range.min && seconds <= range.max;
      },
    };
  },
  ctdir: (word) => {
    const name = word.toUpperCase();
    if (name !== "ORIGINAL" && name !== "REPLY") {
      throw parameterProblem(`conntrack: Bad value for "--ctdir" option: "${word}"`);
    }
    const direction = name === "ORIGINAL" ? IP_CT_DIR_ORIGINAL : IP_CT_DIR_REPLY;
    return {
      text: `--ctdir ${name}`,
      holds: (_ct, walk) => directionOf(walk.skb.ctInfo) === direction,
    };
  },
};

function addressTest(
  option: string,
  word: string,
  family: 4 | 6,
  of: (ct: ConntrackEntry) => IpAddress,
): Omit<ConntrackTest, "inverted"> {
  const wanted = parseAddress(word, family);
  const prefix = asPrefix(wanted);
  const text = prefix?.isHost ? String(prefix).replace(/\/.*/, "") : String(prefix ?? word);
  return {
    text: `--${option} ${text}`,
    holds: (ct) => and(of(ct), wanted.mask) === wanted.address,
  };
}

function portTest(
  option: string,
  word: string,
  of: (ct: ConntrackEntry) => number,
): Omit<ConntrackTest, "inverted"> {
  const range = parseRange(word, 0xffff);
  if (range === undefined)
    throw parameterProblem(`conntrack: Bad value for "--${option}" option: "${word}"`);
  return {
    text: `--${option} ${formatRange(range)}`,
    holds: (ct) => of(ct) >= range.min && of(ct) <= range.max,
  };
}

function parseRange(text: string, limit: number): Range | undefined {
  const [low = "", high] = text.split(":", 2);
  const min = low === "" && high !== undefined ? 0 : parseUint(low, limit);
  const max = high === undefined ? min : high === "" ? limit : parseUint(high, limit);
  return min === undefined || max === undefined || min > max ? undefined : { min, max };
}

/** `conntrack_mt` of net/netfilter/xt_conntrack.c. */
class ConntrackMatch implements Match {
  readonly pure = true;
  readonly needsConntrack = true;
  /** Bits of `--ctstate`; `undefined` without. */
  readonly #state: number | undefined;
  readonly #stateInverted: boolean;
  readonly #tests: readonly ConntrackTest[];

  constructor(state: number | undefined, stateInverted: boolean, tests: readonly ConntrackTest[]) {
    this.#state = state;
    this.#stateInverted = stateInverted;
    this.#tests = tests;
  }

  matches(walk: Walk): boolean {
    if (this.#state !== undefined && matchesState(walk, this.#state) === this.#stateInverted) {
      return false;
    }
    const { ct } = walk.skb;
    // Without a connection there is nothing more to ask.
    if (ct === undefined) return this.#state !== undefined;
    for (const test of this.#tests) if (test.holds(ct, walk) === test.inverted) return false;
    return true;
  }

  get text(): string {
    let text = "-m conntrack";
    if (this.#state !== undefined) {
      text += ` ${not(this.#stateInverted)}--ctstate ${formatBits(this.#state, STATES)}`;
    }
    for (const test of this.#tests) text += ` ${not(test.inverted)}${test.text}`;
    return text;
  }
}

function badState(word: string): Error {
  return parameterProblem(`Bad ctstate "${word}"`);
}

function testsOf(values: OptionValues, family: 4 | 6): ConntrackTest[] {
  const tests: ConntrackTest[] = [];
  for (const [option, make] of Object.entries(TEST_OPTIONS)) {
    const word = values.word(option);
    if (word === undefined) continue;
    tests.push({ ...make(word, family), inverted: values.isInverted(option) });
  }
  return tests;
}

export const conntrack: MatchExtension = {
  names: ["conntrack"],
  options: ["ctstate", ...Object.keys(TEST_OPTIONS)].map((name) => ({
    name,
    args: 1,
    invertible: name !== "ctdir",
  })),
  parse(values, context) {
    const state = values.parsed("ctstate", (word) => parseBits(word, STATES, badState));
    const tests = testsOf(values, context.family);
    if (state === undefined && tests.length === 0) {
      throw parameterProblem("conntrack: At least one option is required");
    }
    const inverted = values.isInverted("ctstate");
    if (state !== undefined && tests.length === 0)
      return new StateMatch("conntrack", state, inverted);
    return new ConntrackMatch(state, inverted, tests);
  },
};

export const state: MatchExtension = {
  names: ["state"],
  options: [{ name: "state", args: 1, invertible: true }],
  parse(values) {
    values.required("state");
    const { SNAT: _snat, DNAT: _dnat, ...states } = STATES;
    const bad = (word: string) => parameterProblem(`Bad state "${word}"`);
    const mask = parseBits(values.required("state"), states, bad);
    return new StateMatch("state", mask, values.isInverted("state"));
  },
};

class HelperMatch implements Match {
  readonly pure = true;
  readonly needsConntrack = true;
  readonly #helper: string;
  readonly #inverted: boolean;

  constructor(helper: string, inverted: boolean) {
    this.#helper = helper;
    this.#inverted = inverted;
  }

  /** No connection has a helper here: only those of an expected connection's master would match. */
  matches(walk: Walk): boolean {
    return walk.skb.ct?.master !== undefined && this.#inverted;
  }

  get text(): string {
    return `-m helper ${not(this.#inverted)}--helper ${quoteWord(this.#helper)}`;
  }
}

export const helper: MatchExtension = {
  names: ["helper"],
  options: [{ name: "helper", args: 1, invertible: true }],
  parse(values) {
    return new HelperMatch(values.required("helper"), values.isInverted("helper"));
  },
};
