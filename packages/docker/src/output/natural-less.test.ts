import { expect, test } from "vitest";
import { byNaturalOrder } from "./natural-less.ts";

test("numbers by their value, all else by bytes", () => {
  const sorted = [
    "80/tcp -> [::]:80",
    "9",
    "10",
    "010",
    "a",
    "a1",
    "a01",
    "a2",
    "a10",
    "a10b",
    "b",
  ];
  const want = ["9", "10", "010", "80/tcp -> [::]:80", "a", "a1", "a01", "a2", "a10", "a10b", "b"];
  expect(sorted.toReversed().sort(byNaturalOrder)).toEqual(want);
  expect(["Z", "a"].sort(byNaturalOrder)).toEqual(["Z", "a"]);
});
