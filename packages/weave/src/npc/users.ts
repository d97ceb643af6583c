/** Things that several policies need, by their keys: made for the first, taken away with the last. */
export class Users<T> {
  readonly #users = new Map<string, Set<string>>();
  readonly #make: (thing: T, user: string) => void;
  readonly #destroy: (thing: T) => void;

  constructor(make: (thing: T, user: string) => void, destroy: (thing: T) => void) {
    this.#make = make;
    this.#destroy = destroy;
  }

  /** What is `desired` and was not there. */
  provision(user: string, current: ReadonlyMap<string, T>, desired: ReadonlyMap<string, T>): void {
    for (const [key, thing] of desired) {
      if (current.has(key)) continue;
      const users = this.#users.get(key) ?? new Set();
      if (users.size === 0) this.#make(thing, user);
      this.#users.set(key, users.add(user));
    }
  }

  /** What was there and is not `desired`. */
  deprovision(
    user: string,
    current: ReadonlyMap<string, T>,
    desired: ReadonlyMap<string, T>,
  ): void {
    for (const [key, thing] of current) {
      if (desired.has(key)) continue;
      const users = this.#users.get(key);
      users?.delete(user);
      if (users !== undefined && users.size > 0) continue;
      this.#users.delete(key);
      this.#destroy(thing);
    }
  }
}
