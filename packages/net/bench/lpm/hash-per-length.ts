import { hashIp, ipv4Mask, type Prefix } from "../../src/index.ts";
import type { Contender } from "./contender.ts";

/** Open addressing on typed arrays for each prefix length that occurs. */
export class HashPerLength implements Contender {
  readonly #tables: (OpenTable | undefined)[] = new Array(33);
  /** The lengths that occur, longest first. */
  #lengths: number[] = [];

  set(prefix: Prefix, value: number): void {
    let table = this.#tables[prefix.length];
    if (table === undefined) {
      this.#tables[prefix.length] = table = new OpenTable();
      this.#lengths = [...this.#lengths, prefix.length].sort((x, y) => y - x);
    }
    table.set(prefix.address as number, value);
  }

  lookup(address: number): number | undefined {
    const lengths = this.#lengths;
    for (let i = 0; i < lengths.length; i++) {
      const length = lengths[i] as number;
      const value = this.#tables[length]?.get((address & ipv4Mask(length)) >>> 0);
      if (value !== undefined) return value;
    }
    return undefined;
  }
}

class OpenTable {
  #keys = new Uint32Array(16);
  /** Value plus one; 0 where the slot is free. */
  #values = new Int32Array(16);
  #size = 0;

  get(key: number): number | undefined {
    const mask = this.#keys.length - 1;
    for (let i = hashIp(key) & mask; this.#values[i] !== 0; i = (i + 1) & mask) {
      if (this.#keys[i] === key) return (this.#values[i] as number) - 1;
    }
    return undefined;
  }

  set(key: number, value: number): void {
    if (this.#size * 2 >= this.#keys.length) this.#grow();
    const mask = this.#keys.length - 1;
    let i = hashIp(key) & mask;
    while (this.#values[i] !== 0 && this.#keys[i] !== key) i = (i + 1) & mask;
    if (this.#values[i] === 0) this.#size++;
    this.#keys[i] = key;
    this.#values[i] = value + 1;
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = new Uint32Array(keys.length * 2);
    this.#values = new Int32Array(keys.length * 2);
    this.#size = 0;
    for (let i = 0; i < keys.length; i++) {
      if (values[i] !== 0) this.set(keys[i] as number, (values[i] as number) - 1);
    }
  }
}
