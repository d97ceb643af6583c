import { expect, test } from "vitest";
import { humanDuration } from "./human-duration.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

test.each([
  [450, "Less than a second"],
  [1900, "1 second"],
  [47 * SECOND, "47 seconds"],
  [MINUTE, "About a minute"],
  [3 * MINUTE + 30 * SECOND, "3 minutes"],
  [59 * MINUTE + 59 * SECOND, "59 minutes"],
  [HOUR, "About an hour"],
  [HOUR + 45 * MINUTE, "2 hours"],
  [47 * HOUR, "47 hours"],
  [2 * DAY, "2 days"],
  [13 * DAY, "13 days"],
  [14 * DAY, "2 weeks"],
  [59 * DAY, "8 weeks"],
  [60 * DAY, "2 months"],
  [729 * DAY, "24 months"],
  [730 * DAY, "2 years"],
])("%i ms: %s", (ms, want) => {
  expect(humanDuration(ms)).toBe(want);
});
