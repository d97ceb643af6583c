// BGP under Calico, and what an operator sees of it when something goes wrong: sessions, routes, what becomes of packets.
import { CalicoNode, calico, nodeStatus } from "@cnilab/calico";
import { type Cluster, createCluster } from "@cnilab/cluster";
import type { CniOptionValues, KubeObject } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { NetNamespace, Nic } from "@cnilab/linux";
import { formatIp, type Prefix, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";

const HOLD_MS = 240_000;
const RESTART_MS = 120_000;

function pod(name: string, nodeName: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: "web" } },
    spec: { nodeName, containers: [{ name: "web", image: "web", ports: [{ containerPort: 80 }] }] },
  } as KubeObject;
}

/** Nodes node1 … with a pod each, p1 …, without encapsulation: packets go by what BGP told. */
function cluster(
  options: CniOptionValues = {},
  objects: readonly KubeObject[] = [],
  nodes = 3,
): Cluster {
  const made = createCluster({
    nodes,
    cni: calico,
    cniOptions: { encapsulation: "None", ...options },
    register: registerKubeProxy,
  });
  made.apply([]);
  const pods = Array.from({ length: nodes }, (_, i) => pod(`p${i + 1}`, `node${i + 1}`));
  made.settle();
  made.apply([...pods, ...objects]);
  made.settle();
  return made;
}

function node(made: Cluster, name: string): NetNamespace {
  return (made.nodes.get(name) as { machine: { initNs: NetNamespace } }).machine.initNs;
}

function agent(made: Cluster, name: string): CalicoNode {
  return made.nodes.get(name)?.agents.find((a) => a instanceof CalicoNode) as CalicoNode;
}

/** Peer and state of each session, as `calicoctl node status` has them. */
function sessions(made: Cluster, name: string): string[] {
  const text = nodeStatus(agent(made, name).bird, made.clock.now);
  return [...text.matchAll(/^\| (\d\S*) +\| .*? \| (\w+) +\| \S+ +\| (.*?) +\|$/gm)].map(
    ([, peer, state, info]) => `${peer} ${state} ${info}`,
  );
}

/** What BGP brought into a kernel: gateways by block. */
function routes(netns: NetNamespace): string[] {
  return [...netns.fib4.main.routes()]
    .filter(({ protocol, type }) => protocol === "bird" && type === "unicast")
    .map(
      ({ prefix, nexthops }) =>
        `${prefix} via ${nexthops.map(({ gateway }) => formatIp(gateway ?? 0)).join(",")}`,
    );
}

function gateways(netns: NetNamespace): string[] {
  return routes(netns).map((route) => route.split("via ")[1] as string);
}

function blockOf(made: Cluster, name: string): Prefix {
  const all = [...node(made, name).fib4.main.routes()];
  return all.find(({ type, protocol }) => type === "blackhole" && protocol === "bird")
    ?.prefix as Prefix;
}

function talk(made: Cluster, from: string, to: string) {
  made.forgetConnections();
  return made.connect({
    from: made.endpoint(from),
    to: made.endpoint(to),
    port: 80,
  });
}

function cut(made: Cluster, x: string, y: string, isCut: boolean): void {
  const [a, b] = [x, y].map((name) => node(made, name).device("eth0") as Nic);
  const fault = isCut ? { cut: true } : undefined;
  a?.segment.setFault(a, b as Nic, fault);
  a?.segment.setFault(b as Nic, a, fault);
}

