import fc from "fast-check";
import { expect, test } from "vitest";
import { type MtuStep, PathMtuSearch } from "./path-mtu-search.ts";

/** Runs a search over a path that takes `real` bytes; the kernel believes it to be `believed`. */
function run(believed: number, real: number): { mtu: number; tests: MtuStep[]; waitedMs: number } {
  const search = new PathMtuSearch();
  const tests: MtuStep[] = [];
  let waitedMs = 0;
  let step = search.begin(believed) as MtuStep;
  while (step.kind === "test") {
    tests.push(step);
    if (step.mtu <= real) step = search.arrived(step.mtu) as MtuStep;
    else {
      waitedMs += step.timeoutMs;
      step = search.timedOut();
    }
  }
  return { mtu: step.mtu, tests, waitedMs };
}

test("what the kernel says is right most often: one test", () => {
  expect(run(1438, 1438).tests).toEqual([{ kind: "test", mtu: 1438, timeoutMs: 10 }]);
});

test("a test that gets lost is sent eight times, each after twice the time", () => {
  const { tests } = run(1438, 1000);
  expect(tests.slice(0, 9)).toEqual([
    ...[10, 20, 40, 80, 160, 320, 640, 1280].map((timeoutMs) => ({
      kind: "test",
      mtu: 1438,
      timeoutMs,
    })),
    { kind: "test", mtu: 995, timeoutMs: 10 },
  ]);
});

test("any path from 552 bytes on is found, in little time", () => {
  const sizes = fc.tuple(
    fc.integer({ min: 552, max: 65_000 }),
    fc.integer({ min: 1, max: 70_000 }),
  );
  fc.assert(
    fc.property(sizes, ([believed, real]) => {
      const { mtu, waitedMs } = run(believed, real);
      expect(mtu).toBe(Math.max(552, Math.min(believed, real)));
      expect(waitedMs).toBeLessThanOrEqual(2550 * 18);
    }),
    { seed: 20261122 },
  );
});

test("while it searches no larger size is begun with, and old answers count for nothing", () => {
  const search = new PathMtuSearch();
  search.begin(1438);
  expect(search.begin(1438)).toBeUndefined();
  expect(search.begin(1500)).toBeUndefined();
  expect(search.begin(1338)).toMatchObject({ mtu: 1338 });
  expect(search.arrived(1438)).toBeUndefined();
  expect(search.arrived(1338)).toEqual({ kind: "verified", mtu: 1338 });
  expect(search.arrived(1338)).toBeUndefined();
  expect(search.begin(8938)).toMatchObject({ mtu: 8938 });
});
