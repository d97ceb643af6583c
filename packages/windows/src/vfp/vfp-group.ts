import type { IpAddress } from "@cnilab/net";
import type { FlowTuple } from "./flow-tuple.ts";
import type { VfpRule } from "./vfp-rule.ts";

/** As seen from the machine behind the port: out of it, or into it. */
export type VfpDirection = "OUT" | "IN";

/** The rule that took a packet, and how many VFP compared on the way. */
export interface VfpMatch {
  readonly rule: VfpRule;
  readonly evaluated: number;
}

/**
 * The rules of a layer for one direction, in order of priority: the first that matches takes the packet. Groups that are
 * equal on all ports of a node are one object. Rules for one protocol, one port and single addresses are found by
 * hashing, however many there are.
 */
export class VfpGroup {
  readonly layer: string;
  readonly name: string;
  readonly direction: VfpDirection;
  readonly #rules = new Set<VfpRule>();
  #sorted: readonly VfpRule[] | undefined;
  #positions = new Map<VfpRule, number>();
  #exact = new Map<IpAddress, Map<number, VfpRule>>();
  #others: VfpRule[] = [];

  constructor(layer: string, name: string, direction: VfpDirection) {
    this.layer = layer;
    this.name = name;
    this.direction = direction;
  }

  add(rule: VfpRule): void {
    rule.location = `VFP layer ${this.layer}, group ${this.name}`;
    this.#rules.add(rule);
    this.#sorted = undefined;
  }

  remove(rule: VfpRule): void {
    if (this.#rules.delete(rule)) this.#sorted = undefined;
  }

  /** In order of priority; of the same priority, the older first. */
  get rules(): readonly VfpRule[] {
    return this.#sorted ?? this.#compile();
  }

  match(tuple: FlowTuple): VfpMatch | undefined {
    if (this.#rules.size === 0) return undefined;
    if (this.#sorted === undefined) this.#compile();
    let found = this.#exact.get(tuple.dst)?.get(exactKey(tuple.protocol, tuple.dstPort));
    for (const rule of this.#others) {
      if (found !== undefined && this.#position(found) < this.#position(rule)) break;
      if (!rule.matches(tuple)) continue;
      found = rule;
      break;
    }
    return found && { rule: found, evaluated: this.#position(found) + 1 };
  }

  #position(rule: VfpRule): number {
    return this.#positions.get(rule) as number;
  }

  #compile(): readonly VfpRule[] {
    const sorted = [...this.#rules].sort((x, y) => x.priority - y.priority);
    this.#sorted = sorted;
    this.#positions = new Map(sorted.map((rule, i) => [rule, i]));
    this.#exact = new Map();
    this.#others = [];
    for (const rule of sorted) if (!this.#index(rule)) this.#others.push(rule);
    return sorted;
  }

  /** False for a rule that hashing cannot find. */
  #index(rule: VfpRule): boolean {
    const { protocols, destinationPorts, destinations, ...more } = rule.condition;
    const [protocol] = protocols ?? [];
    const [port] = destinationPorts ?? [];
    if (protocol === undefined || port === undefined || destinations === undefined) return false;
    if (protocols?.length !== 1 || destinationPorts?.length !== 1) return false;
    if (Object.keys(more).length > 0 || !destinations.every((d) => d.isHost)) return false;
    const key = exactKey(protocol, port);
    for (const { address } of destinations) {
      const there = this.#exact.get(address);
      if (there === undefined) this.#exact.set(address, new Map([[key, rule]]));
      else if (!there.has(key)) there.set(key, rule);
    }
    return true;
  }
}

function exactKey(protocol: number, port: number): number {
  return protocol * 0x10000 + port;
}
