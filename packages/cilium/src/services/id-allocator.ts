/** Numbers for names, each the next that is free; kept while the name is (pkg/loadbalancer/reconciler id_allocator.go). */
export class IdAllocator {
  readonly #most: number;
  readonly #ids = new Map<string, number>();
  readonly #used = new Set<number>();
  #next = 1;

  /** @param most the greatest number; 0 stands for none */
  constructor(most: number) {
    this.#most = most;
  }

  /** @returns `undefined` where all are taken */
  acquire(name: string): number | undefined {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    for (let tries = 0; tries < this.#most; tries++) {
      const id = this.#next;
      this.#next = id === this.#most ? 1 : id + 1;
      if (this.#used.has(id)) continue;
      this.#used.add(id);
      this.#ids.set(name, id);
      return id;
    }
    return undefined;
  }

  release(name: string): void {
    const id = this.#ids.get(name);
    if (id === undefined) return;
    this.#ids.delete(name);
    this.#used.delete(id);
  }
}