describe("a mesh", () => {
  test("is up, and packets go by its routes", () => {
    const made = cluster();
    expect(sessions(made, "node1")).toEqual([
      "192.168.0.12 up Established",
      "192.168.0.13 up Established",
    ]);
    expect(gateways(node(made, "node1")).sort()).toEqual(["192.168.0.12", "192.168.0.13"]);
    expect(talk(made, "p1", "p2").verdict).toBe("allowed");
  });

  test("loses a session with the link: routes go when the hold timer expires, and come back", () => {
    const made = cluster();
    cut(made, "node1", "node2", true);
    made.clock.advance(100_000);
    expect(gateways(node(made, "node1"))).toContain("192.168.0.12");
    made.clock.advance(HOLD_MS);
    expect(gateways(node(made, "node1"))).toEqual(["192.168.0.13"]);
    expect(sessions(made, "node1")[0]).toMatch(
      /^192\.168\.0\.12 start \w+ (BGP Error: Hold timer expired|Socket: .*)$/,
    );
    const lost = talk(made, "p1", "p2");
    expect(lost.verdict).toBe("unreachable");
    expect(lost.reason).toMatch(/router/);
    cut(made, "node1", "node2", false);
    made.clock.advance(60_000);
    expect(sessions(made, "node1")[0]).toBe("192.168.0.12 up Established");
    expect(talk(made, "p1", "p2").verdict).toBe("allowed");
  });

  test("loses a session with a rule on port 179, while packets could pass", () => {
    const made = cluster();
    const text =
      "*filter\n-I INPUT -p tcp --dport 179 -j DROP\n-I INPUT -p tcp --sport 179 -j DROP\nCOMMIT\n";
    node(made, "node2").iptables(4).restore(text, { noflush: true });
    made.clock.advance(90_000);
    expect(talk(made, "p1", "p2").verdict).toBe("allowed");
    made.clock.advance(HOLD_MS);
    expect(gateways(node(made, "node1"))).toEqual(["192.168.0.13"]);
    expect(gateways(node(made, "node2"))).toEqual([]);
    expect(talk(made, "p1", "p2").verdict).toBe("unreachable");
    expect(talk(made, "p1", "p3").verdict).toBe("allowed");
  });

  test("keeps the routes of a BIRD that restarts", () => {
    const made = cluster();
    const before = routes(node(made, "node1"));
    const bird = agent(made, "node2").bird;
    bird?.stop();
    made.clock.advance(RESTART_MS / 2);
    expect(sessions(made, "node1")[0]).toMatch(
      /^192\.168\.0\.12 start (Passive|Active|Connect) Socket: /,
    );
    expect(routes(node(made, "node1"))).toEqual(before);
    expect(talk(made, "p1", "p2").verdict).toBe("allowed");
    expect(talk(made, "p2", "p1").verdict).toBe("allowed");
    bird?.start();
    made.settle();
    expect(sessions(made, "node1")[0]).toBe("192.168.0.12 up Established");
    made.clock.advance(2 * RESTART_MS);
    expect(routes(node(made, "node1"))).toEqual(before);
    expect(talk(made, "p1", "p2").verdict).toBe("allowed");
  });

  test("forgets a BIRD that does not come back; its own kernel does not", () => {
    const made = cluster();
    agent(made, "node2").bird?.stop();
    made.clock.advance(RESTART_MS + 10_000);
    expect(gateways(node(made, "node1"))).toEqual(["192.168.0.13"]);
    expect(gateways(node(made, "node2")).sort()).toEqual(["192.168.0.11", "192.168.0.13"]);
    expect(nodeStatus(agent(made, "node2").bird, made.clock.now)).toContain("BIRD) is not running");
    const lost = talk(made, "p1", "p2");
    expect(lost.verdict).toBe("unreachable");
  });

  test("loses a node with its power, after the hold time", () => {
    const made = cluster();
    made.stopNode("node2");
    made.clock.advance(RESTART_MS + 10_000);
    expect(gateways(node(made, "node1"))).toContain("192.168.0.12");
    made.clock.advance(HOLD_MS);
    expect(gateways(node(made, "node1"))).toEqual(["192.168.0.13"]);
    made.startNode("node2");
    made.settle();
    made.clock.advance(60_000);
    expect(sessions(made, "node1")[0]).toBe("192.168.0.12 up Established");
    expect(gateways(node(made, "node1"))).toContain("192.168.0.12");
  });
});

