import type { LabelRestriction } from "./label-restrictions.ts";

/** Finds what has a label, or one of some values of it (`felix/labelindex/labelnamevalueindex`). */
export class LabelIndex<T> {
  readonly #items = new Map<T, ReadonlyMap<string, string>>();
  readonly #byLabel = new Map<string, Map<string, Set<T>>>();

  get size(): number {
    return this.#items.size;
  }

  /** Everything there is. */
  items(): Iterable<T> {
    return this.#items.keys();
  }

  /** @param item is not in the index yet, or was deleted */
  add(item: T, labels: ReadonlyMap<string, string>): void {
    this.#items.set(item, labels);
    for (const [label, value] of labels) {
      let values = this.#byLabel.get(label);
      if (values === undefined) {
        values = new Map();
        this.#byLabel.set(label, values);
      }
      const items = values.get(value);
      if (items === undefined) values.set(value, new Set([item]));
      else items.add(item);
    }
  }

  delete(item: T): void {
    for (const [label, value] of this.#items.get(item) ?? []) {
      const values = this.#byLabel.get(label);
      const items = values?.get(value);
      items?.delete(item);
      if (items?.size === 0) values?.delete(value);
      if (values?.size === 0) this.#byLabel.delete(label);
    }
    this.#items.delete(item);
  }

  /** Calls with what can fulfil a restriction that wants the label to be there. */
  forMatching(label: string, { values }: LabelRestriction, call: (item: T) => void): void {
    const byValue = this.#byLabel.get(label);
    if (byValue === undefined) return;
    if (values === undefined) for (const items of byValue.values()) items.forEach(call);
    else for (const value of values) byValue.get(value)?.forEach(call);
  }

  /** How many {@link forMatching} would call with, but no more than it takes to reach `limit`. */
  countMatching(label: string, { values }: LabelRestriction, limit: number): number {
    const byValue = this.#byLabel.get(label);
    if (byValue === undefined) return 0;
    let count = 0;
    for (const value of values ?? byValue.keys()) {
      count += byValue.get(value)?.size ?? 0;
      if (count >= limit) break;
    }
    return count;
  }
}
