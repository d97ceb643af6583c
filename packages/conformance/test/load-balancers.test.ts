import { type CloudOptions, registerBgp, registerCloud, registerLayer2 } from "@cnilab/cloud";
import { type Cluster, createCluster } from "@cnilab/cluster";
import type { DependencyContainer, KubeObject, Service, ServiceSpec } from "@cnilab/core";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { Nic } from "@cnilab/linux";
import { formatIp, type IpFamily, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { pod } from "../src/test-cluster.ts";

type Provider = (root: DependencyContainer) => void;
const passing: Provider = (root) => registerCloud(root);
const translating: Provider = (root) => registerCloud(root, { sourcePreserving: false });
const layer2: Provider = (root) => registerLayer2(root);
const bgp: Provider = (root) => registerBgp(root);

interface Options {
  readonly nodes?: number;
  readonly proxyMode?: "iptables" | "nftables";
  readonly ipFamilies?: readonly IpFamily[];
}

async function cluster(
  provider: Provider,
  objects: readonly KubeObject[],
  { nodes = 3, ...config }: Options = {},
): Promise<Cluster> {
  const made = createCluster({
    nodes,
    config,
    cni: flannel,
    register: (root) => {
      registerKubeProxy(root);
      provider(root);
    },
  });
  made.apply(objects);
  await made.settled();
  return made;
}

const PORTS = [{ name: "http", port: 80, targetPort: 8080 }];
function service(name: string, spec: ServiceSpec = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { type: "LoadBalancer", selector: { app: "echo" }, ports: PORTS, ...spec },
  } as KubeObject;
}
/** Endpoints on node1 and node2 of three nodes. */
const PODS = [pod("a", 1), pod("b", 2)];

function ingress(of: Cluster, name = "web"): NonNullable<Service["status"]>["loadBalancer"] {
  return of.api.get("Service", `default/${name}`)?.status?.loadBalancer;
}
function address(of: Cluster, name = "web", index = 0): string {
  return ingress(of, name)?.ingress?.[index]?.ip ?? "none";
}
function events(of: Cluster, name = "web"): string[] {
  return of.api
    .list("Event")
    .filter((e) => e.involvedObject.name === name)
    .map((e) => `${e.reason}: ${e.message}`);
}
type Protocol = "TCP" | "UDP" | "SCTP";
function ask(of: Cluster, from: string, to: string, port = 80, protocol: Protocol = "TCP") {
  const [source, destination] = [of.endpoint(from), of.endpoint(to)];
  const { verdict, backend, seenAs } = of.connect({
    from: source,
    to: destination,
    port,
    protocol,
  });
  return { verdict, backend, seenAs };
}
/** Who answered so many new connections, and as whom they saw the client. */
function many(of: Cluster, from: string, to: string, count = 24) {
  const answers = Array.from({ length: count }, () => ask(of, from, to));
  const each = (values: readonly (string | undefined)[]) => [...new Set(values)].sort();
  return {
    verdicts: each(answers.map((a) => a.verdict)),
    backends: each(answers.map((a) => a.backend)),
    seenAs: each(answers.map((a) => a.seenAs)),
  };
}

/** How many nodes the cloud's machine sends packets for an address to. */
function targets(of: Cluster, to: string): number {
  const machine = of.network.kernels.get("load-balancer")?.initNs;
  const route = machine?.fib(4).routesTo(parsePrefix(`${to}/32`))[0];
  return route?.type === "unicast" ? route.nexthops.length : 0;
}

