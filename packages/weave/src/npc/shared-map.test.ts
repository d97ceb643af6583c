import * as fc from "fast-check";
import { expect, test } from "vitest";
import { SharedMap } from "./shared-map.ts";

test("any version of a map stays as it was, whatever becomes of it", () => {
  const change = fc.tuple(fc.nat(30), fc.nat(3), fc.option(fc.nat(2), { nil: undefined }));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const versions = [{ map: new SharedMap<number, number>(), wanted: new Map() }];
      for (const [which, key, value] of changes) {
        const of = versions[which % versions.length] as (typeof versions)[number];
        const wanted = new Map<number, number>(of.wanted);
        if (value === undefined) wanted.delete(key);
        else wanted.set(key, value);
        versions.push({
          map: value === undefined ? of.map.delete(key) : of.map.set(key, value),
          wanted,
        });
      }
      for (const { map, wanted } of versions) {
        expect(map.size).toBe(wanted.size);
        expect([...map.values()].sort()).toEqual([...wanted.values()].sort());
        for (let key = 0; key <= 3; key++) expect(map.get(key)).toBe(wanted.get(key));
      }
    }),
  );
});

test("the same change gives the same map, also behind another one", () => {
  const empty = new SharedMap<string, string>();
  const one = empty.set("a", "1");
  const other = empty.set("a", "2");
  expect(empty.set("a", "1")).toBe(one);
  expect(empty.set("a", "2")).toBe(other);
  expect(one.delete("a").set("b", "1")).toBe(one.delete("a").set("b", "1"));
  expect(empty.delete("a")).toBe(empty);
});
