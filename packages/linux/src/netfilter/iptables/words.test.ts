import fc from "fast-check";
import { expect, test } from "vitest";
import { quoteWord, splitWords } from "./words.ts";

test.each<[line: string, words: string[]]>([
  ["", []],
  ["  ", []],
  [" a  b\tc ", ["a", "b", "c"]],
  ['a "b c" d', ["a", "b c", "d"]],
  ['a "" b', ["a", "", "b"]],
  ['a"b c"d', ["ab cd"]],
  ['"a\\"b" "c\\\\d" "e\\f"', ['a"b', "c\\d", "ef"]],
  ["a\\b 'c d'", ["a\\b", "'c", "d'"]],
])("%j has the words %j", (line, words) => {
  expect(splitWords(line)).toEqual(words);
});

test.each(['"', 'a "b', 'a "b\\"', '"a" b"'])("%j has an open quote", (line) => {
  expect(() => splitWords(line)).toThrow("quote not closed");
});

test("what is quoted is read as it was", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (words) => {
      expect(splitWords(words.map(quoteWord).join(" "))).toEqual(words);
    }),
  );
});
