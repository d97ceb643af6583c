import {
  BRIDGE,
  type BridgeEngine,
  type CniModel,
  CniWaiting,
  type DependencyContainer,
  OVERLAY,
  type Pod,
  type PodAttachment,
  perNode,
  registerEngines,
} from "@cnilab/core";
import { parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  type Cluster,
  type ClusterEvent,
  type ClusterOptions,
  createCluster,
} from "../src/index.ts";
import { app, yaml } from "./manifests.ts";
import { routed } from "./routed-cni.ts";

async function cluster(text: string, options: ClusterOptions = {}): Promise<Cluster> {
  const made = createCluster({ cni: routed, ...options });
  made.apply(text === "" ? [] : yaml(text));
  await made.settled();
  return made;
}

function events(of: Cluster, reason: string): string[] {
  return of.api
    .list("Event")
    .filter((e) => e.reason === reason)
    .map((e) => `${e.involvedObject.name}: ${e.message}`);
}

function spread(of: Cluster): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { spec } of of.api.list("Pod")) {
    const node = spec.nodeName ?? "none";
    counts[node] = (counts[node] ?? 0) + 1;
  }
  return counts;
}

const pod = (name: string, spec = "containers: [{name: c}]") =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}}, spec: {${spec}}}\n---\n`;
const node = (name: string, rest = "") =>
  `{apiVersion: v1, kind: Node, metadata: {name: ${name}, labels: {disk: ${name}}}${rest}}\n---\n`;

describe("nodes", () => {
  test("are made where the input has none, with addresses and ranges in order", async () => {
    const made = await cluster("", { nodes: 12 });
    const found = made.api
      .list("Node")
      .map((n) => [n.metadata.name, n.status?.addresses?.[0]?.address, n.spec?.podCIDR]);
    expect(found[0]).toEqual(["node1", "192.168.0.11", "10.244.0.0/24"]);
    expect(found[11]).toEqual(["node12", "192.168.0.22", "10.244.11.0/24"]);
  });

  test.each([
    ["192.168.0.0/16", "10.96.0.0/12", "172.16.0.11"],
    ["192.168.64.0/18", "172.16.0.0/12", "10.0.0.11"],
    ["10.0.0.0/8", "192.168.0.0/16", "172.16.0.11"],
  ])("stand beside pods in %s and Services in %s, at %s", async (pods, services, address) => {
    const made = await cluster("", {
      config: { clusterCidrs: [parsePrefix(pods)], serviceCidrs: [parsePrefix(services)] },
    });
    expect(made.api.get("Node", "node1")?.status?.addresses?.[0]?.address).toBe(address);
  });

  test("need addresses that neither pods nor Services have", () => {
    const config = {
      clusterCidrs: [parsePrefix("128.0.0.0/1")],
      serviceCidrs: [parsePrefix("10.0.0.0/8")],
      nodeCidrMaskSize: { 4: 16, 6: 64 },
    } as const;
    expect(() => createCluster({ config }).apply([])).toThrow(
      "--cluster-cidr: 128.0.0.0/1 and 10.0.0.0/8 leave no addresses for the nodes",
    );
  });

  test("of the input keep addresses and ranges; the others take what is left", async () => {
    const made = await cluster(
      node(
        "a",
        ", spec: {podCIDR: 10.244.0.0/24}, status: {addresses: [{type: InternalIP, address: 172.18.0.3}]}",
      ) + node("b", ", status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}"),
    );
    const found = made.api
      .list("Node")
      .map((n) => [n.status?.addresses?.[0]?.address, n.spec?.podCIDR]);
    expect(found).toEqual([
      ["172.18.0.3", "10.244.0.0/24"],
      ["192.168.0.1", "10.244.1.0/24"],
    ]);
    const reach = (from: string, to: string) =>
      made.connect({ from: made.endpoint(from), to: made.endpoint(to) }).verdict;
    expect(reach("node/a", "node/b:10250")).toBe("allowed");
    expect(reach("node/b", "node/a:10250")).toBe("allowed");
    expect(reach("node/b", "internet:443")).toBe("allowed");
  });

  test("that pods name and the input lacks are made, where the pods say they are", async () => {
    const made = await cluster(
      `${pod("a", "nodeName: worker-a, containers: [{name: c}]")}`.replace(
        "}\n",
        ", status: {hostIP: 172.18.0.9}}\n",
      ),
      { nodes: 0 },
    );
    expect(
      made.api.list("Node").map((n) => [n.metadata.name, n.status?.addresses?.[0]?.address]),
    ).toEqual([["worker-a", "172.18.0.9"]]);
  });

  test("without a range stay out of use, and say so, until one is free", async () => {
    const made = await cluster("", {
      nodes: 3,
      config: { clusterCidrs: [parsePrefix("10.244.0.0/23")] },
    });
    expect(events(made, "CIDRNotAvailable")).toEqual([
      "node3: Node node3 status is now: CIDRNotAvailable: no pod range is left in 10.244.0.0/23",
    ]);
    expect(made.nodes.get("node3")?.ready).toBe(false);
    made.apply(yaml(app("web", 4)));
    await made.settled();
    expect(spread(made)).toEqual({ node1: 2, node2: 2 });
    made.delete("Node", "node1");
    await made.settled();
    expect(made.api.get("Node", "node3")?.spec).toEqual({
      podCIDR: "10.244.0.0/24",
      podCIDRs: ["10.244.0.0/24"],
    });
    expect(spread(made)).toEqual({ node2: 2, node3: 2 });
  });

  test("that run Windows are not ready with a CNI for Linux alone, and the cluster says so once", async () => {
    const win = `{apiVersion: v1, kind: Node, metadata: {name: win, labels: {kubernetes.io/os: windows}}}`;
    const lin = `{apiVersion: v1, kind: Node, metadata: {name: lin}}`;
    const waits = pod(
      "waits",
      "nodeSelector: {kubernetes.io/os: windows}, containers: [{name: c}]",
    );
    const made = await cluster(`${win}\n---\n${lin}\n---\n${waits}`);
    const readiness = [...made.nodes.values()].map((n) => [n.name, n.machine.os, n.ready]);
    expect(readiness).toEqual([
      ["lin", "linux", true],
      ["win", "windows", false],
    ]);
    expect(made.api.get("Pod", "default/waits")?.status?.phase).toBe("Pending");
    expect(made.warnings).toEqual([
      "routed is not modelled for Windows: win is NotReady and without pods",
    ]);
    made.stopNode("win");
    expect(made.warnings).toEqual([]);
  });

  test("without a network plugin are not ready: pods wait, and those in the host's network run", async () => {
    const made = createCluster({ nodes: 1 });
    made.apply(yaml(pod("waits") + pod("runs", "hostNetwork: true, containers: [{name: c}]")));
    await made.settled();
    expect(made.api.get("Pod", "default/waits")?.status?.phase).toBe("Pending");
    expect(made.api.get("Pod", "default/runs")?.status).toMatchObject({
      phase: "Running",
      podIP: "192.168.0.11",
    });
    expect(events(made, "NetworkNotReady")[0]).toContain("reason:NetworkPluginNotReady");
    expect(made.api.get("Node", "node1")?.status?.conditions?.[0]).toMatchObject({
      type: "Ready",
      status: "False",
    });
  });
});

describe("the scheduler", () => {
  test("spreads a Deployment, then fills up evenly", async () => {
    const made = await cluster(app("a", 3) + app("b", 2) + app("c", 4), { nodes: 3 });
    expect(spread(made)).toEqual({ node1: 3, node2: 3, node3: 3 });
    for (const name of ["a", "b", "c"]) {
      const nodes = made.api
        .list("Pod")
        .filter((p) => p.metadata.labels?.["app"] === name)
        .map((p) => p.spec.nodeName);
      expect(new Set(nodes).size).toBe(Math.min(3, nodes.length));
    }
  });

  test("puts two pods of one owner apart even where one node is emptier", async () => {
    const crowd = Array.from({ length: 6 }, (_, i) =>
      pod(`p${i}`, `nodeName: node${1 + (i % 2)}, containers: [{name: c}]`),
    );
    const made = await cluster(crowd.join("") + app("web", 2), { nodes: 3 });
    const nodes = made.api
      .list("Pod")
      .filter((p) => p.metadata.labels?.["app"] === "web")
      .map((p) => p.spec.nodeName);
    expect(new Set(nodes).size).toBe(2);
    expect(nodes).toContain("node3");
  });

  test.each([
    ["a selector", "nodeSelector: {disk: b}", "b"],
    [
      "affinity",
      "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: NotIn, values: [a, t]}]}]}}}",
      "b",
    ],
    [
      "a field",
      "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [b]}]}]}}}",
      "b",
    ],
    ["a toleration", "nodeSelector: {disk: t}, tolerations: [{key: k, operator: Exists}]", "t"],
    [
      "a toleration of a value",
      "nodeSelector: {disk: t}, tolerations: [{key: k, value: v, effect: NoSchedule}]",
      "t",
    ],
    ["a name", "nodeName: t", "t"],
    ["nothing fits", "nodeSelector: {disk: z}", undefined],
    ["a taint", "nodeSelector: {disk: t}", undefined],
    [
      "a toleration of another value",
      "nodeSelector: {disk: t}, tolerations: [{key: k, value: w}]",
      undefined,
    ],
  ])("heeds %s", async (_, spec, expected) => {
    const nodes =
      node("a") +
      node("b") +
      node("t", ", spec: {taints: [{key: k, value: v, effect: NoSchedule}]}");
    const made = await cluster(nodes + pod("p", `${spec}, containers: [{name: c}]`));
    const placed = made.api.get("Pod", "default/p") as Pod;
    expect(placed.spec.nodeName).toBe(expected);
    expect(placed.status?.phase).toBe(expected === undefined ? "Pending" : "Running");
    expect(events(made, "FailedScheduling")).toHaveLength(expected === undefined ? 1 : 0);
  });

  test("lets a host port be taken once on a node, and tries again when it is free", async () => {
    const spec = "containers: [{name: c, ports: [{containerPort: 80, hostPort: 80}]}]";
    const made = await cluster(pod("a", spec) + pod("b", spec) + pod("c", spec), { nodes: 2 });
    expect(spread(made)).toEqual({ node1: 1, node2: 1, none: 1 });
    expect(events(made, "FailedScheduling")[0]).toContain(
      "0/2 nodes are available: 2 node(s) didn't have free ports",
    );
    made.delete("Pod", "default/a");
    await made.settled();
    expect(spread(made)).toEqual({ node1: 1, node2: 1 });
  });

  test.each<[string, string, string, boolean]>([
    ["one address", "hostIP: 192.0.2.1", "hostIP: 192.0.2.1", false],
    ["two addresses", "hostIP: 192.0.2.1", "hostIP: 192.0.2.2", true],
    ["one and all addresses", "hostIP: 192.0.2.1", "hostIP: 0.0.0.0", false],
    ["all addresses", "name: a", "hostIP: 127.0.0.1", false],
    ["two protocols", "protocol: TCP", "protocol: UDP", true],
  ])(
    "puts two pods with a host port on one node, on %s: %s, %s",
    async (_, first, second, both) => {
      const spec = (how: string) =>
        `containers: [{name: c, ports: [{containerPort: 80, hostPort: 80, ${how}}]}]`;
      const made = await cluster(pod("a", spec(first)) + pod("b", spec(second)), { nodes: 1 });
      expect(spread(made)).toEqual(both ? { node1: 2 } : { node1: 1, none: 1 });
    },
  );

  test("counts pods where a node says how many it takes", async () => {
    const made = await cluster(
      node("a", ", status: {allocatable: {pods: '2'}}") + pod("p") + pod("q") + pod("r"),
    );
    expect(spread(made)).toEqual({ a: 2, none: 1 });
  });
});

describe("a machine that is switched off", () => {
  test("costs its pods readiness after 40 seconds, and their lives after 5 minutes", async () => {
    const web = await cluster(app("web", 2), { nodes: 2 });
    const ready = () =>
      web.api
        .list("EndpointSlice")
        .flatMap((s) => s.endpoints)
        .filter((e) => e.conditions?.ready && e.nodeName).length;
    web.stopNode("node1");
    web.clock.advance(39_000);
    expect(ready()).toBe(2);
    web.clock.advance(2_000);
    expect(ready()).toBe(1);
    expect(web.api.get("Node", "node1")?.status?.conditions?.[0]?.status).toBe("Unknown");
    await web.settled();
    expect(ready()).toBe(2);
    expect(
      web.api
        .list("Pod")
        .filter((p) => p.metadata.deletionTimestamp === undefined)
        .map((p) => p.spec.nodeName),
    ).toEqual(["node2", "node2"]);
  });

  test("comes back with fresh sandboxes", async () => {
    const web = await cluster(app("web", 2), { nodes: 2 });
    web.stopNode("node1");
    web.clock.advance(10_000);
    web.startNode("node1");
    await web.settled();
    const from = web.endpoint("node/node2");
    for (const { metadata } of web.api.list("Pod")) {
      expect(web.connect({ from, to: web.endpoint(`default/${metadata.name}`) }).verdict).toBe(
        "allowed",
      );
    }
    expect(web.api.get("Node", "node1")?.spec?.taints).toBeUndefined();
  });
});

test("streams tell what happens to nodes and pods", async () => {
  const made = createCluster({ cni: routed, nodes: 1 });
  const seen: string[] = [];
  made.events$.subscribe((e: ClusterEvent) =>
    seen.push(`${e.kind} ${"pod" in e ? e.pod.metadata.name : e.node}`),
  );
  made.apply(yaml(pod("a")));
  await made.settled();
  made.delete("Pod", "default/a");
  await made.settled();
  expect(seen).toEqual([
    "node-not-ready node1",
    "node-ready node1",
    "pod-attached a",
    "pod-detached a",
  ]);
});

test("a pod that the network refuses is tried again, and comes up when there is room", async () => {
  const config = {
    clusterCidrs: [parsePrefix("10.244.0.0/29")],
    nodeCidrMaskSize: { 4: 29, 6: 64 } as const,
  };
  const made = await cluster(Array.from({ length: 6 }, (_, i) => pod(`p${i}`)).join(""), {
    nodes: 1,
    config,
  });
  const pending = () =>
    made.api
      .list("Pod")
      .filter((p) => p.status?.phase === "Pending")
      .map((p) => p.metadata.name);
  expect(pending()).toEqual(["p5"]);
  expect(events(made, "FailedCreatePodSandBox")[0]).toContain(
    "no IP addresses available in 10.244.0.0/29",
  );
  made.delete("Pod", "default/p0");
  made.clock.advance(300_000);
  expect(pending()).toEqual([]);
});

test("a namespace goes when all that is in it is gone", async () => {
  const text = app("web", 2).replaceAll(
    /metadata: \{name: (\w+)\}/g,
    "metadata: {name: $1, namespace: shop}",
  );
  const made = await cluster(text);
  expect(made.api.get("Namespace", "shop")).toBeDefined();
  made.delete("Namespace", "shop");
  await made.settled();
  expect(made.api.get("Namespace", "shop")).toBeUndefined();
  expect([made.api.count("Pod"), made.api.list("Service", "shop").length]).toEqual([0, 0]);
});

describe("a plugin that waits", () => {
  /** As {@link routed}, but ADD does not end before the gate is open. */
  function gated(): { readonly model: CniModel; readonly open: () => void; added: number } {
    const waiting = new Set<() => void>();
    const gate = {
      isOpen: false,
      added: 0,
      open() {
        gate.isOpen = true;
        for (const callback of [...waiting]) callback();
      },
      model: { ...routed, register } satisfies CniModel,
    };
    function register(...args: Parameters<CniModel["register"]>): void {
      const [container, options, config] = args;
      let make: { useFactory: (node: DependencyContainer) => BridgeEngine } | undefined;
      const held = Object.create(container, {
        register: {
          value: (token: unknown, provider: never) => {
            if (token === BRIDGE) make = provider;
          },
        },
      });
      registerEngines(routed, [OVERLAY], container, options, config);
      routed.register(held, options, config);
      container.register(
        BRIDGE,
        perNode((node) => {
          const bridge = make?.useFactory(node) as BridgeEngine;
          const attach = (attachment: PodAttachment) => {
            gate.added++;
            if (gate.isOpen) return bridge.attach(attachment);
            throw new CniWaiting("waits for the gate", (callback) => {
              waiting.add(callback);
              return () => waiting.delete(callback);
            });
          };
          return {
            attach,
            detach: (of: PodAttachment) => bridge.detach(of),
            check: (of: PodAttachment) => bridge.check(of),
          };
        }),
      );
    }
    return gate;
  }

  test("goes on in the same sandbox when it has what it waits for", () => {
    const gate = gated();
    const made = createCluster({ cni: gate.model, nodes: 1 });
    made.apply(yaml(pod("a")));
    made.clock.advance(60_000);
    const [kernel] = [...made.nodes.values()].map(({ machine }) => machine);
    const sandboxes = [...(kernel?.namespaces ?? [])].map(({ name }) => name);
    expect(made.api.get("Pod", "default/a")?.status?.phase).toBe("Pending");
    gate.open();
    expect(made.api.get("Pod", "default/a")?.status?.phase).toBe("Running");
    expect([...(kernel?.namespaces ?? [])].map(({ name }) => name)).toEqual(sandboxes);
    expect(events(made, "FailedCreatePodSandBox")).toEqual([]);
    expect(gate.added).toBe(2);
  });

  test("is killed after four minutes, and the pod is tried again", () => {
    const gate = gated();
    const made = createCluster({ cni: gate.model, nodes: 1 });
    made.apply(yaml(pod("a")));
    made.clock.advance(245_000);
    expect(events(made, "FailedCreatePodSandBox")).toEqual([
      "a: Failed to create pod sandbox: failed to setup network for sandbox: rpc error: code = DeadlineExceeded desc = context deadline exceeded (waits for the gate)",
    ]);
    const namespaces = () => [...(made.nodes.get("node1")?.machine.namespaces ?? [])].length;
    expect(namespaces()).toBe(0);
    made.clock.advance(10_000);
    expect([gate.added, namespaces()]).toEqual([2, 1]);
  });

  test("ends with its pod", () => {
    const gate = gated();
    const made = createCluster({ cni: gate.model, nodes: 1 });
    made.apply(yaml(pod("a")));
    made.clock.advance(5_000);
    made.delete("Pod", "default/a");
    made.settle();
    gate.open();
    expect(made.api.list("Pod")).toEqual([]);
    expect([...(made.nodes.get("node1")?.machine.namespaces ?? [])]).toEqual([]);
    expect(gate.added).toBe(1);
  });
});
