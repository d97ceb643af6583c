import type { IpsetUsers } from "./ipset-users.ts";
import type { PolicyType, SelectorSpec } from "./selector-spec.ts";
import { Users } from "./users.ts";

/** What happens to selectors of a set. */
export interface SelectorEvents {
  /** Its set has been made, and is empty. */
  made(selector: SelectorSpec): void;
  /** The first policy of that type applies to the pods that it selects. */
  isTarget?(selector: SelectorSpec, type: PolicyType): void;
  /** None does any more. */
  isNoTarget?(selector: SelectorSpec, type: PolicyType): void;
}

/** Selectors that policies use, each with a set of the kernel (npc/selector.go selectorSet). */
export class SelectorSet {
  readonly #selectors = new Map<string, SelectorSpec>();
  readonly #users: Users<SelectorSpec>;
  readonly #events: SelectorEvents;
  /** How many policies a selector tells the pods of, by key and type. */
  readonly #targets = new Map<string, number>();

  constructor(sets: IpsetUsers, events: SelectorEvents) {
    this.#events = events;
    this.#users = new Users<SelectorSpec>(
      (selector) => {
        sets.create(selector.setName, selector.setType);
        events.made(selector);
        this.#selectors.set(selector.key, selector);
      },
      (selector) => {
        sets.destroy(selector.setName);
        this.#selectors.delete(selector.key);
      },
    );
  }

  [Symbol.iterator](): Iterator<SelectorSpec> {
    return this.#selectors.values();
  }

  isTarget({ key }: SelectorSpec, type: PolicyType): boolean {
    return (this.#targets.get(`${type} ${key}`) ?? 0) > 0;
  }

  provision(
    user: string,
    current: ReadonlyMap<string, SelectorSpec>,
    desired: ReadonlyMap<string, SelectorSpec>,
  ): void {
    this.#users.provision(user, current, desired);
    for (const [key, selector] of desired) {
      if (current.has(key)) continue;
      for (const type of selector.policyTypes) {
        if (this.#count(selector, type, 1) === 1) this.#events.isTarget?.(selector, type);
      }
    }
  }

  deprovision(
    user: string,
    current: ReadonlyMap<string, SelectorSpec>,
    desired: ReadonlyMap<string, SelectorSpec>,
  ): void {
    this.#users.deprovision(user, current, desired);
    for (const [key, selector] of current) {
      if (desired.has(key)) continue;
      for (const type of selector.policyTypes) {
        if (this.#count(selector, type, -1) === 0) this.#events.isNoTarget?.(selector, type);
      }
    }
  }

  #count({ key }: SelectorSpec, type: PolicyType, change: 1 | -1): number {
    const count = (this.#targets.get(`${type} ${key}`) ?? 0) + change;
    this.#targets.set(`${type} ${key}`, count);
    return count;
  }
}
