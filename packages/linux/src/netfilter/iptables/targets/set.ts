import { Prefix } from "@cnilab/net";
import type { NetNamespace } from "../../../net-namespace.ts";
import type { FieldValue } from "../../ipset/element-syntax.ts";
import type { ElementOptions, Ipset } from "../../ipset/ipset.ts";
import { IpsetError } from "../../ipset/ipset-error.ts";
import { addressOf, type Direction, deviceOf, macOf, portOf } from "../../ipset/packet-fields.ts";
import type { ElementField } from "../../ipset/set-type.ts";
import {
  type OptionValues,
  type Target,
  type TargetExtension,
  type TargetVerdict,
  XT_CONTINUE,
} from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { demandSet, formatSetSides, parseSetSides, type SetSides } from "../matches/set.ts";
import { parseUint } from "../numbers.ts";
import type { Walk } from "../walk.ts";

const NO_OPTIONS: ElementOptions = {
  exist: false,
  timeout: undefined,
  packets: undefined,
  bytes: undefined,
  comment: undefined,
  nomatch: false,
  wildcard: false,
  before: undefined,
  after: undefined,
};

/** Adds what a packet says of itself to a set, or deletes it there (net/netfilter/xt_set.c). */
class SetTarget implements Target {
  readonly sets: readonly string[];
  readonly #add: SetSides | undefined;
  readonly #delete: SetSides | undefined;
  readonly #exist: boolean;
  /** Seconds; `undefined` for the set's own. */
  readonly #timeout: number | undefined;

  constructor(values: OptionValues) {
    this.#add = sidesOf(values, "add-set");
    this.#delete = sidesOf(values, "del-set");
    this.#exist = values.has("exist");
    this.#timeout = values.parsed("timeout", (word) => parseUint(word, 2147483));
    this.sets = [this.#add, this.#delete].flatMap((sides) => sides?.name ?? []);
  }

  run(walk: Walk): TargetVerdict {
    walk.netns.network.recording?.unrepeatable();
    const options = { ...NO_OPTIONS, exist: this.#exist, timeout: this.#timeout };
    change(walk, this.#add, (set, values) => set.add(values, options));
    change(walk, this.#delete, (set, values) => set.delete(values, NO_OPTIONS));
    return XT_CONTINUE;
  }

  effect(): string {
    return this.text.slice("-j ".length);
  }

  resolve(netns: NetNamespace): void {
    for (const name of this.sets) demandSet(netns, name);
  }

  get text(): string {
    let text = "-j SET";
    if (this.#add !== undefined) text += ` --add-set ${formatSetSides(this.#add)}`;
    if (this.#exist) text += " --exist";
    if (this.#timeout !== undefined) text += ` --timeout ${this.#timeout}`;
    if (this.#delete !== undefined) text += ` --del-set ${formatSetSides(this.#delete)}`;
    return text;
  }
}

function sidesOf(values: OptionValues, option: string): SetSides | undefined {
  const value = values.find(option);
  return value === undefined ? undefined : parseSetSides(option, value);
}

/** What the set refuses, an element that is there already for one, is left alone. */
function change(
  walk: Walk,
  sides: SetSides | undefined,
  what: (set: Ipset, values: readonly FieldValue[]) => void,
): void {
  const set = sides === undefined ? undefined : walk.netns.ipsets.find(sides.name);
  if (set === undefined || sides === undefined) return;
  const values: FieldValue[] = [];
  for (const [i, field] of set.type.fields.entries()) {
    const direction = sides.directions[i];
    const value = direction === undefined ? undefined : packetValue(walk, field, direction);
    if (value === undefined) return;
    values.push(value);
  }
  try {
    what(set, values);
  } catch (error) {
    if (!(error instanceof IpsetError)) throw error;
  }
}

/** What a packet says for one part of an element; `undefined` where it says nothing. */
function packetValue(
  { skb, state, packet }: Walk,
  field: ElementField,
  direction: Direction,
): FieldValue | undefined {
  const address = addressOf(packet, direction);
  switch (field) {
    case "ip":
      return { field, from: address, to: address, plain: true };
    case "net":
      return { field, prefixes: [Prefix.host(address)] };
    case "port": {
      const port = portOf(packet, direction);
      if (port < 0) return undefined;
      return { field, protocol: packet.protocol, from: port, to: port, range: false };
    }
    case "iface": {
      const dev = deviceOf(skb, state, direction, false);
      return dev && { field, name: dev.name, physdev: false };
    }
    case "mac": {
      const mac = macOf(skb, direction);
      return mac === undefined ? undefined : { field, mac };
    }
    case "set":
      return undefined;
  }
}

const MAP_OPTIONS = ["map-set", "map-mark", "map-prio", "map-queue"] as const;

export const set: TargetExtension = {
  name: "SET",
  options: [
    { name: "add-set", args: 2 },
    { name: "del-set", args: 2 },
    { name: "exist", args: 0 },
    { name: "timeout", args: 1 },
    ...MAP_OPTIONS.map((name) => ({ name, args: name === "map-set" ? 2 : 0 }) as const),
  ],
  parse(values) {
    const map = MAP_OPTIONS.find((option) => values.has(option));
    if (map !== undefined) throw parameterProblem(`SET: option "--${map}" is not modelled`);
    if (!values.has("add-set") && !values.has("del-set")) {
      throw parameterProblem("You must specify either `--add-set' or `--del-set' or `--map-set'");
    }
    return new SetTarget(values);
  },
};
