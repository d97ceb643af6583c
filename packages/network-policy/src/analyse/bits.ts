/** A set of small numbers, one bit each, 32 to a word. */
export type Bits = Uint32Array<ArrayBuffer>;

export function wordsFor(size: number): number {
  return (size + 31) >>> 5;
}

export function emptyBits(size: number): Bits {
  return new Uint32Array(wordsFor(size));
}

/** 0 to `size` - 1. The bits beyond stay clear, so that they can be counted. */
export function fullBits(size: number): Bits {
  const bits = emptyBits(size).fill(0xffffffff);
  if ((size & 31) !== 0) bits[bits.length - 1] = 2 ** (size & 31) - 1;
  return bits;
}

export function hasBit(bits: Bits, i: number): boolean {
  return (((bits[i >>> 5] as number) >>> (i & 31)) & 1) === 1;
}

export function setBit(bits: Bits, i: number): void {
  bits[i >>> 5] = (bits[i >>> 5] as number) | (1 << (i & 31));
}

export function clearBit(bits: Bits, i: number): void {
  bits[i >>> 5] = (bits[i >>> 5] as number) & ~(1 << (i & 31));
}

export function orInto(into: Bits, from: Bits): void {
  for (let w = 0; w < into.length; w++) into[w] = (into[w] as number) | (from[w] as number);
}

export function andInto(into: Bits, from: Bits): void {
  for (let w = 0; w < into.length; w++) into[w] = (into[w] as number) & (from[w] as number);
}

export function andNotInto(into: Bits, from: Bits): void {
  for (let w = 0; w < into.length; w++) into[w] = (into[w] as number) & ~(from[w] as number);
}

/** How many numbers are in the set (Hamming weight by halves of words: Warren, Hacker's Delight 5-1). */
export function countBits(bits: Bits): number {
  let count = 0;
  for (let w = 0; w < bits.length; w++) {
    let x = bits[w] as number;
    x -= (x >>> 1) & 0x55555555;
    x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
    count += Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return count;
}

/** Calls `each` with every number in the set, upwards. */
export function forEachBit(bits: Bits, each: (i: number) => void): void {
  for (let w = 0; w < bits.length; w++) {
    for (let x = bits[w] as number; x !== 0; x &= x - 1) each((w << 5) + 31 - Math.clz32(x & -x));
  }
}

/**
 * Turns a square of 32 × 32 bits over: bit j of word i becomes bit i of word j (Warren, Hacker's Delight 7-3,
 * with the lowest bit first).
 */
export function transpose32(square: Uint32Array): void {
  for (let j = 16, mask = 0x0000ffff; j !== 0; j >>>= 1, mask ^= mask << j) {
    for (let k = 0; k < 32; k = (k + j + 1) & ~j) {
      const low = square[k] as number;
      const high = square[k + j] as number;
      const swapped = ((low >>> j) ^ high) & mask;
      square[k] = low ^ (swapped << j);
      square[k + j] = high ^ swapped;
    }
  }
}
