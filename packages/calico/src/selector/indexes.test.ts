import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LabelIndex } from "./label-index.ts";
import { parseSelector, type Selector } from "./selector.ts";
import { SelectorIndex } from "./selector-index.ts";

const selector = fc
  .constantFrom(
    "",
    "a == '1'",
    "a in {'1', '2'}",
    "a in {}",
    "a == '1' && a == '2'",
    "a == '1' && b == '2'",
    "a == '1' || b == '2'",
    "has(a) && has(b)",
    "!has(a)",
    "has(a) && !has(a)",
    "a != '1'",
    "a == '1' || a == '2'",
    "b starts with '1'",
    "!(a == '1')",
  )
  .map(parseSelector);
const labels = fc
  .dictionary(fc.constantFrom("a", "b", "c"), fc.constantFrom("1", "2", "12"))
  .map((record): ReadonlyMap<string, string> => new Map(Object.entries(record)));

describe("SelectorIndex", () => {
  test("has every selector that matches among the candidates, each once, and no deleted one", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(selector, fc.boolean())),
        fc.array(labels),
        (selectors, all) => {
          const index = new SelectorIndex<number>();
          for (const [i, [each]] of selectors.entries()) index.add(i, each);
          for (const [i, [, stays]] of selectors.entries()) if (!stays) index.delete(i);
          for (const of of all) {
            const candidates: number[] = [];
            index.forCandidates(of, (i) => candidates.push(i));
            expect(new Set(candidates).size).toBe(candidates.length);
            for (const [i, [each, stays]] of selectors.entries()) {
              if (stays && each.matches(of)) expect(candidates).toContain(i);
              if (!stays) expect(candidates).not.toContain(i);
            }
          }
        },
      ),
    );
  });

  test("asks few of many: those of the label's value, whatever else all of them ask", () => {
    const index = new SelectorIndex<Selector>();
    for (let ns = 0; ns < 1000; ns++) {
      const each = parseSelector(`orchestrator == 'k8s' && has(app) && namespace == 'ns${ns}'`);
      index.add(each, each);
    }
    let asked = 0;
    index.forCandidates(
      [
        ["orchestrator", "k8s"],
        ["namespace", "ns7"],
        ["app", "web"],
      ],
      () => asked++,
    );
    expect(asked).toBeLessThan(5);
  });
});

describe("LabelIndex", () => {
  test("finds what can fulfil a restriction, and counts it", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(labels, fc.boolean())), selector, (items, { restrictions }) => {
        const index = new LabelIndex<number>();
        for (const [i, [each]] of items.entries()) index.add(i, each);
        for (const [i, [, stays]] of items.entries()) if (!stays) index.delete(i);
        expect([...index.items()]).toHaveLength(index.size);
        for (const [label, restriction] of restrictions) {
          if (!restriction.mustBePresent) continue;
          const found: number[] = [];
          index.forMatching(label, restriction, (i) => found.push(i));
          const want = [...items.entries()].filter(([, [each, stays]]) => {
            const value = each.get(label);
            return stays && value !== undefined && (restriction.values?.has(value) ?? true);
          });
          expect(found.sort()).toEqual(want.map(([i]) => i).sort());
          expect(index.countMatching(label, restriction, Number.POSITIVE_INFINITY)).toBe(
            found.length,
          );
        }
      }),
    );
  });
});
