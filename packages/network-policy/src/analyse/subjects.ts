import { DIRECTIONS, type Direction, type Policy, type Rule } from "../policy/policy.ts";
import { forEachBit } from "./bits.ts";
import type { EndpointClasses } from "./endpoint-classes.ts";

/** Policies that select the same endpoints together for one direction. */
export interface PolicySet {
  readonly id: number;
  /** In the order in which they are asked. */
  readonly policies: readonly Policy[];
  /** Whether a rule of theirs names a port of those whom they select. */
  readonly namesOwnPorts: boolean;
  /** Rules of theirs that are about some only of those whom they select. */
  readonly narrowed: readonly Rule[];
}

/** Which policies select each class of endpoints. */
export class Subjects {
  readonly #sets: Readonly<Record<Direction, readonly PolicySet[]>>;

  constructor(policies: readonly Policy[], classes: EndpointClasses) {
    const sets = DIRECTIONS.map((direction) => [
      direction,
      policySets(policies, classes, direction),
    ]);
    this.#sets = Object.fromEntries(sets);
  }

  policiesOf(direction: Direction, endpointClass: number): PolicySet {
    return this.#sets[direction][endpointClass] as PolicySet;
  }
}

function policySets(
  policies: readonly Policy[],
  classes: EndpointClasses,
  direction: Direction,
): readonly PolicySet[] {
  const selecting: number[][] = classes.classes.map(() => []);
  policies.forEach((policy, i) => {
    if (policy[direction] === undefined) return;
    forEachBit(classes.admittedBy(policy.subject), (each) => selecting[each]?.push(i));
  });
  const sets = new Map<string, PolicySet>();
  return selecting.map((numbers) => {
    const key = numbers.join();
    let set = sets.get(key);
    if (set === undefined) {
      const chosen = numbers.map((i) => policies[i] as Policy);
      set = {
        id: sets.size,
        policies: chosen,
        namesOwnPorts: chosen.some((p) => namesOwnPort(p, direction)),
        narrowed: chosen.flatMap((p) =>
          (p[direction] ?? []).filter((rule) => rule.selected !== undefined),
        ),
      };
      sets.set(key, set);
    }
    return set;
  });
}

function namesOwnPort(policy: Policy, direction: Direction): boolean {
  return (policy[direction] ?? []).some((rule) => {
    const own =
      direction === "ingress"
        ? [rule.ports, rule.notPorts]
        : [rule.sourcePorts, rule.notSourcePorts];
    return own.some((terms) => terms?.some((term) => "portName" in term));
  });
}
