import { expect, test } from "vitest";
import { parseRule } from "./parsed-rules.ts";
import { splitWords } from "./words.ts";

const FORWARD = { table: "filter", chain: "FORWARD" };

test.each([
  ["-s 10.244.0.0/16 -j ACCEPT", true],
  ['-m conntrack --ctstate NEW -m comment --comment "a b" -j KUBE-SERVICES', true],
  // What it counts is the set's.
  ["-m set --match-set addresses src -j ACCEPT", true],
  // Each rule has a bucket, or a counter, of its own.
  ["-m limit --limit 1/sec -j ACCEPT", false],
  ["-m statistic --mode nth --every 2 --packet 0 -j ACCEPT", false],
])("%s is read once: %s", (text, once) => {
  const [first, second] = [1, 2].map(() => parseRule(4, splitWords(text), FORWARD));
  expect(first === second).toBe(once);
});

test("what was read for one place or family is not taken for another", () => {
  const words = splitWords("-o eth0 -j ACCEPT");
  const read = parseRule(4, words, FORWARD);
  expect(parseRule(6, words, FORWARD)).not.toBe(read);
  expect(() => parseRule(4, words, { table: "filter", chain: "INPUT" })).toThrow();
});

test("rules that nobody asks for again are let go, and read anew", () => {
  const words = splitWords("-d 10.0.0.1/32 -j ACCEPT");
  const read = parseRule(4, words, FORWARD);
  for (let mark = 1; mark < 2000; mark++) {
    parseRule(4, ["-m", "mark", "--mark", String(mark), "-j", "ACCEPT"], FORWARD);
  }
  const again = parseRule(4, words, FORWARD);
  expect(again).not.toBe(read);
  expect(again.rules.map(({ text }) => text)).toEqual(read.rules.map(({ text }) => text));
});
