/**
 * A hash table from keys of a fixed number of 32-bit words to small numbers: addresses, ports and
 * marks put one behind the other. Open addressing on typed arrays; a lookup allocates nothing.
 *
 * Each key has a number, from 0 up, that stays the same while the key is in the table; callers keep
 * what belongs to the key in an array under it. Numbers of deleted keys are given out again.
 */
export class WordTable {
  /** Words of a key. */
  readonly width: number;
  /** Number of the key in this slot plus 1; 0 for an empty slot. The length is a power of two. */
  #slots: Int32Array;
  /** Words of the keys by their number. */
  #words: Uint32Array;
  /** Numbers that were given out at some time are below this. */
  #end = 0;
  readonly #free: number[] = [];

  constructor(width: number) {
    this.width = width;
    this.#slots = new Int32Array(8);
    this.#words = new Uint32Array(4 * width);
  }

  get size(): number {
    return this.#end - this.#free.length;
  }

  /** The number of a key whose first word is `key[at]`; -1 when it is not there. */
  find(key: Uint32Array, at = 0): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hashWords(key, at, this.width) & mask;
    for (;;) {
      const number = (slots[slot] as number) - 1;
      if (number < 0 || this.#equals(number, key, at)) return number;
      slot = (slot + 1) & mask;
    }
  }

  /** Adds a key that is not there, and returns its number. */
  add(key: Uint32Array, at = 0): number {
    // At most three slots of four are taken: a search ends after a few steps.
    if (4 * (this.size + 1) > 3 * this.#slots.length) this.#grow();
    const number = this.#free.pop() ?? this.#end++;
    const start = number * this.width;
    if (start + this.width > this.#words.length) {
      const words = new Uint32Array(this.#words.length * 2);
      words.set(this.#words);
      this.#words = words;
    }
    for (let i = 0; i < this.width; i++) this.#words[start + i] = key[at + i] as number;
    this.#place(number);
    return number;
  }

  /** Takes away the key with this number. */
  delete(number: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.#home(number);
    while (slots[hole] !== number + 1) hole = (hole + 1) & mask;
    // Close the gap: what stands behind it moves up unless it is at home where it is.
    for (let slot = hole; ; ) {
      slot = (slot + 1) & mask;
      const taken = slots[slot] as number;
      if (taken === 0) break;
      const distance = (slot - this.#home(taken - 1)) & mask;
      if (distance < ((slot - hole) & mask)) continue;
      slots[hole] = taken;
      hole = slot;
    }
    slots[hole] = 0;
    this.#free.push(number);
  }

  /** One with the same keys under the same numbers. */
  clone(): WordTable {
    const copy = new WordTable(this.width);
    copy.#slots = this.#slots.slice();
    copy.#words = this.#words.slice();
    copy.#end = this.#end;
    copy.#free.push(...this.#free);
    return copy;
  }

  clear(): void {
    this.#slots.fill(0);
    this.#end = 0;
    this.#free.length = 0;
  }

  /** One word of the key with this number. */
  word(number: number, index: number): number {
    return this.#words[number * this.width + index] as number;
  }

  #equals(number: number, key: Uint32Array, at: number): boolean {
    const start = number * this.width;
    for (let i = 0; i < this.width; i++) if (this.#words[start + i] !== key[at + i]) return false;
    return true;
  }

  /** The slot in which a search for the key starts. */
  #home(number: number): number {
    return hashWords(this.#words, number * this.width, this.width) & (this.#slots.length - 1);
  }

  #place(number: number): void {
    const mask = this.#slots.length - 1;
    let slot = this.#home(number);
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = number + 1;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Int32Array(old.length * 2);
    for (const taken of old) if (taken !== 0) this.#place(taken - 1);
  }
}

/** A well-mixed 32-bit hash of `count` words from `at` on. */
export function hashWords(words: Uint32Array, at: number, count: number): number {
  let h = 0x9e3779b9;
  for (let i = at; i < at + count; i++) {
    h = Math.imul(h ^ (words[i] as number), 0x85ebca6b);
    h ^= h >>> 15;
  }
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
