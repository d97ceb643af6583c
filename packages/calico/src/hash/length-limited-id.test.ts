import { describe, expect, test } from "vitest";
import { lengthLimitedId } from "./length-limited-id.ts";

describe("lengthLimitedId", () => {
  test.each([
    ["a short one stays", "cali-", "eth0", 10, "cali-eth0"],
    ["one that just fits stays", "cali-", "eth0", 9, "cali-eth0"],
    [
      "a longer one is hashed",
      "cali-",
      "aaaaaaaaaaaaaaaaaaaaaaaa",
      28,
      "cali-_CfYfjZzWXmoMJYCHxIW2KT",
    ],
    [
      "one that fits and looks hashed is hashed",
      "cali-",
      "_aaaaaaaaaaaaaaaaaaaaaa",
      28,
      "cali-_uLgwaQGbUVq5JvxdoXCkxA",
    ],
    ["nothing is an underscore", "cali-", "", 28, "cali-_"],
    ["bytes count, not characters", "c-", "ééé", 8, "c-ééé"],
  ])("%s", (_, prefix, suffix, max, want) => {
    expect(lengthLimitedId(prefix, suffix, max)).toBe(want);
  });

  test("no room for a hash is said", () => {
    expect(() => lengthLimitedId("cali-", "abcdef", 6)).toThrow(
      "6 characters hold no id after cali-: give at least 7",
    );
  });
});
