import { expect, test } from "vitest";
import { age, humanDuration } from "./human-duration.ts";

const S = 1000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;

// apimachinery pkg/util/duration
test.each([
  [-3 * S, "<invalid>"],
  [-1, "0s"],
  [0, "0s"],
  [119 * S, "119s"],
  [2 * M, "2m"],
  [2 * M + 5 * S, "2m5s"],
  [10 * M + 5 * S, "10m"],
  [179 * M, "179m"],
  [3 * H, "3h"],
  [7 * H + 59 * M, "7h59m"],
  [8 * H + 1 * M, "8h"],
  [47 * H, "47h"],
  [2 * D + 3 * H, "2d3h"],
  [8 * D + 3 * H, "8d"],
  [729 * D, "729d"],
  [730 * D, "2y"],
  [800 * D, "2y70d"],
  [9 * 365 * D + 5 * D, "9y"],
])("%d ms is %s", (ms, text) => {
  expect(humanDuration(ms)).toBe(text);
});

test.each([
  ["2026-11-21T09:00:00Z", "2026-11-21T09:00:37Z", "37s"],
  [undefined, "2026-11-21T09:00:37Z", "<unknown>"],
])("created %s, at %s: %s", (created, now, text) => {
  expect(age(created, Date.parse(now))).toBe(text);
});
