import { expect, test } from "vitest";
import { rfc1123z, timestamp } from "./timestamp.ts";

test.each([
  [0, "2026-01-01T00:00:00Z"],
  [999, "2026-01-01T00:00:00Z"],
  [61_000, "2026-01-01T00:01:01Z"],
  [86_400_000 * 58, "2026-02-28T00:00:00Z"],
  [86_400_000 * 59, "2026-03-01T00:00:00Z"],
  [86_400_000 * (365 * 2 + 59), "2028-02-29T00:00:00Z"],
  [86_400_000 * (365 * 2 + 60), "2028-03-01T00:00:00Z"],
  [86_400_000 * 365 - 1, "2026-12-31T23:59:59Z"],
])("%d ms after the start is %s", (ms, text) => {
  expect(timestamp(ms)).toBe(text);
});

test.each([
  ["2026-01-01T00:00:00Z", "Thu, 01 Jan 2026 00:00:00 +0000"],
  ["2028-02-29T23:59:59.123456789Z", "Tue, 29 Feb 2028 23:59:59 +0000"],
  ["2000-03-01T01:02:03Z", "Wed, 01 Mar 2000 01:02:03 +0000"],
  ["2026-13-01T00:00:00Z", undefined],
  ["yesterday", undefined],
])("%s is %s to Go's RFC1123Z", (text, expected) => {
  expect(rfc1123z(text)).toBe(expected);
});
