import type { Pod } from "@cnilab/core";
import { expect, test } from "vitest";
import type { ReachMember } from "../reach-members.ts";
import { pairName, samplePairs } from "./pair-sample.ts";

function members(count: number, ports: ReachMember["ports"]): ReachMember[] {
  return Array.from({ length: count }, (_, i) => ({ name: `ns/w${i}`, pod: {} as Pod, ports }));
}

const HTTP = { protocol: "TCP", port: 80 } as const;
const DNS = { protocol: "UDP", port: 53 } as const;

test.each([
  [1, [HTTP], 0, 0],
  [3, [], 0, 0],
  [3, [HTTP], 6, 6],
  [3, [HTTP, DNS, HTTP], 12, 12],
  [32, [HTTP], 992, 992],
  [33, [HTTP], 1056, 1000],
  [500, [HTTP, DNS], 499_000, 1000],
])(
  "%i workloads with ports %j make %i pairs, of which %i are walked",
  (count, ports, of, walked) => {
    const sample = samplePairs(members(count, ports), 1);
    expect([sample.of, sample.pairs.length]).toEqual([of, walked]);
    expect(new Set(sample.pairs.map(pairName)).size).toBe(walked);
    for (const { source, destination } of sample.pairs) expect(source).not.toBe(destination);
    expect(samplePairs(members(count, ports), 1)).toEqual(sample);
  },
);

test("pairs are named as people write them", () => {
  const ends = { source: "a/x", destination: "b/y" };
  expect([HTTP, DNS].map((port) => pairName({ ...ends, ...port }))).toEqual([
    "a/x -> b/y:80",
    "a/x -> b/y:53/UDP",
  ]);
});
