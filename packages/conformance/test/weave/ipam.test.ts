// Addresses of pods from a ring that no one has: what waits, what is kept, what is taken over.
import type { Cluster } from "@cnilab/cluster";
import { Trace } from "@cnilab/linux";
import { formatIp } from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { pod, verdict } from "../lab.ts";
import { agentOf, cut, neighbours, phase, podAddresses, weaveLab } from "./lab.ts";

function events(cluster: Cluster, name: string): string[] {
  return cluster.api
    .list("Event")
    .filter(({ involvedObject }) => involvedObject.name === name)
    .map(({ reason, message }) => `${reason}: ${message}`);
}

test("pods have addresses of one subnet over all nodes, with the bridge as their gateway", () => {
  const cluster = weaveLab({ objects: [pod("a", "node1"), pod("b", "node2")] });
  const [kernel] = [...cluster.nodes.values()].map(({ kernel }) => kernel);
  const [sandbox] = [...(kernel?.namespaces ?? [])];
  const [address] = sandbox?.device("eth0").addresses4 ?? [];
  expect(address?.prefixLength).toBe(12);
  const bridge = kernel?.initNs.device("weave").addresses4[0]?.address;
  const routes = [...(sandbox?.fib4.main.routes() ?? [])].map(({ prefix, nexthops }) => [
    String(prefix),
    nexthops[0]?.gateway,
  ]);
  expect(routes).toEqual([
    ["0.0.0.0/0", bridge],
    ["10.32.0.0/12", undefined],
  ]);
  expect(verdict(cluster, "default/a", "default/b")).toBe("allowed");
});

test("a pod waits where there is no address left, and has one when another pod goes", () => {
  // 29: 8 addresses, two of which no host has; the bridges of two nodes take two.
  const names = ["a", "b", "c", "d", "e"];
  const objects = names.map((name, i) => pod(name, `node${1 + (i % 2)}`));
  const options = { "ipalloc-range": "10.9.0.0/29" };
  const cluster = weaveLab({ nodes: 2, options, objects });
  const waiting = names.filter((name) => phase(cluster, name) !== "Running");
  expect(waiting).toHaveLength(1);
  const [last] = waiting as [string];
  expect(events(cluster, last)).toContain(
    "FailedCreatePodSandBox: Failed to create pod sandbox: failed to setup network for sandbox: rpc error: code = DeadlineExceeded desc = context deadline exceeded (weave-net waits for an address: waiting for IP range grant from peers, of 10.9.0.0/29)",
  );
  const gone = names.find((name) => name !== last) as string;
  cluster.delete("Pod", `default/${gone}`);
  cluster.clock.advance(600_000);
  expect(phase(cluster, last)).toBe("Running");
  const given = Object.values(podAddresses(cluster));
  expect(new Set(given).size).toBe(given.length);
});

test("peers that all wait hand addresses to each other that nobody can have, and the cluster rests meanwhile", () => {
  // Of 8 addresses six can be had; each node's bridge wants one, and each node's pods two more.
  const names = ["a", "b", "c", "d", "e", "f"];
  const objects = names.map((name, i) => pod(name, `node${1 + (i % 3)}`));
  const cluster = weaveLab({ nodes: 3, options: { "ipalloc-range": "10.9.0.0/29" }, objects });
  const addresses = names.flatMap((name) => podAddresses(cluster)[name] ?? []);
  for (const { kernel } of cluster.nodes.values()) {
    const { addresses4 } = kernel.initNs.device("weave");
    addresses.push(...addresses4.map(({ address }) => formatIp(address)));
  }
  expect([...new Set(addresses)]).toHaveLength(6);
  expect(addresses).toHaveLength(6);
});

test("without a quorum there is no ring, and the first pods wait for one", () => {
  const cluster = weaveLab({
    nodes: 1,
    options: { "ipalloc-init": "consensus=3" },
    objects: [pod("a", "node1")],
  });
  expect(phase(cluster, "a")).toBe("Pending");
  expect(agentOf(cluster, "node1").weaver?.allocator.consensus).toEqual({
    waiting: true,
    knownNodes: 1,
    quorum: 2,
  });
  expect(cluster.warnings.join("\n")).toContain("awaiting consensus (quorum: 2, known: 1)");
  cluster.apply([{ apiVersion: "v1", kind: "Node", metadata: { name: "node2" } }]);
  cluster.clock.advance(600_000);
  expect(phase(cluster, "a")).toBe("Running");
});

test("weaver that is killed comes back with what it had", () => {
  const cluster = weaveLab({ objects: [pod("a", "node1"), pod("b", "node2")] });
  const agent = agentOf(cluster, "node1");
  const before = agent.weaver?.allocator;
  const uid = agent.weaver?.router.peers.ourself.uid;
  agent.stop();
  cluster.clock.advance(5_000);
  // What the kernel has goes on without it.
  expect(neighbours(cluster, "node2")).toEqual(["node3"]);
  cluster.apply([pod("c", "node1")]);
  cluster.delete("Pod", "default/a");
  cluster.settle();
  expect(phase(cluster, "c")).toBe("Pending");
  agent.start();
  cluster.settle();
  cluster.clock.advance(60_000);
  const after = agent.weaver?.allocator;
  expect(after).not.toBe(before);
  expect(agent.weaver?.router.peers.ourself.uid).not.toBe(uid);
  expect(after?.ring.seeds).toEqual(before?.ring.seeds);
  expect([...(after?.owned.entries().keys() ?? [])]).toHaveLength(2); // the bridge, and c
  expect(neighbours(cluster, "node1")).toEqual(["node2", "node3"]);
  expect(phase(cluster, "c")).toBe("Running");
  expect(verdict(cluster, "default/c", "default/b")).toBe("allowed");
});

