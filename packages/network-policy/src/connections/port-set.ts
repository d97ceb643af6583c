import { type Bits, countBits, emptyBits, forEachBit, orInto, setBit } from "../analyse/bits.ts";
import type { PortClass } from "../analyse/port-classes.ts";
import { type IpProtocol, PROTOCOLS } from "../policy/ip-protocol.ts";
import { protocolText } from "../policy/protocol-text.ts";

/** Destination ports, as a set of the classes of one analysis. */
export class PortSet {
  readonly #classes: readonly PortClass[];
  readonly #bits: Bits;

  constructor(classes: readonly PortClass[], members: Iterable<number>) {
    this.#classes = classes;
    this.#bits = emptyBits(classes.length);
    for (const i of members) setBit(this.#bits, i);
  }

  get isEmpty(): boolean {
    return this.#bits.every((word) => word === 0);
  }

  /** Every port of every protocol. */
  get isAll(): boolean {
    return countBits(this.#bits) === this.#classes.length;
  }

  equals(other: PortSet): boolean {
    return this.#bits.every((word, i) => word === other.#bits[i]);
  }

  union(other: PortSet): PortSet {
    const union = new PortSet(this.#classes, []);
    orInto(union.#bits, this.#bits);
    orInto(union.#bits, other.#bits);
    return union;
  }

  /** All that have classes, whether a port of theirs is in the set or not. */
  get protocols(): readonly IpProtocol[] {
    return [...new Set([...PROTOCOLS, ...this.#classes.map(({ protocol }) => protocol)])];
  }

  /** Ranges of one protocol, in order and apart, ends included. */
  ranges(protocol: IpProtocol): readonly (readonly [first: number, last: number])[] {
    const all: (readonly [number, number])[] = [];
    forEachBit(this.#bits, (i) => {
      const found = this.#classes[i] as PortClass;
      if (found.protocol === protocol) all.push(...found.ranges);
    });
    const joined: [number, number][] = [];
    for (const [first, last] of all.sort(([x], [y]) => x - y)) {
      const before = joined.at(-1);
      if (before !== undefined && before[1] === first - 1) before[1] = last;
      else joined.push([first, last]);
    }
    return joined;
  }

  /** As netpol-analyzer writes it: `All Connections`, or `TCP 80,8080-8090,UDP 53`. */
  toString(): string {
    if (this.isAll) return "All Connections";
    if (this.isEmpty) return "No Connections";
    return this.protocols
      .map((protocol) => protocolText(protocol, this.ranges(protocol)))
      .filter((text) => text !== "")
      .sort()
      .join(",");
  }
}
