/** Numbers for keys, each the next that is free; kept while the key is (pkg/loadbalancer/reconciler id_allocator.go). */
export class IdAllocator<K> {
  readonly #most: number;
  readonly #ids = new Map<K, number>();
  readonly #used = new Set<number>();
  #next = 1;

  /** @param most the greatest number; 0 stands for none */
  constructor(most: number) {
    this.#most = most;
  }

  /** @returns `undefined` where all are taken */
  acquire(key: K): number | undefined {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    for (let tries = 0; tries < this.#most && this.#used.size < this.#most; tries++) {
      const id = this.#next;
      this.#next = id === this.#most ? 1 : id + 1;
      if (this.#used.has(id)) continue;
      this.#used.add(id);
      this.#ids.set(key, id);
      return id;
    }
    return undefined;
  }

  get(key: K): number | undefined {
    return this.#ids.get(key);
  }

  release(key: K): void {
    const id = this.#ids.get(key);
    if (id === undefined) return;
    this.#ids.delete(key);
    this.#used.delete(id);
  }
}
