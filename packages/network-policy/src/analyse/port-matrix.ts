import type { IpProtocol } from "../policy/ip-protocol.ts";
import type { Direction, PeerTerm, Policy, PortTerm, Rule } from "../policy/policy.ts";
import type { NamedPort } from "../policy/policy-endpoint.ts";
import { rulesInOrder } from "../policy/rule-order.ts";
import { byTier, endOfTier } from "../policy/tier.ts";
import {
  andInto,
  andNotInto,
  type Bits,
  countBits,
  emptyBits,
  forEachBit,
  fullBits,
  hasBit,
  orInto,
  setBit,
  transpose32,
  wordsFor,
} from "./bits.ts";
import type { EndpointClasses } from "./endpoint-classes.ts";
import type { PortClass } from "./port-classes.ts";
import type { Subjects } from "./subjects.ts";

/** Sources whose rows are turned over together: few enough that they stay in the cache until they are counted. */
const STRIP = 4 * 32;

/**
 * Who may reach whom on the ports of one class: for each class of endpoints the set of classes that policies let it
 * reach (egress), or be reached from (ingress). Classes under the same policies share one row.
 */
export class PortMatrix {
  readonly #classes: EndpointClasses;
  readonly #port: PortClass;
  readonly #sourcePort: number;
  readonly #egress: readonly Bits[];
  readonly #ingress: readonly Bits[];
  readonly #size: number;
  readonly #all: Bits;
  readonly #peers: RulePeers;
  readonly #named = new Map<string, Bits>();

  /** @param sourcePort from which all connections come */
  constructor(
    classes: EndpointClasses,
    subjects: Subjects,
    peers: RulePeers,
    port: PortClass,
    sourcePort: number,
  ) {
    this.#classes = classes;
    this.#port = port;
    this.#sourcePort = sourcePort;
    this.#size = classes.classes.length;
    this.#all = fullBits(this.#size);
    this.#peers = peers;
    this.#egress = this.#rows("egress", subjects);
    this.#ingress = this.#rows("ingress", subjects);
  }

  /** Classes that policies at the source let it reach. Not to be written to. */
  egress(source: number): Bits {
    return this.#egress[source] as Bits;
  }

  /** Classes that policies at the destination let reach it. Not to be written to. */
  ingress(destination: number): Bits {
    return this.#ingress[destination] as Bits;
  }

  /** Whether both sides allow it, between different endpoints of these classes. */
  allows(source: number, destination: number): boolean {
    return hasBit(this.egress(source), destination) && hasBit(this.ingress(destination), source);
  }