describe("route reflectors", () => {
  test("tell everybody's blocks with two sessions a node", () => {
    const made = cluster({ bgp: "reflectors" }, [], 4);
    expect(sessions(made, "node4")).toEqual([
      "192.168.0.11 up Established",
      "192.168.0.12 up Established",
    ]);
    expect(gateways(node(made, "node4")).sort()).toEqual([
      "192.168.0.11",
      "192.168.0.12",
      "192.168.0.13",
    ]);
    expect(talk(made, "p3", "p4").verdict).toBe("allowed");
  });

  test("one down is one too few to matter; with both, routes are gone", () => {
    const made = cluster({ bgp: "reflectors" }, [], 4);
    agent(made, "node1").bird?.stop();
    made.clock.advance(RESTART_MS + 10_000);
    expect(gateways(node(made, "node4")).sort()).toEqual(["192.168.0.12", "192.168.0.13"]);
    expect(talk(made, "p3", "p4").verdict).toBe("allowed");
    agent(made, "node2").bird?.stop();
    made.clock.advance(RESTART_MS + 10_000);
    expect(gateways(node(made, "node4"))).toEqual([]);
    expect(talk(made, "p3", "p4").verdict).toBe("unreachable");
  });
});

const ROUTER = "192.168.77.1";

const PEER = {
  apiVersion: "projectcalico.org/v3",
  kind: "BGPPeer",
  metadata: { name: "rack" },
  spec: { peerIP: ROUTER, asNumber: 64512 },
} as KubeObject;

function service(name: string, policy: "Cluster" | "Local", ip: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: {
      type: "NodePort",
      selector: { app: "web" },
      ports: [{ port: 80 }],
      externalIPs: [ip],
      externalTrafficPolicy: policy,
    },
  } as KubeObject;
}

function settings(spec: object): KubeObject {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "BGPConfiguration",
    metadata: { name: "default" },
    spec,
  } as KubeObject;
}

