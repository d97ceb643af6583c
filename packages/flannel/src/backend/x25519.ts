/** 2^255 - 19. */
const P = (1n << 255n) - 19n;
/** (486662 - 2) / 4 */
const A24 = 121665n;

function mod(value: bigint): bigint {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

/** The inverse, by the extended Euclidean algorithm. */
function invert(value: bigint): bigint {
  let [r, next] = [P, mod(value)];
  let [t, nextT] = [0n, 1n];
  while (next !== 0n) {
    const quotient = r / next;
    [r, next] = [next, r - quotient * next];
    [t, nextT] = [nextT, t - quotient * nextT];
  }
  return mod(t);
}

/**
 * The public key of a private one: X25519 with the base point 9 (RFC 7748 section 5), as WireGuard has
 * it. Slow and not in constant time: nobody's secrets are at stake in a simulation.
 *
 * @param privateKey 32 bytes
 */
export function x25519PublicKey(privateKey: Uint8Array): Uint8Array {
  const clamped = Uint8Array.from(privateKey);
  clamped[0] = (clamped[0] as number) & 248;
  clamped[31] = ((clamped[31] as number) & 127) | 64;
  return littleEndian(ladder(clamped));
}

/** Montgomery's ladder, one step a bit from the highest. */
function ladder(scalar: Uint8Array): bigint {
  const x1 = 9n;
  let [x2, z2, x3, z3] = [1n, 0n, x1, 1n];
  let swapped = 0;
  for (let i = 254; i >= 0; i--) {
    const bit = ((scalar[i >> 3] as number) >> (i & 7)) & 1;
    if (bit !== swapped) [x2, x3, z2, z3] = [x3, x2, z3, z2];
    swapped = bit;
    const sum = x2 + z2;
    const difference = x2 - z2;
    const sumSquared = (sum * sum) % P;
    const differenceSquared = (difference * difference) % P;
    const e = sumSquared - differenceSquared;
    const da = (mod(x3 - z3) * sum) % P;
    const cb = ((x3 + z3) * mod(difference)) % P;
    x3 = mod((da + cb) ** 2n);
    z3 = mod(x1 * (da - cb) ** 2n);
    x2 = mod(sumSquared * differenceSquared);
    z2 = mod(e * (sumSquared + A24 * e));
  }
  if (swapped === 1) [x2, z2] = [x3, z3];
  return mod(x2 * invert(z2));
}

function littleEndian(value: bigint): Uint8Array {
  const bytes = new Uint8Array(32);
  for (let i = 0; i < 32; i++) bytes[i] = Number((value >> BigInt(8 * i)) & 0xffn);
  return bytes;
}
