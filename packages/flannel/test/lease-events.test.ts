import { Vxlan } from "@cnilab/linux";
import { formatIp, formatMac, tryParsePrefix } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { podCidr, TestCluster, type TestNode } from "./test-cluster.ts";

/** What a node knows of the others, as text. */
function peers({ kernel }: TestNode): { routes: string[]; neigh: string[]; fdb: string[] } {
  const { initNs } = kernel;
  const routes = [...initNs.fib4.main.routes(), ...initNs.fib6.main.routes()]
    .filter((r) => r.protocol === "boot" && r.prefix.length > 0)
    .map((r) => {
      const [first] = r.nexthops;
      const via = first?.gateway === undefined ? "" : ` via ${formatIp(first.gateway)}`;
      return `${r.prefix}${via} dev ${first?.dev?.name}${first?.onlink ? " onlink" : ""}`;
    });
  const neigh: string[] = [];
  const fdb: string[] = [];
  for (const dev of initNs.devices) {
    if (!(dev instanceof Vxlan)) continue;
    for (const n of dev.neighbours?.entries() ?? []) {
      if (n.state === "PERMANENT") neigh.push(`${formatIp(n.ip)} ${formatMac(n.mac)}`);
    }
    for (const entry of dev.fdbEntries()) {
      fdb.push(`${formatMac(entry.mac)} dst ${entry.remotes.map(formatIp).join()}`);
    }
  }
  return { routes: routes.sort(), neigh: neigh.sort(), fdb: fdb.sort() };
}

const F = "flannel.alpha.coreos.com";
const data = (mac: string) => `{"VNI":1,"VtepMAC":"${mac}"}`;
const vxlan = { backend: { Type: "vxlan" } };

function mac(cluster: TestCluster, n: number): string {
  return formatMac(cluster.node(n).kernel.initNs.device("flannel.1").mac);
}

test("a node tells of itself, and of its network being there", () => {
  const cluster = new TestCluster(vxlan);
  const { metadata, status } = cluster.api.node("node1");
  expect(metadata.annotations).toEqual({
    [`${F}/kube-subnet-manager`]: "true",
    [`${F}/backend-type`]: "vxlan",
    [`${F}/backend-data`]: data(mac(cluster, 1)),
    [`${F}/public-ip`]: "192.168.0.11",
  });
  expect(status?.conditions).toEqual([
    {
      type: "NetworkUnavailable",
      status: "False",
      reason: "FlannelIsUp",
      message: "Flannel is running on this node",
    },
  ]);
  expect(cluster.node(1).kernel.files.read("/run/flannel/subnet.env")).toBe(
    "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
  );
});

// Each case twice: with state shared among nodes, and after somebody touched it on node1.
describe.each([{ touched: false }, { touched: true }])("vxlan, touched $touched", ({ touched }) => {
  /** Three nodes; a route and its neighbour of a fourth one that never comes are node1's own business. */
  function make(): TestCluster {
    const cluster = new TestCluster({ ...vxlan, nodes: 3 });
    if (touched) {
      const { initNs } = cluster.node(1).kernel;
      const dst = tryParsePrefix("10.244.3.0/24");
      if (dst === undefined) throw new Error("no prefix");
      initNs.deleteRoute({ dst });
      initNs.addRoute({ dst, via: dst.address, dev: initNs.device("flannel.1"), onlink: true });
    }
    return cluster;
  }

  test("a node comes", () => {
    const cluster = make();
    cluster.addNode(4).flanneld.start();
    cluster.clock.settle();
    const [m2, m3, m4] = [2, 3, 4].map((n) => mac(cluster, n));
    expect(peers(cluster.node(1))).toEqual({
      routes: [2, 3, 4].map((n) => `10.244.${n}.0/24 via 10.244.${n}.0 dev flannel.1 onlink`),
      neigh: [`10.244.2.0 ${m2}`, `10.244.3.0 ${m3}`, `10.244.4.0 ${m4}`],
      fdb: [`${m2} dst 192.168.0.12`, `${m3} dst 192.168.0.13`, `${m4} dst 192.168.0.14`].sort(),
    });
  });

  test("a node goes", () => {
    const cluster = make();
    const m2 = mac(cluster, 2);
    cluster.api.remove("node3");
    cluster.clock.settle();
    expect(peers(cluster.node(1))).toEqual({
      routes: ["10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"],
      neigh: [`10.244.2.0 ${m2}`],
      fdb: [`${m2} dst 192.168.0.12`],
    });
  });

  test("a node moves to another address", () => {
    const cluster = make();
    const [m2, m3] = [mac(cluster, 2), mac(cluster, 3)];
    cluster.annotate(3, { [`${F}/public-ip`]: "192.168.0.99" });
    expect(peers(cluster.node(1)).fdb).toEqual(
      [`${m2} dst 192.168.0.12`, `${m3} dst 192.168.0.99`].sort(),
    );
  });

  test("a node has another MAC: the old endpoint stays", () => {
    const cluster = make();
    const [m2, m3] = [mac(cluster, 2), mac(cluster, 3)];
    cluster.annotate(3, { [`${F}/backend-data`]: data("aa:00:00:00:00:33") });
    const { neigh, fdb } = peers(cluster.node(1));
    expect(neigh).toEqual([`10.244.2.0 ${m2}`, "10.244.3.0 aa:00:00:00:00:33"]);
    const all = [
      `${m2} dst 192.168.0.12`,
      `${m3} dst 192.168.0.13`,
      "aa:00:00:00:00:33 dst 192.168.0.13",
    ];
    expect(fdb).toEqual(all.sort());
    // Who comes later never knew it.
    cluster.addNode(4).flanneld.start();
    cluster.clock.settle();
    expect(peers(cluster.node(4)).fdb).not.toContain(`${m3} dst 192.168.0.13`);
  });

  test("a pod range alone changes nothing, and is left behind when more changes", () => {
    const cluster = make();
    const before = peers(cluster.node(1));
    cluster.api.update("Node", "node3", (node) => ({
      ...node,
      spec: { podCIDR: "10.244.77.0/24", podCIDRs: ["10.244.77.0/24"] },
    }));
    cluster.clock.settle();
    expect(peers(cluster.node(1))).toEqual(before);
    cluster.annotate(3, { [`${F}/public-ip`]: "192.168.0.99" });
    expect(peers(cluster.node(1)).routes).toEqual([
      "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
      "10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink",
      "10.244.77.0/24 via 10.244.77.0 dev flannel.1 onlink",
    ]);
  });

  test("a node with another backend is left out, with nonsense too", () => {
    const cluster = make();
    cluster.addNode(4);
    cluster.annotate(4, {
      [`${F}/kube-subnet-manager`]: "true",
      [`${F}/backend-type`]: "host-gw",
      [`${F}/public-ip`]: "192.168.0.14",
    });
    cluster.addNode(5);
    cluster.annotate(5, {
      [`${F}/kube-subnet-manager`]: "true",
      [`${F}/backend-type`]: "vxlan",
      [`${F}/backend-data`]: "{",
      [`${F}/public-ip`]: "192.168.0.15",
    });
    expect(peers(cluster.node(1)).routes).toHaveLength(2);
  });
});

