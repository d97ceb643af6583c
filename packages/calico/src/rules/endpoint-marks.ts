/**
 * Gives each endpoint a value within the bits for it, where the hash of its name points or next after that
 * (`felix/rules/epmark.go`). One of the values is taken for all that is not Calico's.
 */
export class EndpointMarks {
  readonly #mask: number;
  /** Numbers in use. */
  readonly #taken = new Map<number, string>();
  readonly #marks = new Map<string, number>();

  constructor(mask: number, nonCaliEndpoint: number) {
    this.#mask = mask >>> 0;
    this.#taken.set(toNumber(nonCaliEndpoint, this.#mask), "");
  }

  /** `undefined` where no value is left. */
  of(name: string): number | undefined {
    const known = this.#marks.get(name);
    if (known !== undefined) return known;
    const count = 2 ** bitsOf(this.#mask).length;
    const start = fnv32(name);
    for (let i = 0; i < count; i++) {
      const number = (start + i) % count;
      // 0 is a packet without a mark.
      if (number === 0 || this.#taken.has(number)) continue;
      this.#taken.set(number, name);
      const mark = toMark(number, this.#mask);
      this.#marks.set(name, mark);
      return mark;
    }
    return undefined;
  }

  release(name: string): void {
    const mark = this.#marks.get(name);
    if (mark === undefined) return;
    this.#marks.delete(name);
    this.#taken.delete(toNumber(mark, this.#mask));
  }
}

/** Bits that are set, from the lowest. */
function bitsOf(mask: number): number[] {
  return Array.from({ length: 32 }, (_, i) => 2 ** i).filter((bit) => (mask & bit) !== 0);
}

function toMark(number: number, mask: number): number {
  let mark = 0;
  bitsOf(mask).forEach((bit, i) => {
    if ((number & (1 << i)) !== 0) mark = (mark | bit) >>> 0;
  });
  return mark;
}

function toNumber(mark: number, mask: number): number {
  let number = 0;
  bitsOf(mask).forEach((bit, i) => {
    if ((mark & bit) !== 0) number |= 1 << i;
  });
  return number;
}

/** FNV-1, 32 bits (Go's `hash/fnv` New32). */
function fnv32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    hash = Math.imul(hash, 0x01000193) >>> 0;
    hash = (hash ^ byte) >>> 0;
  }
  return hash;
}
