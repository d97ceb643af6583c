import type { Node } from "@cnilab/core";
import { parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import type { IPPoolSpec } from "../../api/v3/ip-pool.ts";
import { RouteType, type RouteUpdate } from "../messages.ts";
import { blockRoutes } from "./block-routes.ts";
import { L3Routes } from "./l3-routes.ts";
import { nodeFacts } from "./node-facts.ts";
import { poolFacts } from "./pool-facts.ts";
import { routeUpdates } from "./route-update.ts";

// felix/calc/l3_route_resolver.go; what vectors/calico/routes does not have.

const { LOCAL_WORKLOAD, REMOTE_WORKLOAD, LOCAL_HOST, REMOTE_HOST, LOCAL_TUNNEL, REMOTE_TUNNEL } =
  RouteType;

function node(name: string, annotations: Readonly<Record<string, string>>): Node {
  const prefixed = Object.entries(annotations).map(([k, v]) => [`projectcalico.org/${k}`, v]);
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, annotations: Object.fromEntries(prefixed) },
  };
}

/** Blocks as `CIDR NODE`, with `ADDRESS=NODE` for each that another node has, by ordinal. */
function block(text: string) {
  const [cidr = "", affinity = "-", ...others] = text.split(" ");
  const nodes = others.map((o) => o.split("=") as [string, string]);
  return blockRoutes({
    apiVersion: "projectcalico.org/v3",
    kind: "IPAMBlock",
    metadata: { name: cidr },
    spec: {
      cidr,
      ...(affinity !== "-" && { affinity: `host:${affinity}` }),
      allocations: Array.from({ length: 4 }, (_, ordinal) => {
        const at = nodes.findIndex(([o]) => Number(o) === ordinal);
        return at < 0 ? null : at;
      }),
      unallocated: [],
      attributes: nodes.map(([, n]) => ({ secondary: { node: n } })),
    },
  });
}

const A = node("a", { IPv4Address: "172.18.0.2/24", IPv4VXLANTunnelAddr: "10.0.0.0" });
const B = node("b", { IPv4Address: "172.18.0.3/24", IPv4VXLANTunnelAddr: "10.0.0.4" });

function updates(
  nodes: readonly Node[],
  pools: readonly IPPoolSpec[],
  blocks: readonly string[],
  workloads: readonly string[] = [],
): Map<string, RouteUpdate> {
  const facts = pools.map((spec, i) =>
    poolFacts({
      apiVersion: "projectcalico.org/v3",
      kind: "IPPool",
      metadata: { name: `pool${i}` },
      spec,
    }),
  );
  const routes = new L3Routes(
    nodes.map((n) => nodeFacts(n)),
    facts.filter((f) => f !== undefined),
    blocks.map(block),
  );
  const own = workloads.map((dst) => ({ dst: parsePrefix(dst), node: "a" }));
  return new Map(routeUpdates(routes, "a", own).map((u) => [u.dst, u]));
}

const VXLAN: IPPoolSpec = { cidr: "10.0.0.0/24", vxlanMode: "Always" };

describe("what node a is told of an address", () => {
  test.each<[string, string, Partial<RouteUpdate> | undefined]>([
    ["a block of its own", "10.0.0.0/30", { types: LOCAL_WORKLOAD, dstNodeName: "a" }],
    ["another's block", "10.0.0.4/30", { types: REMOTE_WORKLOAD, dstNodeIp: "172.18.0.3" }],
    // The block around a tunnel's address does not make it a pod's.
    ["its own tunnel", "10.0.0.0/32", { types: LOCAL_TUNNEL, tunnelType: { vxlan: true } }],
    ["another's tunnel", "10.0.0.4/32", { types: REMOTE_TUNNEL }],
    [
      "an address of its block that b has",
      "10.0.0.1/32",
      { types: LOCAL_WORKLOAD | REMOTE_WORKLOAD, dstNodeName: "b", borrowed: true },
    ],
    [
      "an address of b's block that it has",
      "10.0.0.5/32",
      { types: LOCAL_WORKLOAD | REMOTE_WORKLOAD, dstNodeName: "a", borrowed: true },
    ],
    ["a pod of its own", "10.0.0.2/32", { types: LOCAL_WORKLOAD, localWorkload: true }],
    ["itself", "172.18.0.2/32", { types: LOCAL_HOST, ipPoolType: "NONE" }],
    ["b", "172.18.0.3/32", { types: REMOTE_HOST, dstNodeName: "b" }],
    ["the pool", "10.0.0.0/24", { types: 0, ipPoolType: "VXLAN" }],
    ["nobody's", "10.0.0.8/32", undefined],
  ])("%s: %s", (_, dst, expected) => {
    const blocks = ["10.0.0.0/30 a 1=b 2=a", "10.0.0.4/30 b 1=a"];
    const update = updates([A, B], [VXLAN], blocks, ["10.0.0.2/32"]).get(dst);
    if (expected === undefined) expect(update).toBeUndefined();
    else expect(update).toMatchObject(expected);
  });
});

test("a block of one address with a tunnel's in it is routed to as a pod's", () => {
  const sent = updates([A, B], [VXLAN], ["10.0.0.4/32 b"]);
  expect(sent.get("10.0.0.4/32")?.types).toBe(REMOTE_TUNNEL | REMOTE_WORKLOAD);
});

test("a tunnel's address out of another node's block is borrowed", () => {
  const sent = updates([A, B], [VXLAN], ["10.0.0.4/30 a"]);
  expect(sent.get("10.0.0.4/32")).toMatchObject({ types: REMOTE_TUNNEL, borrowed: true });
});

test.each([
  ["172.18.0.2/24", true],
  ["172.18.0.2/32", false],
])("CrossSubnet goes by the mask of the node's own address: %s", (address, expected) => {
  const a = node("a", { IPv4Address: address });
  const pools = [{ cidr: "10.0.0.0/24", ipipMode: "CrossSubnet" } as const];
  const sent = updates([a, B], pools, ["10.0.0.4/30 b"]);
  expect(sent.get("10.0.0.4/30")?.sameSubnet ?? false).toBe(expected);
});

test.each<[string, Partial<IPPoolSpec>, string]>([
  ["VXLAN", { vxlanMode: "CrossSubnet" }, "VXLAN"],
  ["IPIP", { ipipMode: "Always" }, "IPIP"],
  ["none", {}, "NO_ENCAP"],
  ["none, for load balancers alone", { allowedUses: ["LoadBalancer"] }, "NONE"],
])("the type of a pool: %s", (_, spec, type) => {
  const sent = updates([A], [{ cidr: "10.0.0.0/24", ...spec }], []);
  expect(sent.get("10.0.0.0/24")?.ipPoolType).toBe(type);
});

test("a node that calico-node has not written to is known by the kubelet's address", () => {
  const plain: Node = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "b" },
    status: { addresses: [{ type: "InternalIP", address: "172.18.0.9" }] },
  };
  const sent = updates([A, plain], [VXLAN], ["10.0.0.4/30 b"]);
  expect(sent.get("10.0.0.4/30")?.dstNodeIp).toBe("172.18.0.9");
});

test("with host-local IPAM tunnels have the second address of the node's range", () => {
  const facts = nodeFacts(
    { ...A, spec: { podCIDR: "10.1.2.0/24", podCIDRs: ["10.1.2.0/24"] } },
    true,
  );
  expect(facts.ipipAddress).toBe(0x0a010201);
  expect(facts.podCidrs.map(String)).toEqual(["10.1.2.0/24"]);
});
