// Clusters on Weave as a user asks about them: its options, the shop by each overlay.
import { describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const set = (...settings: readonly string[]) => settings.flatMap((s) => ["--cni-set", s]);

describe("the shop", () => {
  test.each<[string, readonly string[], RegExp]>([
    ["by fastdp", [], /vxlan-6784 wraps it: VXLAN VNI \d+/],
    ["by sleeve", set("fastdp=false"), /vethwe-pcap wraps\s+it: sleeve/],
    ["encrypted", set("encryption=secret"), /./],
    ["encrypted by sleeve", set("encryption=secret", "fastdp=false"), /./],
    ["without weave-npc", set("expect-npc=false"), /./],
    ["with nftables", ["--proxy-mode", "nftables"], /by kube-proxy v\S+ \(nftables/],
    ["in another range", set("ipalloc-range=10.9.0.0/24"), /pods in 10\.9\.0\.0\/25/],
  ])("answers %s", async (_, options, expected) => {
    const { stdout, stderr, status } = await cnilab(["run", "--cni", "weave", ...options]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/12 of 12 answer/);
    expect(stdout).toMatch(expected);
  });
});

test("a trace goes by bridge, datapath and tunnel of both nodes, and shows who decides", async () => {
  const { stdout, status } = await cnilab([
    ...["trace", "shop/deploy/cart", "orders.shop-data:5432", "--cni", "weave"],
  ]);
  expect(status).toBe(0);
  for (const part of ["weave", "vethwe-bridge", "WEAVE-NPC-EGRESS", "WEAVE-NPC-DEFAULT"]) {
    expect(stdout).toContain(part);
  }
});

test.each(["1500", "65535"])(
  "sleeve carries where an MTU of %s is too long for fastdp",
  async (mtu) => {
    const { stdout, status } = await cnilab([
      ...["weave", "status", "connections", "--node", "node1", ...set(`mtu=${mtu}`)],
    ]);
    expect(status).toBe(0);
    expect(stdout.match(/ established +sleeve .* mtu=1438$/gm)).toHaveLength(2);
  },
);

describe("--cni-set", () => {
  test.each<[string, string]>([
    ["ipalloc-range=fd00::/64", "fd00::/64 is IPv6, which Weave has not"],
    ["ipalloc-range=10.96.0.0/16", "10.96.0.0/16 overlaps Service range 10.96.0.0/12"],
    ["ipalloc-range=10.9.0.0/31", "10.9.0.0/31 has no room for pods; choose one of /30 or larger"],
    ["ipalloc-range=10.9.0.1/24", "10.9.0.1/24 has bits behind its mask; write 10.9.0.0/24"],
    ["ipalloc-range=x", "x is no range; write it as 10.32.0.0/12"],
    ["ipalloc-range=", '"" is no range; write it as 10.32.0.0/12'],
    [
      "ipalloc-range=224.0.0.0/8",
      "224.0.0.0/8 has addresses for multicast; choose a range for hosts",
    ],
    ["ipalloc-init=seed=foo", '"foo" is no peer\'s name'],
    ["ipalloc-init=consensus=x", "consensus=x names no number of nodes"],
    ["ipalloc-init=observer=1", 'there is no mode "observer=1"'],
    ["mtu=10", "an MTU of 10 cannot be; give 576 to 65535"],
    ["conn-limit=-1", "-1 connections cannot be; give 0 for any number"],
    ["trusted-subnets=x", "x is no subnet"],
    ["trusted-subnets=10.0.0.0/8,,10.1.0.0/16", '"" is no subnet; write it as 192.168.0.0/16'],
    ["encryption=", "an empty password encrypts nothing"],
    ["fastdp=maybe", 'fastdp must be true or false, not "maybe"'],
    ["sleeve=true", 'weave has no option "sleeve"'],
  ])("refuses %s", async (setting, message) => {
    const { stdout, stderr, status } = await cnilab(["run", "--cni", "weave", ...set(setting)]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  test.each(["ipv6", "ipv4,ipv6"])("has no IPv6: %s", async (families) => {
    const { stderr, status } = await cnilab(["run", "--cni", "weave", "--ip-families", families]);
    expect([status, stderr]).toEqual([
      2,
      "cnilab: --ip-families: Weave has no IPv6; use ipv4 alone\n",
    ]);
  });
});

describe("warns", () => {
  test.each<[string, readonly string[], RegExp]>([
    [
      "of policies that nobody enforces",
      set("expect-npc=false"),
      /NetworkPolicy .* not enforced: this CNI has no engine for it/,
    ],
    [
      "of a range of pods that is none",
      ["--cluster-cidr", "10.50.0.0/16"],
      /addresses of 10\.32\.0\.0\/12, not of --cluster-cidr 10\.50\.0\.0\/16/,
    ],
    [
      "of peers that wait for ever",
      set("ipalloc-init=observer"),
      /node1: \d+ of its pods wait for an address: priming/,
    ],
  ])("%s", async (_, options, expected) => {
    const { stdout } = await cnilab(["run", "--cni", "weave", ...options, "-o", "json"]);
    const { warnings } = JSON.parse(stdout) as { readonly warnings: readonly string[] };
    expect(warnings.join("\n")).toMatch(expected);
  });
});
