/**
 * The chains, sets or objects of a table. Each name has a number, by which rules refer to it; tables
 * that come from one shared layer have the numbers in common, and keep of their own only what differs.
 */
export class Registry<T> {
  /** Numbers by name: of a table and of all tables that share a layer with it. Only ever grows. */
  readonly #numbers: Map<string, number>;
  /** What a shared layer has, by number. */
  #base: readonly (T | undefined)[] | undefined;
  /** Without a layer all there is, by number. */
  #all: (T | undefined)[] = [];
  /** On top of a layer; `undefined` hides what the layer has. */
  #own: Map<number, T | undefined> | undefined;
  /** All there is by number, once somebody builds on this. */
  #flat: readonly (T | undefined)[] | undefined;

  private constructor(numbers: Map<string, number>, base: readonly (T | undefined)[] | undefined) {
    this.#numbers = numbers;
    this.#base = base;
  }

  static empty<T>(): Registry<T> {
    return new Registry<T>(new Map(), undefined);
  }

  /** One that begins as this is now; this one must not change any more. */
  fork(): Registry<T> {
    return new Registry<T>(this.#numbers, this.#snapshot());
  }

  /** Puts another layer below what is this table's own. `other` must not change any more. */
  rebase(other: Registry<T>): void {
    this.#base = other.#snapshot();
  }

  get isLayered(): boolean {
    return this.#base !== undefined;
  }

  /** Whether it has nothing but what the shared layer has. */
  get isLayerAlone(): boolean {
    return this.isLayered && (this.#own === undefined || this.#own.size === 0);
  }

  #snapshot(): readonly (T | undefined)[] {
    if (this.#flat !== undefined) return this.#flat;
    const all = this.#base === undefined ? this.#all : this.#base.slice();
    for (const [number, value] of this.#own ?? []) all[number] = value;
    this.#flat = all;
    return all;
  }

  /** The number that stands for a name from now on. */
  number(name: string): number {
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(name, number);
    }
    return number;
  }

  at(number: number): T | undefined {
    if (this.#base === undefined) return this.#all[number];
    const own = this.#own;
    if (own !== undefined) {
      const value = own.get(number);
      if (value !== undefined || own.has(number)) return value;
    }
    return this.#base[number];
  }

  get(name: string): T | undefined {
    const number = this.#numbers.get(name);
    return number === undefined ? undefined : this.at(number);
  }

  /** `undefined` takes it away. */
  set(name: string, value: T | undefined): void {
    const number = this.number(name);
    if (this.#base === undefined) {
      this.#all[number] = value;
      return;
    }
    this.#own ??= new Map();
    if (value === undefined && this.#base[number] === undefined) this.#own.delete(number);
    else this.#own.set(number, value);
  }

  *values(): Iterable<T> {
    if (this.#base === undefined) {
      for (const value of this.#all) if (value !== undefined) yield value;
      return;
    }
    for (let number = 0; number < this.#base.length; number++) {
      const value = this.at(number);
      if (value !== undefined) yield value;
    }
    for (const [number, value] of this.#own ?? []) {
      if (value !== undefined && number >= this.#base.length) yield value;
    }
  }
}
