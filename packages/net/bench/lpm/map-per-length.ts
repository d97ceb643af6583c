import { ipv4Mask, type Prefix } from "../../src/index.ts";
import type { Contender } from "./contender.ts";

/** A `Map` from network address to value for each prefix length. */
export class MapPerLength implements Contender {
  readonly #maps: (Map<number, number> | undefined)[] = new Array(33);

  set(prefix: Prefix, value: number): void {
    let map = this.#maps[prefix.length];
    if (map === undefined) this.#maps[prefix.length] = map = new Map();
    map.set(prefix.address as number, value);
  }

  lookup(address: number): number | undefined {
    for (let length = 32; length >= 0; length--) {
      const value = this.#maps[length]?.get((address & ipv4Mask(length)) >>> 0);
      if (value !== undefined) return value;
    }
    return undefined;
  }
}
