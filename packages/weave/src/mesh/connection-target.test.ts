import { SeededRandom } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { ConnectionTarget } from "./connection-target.ts";

/** Draws the highest or lowest. */
const bounds = { highest: (bound: number) => bound - 1, lowest: () => 0 };

describe("waits from half to one and a half times an interval that grows by half", () => {
  test.each<[keyof typeof bounds, number[]]>([
    ["lowest", [1_000, 1_500, 2_250, 3_375]],
    ["highest", [2_999, 4_499, 6_749, 10_124]],
  ])("%s", (which, waits) => {
    const random = Object.assign(new SeededRandom(1), { below: bounds[which] });
    const target = new ConnectionTarget("10.0.0.2:6783", 0);
    const waited = waits.map(() => {
      target.tryLater(0, random);
      return target.tryAfter;
    });
    expect(waited).toEqual(waits);
    for (let i = 0; i < 20; i++) target.tryLater(0, random);
    expect(target.tryAfter).toBe(which === "lowest" ? 180_000 : 539_999);
  });
});

test("after a connection that lasted a minute it is tried at once, and all begins anew", () => {
  const random = Object.assign(new SeededRandom(1), { below: bounds.lowest });
  const target = new ConnectionTarget("10.0.0.2:6783", 0);
  target.tryAgain(60_000, random);
  expect(target.tryAfter).toBe(61_000);
  target.tryAgain(121_001, random);
  expect(target.tryAfter).toBe(121_001);
  target.tryLater(121_001, random);
  expect(target.tryAfter).toBe(122_001);
  target.tryNever();
  expect(target.tryAfter).toBeUndefined();
});