/** Every node has MACs of its own. */
function ownChange(change: Readonly<Record<string, string>>, node: number): Record<string, string> {
  return Object.fromEntries(
    Object.entries(change).map(([key, value]) => [key, value.replace("0N", `0${node}`)]),
  );
}

// State shared among nodes is the same as that of a node which programs lease by lease.
test.each([
  { backend: { Type: "vxlan" } },
  { backend: { Type: "vxlan", DirectRouting: true } },
  { backend: { Type: "host-gw" } },
  { backend: { Type: "ipip", DirectRouting: true } },
])("shared or not, $backend comes to the same after any history", ({ backend }) => {
  const step = fc.record({
    node: fc.constantFrom(2, 3, 4),
    change: fc.constantFrom<Record<string, string> | undefined>(
      undefined, // the node goes
      { [`${F}/public-ip`]: "192.168.0.99" },
      { [`${F}/public-ip`]: "203.0.113.9" }, // behind a router
      { [`${F}/backend-data`]: data("aa:00:00:00:00:0N") },
      { [`${F}/backend-type`]: "alloc" },
    ),
  });
  const after = (
    history: readonly { node: number; change: Record<string, string> | undefined }[],
    touch: boolean,
  ) => {
    const cluster = new TestCluster({ backend, nodes: 4 });
    const { initNs } = cluster.node(1).kernel;
    const way = initNs.fib4.routesTo(podCidr(2, 4))[0]?.nexthops[0];
    if (touch && way?.gateway !== undefined && way.dev !== undefined) {
      initNs.deleteRoute({ dst: podCidr(2, 4) });
      initNs.addRoute({ dst: podCidr(2, 4), via: way.gateway, dev: way.dev, onlink: way.onlink });
    }
    for (const { node, change } of history) {
      if (change === undefined) cluster.api.remove(`node${node}`);
      else cluster.annotate(node, ownChange(change, node));
      cluster.clock.settle();
    }
    return peers(cluster.node(1));
  };
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 5 }), (history) => {
      expect(after(history, true)).toEqual(after(history, false));
    }),
    { numRuns: 25 },
  );
});

test("in dual stack a change of one family goes unheard", () => {
  const cluster = new TestCluster({ ...vxlan, families: [4, 6] });
  const before = peers(cluster.node(1));
  cluster.annotate(2, { [`${F}/public-ip`]: "192.168.0.99" });
  expect(peers(cluster.node(1))).toEqual(before);
});

test("a MAC survives the daemon, the device and the machine's memory", () => {
  const cluster = new TestCluster(vxlan);
  const before = mac(cluster, 2);
  const { flanneld, kernel } = cluster.node(2);
  flanneld.stop();
  kernel.initNs.device("flannel.1").remove();
  flanneld.start();
  cluster.clock.settle();
  expect(mac(cluster, 2)).toBe(before);
  expect(peers(cluster.node(2)).routes).toEqual([
    "10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink",
  ]);
});

