import { compareIp, formatIp, type IpAddress, type IpFamily } from "@cnilab/net";
import { type Match, type MatchExtension, not, type OptionValues } from "../extension.ts";
import { parseHost } from "../header-match.ts";
import { parameterProblem } from "../iptables-error.ts";
import type { Walk } from "../walk.ts";

interface AddressRange {
  readonly first: IpAddress;
  readonly last: IpAddress;
  readonly inverted: boolean;
}

class IprangeMatch implements Match {
  readonly pure = true;
  readonly #src: AddressRange | undefined;
  readonly #dst: AddressRange | undefined;

  constructor(src: AddressRange | undefined, dst: AddressRange | undefined) {
    this.#src = src;
    this.#dst = dst;
  }

  matches({ packet }: Walk): boolean {
    return isIn(this.#src, packet.src) && isIn(this.#dst, packet.dst);
  }

  get text(): string {
    return `-m iprange${format("src-range", this.#src)}${format("dst-range", this.#dst)}`;
  }
}

function isIn(range: AddressRange | undefined, address: IpAddress): boolean {
  if (range === undefined) return true;
  const inside = compareIp(range.first, address) <= 0 && compareIp(address, range.last) <= 0;
  return inside !== range.inverted;
}

function format(option: string, range: AddressRange | undefined): string {
  if (range === undefined) return "";
  return ` ${not(range.inverted)}--${option} ${formatIp(range.first)}-${formatIp(range.last)}`;
}

function parseRange(
  values: OptionValues,
  option: string,
  family: IpFamily,
): AddressRange | undefined {
  const word = values.word(option);
  if (word === undefined) return undefined;
  const [low = "", high = low] = word.split("-", 2);
  const first = parseHost(low, family);
  const last = parseHost(high, family);
  if (first === undefined || last === undefined) {
    throw parameterProblem(`iprange: Bad value for "--${option}" option: "${word}"`);
  }
  return { first, last, inverted: values.isInverted(option) };
}

export const iprange: MatchExtension = {
  names: ["iprange"],
  options: [
    { name: "src-range", args: 1, invertible: true },
    { name: "dst-range", args: 1, invertible: true },
  ],
  parse(values, { family }) {
    const src = parseRange(values, "src-range", family);
    const dst = parseRange(values, "dst-range", family);
    if (src === undefined && dst === undefined) {
      throw parameterProblem("iprange match: You must specify `--src-range' or `--dst-range'");
    }
    return new IprangeMatch(src, dst);
  },
};
