/** The two halves of a 128-bit hash. */
export interface Hash128 {
  readonly h1: bigint;
  readonly h2: bigint;
}

const C1 = 0x87c37b91114253d5n;
const C2 = 0x4cf5ad432745937fn;

/**
 * MurmurHash3_x64_128 as little-endian machines compute it. Both halves start from the same 32-bit seed, which is what
 * Cilium's pkg/murmur3 does, too.
 */
export function murmur3(text: string, seed: number): Hash128 {
  const bytes = new TextEncoder().encode(text);
  // The tail counts as a block that is filled up with zeros; a half without any byte is left out.
  const padded = new DataView(new ArrayBuffer((bytes.length + 15) & ~15));
  bytes.forEach((byte, i) => {
    padded.setUint8(i, byte);
  });
  const whole = bytes.length & ~15;
  let h1 = BigInt(seed >>> 0);
  let h2 = h1;
  for (let at = 0; at < whole; at += 16) {
    h1 ^= mixed(padded.getBigUint64(at, true), C1, 31n, C2);
    h1 = wrap(wrap(rotate(h1, 27n) + h2) * 5n + 0x52dce729n);
    h2 ^= mixed(padded.getBigUint64(at + 8, true), C2, 33n, C1);
    h2 = wrap(wrap(rotate(h2, 31n) + h1) * 5n + 0x38495ab5n);
  }
  const left = bytes.length - whole;
  if (left > 8) h2 ^= mixed(padded.getBigUint64(whole + 8, true), C2, 33n, C1);
  if (left > 0) h1 ^= mixed(padded.getBigUint64(whole, true), C1, 31n, C2);
  const length = BigInt(bytes.length);
  h1 = wrap((h1 ^ length) + (h2 ^ length));
  h2 = wrap((h2 ^ length) + h1);
  h1 = avalanche(h1);
  h2 = avalanche(h2);
  h1 = wrap(h1 + h2);
  h2 = wrap(h2 + h1);
  return { h1, h2 };
}

function mixed(word: bigint, first: bigint, by: bigint, second: bigint): bigint {
  return wrap(rotate(wrap(word * first), by) * second);
}

function avalanche(word: bigint): bigint {
  let k = word;
  k = wrap((k ^ (k >> 33n)) * 0xff51afd7ed558ccdn);
  k = wrap((k ^ (k >> 33n)) * 0xc4ceb9fe1a85ec53n);
  return k ^ (k >> 33n);
}

function rotate(word: bigint, by: bigint): bigint {
  return wrap(word << by) | (word >> (64n - by));
}

function wrap(word: bigint): bigint {
  return BigInt.asUintN(64, word);
}
