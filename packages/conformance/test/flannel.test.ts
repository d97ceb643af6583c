import { flannel } from "@cnilab/flannel";
import { describe, expect, test } from "vitest";
import { type CheckResult, conformance } from "../src/index.ts";

const families = { IPv4: [4], IPv6: [6], "dual-stack": [4, 6] } as const;
const variants = [
  { backend: "vxlan" },
  { backend: "vxlan", directRouting: true },
  { backend: "vxlan", nftables: true },
  { backend: "host-gw" },
  { backend: "wireguard" },
  // These two have no IPv6 in Flannel.
  { backend: "udp", only: "IPv4" },
  { backend: "ipip", only: "IPv4" },
] as const;

describe.each(
  variants.flatMap(({ ...variant }) => {
    const { only, ...options } = { only: undefined, ...variant };
    return Object.entries(families)
      .filter(([name]) => only === undefined || name === only)
      .map(([name, ipFamilies]) => ({
        name: `${JSON.stringify(options)}, ${name}`,
        options,
        ipFamilies,
      }));
  }),
)("flannel $name", async ({ options, ipFamilies }) => {
  const results: CheckResult[] = [];
  for await (const result of conformance({ model: flannel, options, ipFamilies }))
    results.push(result);
  test.each(results)("$name", ({ problems }) => {
    expect(problems.slice(0, 5)).toEqual([]);
  });
});
