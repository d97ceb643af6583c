import { EspPacket, IPPROTO_ESP } from "@cnilab/net";
import {
  type Match,
  type MatchExtension,
  not,
  type OptionValues,
  type RulePlace,
} from "../extension.ts";
import { Complaint, parameterProblem } from "../iptables-error.ts";
import { parseUint, type Range } from "../numbers.ts";
import type { Walk } from "../walk.ts";

const MAX_SPI = 0xffffffff;

/** The SPI of an ESP packet (net/netfilter/xt_esp.c). */
class EspMatch implements Match {
  readonly pure = true;
  readonly #spi: Range;
  readonly #inverted: boolean;

  constructor(spi: Range, inverted: boolean) {
    this.#spi = spi;
    this.#inverted = inverted;
  }

  matches({ transport }: Walk): boolean {
    if (!(transport instanceof EspPacket)) return false;
    const { min, max } = this.#spi;
    return (transport.spi >= min && transport.spi <= max) !== this.#inverted;
  }

  check({ chain, protocol }: RulePlace): void {
    if (protocol === IPPROTO_ESP) return;
    throw new Complaint("kernel", `RULE_APPEND failed (Invalid argument): rule in chain ${chain}`);
  }

  get text(): string {
    const { min, max } = this.#spi;
    if (min === 0 && max === MAX_SPI && !this.#inverted) return "-m esp";
    const range = min === max ? String(min) : `${min}:${max}`;
    return `-m esp ${not(this.#inverted)}--espspi ${range}`;
  }
}

export const esp: MatchExtension = {
  names: ["esp"],
  options: [{ name: "espspi", args: 1, invertible: true }],
  parse(values) {
    const text = values.word("espspi");
    const spi = text === undefined ? { min: 0, max: MAX_SPI } : parseSpis(text);
    return new EspMatch(spi, values.isInverted("espspi"));
  },
};

function parseSpis(text: string): Range {
  const [low = "", high = low] = text.split(":", 2);
  const [min, max] = [parseUint(low), parseUint(high)];
  if (min === undefined || max === undefined) {
    const bad = min === undefined ? low : high;
    throw parameterProblem(
      `esp: bad value for option "--espspi" near "${bad}", or out of range (0-${MAX_SPI}).\n`,
    );
  }
  return { min, max };
}

/** Whether a packet was encrypted, or will be (net/netfilter/xt_policy.c), however that is. */
class PolicyMatch implements Match {
  readonly pure = true;
  readonly #direction: "in" | "out";
  readonly #none: boolean;

  constructor(direction: "in" | "out", none: boolean) {
    this.#direction = direction;
    this.#none = none;
  }

  matches({ skb }: Walk): boolean {
    const has = this.#direction === "in" ? skb.wasEncrypted : skb.xfrm !== undefined;
    return has !== this.#none;
  }

  check({ chain }: RulePlace): void {
    const wrong = this.#direction === "in" ? ["OUTPUT", "POSTROUTING"] : ["PREROUTING", "INPUT"];
    if (!wrong.includes(chain)) return;
    throw new Complaint("kernel", `RULE_APPEND failed (Invalid argument): rule in chain ${chain}`);
  }

  get text(): string {
    return `-m policy --dir ${this.#direction} --pol ${this.#none ? "none" : "ipsec"}`;
  }
}

/** What a policy's associations must be, which rules here do not ask. */
const ELEMENTS = ["strict", "reqid", "spi", "proto", "mode", "tunnel-src", "tunnel-dst", "next"];

export const policy: MatchExtension = {
  names: ["policy"],
  options: [
    { name: "dir", args: 1 },
    { name: "pol", args: 1 },
    ...ELEMENTS.map((name) => ({
      name,
      args: name === "strict" || name === "next" ? (0 as const) : (1 as const),
      invertible: true,
    })),
  ],
  parse(values) {
    const direction = oneOf(values, "dir", ["in", "out"]);
    if (direction === "?")
      throw parameterProblem(`policy_match: invalid dir "${values.word("dir")}"`);
    const kind = oneOf(values, "pol", ["none", "ipsec"]);
    if (kind === "?")
      throw parameterProblem(`policy match: invalid policy "${values.word("pol")}"`);
    if (direction === undefined) {
      throw parameterProblem("policy match: neither --dir in nor --dir out specified");
    }
    const element = ELEMENTS.find((name) => values.has(name));
    if (element !== undefined && kind === "none") {
      throw parameterProblem(`policy match: policy none but --${element} given`);
    }
    if (element !== undefined) throw parameterProblem(`policy match: --${element} is not modelled`);
    return new PolicyMatch(direction, kind === "none");
  },
};

/** `?` for a word that is none of them. */
function oneOf<T extends string>(
  values: OptionValues,
  option: string,
  words: readonly T[],
): T | "?" | undefined {
  const word = values.word(option);
  return word === undefined ? undefined : (words.find((one) => one === word) ?? "?");
}
