import { exchange, startEchoServer } from "@cnilab/linux";
import { formatIp, IPPROTO_TCP, parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { podAddress, TestCluster, type TestNode } from "./test-cluster.ts";

const backend = { Type: "host-gw" };

function rules({ kernel }: TestNode, table: string, chain: string): string[] {
  return kernel.initNs
    .iptables(4)
    .list(table, chain)
    .filter((line) => line.startsWith("-A"));
}

const MASQUERADE_JUMP = '-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG';
const OWN = "-A POSTROUTING -s 10.0.0.0/8 -j ACCEPT";

describe("iptables", () => {
  test("what somebody deletes is back after five seconds, at the end", () => {
    const cluster = new TestCluster({ backend });
    const node = cluster.node(1);
    const iptables = node.kernel.initNs.iptables(4);
    const chain = rules(node, "nat", "FLANNEL-POSTRTG");
    expect(chain).toHaveLength(6);
    iptables.append("nat", "POSTROUTING", "-s 10.0.0.0/8 -j ACCEPT");
    cluster.clock.advance(6_000);
    // All rules are there: nothing is done, though another one stands behind.
    expect(rules(node, "nat", "POSTROUTING")).toEqual([MASQUERADE_JUMP, OWN]);
    iptables.delete("nat", "FLANNEL-POSTRTG", (chain[2] ?? "").replace("-A FLANNEL-POSTRTG ", ""));
    cluster.clock.advance(4_000);
    cluster.clock.advance(2_000);
    expect(rules(node, "nat", "FLANNEL-POSTRTG")).toEqual(chain);
    expect(rules(node, "nat", "POSTROUTING")).toEqual([OWN, MASQUERADE_JUMP]);
  });

  test("a flushed table is made again", () => {
    const cluster = new TestCluster({ backend });
    const node = cluster.node(1);
    const before = node.kernel.initNs.iptables(4).save();
    for (const table of ["nat", "filter"]) {
      node.kernel.initNs.iptables(4).flush(table);
    }
    cluster.clock.advance(6_000);
    expect(withoutComments(node.kernel.initNs.iptables(4).save())).toEqual(withoutComments(before));
  });

  test("the rules of another subnet go when the daemon starts with a new one", () => {
    const cluster = new TestCluster({ backend });
    const node = cluster.node(1);
    node.flanneld.stop();
    cluster.api.update("Node", "node1", (n) => ({
      ...n,
      spec: { podCIDR: "10.244.50.0/24", podCIDRs: ["10.244.50.0/24"] },
    }));
    node.flanneld.start();
    cluster.clock.settle();
    expect(rules(node, "nat", "FLANNEL-POSTRTG").join()).not.toContain("10.244.1.0/24");
    expect(rules(node, "nat", "POSTROUTING")).toEqual([MASQUERADE_JUMP]);
  });

  test("a daemon that has stopped looks after nothing", () => {
    const cluster = new TestCluster({ backend });
    const node = cluster.node(1);
    node.flanneld.stop();
    node.kernel.initNs.iptables(4).flush("filter");
    cluster.clock.advance(60_000);
    expect(rules(node, "filter", "FORWARD")).toEqual([]);
    expect(rules(node, "nat", "POSTROUTING")).toEqual([MASQUERADE_JUMP]);
  });

  test.each([
    { options: { ipMasq: false }, table: "nat", chain: "POSTROUTING" },
    { options: { iptablesForwardRules: false }, table: "filter", chain: "FORWARD" },
  ])("$options leaves $table alone", ({ options, table, chain }) => {
    const cluster = new TestCluster({ backend, options });
    expect(rules(cluster.node(1), table, chain)).toEqual([]);
  });

  test("--ip-masq-fully-random-disable", () => {
    const cluster = new TestCluster({ backend, options: { ipMasqFullyRandomDisable: true } });
    const text = rules(cluster.node(1), "nat", "FLANNEL-POSTRTG").join("\n");
    expect(text).toContain("-j MASQUERADE");
    expect(text).not.toContain("--random-fully");
  });
});

function withoutComments(text: string): string[] {
  return text.split("\n").filter((line) => !line.startsWith("#"));
}

test("with nftables nothing is put back", () => {
  const cluster = new TestCluster({ backend, nftables: true });
  const { nftables } = cluster.node(1).kernel.initNs;
  nftables.apply("flush ruleset\n");
  cluster.clock.advance(60_000);
  expect(nftables.list()).toBe("");
});

test("a daemon that changes to nftables leaves an empty chain, its jump, and all of FLANNEL-FWD", () => {
  const cluster = new TestCluster({ backend });
  cluster.reconfigure(1, backend, true);
  const node = cluster.node(1);
  expect(rules(node, "nat", "POSTROUTING")).toEqual([MASQUERADE_JUMP]);
  expect(rules(node, "nat", "FLANNEL-POSTRTG")).toEqual([]);
  expect(rules(node, "filter", "FLANNEL-FWD")).toHaveLength(2);
  expect(node.kernel.initNs.nftables.hasTable("ip", "flannel-ipv4")).toBe(true);
  cluster.clock.advance(60_000);
  expect(rules(node, "nat", "FLANNEL-POSTRTG")).toEqual([]);
  // and back: the tables of nftables go whole
  cluster.reconfigure(1, backend, false);
  expect(node.kernel.initNs.nftables.list()).toBe("");
  expect(rules(node, "nat", "FLANNEL-POSTRTG")).toHaveLength(6);
});

test("--ip-blackhole-route comes with the first resync", () => {
  const cluster = new TestCluster({ backend, options: { ipBlackholeRoute: true } });
  const { fib4 } = cluster.node(1).kernel.initNs;
  const own = parsePrefix("10.244.1.0/24");
  const types = () => fib4.routesTo(own).map((r) => r.type);
  expect(types()).toEqual([]);
  cluster.clock.advance(6_000);
  expect(types()).toEqual(["blackhole"]);
});

// From a pod on node1, or from outside through node1: whom the other side sees.
describe.each([
  { nftables: false, hidden: "192.168.0.11" },
  // the fourth rule of nftables' chain returns before the last one masquerades
  { nftables: true, hidden: "192.168.0.50" },
])("nftables $nftables", ({ nftables, hidden }) => {
  /** A machine on the nodes' link that sends to pods through node1. */
  function withOutsider() {
    const cluster = new TestCluster({ backend, nftables });
    cluster.addNode(40); // 192.168.0.50; a plain machine, as no flanneld is started
    const outsider = cluster.node(3).kernel.initNs;
    outsider.addRoute({ dst: parsePrefix("10.244.0.0/16"), via: parseIp("192.168.0.11") });
    return { cluster, outsider };
  }

  test.each([
    { what: "pod to the outside", from: "pod", to: "192.168.0.50", seen: "192.168.0.11" },
    { what: "outside to a pod here", from: "outsider", to: "10.244.1.2", seen: "192.168.0.50" },
    { what: "outside to a pod elsewhere", from: "outsider", to: "10.244.2.2", seen: hidden },
  ])("$what", ({ from, to, seen }) => {
    const { cluster, outsider } = withOutsider();
    const pods = [cluster.node(1).pod(), cluster.node(2).pod()];
    for (const server of [...pods, outsider]) {
      startEchoServer(server, { protocol: IPPROTO_TCP, port: 80, owner: "server" });
    }
    const client = from === "pod" ? pods[0] : outsider;
    if (client === undefined) throw new Error("no client");
    const result = exchange(client, { protocol: IPPROTO_TCP, dst: parseIp(to), port: 80 });
    expect(formatIp(result.report?.seenAddress ?? 0)).toBe(seen);
  });
});

test("pods reach each other through a FORWARD chain that drops", () => {
  const cluster = new TestCluster({ backend });
  const [client, server] = [cluster.node(1).pod(), cluster.node(2).pod()];
  startEchoServer(server, { protocol: IPPROTO_TCP, port: 80, owner: "server" });
  for (const { kernel } of cluster.nodes) {
    kernel.initNs.iptables(4).setPolicy("filter", "FORWARD", "DROP");
  }
  const request = { protocol: IPPROTO_TCP, dst: podAddress(2, 4), port: 80 };
  expect(exchange(client, request).outcome).toBe("connected");
  cluster.node(1).flanneld.stop();
  cluster.node(1).kernel.initNs.iptables(4).flush("filter", "FLANNEL-FWD");
  expect(exchange(client, request).outcome).toBe("timeout");
});
