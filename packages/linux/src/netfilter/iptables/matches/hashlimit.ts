import type { IpAddress } from "@cnilab/net";
import type { Match, MatchExtension, OptionValues } from "../extension.ts";
import { and, prefixMask } from "../header-match.ts";
import { parameterProblem } from "../iptables-error.ts";
import { parseName, parseUint } from "../numbers.ts";
import type { Walk } from "../walk.ts";
import { formatRate, parseRate, TokenBucket } from "./rate.ts";

/** In the order in which they are printed. */
const MODES = ["srcip", "srcport", "dstip", "dstport"] as const;
type Mode = (typeof MODES)[number];

/** Numbers of the table that a rule may set, with the option that sets them. */
const TABLE_OPTIONS = [
  "hashlimit-htable-size",
  "hashlimit-htable-max",
  "hashlimit-htable-gcinterval",
  "hashlimit-htable-expire",
] as const;

interface HashlimitOptions {
  /** `above`: matches what is over the rate; `upto`: what is not. */
  readonly relation: "above" | "upto";
  readonly interval: number;
  readonly burst: number;
  readonly modes: readonly Mode[];
  readonly name: string;
  readonly table: readonly (number | undefined)[];
  readonly srcMask: number;
  readonly dstMask: number;
  readonly family: 4 | 6;
}

/** A token bucket for each address or port, shared by rules that give the same name. */
class HashlimitMatch implements Match {
  readonly pure = false;
  readonly #options: HashlimitOptions;

  constructor(options: HashlimitOptions) {
    this.#options = options;
  }

  matches(walk: Walk): boolean {
    const { relation, interval, burst, name } = this.#options;
    const { network } = walk.netns;
    network.recording?.unrepeatable();
    const { now } = network.clock;
    const buckets = walk.memory.hashlimit(name);
    const key = this.#key(walk);
    let bucket = buckets.get(key);
    if (bucket === undefined) {
      bucket = new TokenBucket(interval, burst, now);
      buckets.set(key, bucket);
    }
    return bucket.take(now) === (relation === "upto");
  }

  #key(walk: Walk): string {
    const { family, srcMask, dstMask } = this.#options;
    const { src, dst } = walk.packet;
    const parts: (IpAddress | number)[] = this.#options.modes.map((mode) => {
      if (mode === "srcip") return and(src, prefixMask(family, srcMask));
      if (mode === "dstip") return and(dst, prefixMask(family, dstMask));
      return mode === "srcport" ? walk.srcPort : walk.dstPort;
    });
    return parts.join(" ");
  }

  get text(): string {
    const { relation, interval, burst, modes, name, table, srcMask, dstMask } = this.#options;
    const bits = this.#options.family === 4 ? 32 : 128;
    let text = `-m hashlimit --hashlimit-${relation} ${formatRate(interval)} --hashlimit-burst ${burst}`;
    if (modes.length > 0) text += ` --hashlimit-mode ${modes.join()}`;
    text += ` --hashlimit-name ${name}`;
    TABLE_OPTIONS.forEach((option, i) => {
      if (table[i] !== undefined) text += ` --${option} ${table[i]}`;
    });
    if (srcMask !== bits) text += ` --hashlimit-srcmask ${srcMask}`;
    if (dstMask !== bits) text += ` --hashlimit-dstmask ${dstMask}`;
    return text;
  }
}

function parseModes(list: string): Mode[] {
  const modes = list === "" ? [] : list.split(",");
  for (const mode of modes) {
    if (!MODES.includes(mode as Mode))
      throw parameterProblem(`hashlimit: Bad value for "--hashlimit-mode" option: "${list}"`);
  }
  return MODES.filter((mode) => modes.includes(mode));
}

function relationOf(values: OptionValues): ["above" | "upto", string] {
  const above = values.find("hashlimit-above");
  const upto = values.find("hashlimit-upto");
  const given = above ?? upto;
  if (given === undefined) {
    throw parameterProblem("You have to specify --hashlimit-upto or --hashlimit-above");
  }
  const isAbove = (above !== undefined) !== given.inverted;
  return [isAbove ? "above" : "upto", given.args[0] as string];
}

function nameOf(values: OptionValues): string {
  values.required("hashlimit-name");
  return values.parsed("hashlimit-name", parseName) as string;
}

export const hashlimit: MatchExtension = {
  names: ["hashlimit"],
  options: [
    { name: "hashlimit-upto", aliases: ["hashlimit"], args: 1, invertible: true },
    { name: "hashlimit-above", args: 1, invertible: true },
    { name: "hashlimit-burst", args: 1 },
    { name: "hashlimit-mode", args: 1 },
    { name: "hashlimit-name", args: 1 },
    { name: "hashlimit-srcmask", args: 1 },
    { name: "hashlimit-dstmask", args: 1 },
    ...TABLE_OPTIONS.map((name) => ({ name, args: 1 }) as const),
  ],
  parse(values, { family }) {
    const [relation, rate] = relationOf(values);
    if (/b\//.test(rate))
      throw parameterProblem(`hashlimit: rates in bytes are not modelled: "${rate}"`);
    const bits = family === 4 ? 32 : 128;
    const mask = (text: string) => parseUint(text, bits);
    return new HashlimitMatch({
      relation,
      interval: parseRate(rate),
      burst: values.parsed("hashlimit-burst", parseUint) ?? 5,
      modes: parseModes(values.word("hashlimit-mode") ?? ""),
      name: nameOf(values),
      table: TABLE_OPTIONS.map((option) => values.parsed(option, (word) => parseUint(word))),
      srcMask: values.parsed("hashlimit-srcmask", mask) ?? bits,
      dstMask: values.parsed("hashlimit-dstmask", mask) ?? bits,
      family,
    });
  },
};
