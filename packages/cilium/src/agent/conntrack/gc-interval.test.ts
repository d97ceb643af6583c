import { expect, test } from "vitest";
import { gcInterval } from "./gc-interval.ts";

const MINUTES = 60_000;
const HOURS = 60 * MINUTES;
const FOUND = { intervalMs: 0, maxIntervalMs: 0 };

// pkg/maps/ctmap/ctmap_test.go TestCalculateInterval, TestGetInterval
test.each<[string, number, number, number, Partial<typeof FOUND>, number]>([
  ["the first", 0, 0, 0, {}, 5 * MINUTES],
  ["nothing found: as before", MINUTES, MINUTES, 0, {}, MINUTES],
  ["hardly anything: later", MINUTES, MINUTES, 0.04, {}, 90_000],
  ["some: as before", MINUTES, MINUTES, 0.1, {}, MINUTES],
  ["a quarter: as before", MINUTES, MINUTES, 0.25, {}, MINUTES],
  ["more: sooner", MINUTES, MINUTES, 0.5, {}, 30_000],
  ["nearly all: ten times sooner", 2 * MINUTES, 2 * MINUTES, 0.95, {}, 12_000],
  ["not sooner than ten seconds", 10_000, 10_000, 0.9, {}, 10_000],
  ["not later than twelve hours", 11 * HOURS, 11 * HOURS, 0.01, {}, 12 * HOURS],
  ["looked at before its time: counts for more", 30_000, MINUTES, 0.2, {}, 36_000],
  ["as it is set", MINUTES, MINUTES, 0.5, { intervalMs: 7000 }, 7000],
  ["at most as it is set", MINUTES, MINUTES, 0.04, { maxIntervalMs: 70_000 }, 70_000],
])("%s", (_name, actual, expected, ratio, config, interval) => {
  expect(gcInterval(actual, expected, ratio, { ...FOUND, ...config })).toBe(interval);
});
