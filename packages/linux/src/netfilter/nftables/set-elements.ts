import { WordTable } from "../word-table.ts";
import type { Expression, VerdictExpression } from "./expression.ts";
import { type KeyPart, readWords, sortKey, wordsOf, wordsOfKey, writeWords } from "./key-words.ts";
import type { Counter, Limit, Quota } from "./statement.ts";

/** First and last value of each part of an element's key; equal where it is no interval. */
export interface ElementKey {
  readonly from: readonly bigint[];
  readonly to: readonly bigint[];
}

/** One element as it is in a set. */
export interface StoredElement {
  /** `undefined` for the element that stands for all others. */
  readonly key: ElementKey | undefined;
  /** Verdict, or value, of a map. */
  readonly data: Expression | undefined;
  /** The value of a map as words. */
  readonly dataWords: Uint32Array | undefined;
  readonly verdict: VerdictExpression | undefined;
  /** Number of the chain that the verdict leads to; -1 for none. */
  readonly target: number;
  readonly timeoutMs: number | undefined;
  /** Virtual milliseconds; infinite for an element that stays. */
  expires: number;
  readonly comment: string | undefined;
  readonly stateful: readonly (Counter | Limit | Quota)[];
}

/**
 * The elements of one set or map, and how to find them: a hash table of single values, a sorted list
 * of intervals, or a list of what concatenated intervals begin and end with.
 */
export class SetElements {
  readonly parts: readonly KeyPart[];
  readonly interval: boolean;
  readonly #words: number;
  readonly #table: WordTable | undefined;
  /** By number in the table; single intervals, which never overlap, in order; concatenated ones as they came. */
  #elements: (StoredElement | undefined)[] = [];
  #catchAll: StoredElement | undefined = undefined;
  /** Ends of the intervals as words; made anew when something has changed. */
  #bounds: { readonly from: Uint32Array; readonly to: Uint32Array } | undefined = undefined;
  readonly #scratch: Uint32Array;
  /** Takes what undoes each change, while a transaction is under way. */
  journal: (() => void)[] | undefined = undefined;

  /** @param table where the elements' numbers are known */
  constructor(parts: readonly KeyPart[], interval: boolean, table?: WordTable) {
    this.parts = parts;
    this.interval = interval;
    this.#words = wordsOfKey(parts);
    this.#table = interval ? undefined : (table ?? new WordTable(this.#words));
    this.#scratch = new Uint32Array(this.#words);
  }

