import type { Prefix } from "@cnilab/net";

/** The ranges of one length of a wider one, the first free one first (pkg/ipam/cidrset). */
export class RangeSet {
  readonly whole: Prefix;
  readonly length: number;
  readonly #taken = new Set<string>();
  #next = 0;

  constructor(whole: Prefix, length: number) {
    this.whole = whole;
    this.length = length;
  }

  get #count(): number {
    return 2 ** (this.length - this.whole.length);
  }

  get isFull(): boolean {
    return this.#taken.size >= this.#count;
  }

  allocateNext(): Prefix | undefined {
    if (this.isFull) return undefined;
    for (;;) {
      const range = this.whole.subnet(this.#next, this.length);
      this.#next = (this.#next + 1) % this.#count;
      if (this.take(range)) return range;
    }
  }

  /** @returns whether it was free */
  take(range: Prefix): boolean {
    const text = String(range);
    if (this.#taken.has(text)) return false;
    this.#taken.add(text);
    return true;
  }

  release(range: Prefix): void {
    this.#taken.delete(String(range));
  }
}