describe("a router outside", () => {
  test("that a BGPPeer names learns the blocks, and reaches pods", () => {
    const made = cluster({}, [PEER, settings({ nodeToNodeMeshEnabled: false })]);
    // The router of the nodes' own AS reflects what each tells it.
    expect(sessions(made, "node1")).toEqual([`${ROUTER} up Established`]);
    expect(talk(made, "p1", "p2").verdict).toBe("allowed");
    const router = made.underlay.machineAt(parseIp(ROUTER))?.initNs as NetNamespace;
    expect(gateways(router).sort()).toEqual(["192.168.0.11", "192.168.0.12", "192.168.0.13"]);
    expect(talk(made, ROUTER, "p2").verdict).toBe("allowed");
  });

  test("is told Services: ranges by all nodes, single addresses by those with an endpoint", () => {
    const made = cluster({}, [
      PEER,
      settings({ nodeToNodeMeshEnabled: false, serviceExternalIPs: [{ cidr: "198.51.100.0/28" }] }),
      service("everywhere", "Cluster", "198.51.100.1"),
      {
        ...service("here", "Local", "198.51.100.2"),
        spec: {
          ...(service("here", "Local", "198.51.100.2") as { spec?: object }).spec,
          selector: { app: "one" },
        },
      } as KubeObject,
      {
        ...pod("one", "node3"),
        metadata: { name: "one", namespace: "default", labels: { app: "one" } },
      },
    ]);
    const router = made.underlay.machineAt(parseIp(ROUTER))?.initNs as NetNamespace;
    const found = routes(router).filter((route) => route.startsWith("198"));
    expect(found).toEqual([
      "198.51.100.0/28 via 192.168.0.11,192.168.0.12,192.168.0.13",
      "198.51.100.2/32 via 192.168.0.13",
    ]);
    expect(talk(made, ROUTER, "198.51.100.1").verdict).toBe("allowed");
    expect(talk(made, ROUTER, "198.51.100.2").verdict).toBe("allowed");
  });

  test("that is the nodes' own lets the world in to Services' ranges, and to nothing else", () => {
    const peer = { ...PEER, spec: { peerIP: "192.168.0.1", asNumber: 65001 } } as KubeObject;
    const made = cluster({}, [
      peer,
      settings({ nodeToNodeMeshEnabled: false, serviceExternalIPs: [{ cidr: "198.51.100.0/28" }] }),
      service("everywhere", "Cluster", "198.51.100.1"),
      service("here", "Local", "198.51.100.2"),
      service("elsewhere", "Local", "198.51.100.99"),
    ]);
    const everywhere = talk(made, "internet", "198.51.100.1");
    expect(everywhere.verdict).toBe("allowed");
    expect(everywhere.seenAs).toMatch(/^192\.168\.0\./);
    const here = talk(made, "internet", "198.51.100.2");
    expect([here.verdict, here.seenAs]).toEqual(["allowed", "203.0.113.10"]);
    expect(talk(made, "internet", "198.51.100.99").verdict).toBe("unreachable");
    expect(talk(made, "internet", "p1").verdict).toBe("unreachable");
    made.delete("BGPPeer.projectcalico.org", "rack");
    made.settle();
    expect(talk(made, "internet", "198.51.100.2").verdict).toBe("unreachable");
    const router = made.underlay.router.initNs;
    expect(router.iptables(4).save()).not.toContain("198.51.100");
  });

  test("peers as if a filter and a password that are not there were not named, and an operator is told", () => {
    const password = { secretKeyRef: { name: "bgp", key: "rack" } };
    const spec = { peerIP: ROUTER, asNumber: 65001, filters: ["nothing", "nobody"], password };
    const filter = {
      apiVersion: "projectcalico.org/v3",
      kind: "BGPFilter",
      metadata: { name: "nothing" },
      spec: {},
    } as KubeObject;
    const made = cluster({}, [
      filter,
      { ...PEER, spec } as KubeObject,
      settings({ nodeMeshPassword: { secretKeyRef: { name: "bgp", key: "mesh" } } }),
    ]);
    expect(sessions(made, "node1")).toContain(`${ROUTER} up Established`);
    const secret = (key: string): string =>
      `has its password in Secret kube-system/bgp, key ${key}, which is not there: BIRD is told none`;
    const filterWarning =
      "BGPPeer rack names BGPFilter nobody, which is not there: routes pass as if it named none";
    expect(made.warnings).toEqual([
      filterWarning,
      `BGPPeer rack ${secret("rack")}`,
      `BGPConfiguration default ${secret("mesh")}`,
    ]);
    made.apply([
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "bgp", namespace: "kube-system" },
        stringData: { rack: "s3cret" },
      } as KubeObject,
    ]);
    made.settle();
    expect(made.warnings).toEqual([filterWarning, `BGPConfiguration default ${secret("mesh")}`]);
    made.apply([{ ...filter, metadata: { name: "nobody" } } as KubeObject]);
    made.settle();
    expect(made.warnings).toEqual([`BGPConfiguration default ${secret("mesh")}`]);
  });

  test("hears of no pool that is not to be exported, and what a BGPFilter lets out", () => {
    const filter = {
      apiVersion: "projectcalico.org/v3",
      kind: "BGPFilter",
      metadata: { name: "nothing" },
      spec: { exportV4: [{ action: "Reject", cidr: "10.244.0.0/16", matchOperator: "In" }] },
    } as KubeObject;
    const spec = { peerIP: ROUTER, asNumber: 65001, filters: ["nothing"] };
    const made = cluster({}, [filter, { ...PEER, spec } as KubeObject]);
    const router = made.underlay.machineAt(parseIp(ROUTER))?.initNs as NetNamespace;
    expect(sessions(made, "node1")).toContain(`${ROUTER} up Established`);
    expect(routes(router)).toEqual([]);
    expect(blockOf(made, "node1").length).toBe(26);
  });
});