describe("a cloud", () => {
  test("gives an address after its latency, and says so", async () => {
    const made = createCluster({
      cni: flannel,
      register: (root) => {
        registerKubeProxy(root);
        registerCloud(root, { latencyMs: 30_000 });
      },
    });
    made.apply([service("web"), ...PODS]);
    made.clock.runUntil(29_999);
    expect([address(made), events(made)]).toEqual([
      "none",
      ["EnsuringLoadBalancer: Ensuring load balancer"],
    ]);
    made.clock.runUntil(30_001);
    expect(ingress(made)?.ingress).toEqual([{ ip: "198.51.100.1", ipMode: "VIP" }]);
    expect(events(made)).toContain("EnsuredLoadBalancer: Ensured load balancer");
  });

  const BOTH = ["default/a", "default/b"];
  const NO_NODE_PORTS: ServiceSpec = { allocateLoadBalancerNodePorts: false };
  const LOCAL: ServiceSpec = { externalTrafficPolicy: "Local" };
  test.each<[string, "iptables" | "nftables", Provider, ServiceSpec, object]>([
    // With policy Cluster, the node that takes the packet gives it its own address.
    ["passing, policy Cluster", "iptables", passing, {}, {}],
    ["passing, policy Cluster", "nftables", passing, {}, {}],
    ["passing, policy Local", "iptables", passing, LOCAL, { seenAs: ["203.0.113.10"] }],
    ["passing, policy Local", "nftables", passing, LOCAL, { seenAs: ["203.0.113.10"] }],
    ["passing, no node ports", "iptables", passing, NO_NODE_PORTS, {}],
    ["translating, policy Local", "iptables", translating, LOCAL, { seenAs: ["192.168.0.3"] }],
    ["translating, policy Cluster", "nftables", translating, {}, {}],
  ])("%s, brings connections to pods by %s", async (_, proxyMode, provider, spec, expected) => {
    const made = await cluster(provider, [service("web", spec), ...PODS], { proxyMode });
    const found = many(made, "internet", address(made));
    expect(found).toMatchObject({ verdicts: ["allowed"], backends: BOTH, ...expected });
  });

  test.each<[string, Provider, boolean]>([
    ["are not seen by a load balancer that passes", passing, false],
    ["go by way of one that translates", translating, true],
  ])("pods that call the address %s", async (_, provider, byLoadBalancer) => {
    const made = await cluster(provider, [service("web", LOCAL), ...PODS]);
    const { verdicts, seenAs } = many(made, "a", address(made));
    expect([verdicts, seenAs.includes("192.168.0.3")]).toEqual([["allowed"], byLoadBalancer]);
  });

  test("the world reaches load balancers, and neither nodes nor pods", async () => {
    const made = await cluster(passing, [service("web"), ...PODS]);
    const pod = made.api.get("Pod", "default/a")?.status?.podIP as string;
    const nodePort = made.api.get("Service", "default/web")?.spec.ports?.[0]?.nodePort as number;
    expect(ask(made, "internet", address(made)).verdict).toBe("allowed");
    expect(ask(made, "internet", address(made), 81).verdict).toBe("unreachable");
    expect(ask(made, "internet", pod, 8080).verdict).toBe("unreachable");
    expect(ask(made, "internet", "192.168.0.11", nodePort).verdict).toBe("unreachable");
  });

  test.each<[string, Provider]>([
    ["passing", passing],
    ["translating", translating],
  ])("serves two protocols by one address (%s)", async (_, provider) => {
    const ports = [
      { name: "tcp", port: 80, targetPort: 8080, protocol: "TCP" as const },
      { name: "udp", port: 80, targetPort: 8080, protocol: "UDP" as const },
    ];
    const made = await cluster(provider, [service("web", { ports }), ...PODS]);
    const verdicts = (["TCP", "UDP", "SCTP"] as const).map(
      (protocol) => ask(made, "internet", address(made), 80, protocol).verdict,
    );
    expect(verdicts).toEqual(["allowed", "allowed", "unreachable"]);
  });

  test.each<[string, Provider]>([
    ["passing", passing],
    ["translating", translating],
  ])("serves both families (%s)", async (_, provider) => {
    const spec = { ipFamilyPolicy: "RequireDualStack" } as const;
    const objects = [service("web", spec), ...PODS];
    const made = await cluster(provider, objects, { ipFamilies: [4, 6] });
    expect([address(made), address(made, "web", 1)]).toEqual(["198.51.100.1", "2001:db8:198::1"]);
    for (const index of [0, 1]) {
      expect(many(made, "internet", address(made, "web", index))).toMatchObject({
        verdicts: ["allowed"],
        backends: ["default/a", "default/b"],
      });
    }
  });

  test.each<[string, Provider, string[], "allowed" | "unreachable"]>([
    ["passing, its own range", passing, ["203.0.113.0/24"], "allowed"],
    ["passing, another range", passing, ["192.0.2.0/24"], "unreachable"],
    ["translating, its own range", translating, ["192.0.2.0/24", "203.0.113.0/24"], "allowed"],
    ["translating, another range", translating, ["192.0.2.0/24"], "unreachable"],
  ])("source ranges: %s", async (_, provider, loadBalancerSourceRanges, verdict) => {
    const made = await cluster(provider, [service("web", { loadBalancerSourceRanges }), ...PODS]);
    expect(ask(made, "internet", address(made)).verdict).toBe(verdict);
  });

  test("a node that is lost leaves after three failed checks, and comes back with the first good one", async () => {
    const made = await cluster(passing, [service("web"), ...PODS]);
    const to = address(made);
    made.stopNode("node3");
    expect(many(made, "internet", to).verdicts).toEqual(["allowed", "unreachable"]);
    made.clock.advance(25_000);
    expect([targets(made, to), many(made, "internet", to).verdicts]).toEqual([2, ["allowed"]]);
    made.startNode("node3");
    made.clock.advance(60_000);
    expect([targets(made, to), many(made, "internet", to).verdicts]).toEqual([3, ["allowed"]]);
  });

  test("with policy Local only nodes with an endpoint are used, and that follows the endpoints", async () => {
    const spec = { externalTrafficPolicy: "Local" } as const;
    const made = await cluster(passing, [service("web", spec), ...PODS]);
    made.delete("Pod", "default/b");
    await made.settled();
    made.clock.advance(10_000);
    expect(many(made, "internet", address(made))).toEqual({
      verdicts: ["allowed"],
      backends: ["default/a"],
      seenAs: ["203.0.113.10"],
    });
  });

  test("a node whose node port does not answer leaves, where that is what is asked", async () => {
    const byNodePort: Provider = (root) => registerCloud(root, { healthCheck: "node-port" });
    const made = await cluster(byNodePort, [service("web"), ...PODS]);
    const to = address(made);
    expect([targets(made, to), many(made, "internet", to).verdicts]).toEqual([3, ["allowed"]]);
    made.delete("Pod", "default/a");
    made.delete("Pod", "default/b");
    await made.settled();
    made.clock.advance(30_000);
    expect(targets(made, to)).toBe(0);
  });

  test("a pool that is used up is told, and a Service that goes gives its address back", async () => {
    const range = { first: 0xc6336401, last: 0xc6336401 };
    const options: Partial<CloudOptions> = { pools: [{ name: "one", ranges: [range] }] };
    const provider: Provider = (root) => registerCloud(root, options);
    const made = await cluster(provider, [service("first"), service("second"), ...PODS]);
    expect([address(made, "first"), address(made, "second")]).toEqual(["198.51.100.1", "none"]);
    expect(events(made, "second")).toContain(
      "SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: no available IPs",
    );
    made.delete("Service", "default/first");
    made.clock.advance(300_000);
    expect(address(made, "second")).toBe("198.51.100.1");
    expect(ask(made, "internet", "198.51.100.1").verdict).toBe("allowed");
    expect(events(made, "first")).toContain("DeletedLoadBalancer: Deleted load balancer");
  });

  test.each<[string, ServiceSpec, string]>([
    ["the address it asks for", { loadBalancerIP: "198.51.100.77" }, "198.51.100.77"],
    ["no address that is not in the pool", { loadBalancerIP: "192.0.2.1" }, "none"],
    ["no address of another class", { loadBalancerClass: "example.com/internal" }, "none"],
  ])("gives a Service %s", async (_, spec, expected) => {
    const made = await cluster(passing, [service("web", spec), ...PODS]);
    expect(address(made)).toBe(expected);
  });

  test("a Service that is no load balancer any more loses its address", async () => {
    const made = await cluster(passing, [service("web"), ...PODS]);
    const to = address(made);
    made.apply([service("web", { type: "ClusterIP" })]);
    await made.settled();
    expect(address(made)).toBe("none");
    expect(ask(made, "internet", to).verdict).toBe("unreachable");
  });

  test("a port that changes is followed", async () => {
    const made = await cluster(passing, [service("web"), ...PODS]);
    made.apply([service("web", { ports: [{ name: "http", port: 8000, targetPort: 8080 }] })]);
    await made.settled();
    const verdicts = [80, 8000].map((port) => ask(made, "internet", address(made), port).verdict);
    expect(verdicts).toEqual(["unreachable", "allowed"]);
  });

  test("what a dump says of its load balancer stays", async () => {
    const status = { loadBalancer: { ingress: [{ ip: "192.0.2.200" }] } };
    const dumped = { ...service("web"), status } as KubeObject;
    const made = await cluster(passing, [dumped, ...PODS]);
    expect(ingress(made)?.ingress).toEqual([{ ip: "192.0.2.200", ipMode: "VIP" }]);
    expect(ask(made, "internet", "192.0.2.200").verdict).toBe("allowed");
  });

  test("without node ports there is nothing to translate to", async () => {
    const spec = { allocateLoadBalancerNodePorts: false };
    const made = await cluster(translating, [service("web", spec), ...PODS]);
    expect(address(made)).toBe("none");
    expect(events(made).at(-1)).toContain("port 80 has no node port");
  });
});

