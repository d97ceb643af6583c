import type { Ipv4Address } from "@cnilab/net";
import type { AddressRange } from "./address-range.ts";

/** An address in use, with the length of the subnet that it was asked for in. */
export interface OwnedAddress {
  readonly address: Ipv4Address;
  readonly length: number;
}

export interface Owned {
  readonly isContainer: boolean;
  readonly addresses: readonly OwnedAddress[];
}

/** Who has which of this peer's addresses. */
export class OwnedAddresses {
  readonly #owned = new Map<string, Owned>();
  readonly #idents = new Map<Ipv4Address, string>();
  /** Grows with each change. */
  version = 0;

  entries(): ReadonlyMap<string, Owned> {
    return this.#owned;
  }

  get(ident: string): Owned | undefined {
    return this.#owned.get(ident);
  }

  identOf(address: Ipv4Address): string | undefined {
    return this.#idents.get(address);
  }

  inRange(ident: string, { start, end }: AddressRange): OwnedAddress | undefined {
    const addresses = this.#owned.get(ident)?.addresses ?? [];
    return addresses.find(({ address }) => address >= start && address < end);
  }

  add(ident: string, address: OwnedAddress, isContainer: boolean): void {
    const before = this.#owned.get(ident)?.addresses ?? [];
    this.#owned.set(ident, { isContainer, addresses: [...before, address] });
    this.#idents.set(address.address, ident);
    this.version++;
  }

  /** @returns whether it was there */
  remove(ident: string, address: Ipv4Address): boolean {
    const owned = this.#owned.get(ident);
    const left = owned?.addresses.filter((each) => each.address !== address) ?? [];
    if (owned === undefined || left.length === owned.addresses.length) return false;
    if (left.length === 0) this.#owned.delete(ident);
    else this.#owned.set(ident, { ...owned, addresses: left });
    this.#idents.delete(address);
    this.version++;
    return true;
  }

  /** @returns what it had */
  removeAll(ident: string): readonly OwnedAddress[] {
    const addresses = this.#owned.get(ident)?.addresses ?? [];
    if (this.#owned.delete(ident)) this.version++;
    for (const { address } of addresses) this.#idents.delete(address);
    return addresses;
  }
}
