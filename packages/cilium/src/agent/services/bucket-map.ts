/** Prime, so that numbers in steps fall into all buckets. */
const BUCKETS = 1021;

/**
 * A map by number that does not change: another version of it has other buckets only where something is different. Nodes
 * that have not heard of the last change keep the version that they know.
 */
export class BucketMap<V> {
  readonly #buckets: readonly (ReadonlyMap<number, V> | undefined)[];
  readonly size: number;

  constructor(buckets: readonly (ReadonlyMap<number, V> | undefined)[] = [], size = 0) {
    this.#buckets = buckets;
    this.size = size;
  }

  get(key: number): V | undefined {
    return this.#buckets[key % BUCKETS]?.get(key);
  }

  *values(): Iterable<V> {
    for (const bucket of this.#buckets) if (bucket !== undefined) yield* bucket.values();
  }

  /** @param changes new values; `undefined` takes a key out */
  with(changes: ReadonlyMap<number, V | undefined>): BucketMap<V> {
    if (changes.size === 0) return this;
    const buckets = [...this.#buckets];
    const copied = new Map<number, Map<number, V>>();
    let { size } = this;
    for (const [key, value] of changes) {
      const at = key % BUCKETS;
      let bucket = copied.get(at);
      if (bucket === undefined) {
        bucket = new Map(buckets[at]);
        copied.set(at, bucket);
        buckets[at] = bucket;
      }
      size -= bucket.size;
      if (value === undefined) bucket.delete(key);
      else bucket.set(key, value);
      size += bucket.size;
    }
    return new BucketMap(buckets, size);
  }
}
