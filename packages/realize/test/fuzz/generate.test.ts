import { describe, expect, test } from "vitest";
import { featuresOf } from "./features.ts";
import { generate } from "./generate.ts";
import { Model } from "./model.ts";

const TOPOLOGIES = Array.from({ length: 60 }, (_, number) => generate(1_000_003 + number, 12));

describe("random topologies", () => {
  test("are the same for the same seed, and others for others", () => {
    expect(generate(7, 12)).toEqual(generate(7, 12));
    expect(generate(8, 12)).not.toEqual(generate(7, 12));
  });

  test("are data, so that a case can be kept in a file", () => {
    expect(JSON.parse(JSON.stringify(TOPOLOGIES))).toEqual(TOPOLOGIES);
  });

  test("all send something: flows, or frames by hand", () => {
    for (const steps of TOPOLOGIES) {
      const kinds = new Set(steps.map((step) => step.do));
      expect(kinds.has("flow") !== kinds.has("frame")).toBe(true);
    }
  });

  test("give no address of a subnet to two macvlans", () => {
    for (const steps of TOPOLOGIES) {
      const places = steps.flatMap((s) => (s.do === "macvlan" ? [`${s.subnet} ${s.host}`] : []));
      expect(new Set(places).size).toBe(places.length);
    }
  });

  test("have few steps that the model refuses", () => {
    const steps = TOPOLOGIES.flat().length;
    const refused = TOPOLOGIES.flatMap((topology) => new Model(topology).refused);
    expect(refused.length).toBeLessThan(steps / 50);
  });

  test.each([
    "cable",
    "lan",
    "vxlan",
    "macvlan",
    "proxy",
    "hairpin",
    "isolated",
    "route multipath",
    "route blackhole",
    "rule fwmark",
    "iptables user chain",
    "iptables -m set",
    "iptables -m statistic",
    "iptables -j REJECT",
    "iptables -j NETMAP",
    "ipset list:set",
    "nft concatenation",
    "nft interval",
    "nft numgen",
    "nft fib",
    "nft vmap",
    "nft map",
    "kube-proxy iptables",
    "kube-proxy nftables",
    "flow with a spoofed source",
    "flow tcp with a low TTL",
    "flow udp in fragments",
    "frame in fragments",
  ])("some have the feature %s", (feature) => {
    expect(TOPOLOGIES.flat().flatMap(featuresOf)).toContain(feature);
  });
});
