import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Random, SeededRandom } from "./random.ts";

const draw = (random: Random, count: number) =>
  Array.from({ length: count }, () => random.uint32());

test("the same seed gives the same numbers, in every release", () => {
  expect(draw(new SeededRandom(1), 4)).toEqual(draw(new SeededRandom(1), 4));
  expect(draw(new SeededRandom(1), 4)).toEqual(draw(new SeededRandom(1 + 2 ** 32), 4));
  expect(draw(new SeededRandom(1), 3)).toEqual([4095847955, 1666168516, 3345534546]);
  expect(draw(new SeededRandom(1).fork("node1"), 3)).toEqual([1036244732, 1518496590, 1836773241]);
});

/** Of which share of their 32 bits two streams agree, over 1,000 numbers. */
function agreement(x: Random, y: Random): number {
  let equal = 0;
  for (let i = 0; i < 1_000; i++) {
    for (let differ = ~(x.uint32() ^ y.uint32()); differ !== 0; differ &= differ - 1) equal++;
  }
  return equal / 32_000;
}

describe("streams are independent", () => {
  test.each<[string, Random, Random]>([
    ["of neighbouring seeds", new SeededRandom(1), new SeededRandom(2)],
    ["of a seed and its complement", new SeededRandom(1), new SeededRandom(~1)],
    ["of forks with names alike", new SeededRandom(1).fork("a1"), new SeededRandom(1).fork("a2")],
    ["of a fork and its source", new SeededRandom(1), new SeededRandom(1).fork("a")],
    [
      "of a fork and its fork",
      new SeededRandom(1).fork("a"),
      new SeededRandom(1).fork("a").fork("a"),
    ],
    ["of forks of another seed", new SeededRandom(1).fork("a"), new SeededRandom(2).fork("a")],
    [
      "of names split otherwise",
      new SeededRandom(1).fork("ab").fork("c"),
      new SeededRandom(1).fork("a").fork("bc"),
    ],
  ])("%s", (_, x, y) => {
    // The standard deviation of a fair coin's is 0.0028.
    expect(Math.abs(agreement(x, y) - 0.5)).toBeLessThan(0.015);
  });

  test("of what was drawn before", () => {
    const random = new SeededRandom(1);
    const before = draw(random.fork("a"), 3);
    draw(random, 10);
    expect(draw(random.fork("a"), 3)).toEqual(before);
  });

  test("in their first numbers too", () => {
    const firsts = Array.from({ length: 4_000 }, (_, i) =>
      new SeededRandom(7).fork(`node${i}`).uint32(),
    );
    for (let bit = 0; bit < 32; bit++) {
      const ones = firsts.filter((first) => (first >>> bit) & 1).length;
      expect(Math.abs(ones - 2_000)).toBeLessThan(160);
      // Neighbours in the list as well.
      const flips = firsts.filter(
        (first, i) => ((first ^ (firsts[i - 1] ?? 0)) >>> bit) & 1,
      ).length;
      expect(Math.abs(flips - 2_000)).toBeLessThan(160);
    }
  });
});

describe("a number below a bound", () => {
  test("is one, as often as any other", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 2 ** 32 }), (seed, bound) => {
        const value = new SeededRandom(seed).below(bound);
        expect(Number.isInteger(value) && value >= 0 && value < bound).toBe(true);
      }),
    );
    const random = new SeededRandom(3);
    const counts = [0, 0, 0];
    for (let i = 0; i < 30_000; i++) counts[random.below(3)] = (counts[random.below(3)] ?? 0) + 1;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });

  // A plain remainder would give the lower third twice as often as the rest.
  test("is not more often low where the bound does not divide 2^32", () => {
    const random = new SeededRandom(4);
    const bound = 3 * 2 ** 30;
    let low = 0;
    for (let i = 0; i < 30_000; i++) if (random.below(bound) < 2 ** 30) low++;
    expect(Math.abs(low - 10_000)).toBeLessThan(500);
  });

  test.each([[0], [-1], [1.5], [Number.NaN], [2 ** 32 + 1]])("%d is no bound", (bound) => {
    expect(() => new SeededRandom(1).below(bound)).toThrow(
      new RangeError(`a bound is an integer from 1 to 2^32, not ${bound}`),
    );
  });
});
