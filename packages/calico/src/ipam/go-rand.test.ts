import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { GoRand } from "./go-rand.ts";
import { cookedState } from "./go-rand-state.ts";

const FILE = new URL("../../../../../shared/vectors/calico/go-rand-cooked.json", import.meta.url);
const there = existsSync(FILE);

test.skipIf(!there)(
  `the computed state is the one in Go's source${there ? "" : " (skipped: no ../shared)"}`,
  () => {
    const { cooked } = JSON.parse(readFileSync(FILE, "utf8")) as { readonly cooked: string[] };
    expect([...cookedState()].map((word) => String(BigInt.asIntN(64, word)))).toEqual(cooked);
  },
);

// Go's own regression test (src/math/rand/regress_test.go, Uint32).
test("the numbers of seed 0 are Go's", () => {
  const random = new GoRand(0);
  const words = Array.from({ length: 4 }, () => random.uint32());
  expect(words).toEqual([4059586549, 1052117029, 2817310706, 233405013]);
});

test.each([
  [0, 89_482_311],
  [-1, 0x7ffffffe],
  [0x7fffffff, 0],
  [1n << 62n, Number((1n << 62n) % 0x7fffffffn)],
])("seed %s gives the numbers of %s", (seed, same) => {
  expect(new GoRand(seed).uint32()).toBe(new GoRand(same).uint32());
});

test.each([1n, 2n, 1024n, (1n << 74n) + 1n])("a number below %s is", (limit) => {
  const random = new GoRand(7);
  for (let i = 0; i < 50; i++) {
    const value = random.below(limit);
    expect(value >= 0n && value < limit).toBe(true);
  }
});
