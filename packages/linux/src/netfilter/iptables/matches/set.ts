import type { NetNamespace } from "../../../net-namespace.ts";
import type { Direction } from "../../ipset/packet-fields.ts";
import { type Match, type MatchExtension, not, type OptionValue } from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import type { Walk } from "../walk.ts";

/** `IPSET_DIM_MAX` */
const MAX_DIRECTIONS = 6;

/** A set, and which ends of a packet are compared with the parts of its elements. */
export interface SetSides {
  readonly name: string;
  readonly directions: readonly Direction[];
}

/** `NAME src,dst`. @throws Complaint */
export function parseSetSides(option: string, value: OptionValue): SetSides {
  const [name = "", list = ""] = value.args;
  if (name.length > 31) {
    throw parameterProblem(`setname \`${name}' too long, max 31 characters.`);
  }
  const directions = list.split(",");
  if (directions.length > MAX_DIRECTIONS) {
    throw parameterProblem(`Can't be more src/dst options than ${MAX_DIRECTIONS}.`);
  }
  if (!directions.every((word) => word === "src" || word === "dst")) {
    throw parameterProblem(
      `You must specify (the comma separated list of) 'src' or 'dst' for --${option}.`,
    );
  }
  return { name, directions: directions as Direction[] };
}

export function formatSetSides({ name, directions }: SetSides): string {
  return `${name} ${directions.join()}`;
}

/** @throws Complaint */
export function demandSet(netns: NetNamespace, name: string): void {
  if (netns.ipsets.find(name) === undefined) throw parameterProblem(`Set ${name} doesn't exist.\n`);
}

class SetMatch implements Match {
  // A set may count the packets that it is asked about.
  readonly pure = false;
  readonly stateless = true;
  readonly sets: readonly string[];
  readonly #sides: SetSides;
  readonly #inverted: boolean;

  constructor(sides: SetSides, inverted: boolean) {
    this.sets = [sides.name];
    this.#sides = sides;
    this.#inverted = inverted;
  }

  matches(walk: Walk): boolean {
    // A rule's set is not renamed, and a swap puts another one under its name.
    const set = walk.netns.ipsets.find(this.#sides.name);
    const found = set?.matchesPacket(walk.skb, walk.state, this.#sides.directions) === true;
    return found !== this.#inverted;
  }

  resolve(netns: NetNamespace): void {
    demandSet(netns, this.#sides.name);
  }

  get text(): string {
    return `-m set ${not(this.#inverted)}--match-set ${formatSetSides(this.#sides)}`;
  }
}

/** Conditions on an element's counters, and other ways to ask; nobody modelled here uses them. */
const UNMODELLED = [
  "return-nomatch",
  "update-counters",
  "update-subcounters",
  "packets-eq",
  "packets-lt",
  "packets-gt",
  "bytes-eq",
  "bytes-lt",
  "bytes-gt",
];

export const set: MatchExtension = {
  names: ["set"],
  options: [
    { name: "match-set", aliases: ["set"], args: 2, invertible: true },
    ...UNMODELLED.map(
      (name) => ({ name, args: /-(eq|lt|gt)$/.test(name) ? 1 : 0, invertible: true }) as const,
    ),
  ],
  parse(values) {
    const value = values.find("match-set");
    if (value === undefined) {
      throw parameterProblem("You must specify `--match-set' with proper arguments");
    }
    const other = UNMODELLED.find((option) => values.has(option));
    if (other !== undefined) throw parameterProblem(`set: option "--${other}" is not modelled`);
    return new SetMatch(parseSetSides("match-set", value), value.inverted);
  },
};
