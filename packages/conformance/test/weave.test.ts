import { weave } from "@cnilab/weave";
import { describe, expect, test } from "vitest";
import { type CheckResult, conformance } from "../src/index.ts";

// Weave has no IPv6.
const variants = [
  { options: {}, proxyMode: "iptables" },
  { options: { fastdp: false }, proxyMode: "iptables" },
  { options: { encryption: "secret" }, proxyMode: "iptables" },
  { options: { encryption: "secret", fastdp: false }, proxyMode: "iptables" },
  { options: { "ipalloc-range": "10.9.0.0/24" }, proxyMode: "nftables" },
  { options: { "expect-npc": false, "no-masq-local": false }, proxyMode: "ipvs" },
] as const;

describe.each(
  variants.map((v) => ({
    ...v,
    name: `${JSON.stringify(v.options)}, kube-proxy by ${v.proxyMode}`,
  })),
)("weave $name", async ({ options, proxyMode }) => {
  const results: CheckResult[] = [];
  for await (const result of conformance({ model: weave, options, ipFamilies: [4], proxyMode })) {
    results.push(result);
  }
  test.each(results)("$name", ({ problems }) => {
    expect(problems.slice(0, 5)).toEqual([]);
  });
});
