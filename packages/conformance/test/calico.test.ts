import { calico } from "@cnilab/calico";
import { describe, expect, test } from "vitest";
import { type CheckResult, conformance } from "../src/index.ts";

const families = { IPv4: [4], IPv6: [6], "dual-stack": [4, 6] } as const;
type Families = keyof typeof families;
const variants: readonly {
  readonly options: Readonly<Record<string, string | boolean>>;
  readonly proxyMode: "iptables" | "nftables" | "ipvs";
  readonly family: Families;
}[] = [
  { options: { encapsulation: "VXLAN" }, proxyMode: "iptables", family: "IPv4" },
  {
    options: { encapsulation: "VXLAN", dataplane: "Nftables" },
    proxyMode: "nftables",
    family: "dual-stack",
  },
  { options: { encapsulation: "VXLAN", wireguard: true }, proxyMode: "iptables", family: "IPv6" },
  { options: { encapsulation: "VXLANCrossSubnet" }, proxyMode: "ipvs", family: "IPv4" },
  { options: { encapsulation: "IPIP" }, proxyMode: "iptables", family: "IPv4" },
  {
    options: { encapsulation: "IPIPCrossSubnet", bgp: "reflectors" },
    proxyMode: "nftables",
    family: "IPv4",
  },
  { options: { encapsulation: "None" }, proxyMode: "iptables", family: "dual-stack" },
  {
    options: { encapsulation: "None", ipam: "host-local", dataplane: "Nftables" },
    proxyMode: "ipvs",
    family: "IPv6",
  },
];

describe.each(
  variants.map((v) => ({
    ...v,
    name: `${JSON.stringify(v.options)}, kube-proxy by ${v.proxyMode}, ${v.family}`,
  })),
)("calico $name", async ({ options, proxyMode, family }) => {
  const results: CheckResult[] = [];
  const ipFamilies = families[family];
  for await (const result of conformance({ model: calico, options, ipFamilies, proxyMode })) {
    results.push(result);
  }
  test.each(results)("$name", ({ problems }) => {
    expect(problems.slice(0, 5)).toEqual([]);
  });
});
