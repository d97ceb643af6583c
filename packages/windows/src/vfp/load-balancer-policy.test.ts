import { SeededRandom } from "@cnilab/core";
import { IPPROTO_TCP, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import type { FlowTuple } from "./flow-tuple.ts";
import { type Distribution, LoadBalancerPolicy } from "./load-balancer-policy.ts";

const DIPS = ["10.244.1.5", "10.244.2.5", "10.244.3.5"].map((a) => ({
  address: parseIp(a),
  port: 8080,
}));

function policyOf(distribution: Distribution, dips = DIPS): LoadBalancerPolicy {
  const fields = { dsr: true, sourceVip: undefined, origin: undefined };
  return new LoadBalancerPolicy({ id: "x", dips, distribution, ...fields });
}

function tuple(src: number, srcPort: number): FlowTuple {
  return { protocol: IPPROTO_TCP, src, srcPort, dst: parseIp("10.96.0.10"), dstPort: 80 };
}

/** Chi-square of 3 equally likely endpoints; below 13.8 in 999 of 1,000 seeds. */
function chiSquare(distribution: Distribution, tuples: readonly FlowTuple[]): number {
  const policy = policyOf(distribution);
  const counts = DIPS.map((dip) => tuples.filter((t) => policy.choose(t) === dip).length);
  const expected = tuples.length / DIPS.length;
  return counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
}

test("spreads flows of one client evenly, and clients where affinity is asked for", () => {
  const random = new SeededRandom(7);
  const client = parseIp("10.244.9.9") as number;
  const flows = Array.from({ length: 3000 }, () => tuple(client, 1024 + random.below(60_000)));
  const clients = Array.from({ length: 3000 }, () => tuple(random.uint32(), 50_000));
  expect(chiSquare("5-tuple", flows)).toBeLessThan(13.8);
  expect(chiSquare("source-ip", clients)).toBeLessThan(13.8);
});

test.each([
  { distribution: "source-ip" as const, endpoints: 1 },
  { distribution: "5-tuple" as const, endpoints: 3 },
])("$distribution: a client meets $endpoints endpoints", ({ distribution, endpoints }) => {
  const policy = policyOf(distribution);
  const chosen = Array.from({ length: 50 }, (_, i) => policy.choose(tuple(42, 50_000 + i)));
  expect(new Set(chosen).size).toBe(endpoints);
});

test("flows outlive a change as long as their endpoint stays", () => {
  const first = policyOf("5-tuple");
  const second = policyOf("5-tuple", DIPS.slice(0, 2));
  first.replaceBy(second);
  const to = (i: number): FlowTuple => ({
    ...tuple(1, 1),
    dst: DIPS[i]?.address as number,
    dstPort: 8080,
  });
  expect([0, 1, 2].map((i) => first.serves(to(i)))).toEqual([true, true, false]);
  second.replaceBy(undefined);
  expect(first.serves(to(0))).toBe(false);
});

test("has no endpoint where there is none", () => {
  expect(policyOf("5-tuple", []).choose(tuple(1, 1))).toBeUndefined();
});