  get size(): number {
    const count = this.#table === undefined ? this.#elements.length : this.#table.size;
    return count + (this.#catchAll === undefined ? 0 : 1);
  }

  /** The element that holds the key whose first word is `key[at]` and that lives at `now`. */
  find(key: Uint32Array, at: number, now: number): StoredElement | undefined {
    const found =
      this.#table !== undefined
        ? this.#elements[this.#table.find(key, at)]
        : this.parts.length === 1
          ? this.#findInterval(key, at)
          : this.#findConcatenated(key, at);
    if (found !== undefined && found.expires > now) return found;
    return this.#catchAll;
  }

  #findInterval(key: Uint32Array, at: number): StoredElement | undefined {
    const { from, to } = this.#bounds ?? this.#makeBounds();
    const words = this.#words;
    // The last interval that begins at or before the key.
    let low = 0;
    let high = this.#elements.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareWords(from, middle * words, key, at, words) <= 0) low = middle + 1;
      else high = middle;
    }
    const index = low - 1;
    if (index < 0 || compareWords(to, index * words, key, at, words) < 0) return undefined;
    return this.#elements[index];
  }

  #findConcatenated(key: Uint32Array, at: number): StoredElement | undefined {
    const { from, to } = this.#bounds ?? this.#makeBounds();
    for (let i = 0; i < this.#elements.length; i++) {
      let word = 0;
      let holds = true;
      for (const { bits } of this.parts) {
        const words = (bits + 31) >>> 5;
        const start = i * this.#words + word;
        if (
          compareWords(from, start, key, at + word, words) > 0 ||
          compareWords(to, start, key, at + word, words) < 0
        ) {
          holds = false;
          break;
        }
        word += words;
      }
      if (holds) return this.#elements[i];
    }
    return undefined;
  }

  #makeBounds(): { readonly from: Uint32Array; readonly to: Uint32Array } {
    const count = this.#elements.length;
    const from = new Uint32Array(count * this.#words);
    const to = new Uint32Array(count * this.#words);
    this.#elements.forEach((element, i) => {
      const { key } = element as { key: ElementKey };
      this.#write(key.from, from, i * this.#words);
      this.#write(key.to, to, i * this.#words);
    });
    this.#bounds = { from, to };
    return this.#bounds;
  }

  #write(values: readonly bigint[], into: Uint32Array, at: number): void {
    this.parts.forEach(({ bits }, i) => {
      writeWords(values[i] as bigint, bits, into, at);
      at += (bits + 31) >>> 5;
    });
  }

  /** The element with exactly this key, expired or not. */
  get(key: ElementKey | undefined): StoredElement | undefined {
    if (key === undefined) return this.#catchAll;
    if (this.#table !== undefined) return this.#elements[this.#number(key)];
    return this.#elements[this.#position(key)];
  }

  /** Where the interval with exactly this key is; -1 when it is not there. */
  #position(key: ElementKey): number {
    const elements = this.#elements;
    if (this.parts.length > 1) {
      return elements.findIndex((e) => sameKey(e?.key as ElementKey, key));
    }
    const at = this.#firstEndingFrom(key.from[0] as bigint);
    return at < elements.length && sameKey(elements[at]?.key as ElementKey, key) ? at : -1;
  }

  /** The place of the first single interval that ends at a value or behind it. */
  #firstEndingFrom(value: bigint): number {
    let low = 0;
    let high = this.#elements.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#elements[middle]?.key?.to[0] as bigint) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Elements that share a value with this key, but do not equal it; only of interval sets. */
  overlapping(key: ElementKey): StoredElement[] {
    if (this.#table !== undefined) return [];
    const isOther = (e: StoredElement | undefined): e is StoredElement => {
      const other = e?.key as ElementKey;
      return overlaps(other, key) && !sameKey(other, key);
    };
    if (this.parts.length > 1) return this.#elements.filter(isOther);
    const first = this.#firstEndingFrom(key.from[0] as bigint);
    let end = first;
    while (end < this.#elements.length) {
      if ((this.#elements[end]?.key?.from[0] as bigint) > (key.to[0] as bigint)) break;
      end++;
    }
    return this.#elements.slice(first, end).filter(isOther);
  }

  /** Adds an element, or puts it in the place of the one with the same key. A single interval must not be {@link overlapping} others. */
  put(element: StoredElement): void {
    const before = this.#place(element);
    this.journal?.push(() => {
      if (before === undefined) this.#take(element.key);
      else this.#place(before);
    });
  }

  /** @returns what stood in its place */
  #place(element: StoredElement): StoredElement | undefined {
    const { key } = element;
    if (key === undefined) {
      const before = this.#catchAll;
      this.#catchAll = element;
      return before;
    }
    const elements = this.#elements;
    if (this.#table !== undefined) {
      const number = this.#number(key);
      const before = number < 0 ? undefined : elements[number];
      elements[number < 0 ? this.#table.add(this.#scratch) : number] = element;
      return before;
    }
    const at = this.#position(key);
    this.#bounds = undefined;
    if (at < 0) {
      if (this.parts.length > 1) elements.push(element);
      else elements.splice(this.#firstEndingFrom(key.from[0] as bigint), 0, element);
      return undefined;
    }
    const before = elements[at];
    elements[at] = element;
    return before;
  }

  /** The values of a key that is there as words. */
  readKey(words: Uint32Array, at: number): bigint[] {
    return this.parts.map(({ bits }) => {
      const value = readWords(words, at, bits);
      at += wordsOf(bits);
      return value;
    });
  }

  delete(key: ElementKey | undefined): boolean {
    const before = this.#take(key);
    if (before === undefined) return false;
    this.journal?.push(() => this.#place(before));
    return true;
  }

  /** @returns what was there */
  #take(key: ElementKey | undefined): StoredElement | undefined {
    if (key === undefined) {
      const before = this.#catchAll;
      this.#catchAll = undefined;
      return before;
    }
    const elements = this.#elements;
    if (this.#table !== undefined) {
      const number = this.#number(key);
      if (number < 0) return undefined;
      const before = elements[number];
      this.#table.delete(number);
      elements[number] = undefined;
      return before;
    }
    const at = this.#position(key);
    if (at < 0) return undefined;
    this.#bounds = undefined;
    return elements.splice(at, 1)[0];
  }

  clear(): void {
    for (const element of this.all()) this.delete(element.key);
  }

  /** Forgets what has expired. */
  collect(now: number): void {
    for (const element of this.all()) if (element.expires <= now) this.delete(element.key);
  }

  /** Without the one for all others. */
  forEach(each: (element: StoredElement) => void): void {
    for (const element of this.#elements) if (element !== undefined) each(element);
  }

  /** In no particular order but for concatenated intervals, which keep that of their addition. */
  all(): StoredElement[] {
    const all = this.#elements.filter((e) => e !== undefined);
    if (this.#catchAll !== undefined) all.push(this.#catchAll);
    return all;
  }

  /** In the order in which nft lists them. */
  sorted(): StoredElement[] {
    if (this.interval && this.parts.length > 1) return this.all();
    const keyOf = (element: StoredElement): bigint | undefined => {
      if (element.key === undefined) return undefined;
      return this.interval
        ? (element.key.from[0] as bigint)
        : sortKey(this.parts, element.key.from);
    };
    const keyed = this.all().map((element) => ({ element, key: keyOf(element) }));
    keyed.sort((x, y) => {
      // The catch-all element is last.
      if (x.key === undefined || y.key === undefined) return x.key === undefined ? 1 : -1;
      return x.key < y.key ? -1 : x.key > y.key ? 1 : 0;
    });
    return keyed.map(({ element }) => element);
  }

  /** One with the same elements, for a set whose elements only commands change: these put others in their places. */
  share(): SetElements {
    const copy = new SetElements(this.parts, this.interval, this.#table?.clone());
    copy.#elements = this.#elements.slice();
    copy.#catchAll = this.#catchAll;
    copy.#bounds = this.#bounds;
    return copy;
  }

  /** An independent copy; elements with a time to live begin it at `now`. */
  clone(now: number): SetElements {
    const copy = new SetElements(this.parts, this.interval);
    for (const element of this.all()) {
      const { timeoutMs } = element;
      const expires = timeoutMs === undefined ? Number.POSITIVE_INFINITY : now + timeoutMs;
      copy.put({ ...element, expires });
    }
    return copy;
  }

  #number(key: ElementKey): number {
    this.#write(key.from, this.#scratch, 0);
    return (this.#table as WordTable).find(this.#scratch);
  }
}

function sameKey(x: ElementKey, y: ElementKey): boolean {
  return x.from.every((from, i) => from === y.from[i] && x.to[i] === y.to[i]);
}

function overlaps(x: ElementKey, y: ElementKey): boolean {
  return x.from.every(
    (from, i) => from <= (y.to[i] as bigint) && (y.from[i] as bigint) <= (x.to[i] as bigint),
  );
}

function compareWords(
  x: Uint32Array,
  xAt: number,
  y: Uint32Array,
  yAt: number,
  count: number,
): number {
  for (let i = 0; i < count; i++) {
    const difference = (x[xAt + i] as number) - (y[yAt + i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}
