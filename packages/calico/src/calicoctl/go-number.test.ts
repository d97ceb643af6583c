import { expect, test } from "vitest";
import { fiveDigits, wholeNumber } from "./go-number.ts";

// What fmt.Sprintf("%.5g", value) gives; the fifth and sixth stand in calicoctl's own tests.
test.each([
  [0, "0"],
  [5, "5"],
  [64, "64"],
  [65531, "65531"],
  [65536, "65536"],
  [2 ** 80, "1.2089e+24"],
  [131_072, "1.3107e+05"],
  [100_000, "1e+05"],
  [99_999, "99999"],
  [1_048_576, "1.0486e+06"],
])("%s is %s", (value, text) => {
  expect(fiveDigits(value)).toBe(text);
});

test.each([
  [0, "0"],
  [37.5, "38"],
  [62.5, "62"],
  [0.5, "0"],
  [1.5, "2"],
  [99.6, "100"],
  [7.8125, "8"],
])("%s is about %s", (value, text) => {
  expect(wholeNumber(value)).toBe(text);
});
