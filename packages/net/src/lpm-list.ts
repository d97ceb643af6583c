import type { IpAddress } from "./ip-address.ts";
import type { LpmStructure } from "./lpm-structure.ts";
import { ipv4Mask, Prefix } from "./prefix.ts";

/** Few prefixes of one family in a list, longest first: the first that matches is the answer. */
export class LpmList<V> implements LpmStructure<V> {
  // Replaced at each change: arrays made by `map` and `toSpliced` have no room to grow.
  #prefixes: readonly Prefix[] = [];
  #values: readonly V[] = [];
  // IPv4 only, and signed: V8 keeps such numbers in the array itself.
  #networks: readonly number[] = [];
  #masks: readonly number[] = [];

  get size(): number {
    return this.#prefixes.length;
  }

  lookupShorter(address: IpAddress, below: number): V | undefined {
    if (typeof address !== "number") {
      return this.#values[this.#prefixes.findIndex((p) => p.length < below && p.contains(address))];
    }
    const networks = this.#networks;
    const masks = this.#masks;
    for (let i = 0; i < networks.length; i++) {
      const mask = masks[i] as number;
      if (((address ^ (networks[i] as number)) & mask) !== 0) continue;
      if (below > 32 || Math.clz32(~mask) < below) return this.#values[i];
    }
    return undefined;
  }

  get(prefix: Prefix): V | undefined {
    return this.#values[this.#indexOf(prefix)];
  }

  set(prefix: Prefix, value: V): void {
    const index = this.#indexOf(prefix);
    if (index >= 0) {
      this.#values = this.#values.with(index, value);
      return;
    }
    const shorter = this.#prefixes.findIndex((p) => p.length < prefix.length);
    const at = shorter < 0 ? this.size : shorter;
    this.#replace(this.#prefixes.toSpliced(at, 0, prefix), this.#values.toSpliced(at, 0, value));
  }

  delete(prefix: Prefix): boolean {
    const index = this.#indexOf(prefix);
    if (index < 0) return false;
    this.#replace(this.#prefixes.toSpliced(index, 1), this.#values.toSpliced(index, 1));
    return true;
  }

  entries(): [Prefix, V][] {
    return this.#prefixes
      .map((prefix, i): [Prefix, V] => [prefix, this.#values[i] as V])
      .sort(([x], [y]) => Prefix.compare(x, y));
  }

  #indexOf(prefix: Prefix): number {
    return this.#prefixes.findIndex((p) => p.equals(prefix));
  }

  #replace(prefixes: readonly Prefix[], values: readonly V[]): void {
    this.#prefixes = prefixes;
    this.#values = values;
    this.#networks = prefixes.map(({ address }) => (typeof address === "number" ? address | 0 : 0));
    this.#masks = prefixes.map(({ length }) => ipv4Mask(length) | 0);
  }
}
