import type { IpFamily } from "@cnilab/net";
import { ConnectionCount } from "../../connection-count.ts";
import { IP_CT_DIR_ORIGINAL } from "../../conntrack-entry.ts";
import type { Match, MatchExtension, OptionValues } from "../extension.ts";
import { and, prefixMask } from "../header-match.ts";
import { parameterProblem } from "../iptables-error.ts";
import { parseUint } from "../numbers.ts";
import type { Walk } from "../walk.ts";

/** More connections than so many, or not, of one network of sources or destinations (net/netfilter/xt_connlimit.c). */
class ConnlimitMatch implements Match {
  readonly pure = false;
  readonly needsConntrack = true;
  readonly #limit: number;
  readonly #relation: "above" | "upto";
  readonly #mask: number;
  readonly #by: "saddr" | "daddr";
  readonly #family: IpFamily;

  constructor(
    limit: number,
    relation: "above" | "upto",
    mask: number,
    by: "saddr" | "daddr",
    family: IpFamily,
  ) {
    this.#limit = limit;
    this.#relation = relation;
    this.#mask = mask;
    this.#by = by;
    this.#family = family;
  }

  matches(walk: Walk): boolean {
    const { skb, netns, memory } = walk;
    netns.network.recording?.unrepeatable();
    const { ct } = skb;
    // Untracked packets are looked up by their own tuple in the kernel; no agent limits those.
    if (ct === undefined) return false;
    const { src, dst } = ct.tuple(IP_CT_DIR_ORIGINAL);
    const address = this.#by === "saddr" ? src : dst;
    const key = String(and(address, prefixMask(this.#family, this.#mask)));
    const count = memory.of(this, () => new ConnectionCount()).add(netns, `${key} ${ct.zone}`, ct);
    return count > this.#limit === (this.#relation === "above");
  }

  get text(): string {
    return `-m connlimit --connlimit-${this.#relation} ${this.#limit} --connlimit-mask ${this.#mask} --connlimit-${this.#by}`;
  }
}

function relationOf(values: OptionValues): "above" | "upto" {
  if (values.has("connlimit-above") && values.has("connlimit-upto")) {
    throw parameterProblem(
      'connlimit: option "--connlimit-upto" cannot be used together with "--connlimit-above".\n',
    );
  }
  const name = values.has("connlimit-above") ? "above" : "upto";
  if (!values.has(`connlimit-${name}`)) {
    throw parameterProblem('You must specify "--connlimit-above" or "--connlimit-upto".');
  }
  const isAbove = (name === "above") !== values.isInverted(`connlimit-${name}`);
  return isAbove ? "above" : "upto";
}

function number(values: OptionValues, name: string): number | undefined {
  const word = values.word(name);
  if (word === undefined) return undefined;
  const value = parseUint(word);
  if (value === undefined) {
    throw parameterProblem(
      `connlimit: bad value for option "--${name}", or out of range (0-4294967295).\n`,
    );
  }
  return value;
}

export const connlimit: MatchExtension = {
  names: ["connlimit"],
  options: [
    { name: "connlimit-upto", args: 1, invertible: true },
    { name: "connlimit-above", args: 1, invertible: true },
    { name: "connlimit-mask", args: 1 },
    { name: "connlimit-saddr", args: 0 },
    { name: "connlimit-daddr", args: 0 },
  ],
  parse(values, { family }) {
    const relation = relationOf(values);
    const bits = family === 4 ? 32 : 128;
    if (values.has("connlimit-saddr") && values.has("connlimit-daddr")) {
      throw parameterProblem(
        'connlimit: option "--connlimit-saddr" cannot be used together with "--connlimit-daddr".\n',
      );
    }
    const limit = number(values, "connlimit-above") ?? number(values, "connlimit-upto") ?? 0;
    const mask = Math.min(number(values, "connlimit-mask") ?? bits, bits);
    const by = values.has("connlimit-daddr") ? "daddr" : "saddr";
    return new ConnlimitMatch(limit, relation, mask, by, family);
  },
};
