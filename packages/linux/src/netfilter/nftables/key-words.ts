import type { DataType } from "./data-type.ts";
import { DATA_TYPES } from "./data-type.ts";

/** One part of a set's key, or the data of a map. */
export interface KeyPart {
  readonly type: DataType;
  readonly bits: number;
}

/** 32-bit words that a part takes in a key: as the kernel's registers, which are padded to words. */
export function wordsOf(bits: number): number {
  return (bits + 31) >>> 5;
}

export function wordsOfKey(parts: readonly KeyPart[]): number {
  return parts.reduce((sum, part) => sum + wordsOf(part.bits), 0);
}

/** Writes a value as words, the most significant first. */
export function writeWords(value: bigint, bits: number, into: Uint32Array, at: number): void {
  const count = wordsOf(bits);
  for (let i = count - 1; i >= 0; i--) {
    into[at + i] = Number(value & 0xffffffffn);
    value >>= 32n;
  }
}

/** The value in `bits` bits of words that {@link writeWords} wrote. */
export function readWords(from: Uint32Array, at: number, bits: number): bigint {
  let value = 0n;
  for (let i = 0; i < wordsOf(bits); i++) value = (value << 32n) | BigInt(from[at + i] as number);
  return value;
}

/**
 * What elements are listed by: the value for a single part; for a concatenation the bytes of all
 * parts read as one number whose last byte counts most (nft's mergesort.c).
 */
export function sortKey(parts: readonly KeyPart[], values: readonly bigint[]): bigint {
  const [part] = parts;
  if (parts.length === 1 && part !== undefined && !isName(part.type)) return values[0] as bigint;
  let key = 0n;
  let shift = 0n;
  parts.forEach(({ type, bits }, i) => {
    const count = BigInt((bits + 7) >>> 3);
    const littleEndian = type.hostOrder && !isName(type);
    for (let byte = 0n; byte < count; byte++) {
      const from = littleEndian ? byte : count - 1n - byte;
      key |= (((values[i] as bigint) >> (8n * from)) & 0xffn) << shift;
      shift += 8n;
    }
  });
  return key;
}

/** Whether values are texts, whose first byte is the most significant one here. */
export function isName(type: DataType): boolean {
  return type === DATA_TYPES.ifname;
}
