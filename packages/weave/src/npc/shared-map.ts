/** What another map has otherwise in one place, and the rest in common. */
interface Difference<K, V> {
  readonly newer: SharedMap<K, V>;
  readonly key: K;
  /** Of the older map; `undefined` where it has no such key. */
  readonly value: V | undefined;
}

interface Change<K, V> {
  readonly key: K;
  readonly value: V | undefined;
  readonly result: SharedMap<K, V>;
}

/**
 * A map that is never other than it is: a change gives the next one. Who holds one and makes a change that was made to it before gets the
 * same next one, so those who see the same things happen have one map together. The newest has all entries, older ones know only what the
 * change to the next one took from them (as in Baker's arrays); one that is changed in two ways is copied. Nothing leads from newer to
 * older ones, which go with the last that holds them.
 */
export class SharedMap<K, V> {
  readonly size: number;
  /** There in the newest. */
  #entries: Map<K, V> | undefined;
  #difference: Difference<K, V> | undefined = undefined;
  readonly #changes: Change<K, V>[] = [];

  constructor(entries: Map<K, V> = new Map()) {
    this.#entries = entries;
    this.size = entries.size;
  }

  get(key: K): V | undefined {
    let at: SharedMap<K, V> = this;
    for (;;) {
      if (at.#entries !== undefined) return at.#entries.get(key);
      const { key: changed, value, newer } = at.#difference as Difference<K, V>;
      if (changed === key) return value;
      at = newer;
    }
  }

  values(): Iterable<V> {
    return this.#all().values();
  }

  set(key: K, value: V): SharedMap<K, V> {
    return this.#with(key, value);
  }

  delete(key: K): SharedMap<K, V> {
    return this.get(key) === undefined ? this : this.#with(key, undefined);
  }

  #with(key: K, value: V | undefined): SharedMap<K, V> {
    const known = this.#changes.find((each) => each.key === key && each.value === value);
    if (known !== undefined) return known.result;
    const entries = this.#entries ?? this.#all();
    const isNewest = this.#entries !== undefined;
    const before = entries.get(key);
    if (value === undefined) entries.delete(key);
    else entries.set(key, value);
    const result = new SharedMap(entries);
    if (isNewest) {
      this.#difference = { newer: result, key, value: before };
      this.#entries = undefined;
    }
    this.#changes.push({ key, value, result });
    return result;
  }

  /** Of an older one a copy. */
  #all(): Map<K, V> {
    const differences: Difference<K, V>[] = [];
    let at: SharedMap<K, V> = this;
    while (at.#entries === undefined) {
      const difference = at.#difference as Difference<K, V>;
      differences.push(difference);
      at = difference.newer;
    }
    if (differences.length === 0) return at.#entries;
    const entries = new Map(at.#entries);
    for (const { key, value } of differences.toReversed()) {
      if (value === undefined) entries.delete(key);
      else entries.set(key, value);
    }
    return entries;
  }
}
