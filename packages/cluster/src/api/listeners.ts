/**
 * Those who want to hear of something, in the order in which they came. RxJS's `Subject` would keep a
 * subscriber of its own for each, and thousands of nodes watch several kinds.
 */
export class Listeners<T> {
  readonly #all = new Set<(value: T) => void>();
  /** {@link #all} while nobody comes or goes. */
  #list: readonly ((value: T) => void)[] | undefined;

  get size(): number {
    return this.#all.size;
  }

  /** @returns how to end it */
  add(listener: (value: T) => void): () => void {
    this.#all.add(listener);
    this.#list = undefined;
    return () => {
      this.#all.delete(listener);
      this.#list = undefined;
    };
  }

  /** Tells all that are there at this moment, but for those that leave while it goes on. */
  tell(value: T): void {
    this.#list ??= [...this.#all];
    for (const listener of this.#list) if (this.#all.has(listener)) listener(value);
  }
}