describe("layer 2", () => {
  /** Whose MAC the router has for an address. */
  function holder(of: Cluster, ip: string): string | undefined {
    const router = of.network.kernels.get("router")?.initNs;
    ask(of, "internet", ip);
    const eth0 = router?.device("eth0") as Nic;
    const mac = eth0.neighbours?.get(of.endpoint(ip).kind === "address" ? toIp(ip) : 0)?.mac;
    return [...of.nodes].find(([, n]) => n.kernel.initNs.device("eth0").mac === mac)?.[0];
  }
  const toIp = (ip: string) => ip.split(".").reduce((n, part) => n * 256 + Number(part), 0);

  test("one node answers ARP, the one with the lowest hash", async () => {
    const made = await cluster(layer2, [service("web"), ...PODS]);
    expect(address(made)).toBe("192.168.255.1");
    // The lowest of: printf 'nodeN#192.168.255.1' | sha256sum
    expect(holder(made, "192.168.255.1")).toBe("node3");
    expect(events(made)).toEqual([
      'IPAllocated: Assigned IP ["192.168.255.1"]',
      'nodeAssigned: announcing from node "node3" with protocol "layer2"',
    ]);
    expect(many(made, "internet", "192.168.255.1")).toMatchObject({
      verdicts: ["allowed"],
      backends: ["default/a", "default/b"],
    });
  });

  test("with policy Local only nodes with an endpoint can, and the source stays", async () => {
    const spec = { externalTrafficPolicy: "Local" } as const;
    const made = await cluster(layer2, [service("web", spec), ...PODS]);
    const owner = holder(made, address(made));
    expect(["node1", "node2"]).toContain(owner);
    const backend = owner === "node1" ? "default/a" : "default/b";
    expect(many(made, "internet", address(made))).toEqual({
      verdicts: ["allowed"],
      backends: [backend],
      seenAs: ["203.0.113.10"],
    });
    made.delete("Pod", backend);
    await made.settled();
    expect(holder(made, address(made))).toBe(owner === "node1" ? "node2" : "node1");
  });

  test("another node takes over some seconds after the first is lost, by gratuitous ARP", async () => {
    const made = await cluster(layer2, [service("web"), ...PODS]);
    const to = address(made);
    const owner = holder(made, to) as string;
    made.stopNode(owner);
    made.clock.advance(3000);
    expect(ask(made, "internet", to).verdict).toBe("unreachable");
    made.clock.advance(4000);
    expect(ask(made, "internet", to).verdict).toBe("allowed");
    expect(holder(made, to)).not.toBe(owner);
    made.startNode(owner);
    made.clock.advance(60_000);
    expect(holder(made, to)).toBe(owner);
  });

  test("an IPv6 address is announced by neighbour discovery, and taken over like the other", async () => {
    const spec = { ipFamilyPolicy: "RequireDualStack" } as const;
    const objects = [service("web", spec), ...PODS];
    const made = await cluster(layer2, objects, { ipFamilies: [4, 6] });
    const to = address(made, "web", 1);
    expect(to).toBe("fd00:192:168::ff01");
    const found = many(made, "internet", to);
    expect(found).toMatchObject({ verdicts: ["allowed"], backends: ["default/a", "default/b"] });
    made.stopNode(holder(made, address(made)) as string);
    made.clock.advance(3000);
    expect(ask(made, "internet", to).verdict).toBe("unreachable");
    made.clock.advance(4000);
    expect(ask(made, "internet", to).verdict).toBe("allowed");
  });

  test("nobody announces a Service without endpoints", async () => {
    const made = await cluster(layer2, [service("web")]);
    expect(holder(made, address(made))).toBeUndefined();
    expect(ask(made, "internet", address(made)).verdict).toBe("unreachable");
  });

  test("a host beside the nodes reaches the address as well", async () => {
    const made = await cluster(layer2, [service("web"), ...PODS]);
    expect(ask(made, "192.168.7.7", address(made)).verdict).toBe("allowed");
  });
});

