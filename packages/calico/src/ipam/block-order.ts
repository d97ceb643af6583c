import { addressBits, type Prefix } from "@cnilab/net";
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
 */
export function* blockOrder(
  { cidr, blockSize }: BlockSpace,
  host: string,
  nanoseconds: () => bigint,
): Generator<Prefix, void> {
  if (blockSize < cidr.length) return;
  const count = 1n << BigInt(blockSize - cidr.length);
  const seed = blockSize === addressBits(cidr.family) ? nanoseconds() : fnv1(host);
  const start = new GoRand(seed).below(count);
  for (let index = start; index < count; index++) yield cidr.subnet(index, blockSize);
  for (let index = 0n; index < start; index++) yield cidr.subnet(index, blockSize);
}

// Of every JavaScript there is, but of no library that this package is checked with.
declare const TextEncoder: new () => { encode(text: string): Uint8Array };
const UTF8 = new TextEncoder();

/** FNV-1 of 32 bits over the name's UTF-8 (Go hash/fnv New32). */
function fnv1(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of UTF8.encode(text)) hash = Math.imul(hash, 0x01000193) ^ byte;
  return hash >>> 0;
}
