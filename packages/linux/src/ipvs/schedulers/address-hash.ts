import type { IpAddress } from "@cnilab/net";

/** 2^32 divided by the golden ratio (include/linux/hash.h GOLDEN_RATIO_32). */
const GOLDEN_RATIO_32 = 0x61c88647;

/** An address of either family in 32 bits. */
export function foldAddress(address: IpAddress): number {
  if (typeof address === "number") return address;
  return (address.a ^ address.b ^ address.c ^ address.d) >>> 0;
}

/** The top `bits` of a word's multiplicative hash (`hash_32`). */
export function hash32(word: number, bits: number): number {
  return Math.imul(word, GOLDEN_RATIO_32) >>> (32 - bits);
}
