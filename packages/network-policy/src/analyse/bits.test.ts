import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  andInto,
  andNotInto,
  type Bits,
  countBits,
  emptyBits,
  forEachBit,
  fullBits,
  hasBit,
  orInto,
  setBit,
  transpose32,
} from "./bits.ts";

const SIZE = 100;
const sets = fc.uniqueArray(fc.nat(SIZE - 1));
const bitsOf = (numbers: readonly number[]): Bits => {
  const bits = emptyBits(SIZE);
  for (const n of numbers) setBit(bits, n);
  return bits;
};
const numbersOf = (bits: Bits): number[] => {
  const numbers: number[] = [];
  forEachBit(bits, (n) => numbers.push(n));
  return numbers;
};
const ascending = (numbers: Iterable<number>): number[] => [...numbers].sort((x, y) => x - y);

describe("bits are sets of numbers", () => {
  test("members, in order, and their count", () => {
    fc.assert(
      fc.property(sets, (numbers) => {
        const bits = bitsOf(numbers);
        expect(numbersOf(bits)).toEqual(ascending(numbers));
        expect(countBits(bits)).toBe(numbers.length);
        for (const n of numbers) expect(hasBit(bits, n)).toBe(true);
      }),
    );
  });

  test("union, intersection and difference", () => {
    fc.assert(
      fc.property(sets, sets, (x, y) => {
        const apply = (change: (into: Bits, from: Bits) => void) => {
          const bits = bitsOf(x);
          change(bits, bitsOf(y));
          return numbersOf(bits);
        };
        expect(apply(orInto)).toEqual(ascending(new Set([...x, ...y])));
        expect(apply(andInto)).toEqual(ascending(x.filter((n) => y.includes(n))));
        expect(apply(andNotInto)).toEqual(ascending(x.filter((n) => !y.includes(n))));
      }),
    );
  });

  test.each([0, 1, 31, 32, 33, 64, 100])("a full set of %i", (size) => {
    expect(countBits(fullBits(size))).toBe(size);
  });

  test("a square turned over", () => {
    fc.assert(
      fc.property(fc.uint32Array({ minLength: 32, maxLength: 32 }), (words) => {
        const square = Uint32Array.from(words);
        transpose32(square);
        for (let i = 0; i < 32; i++) {
          for (let j = 0; j < 32; j++) {
            expect(((square[j] as number) >>> i) & 1).toBe(((words[i] as number) >>> j) & 1);
          }
        }
      }),
      { numRuns: 20 },
    );
  });
});
