import { describe, expect, test } from "vitest";
import { script } from "../../src/index.ts";
import { Model } from "../fuzz/model.ts";
import type { Step, Verdict } from "../fuzz/topology.ts";
import { CASES } from "./cases.ts";
import { generate, SUBJECTS } from "./generate.ts";

/** What the model makes of steps, none of which it may refuse. */
function modelled(steps: readonly Step[]): { features: Set<string>; verdicts: Verdict[] } {
  const model = new Model(steps);
  expect(model.refused).toEqual([]);
  return {
    features: new Set(script(model.network).features),
    verdicts: model.verdicts(),
  };
}

const FEATURE: Readonly<Record<string, string>> = {
  ipip: "ipip devices",
  sit: "sit devices",
  geneve: "geneve devices",
  wireguard: "wireguard devices",
  sctp: "veth devices",
  ipvs: "IPVS",
};

// That the kernel agrees takes a virtual machine: npm run fuzz:vm.
test.each(CASES.map(({ subject, steps }, i) => [i, subject, steps] as const))(
  "case %i (%s) is one that the model takes, and something gets through",
  (_, subject, steps) => {
    const { features, verdicts } = modelled(steps);
    expect(features).toContain(FEATURE[subject]);
    expect(verdicts.some(({ outcome }) => outcome === "connected")).toBe(true);
  },
);

describe.each(SUBJECTS)("random networks about %s", (subject) => {
  test("are taken by the model, and the same for the same seed", () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 8; seed++) {
      const steps = generate(subject, seed, 6);
      const { features, verdicts } = modelled(steps);
      expect(features).toContain(FEATURE[subject]);
      for (const { outcome } of verdicts) outcomes.add(outcome);
      expect(generate(subject, seed, 6)).toEqual(steps);
    }
    expect(outcomes).toContain("connected");
    expect(outcomes.size).toBeGreaterThan(2);
  });
});

// A 6.1 kernel: br_netfilter on r1's bridge puts IPv6 fragments together, ip6_rcv forgets how long they were, and
// IPVS finds the whole too long for the way to the server (__mtu_check_toobig_v6), also the second time.
test("fragments that came by a bridge are too long for a virtual server", () => {
  const steps = generate("ipvs", 2 * 1_000_003 + 5, 12).filter(
    (step) => step.do !== "flow" || (step.flow.protocol === "udp" && step.flow.length === 1400),
  );
  expect(modelled(steps).verdicts).toMatchObject([
    { outcome: "unreachable", errno: "EMSGSIZE", from: "fd00:0:0:c8::1" },
  ]);
});
