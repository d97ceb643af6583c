import { addressBits, type IpAddress, type IpFamily, maskIp, type Prefix } from "@cnilab/net";

/** Ranges, which tell whether another lies within one of them. */
export class PrefixCover {
  /** By family and length. A range is here once however often it was added. */
  readonly #byLength: Readonly<Record<IpFamily, Map<number, Set<IpAddress>>>> = {
    4: new Map(),
    6: new Map(),
  };

  get isEmpty(): boolean {
    return this.#byLength[4].size === 0 && this.#byLength[6].size === 0;
  }

  add({ family, length, address }: Prefix): void {
    const lengths = this.#byLength[family];
    const addresses = lengths.get(length);
    if (addresses === undefined) lengths.set(length, new Set([address]));
    else addresses.add(address);
  }

  delete({ family, length, address }: Prefix): void {
    const lengths = this.#byLength[family];
    const addresses = lengths.get(length);
    addresses?.delete(address);
    if (addresses?.size === 0) lengths.delete(length);
  }

  /** Whether a wider range than this one holds it. */
  covers({ family, length, address }: Prefix): boolean {
    for (const [wider, addresses] of this.#byLength[family]) {
      if (wider < length && addresses.has(maskIp(address, wider))) return true;
    }
    return false;
  }

  /** Whether a range is none but a single address. */
  static isWide(prefix: Prefix): boolean {
    return prefix.length < addressBits(prefix.family);
  }
}