test("a device that somebody deletes is made again, without the way to the others", () => {
  const cluster = new TestCluster({ ...vxlan, nodes: 3 });
  const before = mac(cluster, 1);
  cluster.node(1).kernel.initNs.device("flannel.1").remove();
  cluster.clock.settle();
  expect(mac(cluster, 1)).toBe(before);
  expect(peers(cluster.node(1))).toEqual({ routes: [], neigh: [], fdb: [] });
  // Only news of a node brings the way to that node.
  cluster.annotate(3, { [`${F}/public-ip`]: "192.168.0.99" });
  expect(peers(cluster.node(1)).routes).toEqual([
    "10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink",
  ]);
});

test("what a stopped daemon did not hear of is still there when it starts again", () => {
  const cluster = new TestCluster({ ...vxlan, nodes: 3 });
  const before = peers(cluster.node(1));
  cluster.node(1).flanneld.stop();
  cluster.api.remove("node3");
  cluster.clock.settle();
  expect(peers(cluster.node(1))).toEqual(before);
  cluster.node(1).flanneld.start();
  cluster.clock.settle();
  expect(peers(cluster.node(1))).toEqual(before);
});

test.each([
  { backend: { Type: "host-gw" }, dev: "eth0", onlink: "" },
  { backend: { Type: "ipip" }, dev: "flannel.ipip", onlink: " onlink" },
])("$backend puts missing routes back every ten seconds", ({ backend, dev, onlink }) => {
  const cluster = new TestCluster({ backend, nodes: 3 });
  const { initNs } = cluster.node(1).kernel;
  const all = [2, 3].map((n) => `10.244.${n}.0/24 via 192.168.0.1${n} dev ${dev}${onlink}`);
  expect(peers(cluster.node(1)).routes).toEqual(all);
  const dst = tryParsePrefix("10.244.3.0/24");
  if (dst === undefined) throw new Error("no prefix");
  initNs.deleteRoute({ dst });
  cluster.clock.advance(9_000);
  expect(peers(cluster.node(1)).routes).toEqual(all.slice(0, 1));
  cluster.clock.advance(2_000);
  expect(peers(cluster.node(1)).routes).toEqual(all);
  // A device that goes down takes all of them along.
  initNs.device(dev).setDown();
  initNs.device(dev).setUp();
  expect(peers(cluster.node(1)).routes).toEqual([]);
  cluster.clock.advance(11_000);
  expect(peers(cluster.node(1)).routes).toEqual(all);
});

test("host-gw leaves out nodes behind a router", () => {
  const cluster = new TestCluster({ backend: { Type: "host-gw" }, nodes: 2 });
  cluster.annotate(2, { [`${F}/public-ip`]: "203.0.113.9" });
  expect(peers(cluster.node(1)).routes).toEqual([]);
});

test.each([
  { from: { Type: "vxlan" }, to: { Type: "host-gw" }, dev: "eth0" },
  { from: { Type: "host-gw" }, to: { Type: "vxlan" }, dev: "flannel.1" },
  { from: { Type: "vxlan" }, to: { Type: "vxlan", DirectRouting: true }, dev: "eth0" },
  { from: { Type: "vxlan", DirectRouting: true }, to: { Type: "vxlan" }, dev: "flannel.1" },
  { from: { Type: "host-gw" }, to: { Type: "ipip" }, dev: "flannel.ipip" },
])("$to takes over the routes that $from left", ({ from, to, dev }) => {
  const cluster = new TestCluster({ backend: from, nodes: 3 });
  for (const n of [1, 2, 3]) cluster.reconfigure(n, to);
  for (const node of cluster.nodes) {
    const { routes } = peers(node);
    expect(routes.map((route) => / dev (\S+)/.exec(route)?.[1])).toEqual([dev, dev]);
  }
  // A second turn of the same changes nothing.
  const before = cluster.nodes.map(peers);
  cluster.reconfigure(1, to);
  expect(cluster.nodes.map(peers)).toEqual(before);
});

test("wireguard's peers follow the leases, and go with the daemon", () => {
  const cluster = new TestCluster({ backend: { Type: "wireguard" }, nodes: 3 });
  const { initNs } = cluster.node(1).kernel;
  const peersOf = () => {
    const dev = initNs.findDevice("flannel-wg");
    return dev === undefined || !("peers" in dev)
      ? undefined
      : [...(dev.peers as Iterable<{ allowedIps: readonly object[] }>)]
          .map((p) => p.allowedIps.join())
          .sort();
  };
  expect(peersOf()).toEqual(["10.244.2.0/24", "10.244.3.0/24"]);
  cluster.api.remove("node3");
  cluster.clock.settle();
  expect(peersOf()).toEqual(["10.244.2.0/24"]);
  cluster.node(1).flanneld.stop();
  expect(peersOf()).toBeUndefined();
});
