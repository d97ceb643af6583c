/**
 * Go's math/rand (version 1, src/math/rand/rng.go): an additive lagged Fibonacci generator,
 * y[n] = y[n - 607] + y[n - 273] modulo 2^64.
 */
export const LENGTH = 607;
export const TAP = 273;

/** Steps that Go's authors ran a generator seeded with 1 before they wrote down its state (gen_cooked.go). */
const STEPS = 7_800_000_000_000n;

/**
 * Bits that a coefficient takes in {@link pack}: a product of two polynomials of 607 coefficients of 64 bits has coefficients of up to 138.
 * A multiple of 4, so that hexadecimal digits do not straddle coefficients.
 */
const SLOT_DIGITS = 36;
const WORD_DIGITS = 16;

/** One step of the generator that fills a state from a seed: x → 48271·x modulo 2^31 - 1 (Schrage's method). */
export function nextSeed(x: number): number {
  const hi = Math.trunc(x / 44_488);
  const next = 48_271 * (x - 44_488 * hi) - 3_399 * hi;
  return next < 0 ? next + 0x7fffffff : next;
}

let known: BigUint64Array | undefined;

/**
 * The state that Go has as 607 constants, to which each seed is added. It is computed when first asked for, in some hundredths of a second:
 * 7.8·10^12 steps are one multiplication by x^N modulo the recurrence's polynomial x^607 - x^334 - 1, over the integers modulo 2^64.
 */
export function cookedState(): BigUint64Array {
  known ??= computeCookedState();
  return known;
}

function computeCookedState(): BigUint64Array {
  const sequence = firstTerms();
  const power = powerOfX(STEPS);
  // z[N + k] is the sum of a[i]·z[i + k]: one product with the coefficients the other way round.
  const product = unpack(pack(power.toReversed()) * pack(sequence), sequence.length + LENGTH - 1);
  const state = new BigUint64Array(LENGTH);
  for (let k = 0; k < LENGTH; k++) {
    state[placeOf(STEPS + BigInt(k))] = product[LENGTH - 1 + k] as bigint;
  }
  return state;
}

/** Where in the state the k-th term is, the first 607 being what the seed filled in. Each step goes one place down, from 334 at the start. */
function placeOf(k: bigint): number {
  const length = BigInt(LENGTH);
  const place = (BigInt(LENGTH - TAP) + length - 1n - k) % length;
  return Number(place < 0n ? place + length : place);
}

/** The terms that seed 1 fills in with gen_cooked.go's shifts, and the 606 that follow. */
function firstTerms(): BigUint64Array {
  const terms = new BigUint64Array(2 * LENGTH - 1);
  const filled = new BigUint64Array(LENGTH);
  let x = 1;
  const next = () => {
    x = nextSeed(x);
    return BigInt(x);
  };
  for (let i = 0; i < 20; i++) next();
  for (let i = 0; i < LENGTH; i++) filled[i] = (next() << 20n) ^ (next() << 10n) ^ next();
  for (let k = 0; k < LENGTH; k++) terms[k] = filled[placeOf(BigInt(k))] as bigint;
  for (let k = LENGTH; k < terms.length; k++) {
    terms[k] = (terms[k - LENGTH] as bigint) + (terms[k - TAP] as bigint);
  }
  return terms;
}

/** Coefficients of x^exponent modulo x^607 - x^334 - 1, lowest first: by squaring, from the exponent's highest bit down. */
function powerOfX(exponent: bigint): BigUint64Array {
  let power: BigUint64Array = new BigUint64Array(LENGTH);
  power[0] = 1n;
  for (const bit of exponent.toString(2)) {
    const packed = pack(power);
    power = reduce(unpack(packed * packed, 2 * LENGTH));
    if (bit === "1") power = timesX(power);
  }
  return power;
}

function timesX(polynomial: BigUint64Array): BigUint64Array {
  const product = new BigUint64Array(LENGTH + 1);
  product.set(polynomial, 1);
  return reduce(product);
}

/** By x^607 = x^334 + 1. Typed arrays keep 64 bits by themselves. */
function reduce(polynomial: BigUint64Array): BigUint64Array {
  for (let i = polynomial.length - 1; i >= LENGTH; i--) {
    const high = polynomial[i] as bigint;
    if (high === 0n) continue;
    polynomial[i - TAP] = (polynomial[i - TAP] as bigint) + high;
    polynomial[i - LENGTH] = (polynomial[i - LENGTH] as bigint) + high;
  }
  return polynomial.slice(0, LENGTH);
}

/** The polynomial at 2^144, as one number: big integers are multiplied faster than coefficients one by one (Kronecker substitution). */
function pack(polynomial: BigUint64Array): bigint {
  let digits = "0x";
  for (let i = polynomial.length - 1; i >= 0; i--) {
    digits += (polynomial[i] as bigint).toString(16).padStart(SLOT_DIGITS, "0");
  }
  return BigInt(digits);
}

/** The lowest `count` coefficients of a product, modulo 2^64. */
function unpack(packed: bigint, count: number): BigUint64Array {
  const digits = packed.toString(16).padStart(count * SLOT_DIGITS, "0");
  const polynomial = new BigUint64Array(count);
  for (let i = 0; i < count; i++) {
    const end = digits.length - i * SLOT_DIGITS;
    polynomial[i] = BigInt(`0x${digits.slice(end - WORD_DIGITS, end)}`);
  }
  return polynomial;
}