  /**
   * Calls `each` with every source and the classes that it reaches. The set is written anew for others: keep none.
   */
  forEachSource(each: (source: number, reaches: Bits) => void): void {
    const words = wordsFor(this.#size);
    const strip = Array.from({ length: Math.min(STRIP, words * 32) }, () => new Uint32Array(words));
    for (let first = 0; first < this.#size; first += STRIP) {
      this.#turnIngress(first >>> 5, strip);
      const end = Math.min(STRIP, this.#size - first);
      for (let i = 0; i < end; i++) {
        const reaches = strip[i] as Bits;
        andInto(reaches, this.egress(first + i));
        each(first + i, reaches);
      }
    }
  }

  /** How many ordered pairs of different endpoints may connect. */
  countPairs(): number {
    const sizes = this.#classes.classes.map(({ members }) => members.length);
    const many = emptyBits(this.#size);
    sizes.forEach((size, i) => {
      if (size > 1) setBit(many, i);
    });
    const reachedMany = emptyBits(this.#size);
    let pairs = 0;
    this.forEachSource((source, reaches) => {
      let reached = countBits(reaches);
      reachedMany.set(reaches);
      andInto(reachedMany, many);
      forEachBit(reachedMany, (i) => {
        reached += (sizes[i] as number) - 1;
      });
      // Nobody is a pair with itself.
      if (hasBit(reaches, source)) reached--;
      pairs += reached * (sizes[source] as number);
    });
    return pairs;
  }

  /** Into `strip`: for each source from bit 0 of word `first` on, which destinations let it in. */
  #turnIngress(first: number, strip: readonly Bits[]): void {
    const words = wordsFor(this.#size);
    const blocks = Math.min(strip.length >>> 5, words - first);
    // Where 32 destinations share a row, its bits are theirs: gathered first, so that rows are written from end to end.
    const shared = Array.from({ length: blocks }, () => new Uint32Array(words));
    const mixed: number[] = [];
    for (let word = 0; word < words; word++) {
      const common = this.#commonRow(word);
      if (common === undefined) mixed.push(word);
      else for (let k = 0; k < blocks; k++) (shared[k] as Bits)[word] = common[first + k] as number;
    }
    for (let i = 0; i < blocks * 32; i++)
      spreadBit(shared[i >>> 5] as Bits, i & 31, strip[i] as Bits);
    for (const word of mixed) this.#turnWord(word, first, blocks, strip);
  }

  /** The same for the 32 destinations of one word, bit by bit. */
  #turnWord(word: number, first: number, blocks: number, strip: readonly Bits[]): void {
    const square = new Uint32Array(32);
    for (let k = 0; k < blocks; k++) {
      for (let i = 0; i < 32; i++) square[i] = this.#ingress[word * 32 + i]?.[first + k] ?? 0;
      transpose32(square);
      for (let i = 0; i < 32; i++) (strip[k * 32 + i] as Bits)[word] = square[i] as number;
    }
  }

  /** The row of all 32 destinations of a word, where they share one. */
  #commonRow(word: number): Bits | undefined {
    const first = this.#ingress[word * 32];
    for (let i = 1; i < 32; i++) if (this.#ingress[word * 32 + i] !== first) return undefined;
    return first;
  }

  #rows(direction: Direction, subjects: Subjects): readonly Bits[] {
    const rows = new Map<string, Bits>();
    return this.#classes.classes.map(({ portList }, i) => {
      const set = subjects.policiesOf(direction, i);
      const isAbout = (rule: Rule) => hasBit(this.#peers.selectedBy(rule), i);
      const named = set.namesOwnPorts ? portList : "";
      const key = `${set.id} ${named} ${set.narrowed.map(isAbout).join()}`;
      let row = rows.get(key);
      if (row === undefined) {
        const ports = this.#classes.portLists[portList] as readonly NamedPort[];
        row = this.#row(direction, set.policies, ports, isAbout);
        rows.set(key, row);
      }
      return row;
    });
  }

  /**
   * What one class's policies allow.
   * @param own its named ports
   * @param isAbout whether a rule of theirs is about this class
   */
  #row(
    direction: Direction,
    policies: readonly Policy[],
    own: readonly NamedPort[],
    isAbout: (rule: Rule) => boolean,
  ): Bits {
    if (policies.length === 0) return this.#all;
    const allowed = emptyBits(this.#size);
    let open = this.#all.slice();
    const decide = (ofTier: readonly Policy[], passed: Bits) => {
      for (const { rule } of rulesInOrder(ofTier, direction)) {
        if (rule.action === "Log" || !isAbout(rule)) continue;
        const fits = this.#matching(rule, direction, own);
        if (fits === undefined) continue;
        const decided = fits.slice();
        andInto(decided, open);
        if (rule.action === "Allow") orInto(allowed, decided);
        else if (rule.action === "Pass") orInto(passed, decided);
        andNotInto(open, decided);
      }
    };
    for (const ofTier of byTier(policies)) {
      const passed = emptyBits(this.#size);
      decide(ofTier, passed);
      if (endOfTier(ofTier, direction) === "Pass") orInto(passed, open);
      open = passed;
    }
    orInto(allowed, open);
    return allowed;
  }

  /** Classes that a rule fits on this port; `undefined` for none. Not to be written to. */
  #matching(rule: Rule, direction: Direction, own: readonly NamedPort[]): Bits | undefined {
    const { ports, notPorts, sourcePorts, notSourcePorts } = rule;
    const [[port]] = this.#port.ranges as [readonly [number, number]];
    // Names of ports are those of the end that has them: the class's own, or its peer's.
    const [destination, source] = direction === "ingress" ? [own, undefined] : [undefined, own];
    let fits: Bits | undefined = this.#peers.of(rule);
    fits = this.#among(fits, ports, true, destination, port);
    fits = this.#among(fits, notPorts, false, destination, port);
    fits = this.#among(fits, sourcePorts, true, source, this.#sourcePort);
    return this.#among(fits, notSourcePorts, false, source, this.#sourcePort);
  }

  /**
   * Those of some classes for which one of the terms fits, or none of them does.
   * @param own named ports of the class itself, where the ports are at its end
   */
  #among(
    classes: Bits | undefined,
    terms: readonly PortTerm[] | undefined,
    isWanted: boolean,
    own: readonly NamedPort[] | undefined,
    port: number,
  ): Bits | undefined {
    if (classes === undefined || terms === undefined) return classes;
    const fitting = this.#fitting(terms, own, port);
    if (typeof fitting === "boolean") return fitting === isWanted ? classes : undefined;
    const among = classes.slice();
    (isWanted ? andInto : andNotInto)(among, fitting);
    return among;
  }

