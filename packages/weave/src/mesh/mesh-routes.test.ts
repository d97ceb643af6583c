import { SeededRandom, VirtualClock } from "@cnilab/core";
import { expect, test } from "vitest";
import { MeshRoutes } from "./mesh-routes.ts";

/** `a` is connected to all of `near`, and the last of them to all of `far`. */
function routes(near: readonly string[], far: readonly string[]) {
  const clock = new VirtualClock();
  const link = { established: true };
  const last = near.at(-1) as string;
  const links: Record<string, readonly string[]> = { a: near, [last]: ["a", ...far] };
  const topology = {
    connections: (peer: string) => new Map((links[peer] ?? ["a"]).map((to) => [to, link])),
  };
  let changes = 0;
  const of = new MeshRoutes(topology, "a", {
    clock,
    random: new SeededRandom(1),
    changed: () => changes++,
  });
  return { of, clock, changes: () => changes };
}

test("calculates once for all that changes in a tenth of a second; who relays waits for it", () => {
  const { of, clock, changes } = routes(["b"], []);
  const done: number[] = [];
  of.recalculate();
  clock.advance(60);
  of.recalculate();
  of.whenRecalculated(() => done.push(clock.now));
  expect([of.unicast("all").size, done]).toEqual([1, []]);
  clock.advance(60);
  expect([of.unicast("all").size, done, changes()]).toEqual([2, [100], 1]);
  of.whenRecalculated(() => done.push(clock.now));
  expect(done).toEqual([100, 120]);
});

test("gossip goes to 2 log2 of the peers, sooner to neighbours that lead to more", () => {
  const near = Array.from({ length: 40 }, (_, i) => `n${i}`);
  const far = Array.from({ length: 80 }, (_, i) => `z${i}`);
  const { of, clock } = routes(near, far);
  of.recalculate();
  clock.advance(100);
  let bottleneck = 0;
  for (let round = 0; round < 200; round++) {
    const chosen = of.randomNeighbours("a");
    // 2 log2(121) is 13.8.
    expect([chosen.length, new Set(chosen).size]).toEqual([13, 13]);
    if (chosen.includes("n39")) bottleneck++;
  }
  // It has 81 of 120 parts of each draw: without weights it would be one in three.
  expect(bottleneck).toBeGreaterThan(195);
  expect(of.randomNeighbours("n39")).not.toContain("n39");
  const few = routes(["b", "c"], []);
  few.of.recalculate();
  few.clock.advance(100);
  expect(few.of.randomNeighbours("a").sort()).toEqual(["b", "c"]);
});
