import { type LabelRestriction, possibleToSatisfy } from "./label-restrictions.ts";
import type { Selector } from "./selector.ts";

/** Where a selector was put. */
type Place =
  /** Nothing can match it. */
  | { readonly kind: "nowhere" }
  | { readonly kind: "anywhere" }
  | { readonly kind: "label"; readonly label: string }
  | { readonly kind: "values"; readonly label: string; readonly values: ReadonlySet<string> };

/**
 * Finds the few selectors that some labels can match, of all there are (`felix/labelindex/labelrestrictionindex`). Each is kept at one label
 * that it asks for: the one where the fewest others are.
 */
export class SelectorIndex<T> {
  readonly #places = new Map<T, Place>();
  readonly #byValue = new Map<string, Map<string, Set<T>>>();
  readonly #byLabel = new Map<string, Set<T>>();
  /** Selectors that ask for no label. */
  readonly #others = new Set<T>();

  /** @param item stands for the selector, and is not in the index yet */
  add(item: T, selector: Selector): void {
    const place = this.#choose(selector);
    this.#places.set(item, place);
    for (const bucket of this.#bucketsOf(place)) bucket.add(item);
  }

  delete(item: T): void {
    const place = this.#places.get(item);
    if (place === undefined) return;
    this.#places.delete(item);
    for (const bucket of this.#bucketsOf(place)) bucket.delete(item);
    this.#discardEmpty(place);
  }

  /** Calls with each selector that these labels may match; each is still to be asked. */
  forCandidates(
    labels: Iterable<readonly [name: string, value: string]>,
    call: (item: T) => void,
  ): void {
    for (const [label, value] of labels) {
      this.#byLabel.get(label)?.forEach(call);
      this.#byValue.get(label)?.get(value)?.forEach(call);
    }
    this.#others.forEach(call);
  }

  #choose(selector: Selector): Place {
    let best: Place = { kind: "anywhere" };
    let lowest = Number.POSITIVE_INFINITY;
    for (const [label, restriction] of selector.restrictions) {
      if (!possibleToSatisfy(restriction)) return { kind: "nowhere" };
      const place = placeOf(label, restriction);
      if (place === undefined) continue;
      const crowd = this.#crowd(place);
      // A label alone tells less than its value: only where no value is asked for.
      const rank = place.kind === "values" ? crowd + place.values.size : crowd + 1e9;
      if (rank < lowest) {
        lowest = rank;
        best = place;
      }
    }
    return best;
  }

  #crowd(place: Place): number {
    if (place.kind === "label") return this.#byLabel.get(place.label)?.size ?? 0;
    if (place.kind !== "values") return 0;
    const values = this.#byValue.get(place.label);
    let crowd = 0;
    for (const value of place.values) crowd += values?.get(value)?.size ?? 0;
    return crowd;
  }

  #bucketsOf(place: Place): readonly Set<T>[] {
    switch (place.kind) {
      case "nowhere":
        return [];
      case "anywhere":
        return [this.#others];
      case "label":
        return [getOrAdd(this.#byLabel, place.label, () => new Set<T>())];
      case "values": {
        const values = getOrAdd(this.#byValue, place.label, () => new Map<string, Set<T>>());
        return [...place.values].map((value) => getOrAdd(values, value, () => new Set<T>()));
      }
    }
  }

  #discardEmpty(place: Place): void {
    if (place.kind === "label" && this.#byLabel.get(place.label)?.size === 0)
      this.#byLabel.delete(place.label);
    if (place.kind !== "values") return;
    const values = this.#byValue.get(place.label);
    if (values === undefined) return;
    for (const value of place.values) if (values.get(value)?.size === 0) values.delete(value);
    if (values.size === 0) this.#byValue.delete(place.label);
  }
}

function placeOf(label: string, { values, mustBePresent }: LabelRestriction): Place | undefined {
  if (values !== undefined) return { kind: "values", label, values };
  return mustBePresent ? { kind: "label", label } : undefined;
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
