import { expect, test } from "vitest";
import type { Flow } from "./flow.ts";
import { FlowRing } from "./flow-ring.ts";

function filled(capacity: number, flows: number): FlowRing {
  const ring = new FlowRing(capacity);
  for (let i = 0; i < flows; i++) ring.write({ uuid: String(i) });
  return ring;
}

const ids = (flows: Iterable<Flow>) => [...flows].map(({ uuid }) => uuid).join(" ");

test.each([
  [7, 3, {}, "0 1 2"],
  [7, 10, {}, "3 4 5 6 7 8 9"],
  [7, 10, { number: 2 }, "8 9"],
  [7, 10, { number: 2, first: true }, "3 4"],
  [7, 10, { number: 0 }, ""],
  [1, 3, {}, "2"],
])("a ring of %i that saw %i flows, asked for %j, has %s", (capacity, flows, request, expected) => {
  expect(ids(filled(capacity, flows).select(() => true, request))).toBe(expected);
});

test("what does not pass does not count", () => {
  const even = ({ uuid }: Flow) => Number(uuid) % 2 === 0;
  expect(ids(filled(7, 10).select(even, { number: 2 }))).toBe("6 8");
});

test("it counts what it has forgotten", () => {
  const ring = filled(7, 10);
  expect([ring.size, ring.seen, ring.capacity]).toEqual([7, 10, 7]);
});

test.each([0, 4096, 1.5, 131_071])("a ring cannot hold %d", (capacity) => {
  expect(() => new FlowRing(capacity)).toThrow(RangeError);
});
