import type { NetNamespace } from "../../net-namespace.ts";
import type { Skb } from "../../skb.ts";
import type { HookState } from "../hooks.ts";
import type { FieldValue } from "./element-syntax.ts";
import {
  alreadyAdded,
  type ElementOptions,
  Entry,
  Ipset,
  type IpsetOptions,
  notAdded,
} from "./ipset.ts";
import { kernelRefusal } from "./ipset-error.ts";
import type { Direction } from "./packet-fields.ts";
import type { SetType } from "./set-type.ts";

interface Member {
  readonly set: Ipset;
  readonly entry: Entry;
}

/** A set of type `list:set`: packets that are in any of its members, which keep their order. */
export class ListSet extends Ipset {
  #members: Member[] = [];
  readonly #findSet: (name: string) => Ipset | undefined;

  constructor(
    netns: NetNamespace,
    name: string,
    type: SetType,
    options: IpsetOptions,
    findSet: (name: string) => Ipset | undefined,
  ) {
    super(netns, name, type, options);
    this.#findSet = findSet;
  }

  get size(): number {
    this.#collect();
    return this.#members.length;
  }

  /** What rules give has to do for the members. */
  override get dimensions(): number {
    return 0;
  }

  add(values: readonly FieldValue[], options: ElementOptions): void {
    this.check(options);
    const set = this.#member(values);
    if (set.type.method === "list") {
      throw kernelRefusal("Sets with list:set type cannot be added to the set.");
    }
    const beside = this.#neighbour(options);
    this.#collect();
    const there = this.#members.find((member) => member.set === set);
    if (there !== undefined) {
      if (!options.exist) throw alreadyAdded();
      this.update(there.entry, options);
      return;
    }
    let at = this.#members.length;
    if (beside !== undefined) {
      const position = this.#members.findIndex((member) => member.set === beside);
      if (position < 0) throw notNextTo();
      at = options.before === undefined ? position + 1 : position;
    }
    const entry = new Entry();
    this.update(entry, options);
    this.#members.splice(at, 0, { set, entry });
    set.references++;
    this.changed();
  }

  delete(values: readonly FieldValue[], options: ElementOptions): void {
    const set = this.#member(values);
    const beside = this.#neighbour(options);
    this.#collect();
    const at = this.#members.findIndex((member) => member.set === set);
    if (beside !== undefined && !this.#isNextTo(at, beside, options)) throw notNextTo();
    if (at < 0) {
      if (options.exist) return;
      throw notAdded();
    }
    this.#members.splice(at, 1);
    set.references--;
    this.changed();
  }

  test(values: readonly FieldValue[], options: ElementOptions): boolean {
    const [value] = values;
    const set = value?.field === "set" ? this.#findSet(value.name) : undefined;
    const at = this.#members.findIndex((member) => member.set === set && this.#lives(member));
    if (at < 0) return false;
    const name = options.before ?? options.after;
    const beside = name === undefined ? undefined : this.#findSet(name);
    return name === undefined || (beside !== undefined && this.#isNextTo(at, beside, options));
  }

  flush(): void {
    for (const { set } of this.#members) set.references--;
    this.#members = [];
    this.changed();
  }

  elements(): string[] {
    this.#collect();
    return this.#members.map(({ set, entry }) => set.name + this.describe(entry));
  }

  /** A member's place is taken by the set that it was swapped with. */
  replace(from: Ipset, to: Ipset): void {
    this.#members = this.#members.map((member) =>
      member.set === from
        ? { ...member, set: to }
        : member.set === to
          ? { ...member, set: from }
          : member,
    );
  }

  protected find(skb: Skb, state: HookState, directions: readonly Direction[]): Entry | undefined {
    for (const member of this.#members) {
      if (this.#lives(member) && member.set.matchesPacket(skb, state, directions))
        return member.entry;
    }
    return undefined;
  }

  #lives({ entry }: Member): boolean {
    return entry.expires > this.now;
  }

  #member(values: readonly FieldValue[]): Ipset {
    const [value] = values;
    const set = value?.field === "set" ? this.#findSet(value.name) : undefined;
    if (set === undefined) {
      throw kernelRefusal("Set to be added/deleted/tested as element does not exist.");
    }
    return set;
  }

  #neighbour({ before, after }: ElementOptions): Ipset | undefined {
    const name = before ?? after;
    if (name === undefined) return undefined;
    const set = this.#findSet(name);
    if (set === undefined) {
      throw kernelRefusal("The set to which you referred with 'before' or 'after' does not exist.");
    }
    return set;
  }

  /** Whether the member at a position stands right before or behind another set. */
  #isNextTo(at: number, beside: Ipset, { before }: ElementOptions): boolean {
    if (at < 0) return false;
    return this.#members[before === undefined ? at - 1 : at + 1]?.set === beside;
  }

  #collect(): void {
    const gone = this.#members.filter((member) => !this.#lives(member));
    if (gone.length === 0) return;
    for (const { set } of gone) set.references--;
    this.#members = this.#members.filter((member) => this.#lives(member));
  }
}

function notNextTo(): Error {
  return kernelRefusal(
    "The set to which you referred with 'before' or 'after' is not added to the set.",
  );
}
