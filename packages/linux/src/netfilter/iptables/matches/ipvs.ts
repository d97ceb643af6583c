import { type Match, type MatchExtension, not, type OptionValues } from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import type { Walk } from "../walk.ts";

const OPTIONS = [
  { name: "ipvs", args: 0, invertible: true },
  { name: "vproto", args: 1, invertible: true },
  { name: "vaddr", args: 1, invertible: true },
  { name: "vport", args: 1, invertible: true },
  { name: "vdir", args: 1 },
  { name: "vmethod", args: 1, invertible: true },
  { name: "vportctl", args: 1, invertible: true },
] as const;

/**
 * Whether IPVS has a packet (net/netfilter/xt_ipvs.c). Nothing marks packets as its own yet, so none
 * belongs to it: `! --ipvs` holds, and no test of a virtual service does.
 */
class IpvsMatch implements Match {
  readonly pure = true;
  readonly text: string;
  readonly #wantsNone: boolean;

  constructor(values: OptionValues) {
    const given = OPTIONS.filter(({ name }) => values.has(name));
    if (given.length === 0) throw parameterProblem("IPVS: At least one option is required");
    const words = given.map(({ name }) => {
      const word = values.parsed(name, parsePlain);
      return `${not(values.isInverted(name))}--${name}${word === undefined ? "" : ` ${word}`}`;
    });
    this.text = `-m ipvs ${words.join(" ")}`;
    this.#wantsNone = given.length === 1 && values.isInverted("ipvs");
  }

  matches(_walk: Walk): boolean {
    return this.#wantsNone;
  }
}

/** Numbers, addresses and names of protocols and directions. */
function parsePlain(text: string): string | undefined {
  return /^[\w.:/-]+$/.test(text) ? text : undefined;
}

export const ipvs: MatchExtension = {
  names: ["ipvs"],
  options: OPTIONS,
  parse: (values) => new IpvsMatch(values),
};
