import fc from "fast-check";
import { expect, test } from "vitest";
import { memberChanges, type WantedIpSet } from "./ip-sets.ts";

const member = fc.constantFrom("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4");
const set: fc.Arbitrary<WantedIpSet> = fc
  .tuple(fc.uniqueArray(member), fc.option(member, { nil: undefined }))
  .map(([members, except]) => ({ kind: "hash:net", members: new Set(members), except }));

function has({ members, except }: WantedIpSet): Set<string> {
  return new Set([...members].filter((each) => each !== except));
}

test("changes lead from one set to another, each without its exception", () => {
  fc.assert(
    fc.property(fc.option(set, { nil: undefined }), set, (there, wanted) => {
      const before = there === undefined ? new Set<string>() : has(there);
      const { added, removed } = memberChanges(there, wanted);
      expect(added.some((each) => before.has(each))).toBe(false);
      expect(removed.every((each) => before.has(each))).toBe(true);
      for (const each of removed) before.delete(each);
      for (const each of added) before.add(each);
      expect(before).toEqual(has(wanted));
    }),
  );
});
