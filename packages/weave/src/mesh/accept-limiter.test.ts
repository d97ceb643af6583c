import { VirtualClock } from "@cnilab/core";
import { expect, test } from "vitest";
import { AcceptLimiter } from "./accept-limiter.ts";

test("after a rest 22 connections are taken at once, then one each 50 ms", () => {
  const clock = new VirtualClock();
  const limiter = new AcceptLimiter(clock);
  for (let round = 0; round < 2; round++) {
    clock.advance(60_000);
    const waits = Array.from({ length: 25 }, () => limiter.take());
    expect(waits).toEqual([...Array(22).fill(0), 50, 100, 150]);
  }
});
