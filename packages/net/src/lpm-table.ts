import type { IpAddress } from "./ip-address.ts";
import { LpmList } from "./lpm-list.ts";
import type { LpmStructure } from "./lpm-structure.ts";
import { LpmTrie } from "./lpm-trie.ts";
import type { Prefix } from "./prefix.ts";

/** Most prefixes of one family in a list; a trie looks up more than these faster. */
const LIST_MAX = 8;
/** A trie that shrinks to so few prefixes turns back into a list. */
const LIST_AGAIN = 4;

/** More bits than any prefix has. */
const ANY_LENGTH = 129;

/**
 * A map from prefixes of both families to values which finds the longest prefix that holds an
 * address: a routing table, an address-to-identity map.
 *
 * Up to eight prefixes of a family are a list, more are a trie; a lookup allocates nothing. Measured
 * with `bench/lpm-table.ts` (Node 24, a busy machine; random addresses, so caches and branch
 * prediction are at their worst), nanoseconds a lookup and bytes a prefix:
 *
 * | IPv4 prefixes | this | `Map` a length | hash table a length | binary trie | 8-bit pages |
 * |---|---|---|---|---|---|
 * | 3 routes | 19, 70 | 65, 302 | 32, 806 | 24, 78 | 21, 3297 |
 * | 8 routes | 25, 42 | 47, 128 | 23, 303 | 38, 112 | 18, 1237 |
 * | 5,000 pod CIDRs | 28, 40 | 41, 46 | 12, 23 | 128, 131 | 17, 15 |
 * | 5,000 of 8 to 32 bits | 39, 69 | 437, 36 | 259, 24 | 172, 143 | 51, 2487 |
 * | 100,000 like BGP | 58, 76 | 209, 35 | 80, 20 | 435, 134 | 138, 1416 |
 * | 100,000 hosts | 58, 76 | 77, 37 | 28, 21 | 514, 136 | 370, 4731 |
 *
 * The others are good at one shape of table: hashing at few lengths, pages at dense networks, the
 * binary trie at few prefixes. This has no bad shape. IPv6: 36 ns at 5,000 pod CIDRs, 320 ns at
 * 100,000 hosts.
 */
export class LpmTable<V> implements Iterable<[Prefix, V]> {
  #ipv4: LpmStructure<V> | undefined = undefined;
  #ipv6: LpmStructure<V> | undefined = undefined;

  /** Number of prefixes, of both families. */
  get size(): number {
    return (this.#ipv4?.size ?? 0) + (this.#ipv6?.size ?? 0);
  }

  /** The value of the longest prefix that holds `address`. */
  lookup(address: IpAddress): V | undefined {
    const structure = typeof address === "number" ? this.#ipv4 : this.#ipv6;
    return structure === undefined ? undefined : structure.lookupShorter(address, ANY_LENGTH);
  }

  /**
   * The value of the longest prefix that holds `address` and has fewer than `below` bits. Who cannot
   * use what {@link lookup} found goes on to the next best with this, as the kernel backtracks in
   * net/ipv4/fib_trie.c fib_table_lookup.
   */
  lookupShorter(address: IpAddress, below: number): V | undefined {
    const structure = typeof address === "number" ? this.#ipv4 : this.#ipv6;
    return structure === undefined ? undefined : structure.lookupShorter(address, below);
  }

  /** The value of exactly this prefix. */
  get(prefix: Prefix): V | undefined {
    return (prefix.family === 4 ? this.#ipv4 : this.#ipv6)?.get(prefix);
  }

  /** Adds a prefix or replaces its value. */
  set(prefix: Prefix, value: V): void {
    if (prefix.family === 4) this.#ipv4 = withPrefix(this.#ipv4, prefix, value);
    else this.#ipv6 = withPrefix(this.#ipv6, prefix, value);
  }

  /** Removes exactly this prefix; whether it was there. */
  delete(prefix: Prefix): boolean {
    const structure = prefix.family === 4 ? this.#ipv4 : this.#ipv6;
    if (structure === undefined || !structure.delete(prefix)) return false;
    if (prefix.family === 4) this.#ipv4 = slimmed(structure);
    else this.#ipv6 = slimmed(structure);
    return true;
  }

  /** IPv4 before IPv6, then by address, then the shorter first. The table may change meanwhile. */
  [Symbol.iterator](): IterableIterator<[Prefix, V]> {
    return [...(this.#ipv4?.entries() ?? []), ...(this.#ipv6?.entries() ?? [])].values();
  }
}

function withPrefix<V>(
  structure: LpmStructure<V> | undefined,
  prefix: Prefix,
  value: V,
): LpmStructure<V> {
  let into = structure ?? new LpmList<V>();
  if (into instanceof LpmList && into.size === LIST_MAX && into.get(prefix) === undefined) {
    into = filled(new LpmTrie<V>(prefix.family), into);
  }
  into.set(prefix, value);
  return into;
}

/** The structure that holds what is left after a deletion. */
function slimmed<V>(structure: LpmStructure<V>): LpmStructure<V> | undefined {
  if (structure.size === 0) return undefined;
  if (structure.size > LIST_AGAIN || structure instanceof LpmList) return structure;
  return filled(new LpmList<V>(), structure);
}

function filled<V>(into: LpmStructure<V>, from: LpmStructure<V>): LpmStructure<V> {
  for (const [prefix, value] of from.entries()) into.set(prefix, value);
  return into;
}
