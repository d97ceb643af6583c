import fc from "fast-check";
import { expect, test } from "vitest";
import { DATA_TYPES } from "./data-type.ts";
import { type ElementKey, SetElements, type StoredElement } from "./set-elements.ts";

const ADDRESS = [{ type: DATA_TYPES.ipv4_addr, bits: 32 }];

function element(from: number, to: number): StoredElement {
  return {
    key: { from: [BigInt(from)], to: [BigInt(to)] },
    data: undefined,
    dataWords: undefined,
    verdict: undefined,
    target: -1,
    timeoutMs: undefined,
    expires: Number.POSITIVE_INFINITY,
    comment: undefined,
    stateful: [],
  };
}

function holds({ key }: StoredElement, from: bigint, to: bigint): boolean {
  const [first, last] = [key?.from[0] as bigint, key?.to[0] as bigint];
  return first <= to && from <= last;
}

test("intervals are found as in a list of them, whatever was done before", () => {
  const end = fc.nat({ max: 40 });
  const step = fc.tuple(fc.constantFrom("put", "put", "delete", "undo", "share"), end, end);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let elements = new SetElements(ADDRESS, true);
      let list: StoredElement[] = [];
      const earlier: { elements: SetElements; list: StoredElement[] }[] = [];
      for (const [what, x, y] of steps) {
        const one = element(Math.min(x, y), Math.max(x, y));
        const { from, to } = one.key as ElementKey;
        const others = list.filter((each) => holds(each, from[0] as bigint, to[0] as bigint));
        const same = others.find(({ key }) => key?.from[0] === from[0] && key?.to[0] === to[0]);
        expect(elements.get(one.key)).toBe(same);
        const overlapping = elements.overlapping(one.key as ElementKey);
        expect(new Set(overlapping)).toEqual(new Set(others.filter((each) => each !== same)));
        const journal: (() => void)[] = [];
        if (what === "undo") elements.journal = journal;
        if (what === "share") {
          earlier.push({ elements, list });
          elements = elements.share();
        } else if (what === "delete") {
          expect(elements.delete(one.key)).toBe(same !== undefined);
          list = list.filter((each) => each !== same);
        } else if (overlapping.length === 0) {
          elements.put(one);
          if (what === "put") list = [...list.filter((each) => each !== same), one];
          else for (const undo of journal.reverse()) undo();
        }
        elements.journal = undefined;
        for (const at of [...earlier, { elements, list }]) {
          expect(new Set(at.elements.all())).toEqual(new Set(at.list));
          for (let key = 0; key <= 41; key++) {
            const wanted = at.list.find((each) => holds(each, BigInt(key), BigInt(key)));
            expect(at.elements.find(Uint32Array.of(key), 0, 0)).toBe(wanted);
          }
        }
      }
    }),
    { numRuns: 50 },
  );
});