test("the space of a node that is deleted is taken over once", () => {
  const cluster = weaveLab({ objects: [pod("a", "node1"), pod("b", "node2"), pod("c", "node3")] });
  const gone = agentOf(cluster, "node3").weaver?.allocator.name as string;
  const annotation = () =>
    cluster.api.get("ConfigMap", "kube-system/weave-net")?.metadata.annotations ?? {};
  expect(annotation()["kube-peers.weave.works/peers"]).toContain(gone);
  cluster.delete("Node", "node3");
  cluster.clock.advance(60_000);
  for (const node of ["node1", "node2"]) {
    const allocator = agentOf(cluster, node).weaver?.allocator;
    expect(allocator?.ring.owners().has(gone)).toBe(false);
    expect(allocator?.ring.owners().size).toBe(2);
  }
  expect(Object.keys(annotation())).toEqual(["kube-peers.weave.works/peers"]);
  expect(annotation()["kube-peers.weave.works/peers"]).not.toContain(gone);
  // Back again, it begins with nothing.
  cluster.apply([
    { apiVersion: "v1", kind: "Node", metadata: { name: "node3" } },
    pod("d", "node3"),
  ]);
  cluster.settle();
  cluster.clock.advance(60_000);
  expect(phase(cluster, "d")).toBe("Running");
  expect(verdict(cluster, "default/d", "default/a")).toBe("allowed");
});

test("nodes that join later live from what others give", () => {
  const cluster = weaveLab({ nodes: 2 });
  cluster.apply([{ apiVersion: "v1", kind: "Node", metadata: { name: "late" } }, pod("a", "late")]);
  cluster.settle();
  expect(phase(cluster, "a")).toBe("Running");
  const allocator = agentOf(cluster, "late").weaver?.allocator;
  expect(allocator?.ring.seeds).not.toContain(allocator?.name);
  expect(allocator?.ring.owners().has(allocator.name)).toBe(true);
});

/**
 * How long peers may take to be neighbours again, be they apart however long: the last try before failed after three questions by ARP, and the next comes after one and
 * a half times six minutes at most (mesh/connection_maker.go maxInterval); eight more come in at 50 ms each, and the test looks each 500 ms.
 */
const LONGEST_HEAL_MS = 3_000 + 1.5 * 360_000 + 8 * 50 + 500;

test("nine nodes that are split 5/4 while pods come on both sides give no address twice, and all connect again", () => {
  const cluster = weaveLab({ nodes: 9, options: { "ipalloc-range": "10.9.0.0/26" } });
  const nodes = Array.from({ length: 9 }, (_, i) => `node${i + 1}`);
  const split = (isCut: boolean) => {
    for (const x of nodes.slice(0, 5)) for (const y of nodes.slice(5)) cut(cluster, x, y, isCut);
  };
  split(true);
  cluster.clock.advance(120_000);
  expect(neighbours(cluster, "node1")).toEqual(["node2", "node3", "node4", "node5"]);
  // More than either side has.
  const names = Array.from({ length: 54 }, (_, i) => `p${i}`);
  cluster.apply(names.map((name, i) => pod(name, nodes[i % 9] as string)));
  cluster.clock.advance(300_000);
  const early = podAddresses(cluster);
  expect(new Set(Object.values(early)).size).toBe(Object.keys(early).length);
  expect(names.filter((name) => phase(cluster, name) === "Pending").length).toBeGreaterThan(0);
  split(false);
  const healedAt = cluster.clock.now;
  const isWhole = () => nodes.every((node) => neighbours(cluster, node).length === 8);
  while (!isWhole() && cluster.clock.now < healedAt + 1_200_000) cluster.clock.advance(500);
  expect(cluster.clock.now - healedAt).toBeLessThanOrEqual(LONGEST_HEAL_MS);
  // What changed is told a second later, and routes follow.
  cluster.clock.advance(5_000);
  const onEach = nodes.map((_, i) => names.find((name, n) => n % 9 === i && name in early));
  for (const from of onEach) {
    for (const to of onEach) {
      if (from === to) continue;
      expect([from, to, verdict(cluster, `default/${from}`, `default/${to}`)]).toEqual([
        ...[from, to, "allowed"],
      ]);
    }
  }
  // Pods are tried each five minutes.
  cluster.clock.advance(1_200_000);
  const given = podAddresses(cluster);
  expect(new Set(Object.values(given)).size).toBe(Object.keys(given).length);
  expect(given).toMatchObject(early);
  for (const node of nodes) {
    expect(neighbours(cluster, node)).toEqual(nodes.filter((other) => other !== node));
  }
  // 62 for hosts, of which nine have the bridges: 53 pods.
  expect(Object.keys(given)).toHaveLength(53);
  const [last] = names.filter((name) => phase(cluster, name) === "Pending");
  expect(last).toBeDefined();
  for (const to of Object.keys(given).slice(1, 20)) {
    expect(verdict(cluster, "default/p0", `default/${to}`)).toBe("allowed");
  }
});

