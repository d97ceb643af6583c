import { IPPROTO_TCP, IPPROTO_UDP, type IpAddress, parseIp, parsePrefix } from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { FlowTuple } from "./flow-tuple.ts";
import { VfpGroup } from "./vfp-group.ts";
import { type VfpCondition, VfpRule } from "./vfp-rule.ts";

const addresses = ["10.0.0.1", "10.0.0.2", "10.1.0.1", "fd00::1"].map(parseIp);
const prefixes = ["10.0.0.0/16", "10.0.0.1/32", "10.0.0.2/32", "fd00::/64", "fd00::1/128"].map(
  parsePrefix,
);
const ports = [0, 80, 443];
const protocols = [IPPROTO_TCP, IPPROTO_UDP];

const some = <T>(all: readonly T[]) =>
  fc.option(fc.subarray([...all], { minLength: 1 }), { nil: undefined });

const condition: fc.Arbitrary<VfpCondition> = fc
  .record({
    protocols: some(protocols),
    destinations: some(prefixes),
    destinationPorts: some(ports),
    sources: fc.option(fc.constant([parsePrefix("10.0.0.0/8")]), { nil: undefined, freq: 1 }),
  })
  .map(
    (c) => Object.fromEntries(Object.entries(c).filter(([, v]) => v !== undefined)) as VfpCondition,
  );

const tuple: fc.Arbitrary<FlowTuple> = fc.record({
  protocol: fc.constantFrom(...protocols),
  src: fc.constantFrom<IpAddress>(...addresses),
  srcPort: fc.constantFrom(...ports),
  dst: fc.constantFrom<IpAddress>(...addresses),
  dstPort: fc.constantFrom(...ports),
});

test("finds by hashing what a look at every rule in order finds, with the same count", () => {
  const rule = fc.record({ priority: fc.integer({ min: 1, max: 3 }), condition });
  fc.assert(
    fc.property(
      fc.array(rule, { maxLength: 12 }),
      fc.array(tuple, { maxLength: 8 }),
      (rows, asked) => {
        const group = new VfpGroup("L", "G", "OUT");
        for (const [i, r] of rows.entries()) {
          group.add(new VfpRule(`r${i}`, r.priority, r.condition, { type: "allow" }));
        }
        for (const each of asked) {
          const at = group.rules.findIndex((r) => r.matches(each));
          const expected = at < 0 ? undefined : { rule: group.rules[at]?.name, evaluated: at + 1 };
          const found = group.match(each);
          const got = found && { rule: found.rule.name, evaluated: found.evaluated };
          expect(got).toEqual(expected);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("keeps order of priority, then of age, and forgets what was taken out", () => {
  const group = new VfpGroup("L", "G", "IN");
  const [late, first, second] = [
    new VfpRule("late", 9, {}, { type: "block" }),
    new VfpRule("first", 1, {}, { type: "allow" }),
    new VfpRule("second", 1, {}, { type: "allow" }),
  ] as const;
  for (const rule of [late, first, second]) group.add(rule);
  expect(group.rules).toEqual([first, second, late]);
  expect(first.location).toBe("VFP layer L, group G");
  group.remove(first);
  expect(group.rules).toEqual([second, late]);
});