/** Nodes that the router sends packets for an address to. */
function nextHops(of: Cluster, to: string): string[] {
  const route = of.underlay.router.initNs.fib4.routesTo(parsePrefix(`${to}/32`))[0];
  return (route?.nexthops ?? []).map(({ gateway }) => formatIp(gateway ?? 0));
}

describe("MetalLB in BGP mode", () => {
  test("all nodes tell the router of an address, and it spreads connections", async () => {
    const made = await cluster(bgp, [service("web"), ...PODS]);
    const to = address(made);
    expect(nextHops(made, to)).toEqual(["192.168.0.11", "192.168.0.12", "192.168.0.13"]);
    expect(events(made)).toEqual([
      `IPAllocated: Assigned IP ["${to}"]`,
      ...[1, 2, 3].map((k) => `nodeAssigned: announcing from node "node${k}" with protocol "bgp"`),
    ]);
    expect(many(made, "internet", to)).toMatchObject({
      verdicts: ["allowed"],
      backends: ["default/a", "default/b"],
    });
  });

  test("with policy Local only nodes with an endpoint do, and the source stays", async () => {
    const spec = { externalTrafficPolicy: "Local" } as const;
    const made = await cluster(bgp, [service("web", spec), ...PODS]);
    const to = address(made);
    expect(nextHops(made, to)).toEqual(["192.168.0.11", "192.168.0.12"]);
    expect(many(made, "internet", to)).toEqual({
      verdicts: ["allowed"],
      backends: ["default/a", "default/b"],
      seenAs: ["203.0.113.10"],
    });
    made.delete("Pod", "default/a");
    await made.settled();
    expect(nextHops(made, to)).toEqual(["192.168.0.12"]);
  });

  test("a node that is lost gets packets until the router's hold timer expires", async () => {
    const made = await cluster(bgp, [service("web"), ...PODS]);
    const to = address(made);
    made.stopNode("node3");
    made.clock.advance(30_000);
    expect(nextHops(made, to)).toContain("192.168.0.13");
    made.clock.advance(90_000);
    expect(nextHops(made, to)).toEqual(["192.168.0.11", "192.168.0.12"]);
    expect(many(made, "internet", to).verdicts).toEqual(["allowed"]);
    made.startNode("node3");
    made.clock.advance(60_000);
    expect(nextHops(made, to)).toContain("192.168.0.13");
  });

  test("nobody tells of a Service without endpoints, nor of one that is gone", async () => {
    const made = await cluster(bgp, [service("web"), service("other"), ...PODS]);
    const to = address(made);
    made.delete("Service", "default/other");
    await made.settled();
    expect(nextHops(made, to)).toHaveLength(3);
    for (const name of ["default/a", "default/b"]) made.delete("Pod", name);
    await made.settled();
    expect(nextHops(made, to)).toEqual([]);
    expect(ask(made, "internet", to).verdict).toBe("unreachable");
  });
});
