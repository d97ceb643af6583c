import { DIRECTIONS, type Direction, type Policy } from "../policy/policy.ts";
import { forEachBit } from "./bits.ts";
import type { EndpointClasses } from "./endpoint-classes.ts";

/** Policies that select the same endpoints together for one direction. */
export interface PolicySet {
  readonly id: number;
  /** In the order in which they are asked. */
  readonly policies: readonly Policy[];
  /** Whether a rule of theirs names a port. */
  readonly namesPorts: boolean;
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
        namesPorts: chosen.some((p) => namesPort(p, direction)),
      };
      sets.set(key, set);
    }
    return set;
  });
}

function namesPort(policy: Policy, direction: Direction): boolean {
  return (policy[direction] ?? []).some((rule) => rule.ports?.some((term) => "portName" in term));
}
