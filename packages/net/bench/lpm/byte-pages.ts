import type { Prefix } from "../../src/index.ts";
import type { Contender } from "./contender.ts";

const PAGE = 256;

/** A multibit trie: pages of 256 slots, one for each byte of the address; a prefix fills all slots it covers. */
export class BytePages implements Contender {
  #pages = 1;
  #children: Int32Array = new Int32Array(4 * PAGE);
  /** Value plus one; 0 where no prefix covers the slot. */
  #values: Int32Array = new Int32Array(4 * PAGE);
  #lengths: Uint8Array = new Uint8Array(4 * PAGE);

  set(prefix: Prefix, value: number): void {
    const address = prefix.address as number;
    let page = 0;
    let depth = 0;
    while (prefix.length > depth + 8) {
      const slot = page * PAGE + ((address >>> (24 - depth)) & 255);
      page = this.#children[slot] as number;
      if (page === 0) {
        page = this.#addPage();
        this.#children[slot] = page;
      }
      depth += 8;
    }
    const first = page * PAGE + ((address >>> (24 - depth)) & 255);
    for (let slot = first; slot < first + 2 ** (depth + 8 - prefix.length); slot++) {
      if ((this.#lengths[slot] as number) > prefix.length) continue;
      this.#values[slot] = value + 1;
      this.#lengths[slot] = prefix.length;
    }
  }

  lookup(address: number): number | undefined {
    let best = 0;
    let page = 0;
    for (let shift = 24; shift >= 0; shift -= 8) {
      const slot = page * PAGE + ((address >>> shift) & 255);
      best = (this.#values[slot] as number) || best;
      page = this.#children[slot] as number;
      if (page === 0) break;
    }
    return best === 0 ? undefined : best - 1;
  }

  #addPage(): number {
    const page = this.#pages++;
    if (page * PAGE === this.#children.length) {
      const slots = (page + (page >> 1)) * PAGE;
      const { buffer: children } = this.#children;
      const { buffer: values } = this.#values;
      const { buffer: lengths } = this.#lengths;
      this.#children = new Int32Array((children as ArrayBuffer).transfer(slots * 4));
      this.#values = new Int32Array((values as ArrayBuffer).transfer(slots * 4));
      this.#lengths = new Uint8Array((lengths as ArrayBuffer).transfer(slots));
    }
    return page;
  }
}
