import { expect, test } from "vitest";
import { lineOf } from "./field-line.ts";

const TWO = `# first
%YAML 1.2
---
~ # nothing
---
a:
  b: [1, 2]
... # the end
---
c: |
  --- not here
d: {e: f}
`;

test.each([
  ["the first document with anything in it", TWO, 0, [], 6],
  ["a field", TWO, 0, ["a", "b"], 7],
  ["an item", TWO, 0, ["a", "b", 1], 7],
  ["a field that is not there", TWO, 0, ["a", "x", "y"], 7],
  ["the second document", TWO, 1, ["c"], 10],
  ["behind a text with dashes", TWO, 1, ["d", "e"], 12],
  ["on the line of the separator", "--- {a: b}\n", 0, ["a"], 1],
  ["no such document", TWO, 2, [], undefined],
  ["JSON", '{\n"a": {\n"b": 1}}', 0, ["a", "b"], 3],
  ["line ends of Windows", "a: 1\r\n---\r\nb:\r\n  c: 2\r\n", 1, ["b", "c"], 4],
  ["more than anyone would wait for", `a: ${"x".repeat(3_000_000)}`, 0, ["a"], undefined],
] as const)("%s", (_, text, document, path, line) => {
  expect(lineOf(text, document, path)).toBe(line);
});
