import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson, fnv32a, nameSuffix, templateHash } from "./name-suffix.ts";

// Values of the FNV reference, http://www.isthe.com/chongo/tech/comp/fnv.
test.each([
  ["", 0x811c9dc5],
  ["a", 0xe40c292c],
  ["foobar", 0xbf9cf968],
])("FNV-1a of %j is %d", (text, hash) => {
  expect(fnv32a(text)).toBe(hash);
});

test("suffixes are five letters of the safe alphabet, and differ from number to number", () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(1e6), (base, n) => {
      expect(nameSuffix(base, n)).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]{5}$/);
      expect(nameSuffix(base, n)).not.toBe(nameSuffix(base, n + 1));
    }),
  );
});

test("a template's hash does not depend on the order of its fields", () => {
  const hash = templateHash({ a: 1, b: { c: [1, 2], d: "x" } });
  expect(templateHash({ b: { d: "x", c: [1, 2] }, a: 1 })).toBe(hash);
  expect(templateHash({ a: 1, b: { c: [2, 1], d: "x" } })).not.toBe(hash);
});

test("canonical JSON reads back as what it was made of", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});
