import {
  type Match,
  type MatchExtension,
  not,
  type OptionValues,
  type RulePlace,
} from "../extension.ts";
import { type InterfaceTest, matchesInterface, parseInterface } from "../header-match.ts";
import { Complaint, parameterProblem } from "../iptables-error.ts";
import type { Walk } from "../walk.ts";

/** A flag that is asked for, or asked not to be; `undefined` where the rule does not care. */
type Wanted = boolean | undefined;

/** The bridge ports of a bridged packet (`physdev_mt`, net/netfilter/xt_physdev.c). */
class PhysdevMatch implements Match {
  readonly pure = true;
  readonly #in: InterfaceTest | undefined;
  readonly #out: InterfaceTest | undefined;
  readonly #isIn: Wanted;
  readonly #isOut: Wanted;
  readonly #isBridged: Wanted;

  constructor(values: OptionValues) {
    this.#in = interfaceTest(values, "physdev-in");
    this.#out = interfaceTest(values, "physdev-out");
    this.#isIn = wanted(values, "physdev-is-in");
    this.#isOut = wanted(values, "physdev-is-out");
    this.#isBridged = wanted(values, "physdev-is-bridged");
  }

  matches(walk: Walk): boolean {
    const { nfBridge } = walk.skb;
    if (nfBridge === undefined) return this.#matchesUnbridged();
    const out = nfBridge.physout;
    const hasOut = out !== undefined;
    if (this.#isBridged !== undefined && this.#isBridged !== hasOut) return false;
    // A bridged packet always has a port that it came in by.
    if (this.#isIn === false) return false;
    if (this.#isOut !== undefined && this.#isOut !== hasOut) return false;
    if (this.#in !== undefined && !matchesInterface(this.#in, nfBridge.physin.name)) return false;
    if (this.#out === undefined) return true;
    return out !== undefined && matchesInterface(this.#out, out.name);
  }

  /** Without ports only what is negated holds. */
  #matchesUnbridged(): boolean {
    if (this.#isBridged || this.#isIn || this.#isOut) return false;
    if (this.#in !== undefined && !this.#in.inverted) return false;
    return this.#out === undefined || this.#out.inverted;
  }

  check({ chain }: RulePlace): void {
    if (chain !== "OUTPUT" || (this.#out === undefined && this.#isOut === undefined)) return;
    if (this.#isBridged) return;
    throw new Complaint("kernel", `RULE_APPEND failed (Invalid argument): rule in chain ${chain}`);
  }

  get text(): string {
    let text = "-m physdev";
    if (this.#isIn !== undefined) text += ` ${not(!this.#isIn)}--physdev-is-in`;
    text += formatInterface("physdev-in", this.#in);
    if (this.#isOut !== undefined) text += ` ${not(!this.#isOut)}--physdev-is-out`;
    text += formatInterface("physdev-out", this.#out);
    if (this.#isBridged !== undefined) text += ` ${not(!this.#isBridged)}--physdev-is-bridged`;
    return text;
  }
}

function formatInterface(option: string, test: InterfaceTest | undefined): string {
  if (test === undefined) return "";
  return ` ${not(test.inverted)}--${option} ${test.name}${test.isPrefix ? "+" : ""}`;
}

function interfaceTest(values: OptionValues, option: string): InterfaceTest | undefined {
  const word = values.word(option);
  return word === undefined ? undefined : parseInterface(word, values.isInverted(option));
}

function wanted(values: OptionValues, option: string): Wanted {
  return values.has(option) ? !values.isInverted(option) : undefined;
}

const OPTIONS = [
  "physdev-in",
  "physdev-out",
  "physdev-is-in",
  "physdev-is-out",
  "physdev-is-bridged",
];

export const physdev: MatchExtension = {
  names: ["physdev"],
  options: OPTIONS.map((name) => ({ name, args: name.includes("-is-") ? 0 : 1, invertible: true })),
  parse(values) {
    if (!OPTIONS.some((option) => values.has(option))) {
      throw parameterProblem("PHYSDEV: no physdev option specified");
    }
    return new PhysdevMatch(values);
  },
};
