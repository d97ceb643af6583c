import { addressBits, type Prefix } from "@cnilab/net";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { GoRand } from "./go-rand.ts";

/** Where blocks are cut from. */
export interface BlockSpace {
  readonly cidr: Prefix;
  /** Prefix length of a block. */
  readonly blockSize: number;
}

/**
 * The blocks of a pool in the order in which a host tries them: all of them one after the other, from a place that its name decides on, so
 * that hosts seldom meet (libcalico-go/lib/ipam/ipam_block_reader_writer.go randomBlockGenerator).
 * @param nanoseconds the time of day; it decides instead of the name where a block is a single address
 * @param around what is left out, around a block: pools of IPv6 are too large to go through it block by block
 */
export function* blockOrder(
  { cidr, blockSize }: BlockSpace,
  host: string,
  nanoseconds: () => bigint,
  around?: (block: Prefix) => Prefix | undefined,
): Generator<Prefix, void> {
  if (blockSize < cidr.length) return;
  const count = 1n << BigInt(blockSize - cidr.length);
  const seed = blockSize === addressBits(cidr.family) ? nanoseconds() : fnv1(host);
  const start = new GoRand(seed).below(count);
  for (const [from, to] of [
    [start, count],
    [0n, start],
  ] as const) {
    for (let index = from; index < to; index++) {
      const block = cidr.subnet(index, blockSize);
      const out = around?.(block);
      if (out === undefined) {
        yield block;
        continue;
      }
      const bits = BigInt(blockSize - Math.max(out.length, cidr.length));
      index |= (1n << bits) - 1n;
    }
  }
}

/** FNV-1 of 32 bits over the name's UTF-8 (Go hash/fnv New32). */
function fnv1(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of utf8ToBytes(text)) hash = Math.imul(hash, 0x01000193) ^ byte;
  return hash >>> 0;
}