  /** Whether one of the terms fits; where they name ports of the other end, for which classes. */
  #fitting(
    terms: readonly PortTerm[],
    own: readonly NamedPort[] | undefined,
    port: number,
  ): Bits | boolean {
    const { protocol } = this.#port;
    let byName: Bits | undefined;
    for (const term of terms) {
      if (term.protocol !== undefined && term.protocol !== protocol) continue;
      if (!("portName" in term)) {
        if (port >= term.first && port <= term.last) return true;
      } else if (own !== undefined) {
        if (hasPort(own, term.portName, protocol, port)) return true;
      } else {
        byName ??= emptyBits(this.#size);
        orInto(byName, this.#havingPort(term.portName, port));
      }
    }
    return byName ?? false;
  }

  /** Classes whose endpoints have a port of this name and number. */
  #havingPort(name: string, port: number): Bits {
    const key = `${name} ${port}`;
    let bits = this.#named.get(key);
    if (bits === undefined) {
      bits = emptyBits(this.#size);
      const lists = this.#classes.portLists.map((ports) =>
        hasPort(ports, name, this.#port.protocol, port),
      );
      this.#classes.classes.forEach(({ portList }, i) => {
        if (lists[portList] === true) setBit(bits as Bits, i);
      });
      this.#named.set(key, bits);
    }
    return bits;
  }
}

/** Into each word of `into` all bits or none, by one bit of the word of `from`. */
function spreadBit(from: Bits, bit: number, into: Bits): void {
  for (let w = 0; w < into.length; w++) into[w] = -(((from[w] as number) >>> bit) & 1);
}

function hasPort(
  ports: readonly NamedPort[],
  name: string,
  protocol: IpProtocol,
  port: number,
): boolean {
  return ports.some((p) => p.name === name && p.protocol === protocol && p.port === port);
}

/** Which classes each rule is about, whatever the port. */
export class RulePeers {
  readonly #classes: EndpointClasses;
  readonly #all: Bits;
  readonly #isLocal: boolean;
  readonly #peers = new Map<readonly PeerTerm[], Bits>();
  readonly #selected = new Map<readonly PeerTerm[], Bits>();

  /** @param isLocal whether peers are on the node of whom the rules are asked for */
  constructor(classes: EndpointClasses, isLocal: boolean) {
    this.#classes = classes;
    this.#isLocal = isLocal;
    this.#all = fullBits(classes.classes.length);
  }

  /** At the other end. Not to be written to. */
  of({ peers }: Rule): Bits {
    return this.#admittedBy(peers, this.#isLocal, this.#peers);
  }

  /** Of those whom the rule's policy selects. Not to be written to. */
  selectedBy({ selected }: Rule): Bits {
    return this.#admittedBy(selected, true, this.#selected);
  }

  #admittedBy(
    terms: readonly PeerTerm[] | undefined,
    isLocal: boolean,
    known: Map<readonly PeerTerm[], Bits>,
  ): Bits {
    if (terms === undefined) return this.#all;
    let bits = known.get(terms);
    if (bits === undefined) {
      bits = emptyBits(this.#classes.classes.length);
      for (const term of terms) orInto(bits, this.#classes.admittedBy(term, isLocal));
      known.set(terms, bits);
    }
    return bits;
  }
}
