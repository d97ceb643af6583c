import { flannel } from "@cnilab/flannel";
import { describe, expect, test } from "vitest";
import { type CheckResult, conformance } from "../src/index.ts";

const families = { IPv4: [4], IPv6: [6], "dual-stack": [4, 6] } as const;
const variants = [
  { backend: "vxlan" },
  { backend: "vxlan", proxyMode: "nftables" },
  { backend: "vxlan", directRouting: true },
  { backend: "vxlan", nftables: true },
  { backend: "vxlan", nftables: true, proxyMode: "nftables" },
  { backend: "host-gw" },
  { backend: "wireguard" },
  // These two have no IPv6 in Flannel.
  { backend: "udp", only: "IPv4" },
  { backend: "ipip", only: "IPv4" },
] as const;

describe.each(
  variants.flatMap(({ ...variant }) => {
    const defaults = { only: undefined, proxyMode: "iptables" as const };
    const { only, proxyMode, ...options } = { ...defaults, ...variant };
    return Object.entries(families)
      .filter(([name]) => only === undefined || name === only)
      .map(([name, ipFamilies]) => ({
        name: `${JSON.stringify(options)}, kube-proxy by ${proxyMode}, ${name}`,
        options,
        ipFamilies,
        proxyMode,
      }));
  }),
)("flannel $name", async ({ options, ipFamilies, proxyMode }) => {
  const results: CheckResult[] = [];
  for await (const result of conformance({ model: flannel, options, ipFamilies, proxyMode })) {
    results.push(result);
  }
  test.each(results)("$name", ({ problems }) => {
    expect(problems.slice(0, 5)).toEqual([]);
  });
});
