import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, Network, NF_ACCEPT, NFPROTO_IPV4, Trace } from "@cnilab/linux";
import { expect, test } from "vitest";
import { traceHops } from "./hops.ts";

/** Rules as `CHAIN: effect`, in the order in which a packet met them. */
test.each([
  { rules: ["INPUT: ACCEPT"], shown: ["INPUT: ACCEPT"] },
  { rules: ["INPUT: jump A"], shown: [] },
  { rules: ["INPUT: jump A", "A: RETURN", "INPUT: ACCEPT"], shown: ["INPUT: ACCEPT"] },
  {
    rules: ["INPUT: jump A", "A: jump B", "A: mark 0x4000", "INPUT: jump C"],
    shown: ["INPUT: jump A", "A: mark 0x4000"],
  },
  {
    rules: ["INPUT: goto A", "A: jump B", "B: DROP"],
    shown: ["INPUT: goto A", "A: jump B", "B: DROP"],
  },
  { rules: ["INPUT: jump A", "hook", "A: DROP"], shown: ["A: DROP"] },
])("of $rules, $shown led somewhere", ({ rules, shown }) => {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const base = { netns: new Kernel(network, "node1").initNs, packet: 0 };
  const trace = new Trace();
  for (const text of rules) {
    const [chain, effect = ""] = text.split(": ");
    const rule = { location: `filter ${chain}`, text: "", origin: undefined };
    trace.steps.push(
      text === "hook"
        ? {
            kind: "hook",
            ...base,
            family: NFPROTO_IPV4,
            hook: 1,
            table: "",
            verdict: NF_ACCEPT,
            evaluated: 1,
          }
        : { kind: "rule", ...base, rule, effect, evaluated: 1 },
    );
  }
  const kept = traceHops(trace).flatMap((hop) => hop.steps.filter((s) => !s.idle));
  expect(
    kept.flatMap(({ step }) =>
      step.kind === "rule" ? [`${step.rule.location.slice(7)}: ${step.effect}`] : [],
    ),
  ).toEqual(shown);
});
