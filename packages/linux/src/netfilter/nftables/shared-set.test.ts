import fc from "fast-check";
import { expect, test } from "vitest";
import { Lab } from "../../../test/lab.ts";

const TABLE = `add table ip t
add set ip t s { type ipv4_addr; flags interval; }
add set ip t other { type ipv4_addr; }
add map ip t m { type ipv4_addr : verdict; }`;

function machine(name: string) {
  const [netns] = new Lab().machine(name);
  netns.nftables.apply(TABLE);
  return netns.nftables;
}

test("shared elements are each set's own as soon as it changes them", () => {
  const place = fc.constantFrom("first", "second");
  const change = fc.constantFrom("add", "destroy", "flush", "share");
  const member = fc.constantFrom("10.0.0.0/24", "10.0.1.0/24", "10.0.2.2", "10.0.3.0/25");
  fc.assert(
    fc.property(fc.array(fc.tuple(place, change, member)), (changes) => {
      const tables = { first: machine("first"), second: machine("second") };
      const wanted = { first: new Set<string>(), second: new Set<string>() };
      for (const [name, what, element] of changes) {
        const at = name as "first" | "second";
        const from = at === "first" ? "second" : "first";
        if (what === "share") {
          tables[at].adoptSet("ip", "t", "s", tables[from].shareSet("ip", "t", "s"));
          wanted[at] = new Set(wanted[from]);
        } else if (what === "flush") {
          tables[at].apply("flush set ip t s");
          wanted[at].clear();
        } else {
          tables[at].apply(`${what} element ip t s { ${element} }`);
          if (what === "add") wanted[at].add(element);
          else wanted[at].delete(element);
        }
        for (const each of ["first", "second"] as const) {
          const fresh = machine("fresh");
          for (const one of wanted[each]) fresh.apply(`add element ip t s { ${one} }`);
          expect(tables[each].list()).toBe(fresh.list());
        }
      }
    }),
    { numRuns: 40 },
  );
});

test("shared elements are for sets of their kind", () => {
  const nftables = machine("test");
  const elements = nftables.shareSet("ip", "t", "s");
  expect(() => nftables.adoptSet("ip", "t", "other", elements)).toThrow(RangeError);
  expect(() => nftables.shareSet("ip", "t", "m")).toThrow(RangeError);
  expect(() => nftables.shareSet("ip", "t", "none")).toThrow(RangeError);
});