test("a chain of nodes that do not all reach each other delivers by those between", () => {
  const cluster = weaveLab({ nodes: 4, objects: [pod("a", "node1"), pod("d", "node4")] });
  const nodes = ["node1", "node2", "node3", "node4"];
  for (const [i, x] of nodes.entries()) for (const y of nodes.slice(i + 2)) cut(cluster, x, y);
  cluster.clock.advance(120_000);
  expect(nodes.map((node) => neighbours(cluster, node))).toEqual([
    ["node2"],
    ["node1", "node3"],
    ["node2", "node4"],
    ["node3"],
  ]);
  expect(verdict(cluster, "default/a", "default/d")).toBe("allowed");
  const trace = new Trace();
  cluster.connect({
    from: cluster.endpoint("default/a"),
    to: cluster.endpoint("default/d"),
    port: 8080,
    trace,
  });
  const machines = trace.steps.flatMap((step) =>
    step.netns.name === "" ? step.netns.kernel.hostname : [],
  );
  const order = machines.filter((name, i) => name !== machines[i - 1]);
  // There, and back.
  expect(order.slice(0, 7)).toEqual([...nodes, "node3", "node2", "node1"]);
});

test("a machine that is switched off and on again is the same peer, with the space that it had", () => {
  const cluster = weaveLab({ objects: [pod("a", "node1"), pod("b", "node2")] });
  const before = agentOf(cluster, "node2").weaver?.allocator;
  const ranges = before?.ring.ownedRanges();
  cluster.stopNode("node2");
  cluster.clock.advance(90_000);
  expect(neighbours(cluster, "node1")).toEqual(["node3"]);
  cluster.startNode("node2");
  cluster.settle();
  cluster.clock.advance(400_000);
  const after = agentOf(cluster, "node2").weaver?.allocator;
  expect([after?.name, after?.ring.ownedRanges()]).toEqual([before?.name, ranges]);
  expect(neighbours(cluster, "node2")).toEqual(["node1", "node3"]);
  expect(phase(cluster, "b")).toBe("Running");
  expect(verdict(cluster, "default/a", "default/b")).toBe("allowed");
});

test("pods that come and go while links break have addresses of their own, and talk when links are whole", () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ what: fc.constant("pod" as const), n: fc.nat(3) }) },
    { weight: 2, arbitrary: fc.record({ what: fc.constant("delete" as const), n: fc.nat(30) }) },
    { weight: 2, arbitrary: fc.record({ what: fc.constant("cut" as const), n: fc.nat(11) }) },
    { weight: 1, arbitrary: fc.record({ what: fc.constant("kill" as const), n: fc.nat(3) }) },
    { weight: 2, arbitrary: fc.record({ what: fc.constant("wait" as const), n: fc.nat(90) }) },
  );
  const nodes = ["node1", "node2", "node3", "node4"];
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), fc.nat(1000), (steps, seed) => {
      const cluster = weaveLab({ nodes: 4, seed, options: { "ipalloc-range": "10.9.0.0/27" } });
      const links = new Set<string>();
      let made = 0;
      for (const { what, n } of steps) {
        const [x, y] = [nodes[n % 4], nodes[(n + 1 + (n % 3)) % 4]] as [string, string];
        if (what === "pod") cluster.apply([pod(`p${made++}`, x)]);
        else if (what === "delete") {
          const pods = cluster.api.list("Pod");
          const gone = pods[n % Math.max(pods.length, 1)];
          if (gone !== undefined) cluster.delete("Pod", `default/${gone.metadata.name}`);
        } else if (what === "cut") {
          const key = [x, y].sort().join(" ");
          cut(cluster, x, y, !links.has(key));
          if (!links.delete(key)) links.add(key);
        } else if (what === "kill") {
          agentOf(cluster, x).stop();
          agentOf(cluster, x).start();
        } else cluster.clock.advance(n * 1000);
        cluster.clock.advance(100);
        expectUnique(cluster);
      }
      for (const key of links) cut(cluster, ...(key.split(" ") as [string, string]), false);
      cluster.clock.advance(2_400_000);
      expectUnique(cluster);
      const running = Object.keys(podAddresses(cluster));
      // 30 for hosts, and four bridges.
      expect(running).toHaveLength(Math.min(cluster.api.list("Pod").length, 26));
      const [first, ...others] = running;
      for (const other of others) {
        expect(verdict(cluster, `default/${first}`, `default/${other}`)).toBe("allowed");
      }
    }),
    { seed: 20261122, numRuns: 12 },
  );
});

function expectUnique(cluster: Cluster): void {
  const given = Object.values(podAddresses(cluster));
  expect(new Set(given).size).toBe(given.length);
}
