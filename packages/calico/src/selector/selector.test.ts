import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareUtf8 } from "./compare-utf8.ts";
import { type LabelRestrictions, possibleToSatisfy } from "./label-restrictions.ts";
import type { SelectorNode } from "./node.ts";
import { normaliseSelector, parseSelector, Selector } from "./selector.ts";
import { SelectorError } from "./selector-error.ts";

const label = fc.constantFrom("a", "b", "in", "has", "x.y/z");
const value = fc.constantFrom("", "1", "2", "12", 'q"', "é", "\u{1F600}", "\uFFFD");
const values = fc.array(value, { maxLength: 4 }).map((vs) => [...new Set(vs)].sort(compareUtf8));
/** Any tree that a text can stand for: `&&` and `||` have two operands or more, `!` none of its own kind right below. */
const { tree } = fc.letrec<{ tree: SelectorNode; plain: SelectorNode; many: SelectorNode[] }>(
  (tie) => ({
    tree: fc.oneof(
      { depthSize: "small" },
      tie("plain"),
      tie("plain").map((operand): SelectorNode => ({ op: "!", operand })),
    ),
    plain: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constantFrom<SelectorNode>({ op: "all" }, { op: "global" }),
      label.map((l): SelectorNode => ({ op: "has", label: l })),
      fc
        .tuple(fc.constantFrom("==", "!=", "contains", "starts with", "ends with"), label, value)
        .map(([op, l, v]): SelectorNode => ({ op, label: l, value: v })),
      fc
        .tuple(fc.constantFrom("in", "not in"), label, values)
        .map(([op, l, vs]): SelectorNode => ({ op, label: l, values: vs })),
      fc
        .tuple(fc.constantFrom("&&", "||"), tie("many"))
        .map(([op, operands]): SelectorNode => ({ op, operands })),
    ),
    many: fc.array(tie("tree"), { minLength: 2, maxLength: 3 }),
  }),
);
const labels = fc.dictionary(label, value).map((record) => new Map(Object.entries(record)));

describe("Selector", () => {
  test("its canonical text reads as itself", () => {
    fc.assert(
      fc.property(tree, (root) => {
        const selector = new Selector(root);
        expect(parseSelector(selector.canonical).root).toEqual(root);
      }),
    );
  });

  test("what it matches keeps to its restrictions", () => {
    fc.assert(
      fc.property(tree, labels, (root, of) => {
        const selector = new Selector(root);
        if (selector.matches(of)) expect(broken(selector.restrictions, of)).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });

  test("a prefix before its labels is one before the labels it matches", () => {
    fc.assert(
      fc.property(tree, labels, (root, of) => {
        const selector = new Selector(root);
        const prefixed = new Map([...of].map(([k, v]) => [`pcns.${k}`, v]));
        expect(selector.withLabelPrefix("pcns.").matches(prefixed)).toBe(selector.matches(of));
      }),
    );
  });

  test("any text is read, or refused with a message", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.constantFrom(
              "a",
              "==",
              "!=",
              '"1"',
              "'",
              "(",
              ")",
              "!",
              "&&",
              "||",
              "in",
              "not",
              "{",
              "}",
              ",",
              " ",
              "has(",
              "all()",
            ),
            fc.string(),
          ),
        ),
        (parts) => {
          try {
            parseSelector(parts.join(""));
          } catch (error) {
            expect(error).toBeInstanceOf(SelectorError);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  test.each([
    ["!(a == '1')", '!a == "1"'],
    ["!!has(a)", "has(a)"],
    ["!(!(has(a)))", "!!has(a)"],
    ["a in {'2', '1', '2',}", 'a in {"1", "2"}'],
    ["a in { '\u{1F600}', '\uFFFD' }", 'a in {"\uFFFD", "\u{1F600}"}'],
    ["a not  in{}", "a not in {}"],
    ["a notin{}", "a not in {}"],
    ["", "all()"],
    [
      "in in {'in'} && has( has ) || b startswith '1'",
      '((in in {"in"} && has(has)) || b starts with "1")',
    ],
  ])("%s is %s", (text, canonical) => {
    expect(parseSelector(text).canonical).toBe(canonical);
  });

  test.each([
    ["a starts with b", 'expected operator after label "a"'],
    ["a inn {}", 'expected operator after label "a"'],
    ["a\n== '1'", 'expected operator after label "a"'],
    [`${"a".repeat(513)} == 'b'`, `label too long: ${"a".repeat(513)}`],
    [`${"(".repeat(1001)}all()${")".repeat(1001)}`, "more than 1000 levels of parentheses"],
  ])("refuses %s", (text, message) => {
    expect(() => parseSelector(text)).toThrow(message);
  });

  test("as many levels of parentheses as may be are read and matched", () => {
    const selector = parseSelector(`${"!(".repeat(1000)}has(a)${")".repeat(1000)}`);
    expect(selector.matches(new Map([["a", ""]]))).toBe(true);
    expect(selector.restrictions.size).toBe(0);
  });

  test.each([
    ["  a=='b'  ", 'a == "b"'],
    [" a = b ", "a = b"],
  ])("%s is normalised to %s", (text, want) => {
    expect(normaliseSelector(text)).toBe(want);
  });
});

function broken(restrictions: LabelRestrictions, of: ReadonlyMap<string, string>): boolean {
  return [...restrictions].some(([name, restriction]) => {
    const has = of.get(name);
    return (
      !possibleToSatisfy(restriction) ||
      (restriction.mustBePresent && has === undefined) ||
      (restriction.mustBeAbsent && has !== undefined) ||
      (restriction.values !== undefined && (has === undefined || !restriction.values.has(has)))
    );
  });
}
