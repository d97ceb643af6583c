import { readFileSync } from "node:fs";
import { type Cluster, createCluster, parseManifests } from "@cnilab/cluster";
import { SeededRandom, type Service, type ServiceSpec } from "@cnilab/core";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { beforeAll, describe, expect, test } from "vitest";

const file = new URL("../windows/mixed.yaml", import.meta.url);
const objects = parseManifests(readFileSync(file, "utf8"), "mixed.yaml").objects;

const HOST_GW = { backend: "host-gw" } as const;
/** Windows takes no other port, and no lower identifier. */
const VXLAN = { backend: "vxlan", vni: 4096, port: 4789 } as const;

function bringUp(cniOptions: typeof HOST_GW | typeof VXLAN, enableDSR: boolean): Cluster {
  const register = (root: Cluster["container"]) => registerKubeProxy(root, {}, { enableDSR });
  const cluster = createCluster({ cni: flannel, cniOptions, register });
  cluster.apply(objects);
  cluster.settle();
  return cluster;
}

function ask(cluster: Cluster, from: string, to: string, protocol?: "ICMP") {
  return cluster.connect({ from: cluster.endpoint(from), to: cluster.endpoint(to), protocol });
}

/** Who sees whom: `front` and `back` for pods, the node for what the node stands in for. */
function seen(cluster: Cluster, from: string, to: string): string {
  const { verdict, backend = "", seenAs = "" } = ask(cluster, from, to);
  if (verdict !== "allowed") return verdict;
  const holder = cluster.api.list("Pod").find((p) => p.status?.podIP === seenAs)?.metadata.labels?.[
    "app"
  ];
  return `${backend.replace(/^default\/(\w+)-.*/, "$1")} sees ${holder ?? seenAs}`;
}

const LIN = "192.168.0.11";
const WIN = "192.168.0.12";
const CLIENT = "192.168.9.9";

describe.each([
  // Source of what goes from a node: flannel.4096 of the Linux node, the source VIP of the Windows node.
  { what: "host-gw, DSR", options: HOST_GW, dsr: true, lin: LIN, win: WIN, gateway: "10.244.1.2" },
  { what: "host-gw", options: HOST_GW, dsr: false, lin: LIN, win: WIN, gateway: "10.244.1.2" },
  {
    what: "vxlan, DSR",
    options: VXLAN,
    dsr: true,
    lin: "10.244.0.0",
    win: "10.244.1.2",
    gateway: WIN,
  },
  { what: "vxlan", options: VXLAN, dsr: false, lin: "10.244.0.0", win: "10.244.1.2", gateway: WIN },
])("a Linux and a Windows node, $what", ({ options, dsr, lin, win, gateway }) => {
  let cluster: Cluster;
  beforeAll(() => {
    cluster = bringUp(options, dsr);
  });

  test("are ready, with their pods where the manifests want them", () => {
    const pods = cluster.api.list("Pod");
    expect(pods.every((p) => p.status?.phase === "Running")).toBe(true);
    const where = new Set(pods.map((p) => `${p.metadata.labels?.["app"]} ${p.spec.nodeName}`));
    expect(where).toEqual(new Set(["front lin1", "back win1"]));
    expect(cluster.warnings).toEqual([]);
  });

  test.each([
    ["pod to Service, Linux to Windows", "deploy/front", "svc/back:80", "back sees front"],
    ["pod to Service, Windows to Linux", "deploy/back", "svc/front:80", "WIN"],
    ["node to Service, Linux to Windows", "node/lin1", "svc/back:80", "back sees LIN"],
    ["node to Service, Windows to Linux", "node/win1", "svc/front:80", "front sees NODE"],
    ["node to Service on itself", "node/win1", "svc/back:80", "back sees NODE"],
    ["node port of the Windows node, pods there", CLIENT, "node/win1:30081", "back sees NODE"],
    ["node port of the Windows node, pods on Linux", CLIENT, "node/win1:30080", "front sees NODE"],
    ["node port of the Linux node, pods on Windows", CLIENT, "node/lin1:30081", "back sees LIN"],
    ["external policy Local keeps the client", CLIENT, "node/win1:30082", `back sees ${CLIENT}`],
    ["external policy Local without pods there", CLIENT, "node/lin1:30082", "unreachable"],
    ["the kubelet's way to a pod", "node/win1", "deploy/back:8080", "back sees GATEWAY"],
    ["a pod's way out", "deploy/back", `${CLIENT}:80`, "OUT"],
  ])("%s", (_what, from, to, expected) => {
    const text = expected
      .replace(/^WIN$/, `front sees ${dsr ? "back" : win}`)
      .replace(/^OUT$/, `${CLIENT} sees ${WIN}`)
      .replace("LIN", lin)
      .replace("NODE", win)
      .replace("GATEWAY", gateway);
    expect(seen(cluster, from, to)).toBe(text);
  });

  test("ping between pods of both works, and not from a Windows pod to the world", () => {
    const back = cluster.api.list("Pod").find((p) => p.metadata.labels?.["app"] === "back");
    const front = cluster.api.list("Pod").find((p) => p.metadata.labels?.["app"] === "front");
    const ping = (from: string, to: string) => ask(cluster, from, to, "ICMP").verdict;
    expect(ping(`default/${front?.metadata.name}`, String(back?.status?.podIP))).toBe("allowed");
    expect(ping(`default/${back?.metadata.name}`, String(front?.status?.podIP))).toBe("allowed");
    expect(ping(`default/${back?.metadata.name}`, "internet")).toBe("unreachable");
  });

  test("a Service that loses its endpoints loses its load balancers, and gets them back", () => {
    cluster.scale("Deployment", "default/back", 0);
    cluster.settle();
    expect(ask(cluster, "deploy/front", "svc/back:80").verdict).toBe("refused");
    // Windows has nothing that would refuse: packets go where the routes lead.
    expect(ask(cluster, "node/win1", "svc/back:80").verdict).toBe("unreachable");
    expect(ask(cluster, CLIENT, "node/win1:30081").verdict).toBe("refused");
    cluster.scale("Deployment", "default/back", 2);
    cluster.settle();
    expect(seen(cluster, "deploy/front", "svc/back:80")).toBe("back sees front");
  });
});

/** A Service with a random choice of everything that both kinds of node look at. */
function randomService(
  index: number,
  random: SeededRandom,
): Service & { readonly spec: ServiceSpec } {
  const one = <T>(...values: T[]): T => values[random.below(values.length)] as T;
  const app = one("front", "back", "nobody");
  const type = one("ClusterIP", "NodePort");
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: `s${index}`, namespace: "default" },
    spec: {
      type,
      selector: { app },
      ports: [{ port: 1000 + index, targetPort: app === "back" ? 8080 : 80 }],
      internalTrafficPolicy: one("Cluster", "Local"),
      sessionAffinity: one("None", "ClientIP"),
      ...(type === "NodePort" ? { externalTrafficPolicy: one("Cluster", "Local") } : {}),
    },
  };
}

test.each([
  [HOST_GW, true],
  [HOST_GW, false],
  [VXLAN, true],
  [VXLAN, false],
])("random Services have the same endpoints from both nodes: %j, DSR %s", (options, dsr) => {
  const cluster = bringUp(options, dsr);
  const random = new SeededRandom(5);
  const services = Array.from({ length: 24 }, (_, i) => randomService(i, random));
  cluster.apply(services);
  cluster.settle();
  for (const { metadata, spec } of services) {
    for (const [client, node] of [
      ["deploy/front", "lin1"],
      ["deploy/back", "win1"],
    ] as const) {
      const pods = cluster.api
        .list("Pod")
        .filter((p) => p.metadata.labels?.["app"] === spec.selector?.["app"])
        .filter((p) => spec.internalTrafficPolicy === "Cluster" || p.spec.nodeName === node)
        .map((p) => `default/${p.metadata.name}`);
      const to = `svc/${metadata.name}:${spec.ports?.[0]?.port}`;
      const answers = Array.from({ length: 16 }, () => ask(cluster, client, to));
      const backends = new Set(answers.map(({ verdict, backend }) => backend ?? verdict));
      const what = `${client} to ${JSON.stringify(spec)}`;
      if (pods.length === 0) {
        // What Linux refuses or drops by a rule, Windows has no rule for.
        expect(
          answers.every(({ verdict }) => verdict !== "allowed"),
          what,
        ).toBe(true);
      } else if (spec.sessionAffinity === "ClientIP") {
        expect(backends.size, what).toBe(1);
        expect(
          [...backends].every((b) => pods.includes(b)),
          what,
        ).toBe(true);
      } else expect(backends, what).toEqual(new Set(pods));
    }
  }
});

test("flanneld tells of a Windows node what the others need", () => {
  const annotations = (options: typeof HOST_GW | typeof VXLAN) => {
    const found = bringUp(options, true).api.get("Node", "win1")?.metadata.annotations ?? {};
    const short = Object.entries(found).map(([key, value]) => [key.split("/")[1], value]);
    return Object.fromEntries(short) as Record<string, string>;
  };
  expect(annotations(HOST_GW)).toEqual({
    "backend-type": "host-gw",
    "backend-data": "null",
    "public-ip": WIN,
    "kube-subnet-manager": "true",
  });
  const vxlan = annotations(VXLAN);
  expect(vxlan).toMatchObject({ "backend-type": "vxlan", "public-ip": WIN });
  expect(JSON.parse(vxlan["backend-data"] ?? "")).toEqual({
    VNI: 4096,
    VtepMAC: expect.stringMatching(/^00:15:5d:/),
  });
});

test.each([
  [{ backend: "vxlan" }, "VNI [1] must be greater than or equal to 4096"],
  [{ backend: "vxlan", vni: 4096, port: 8472 }, "Port [8472], other than 4789, is not supported"],
  [{ backend: "wireguard" }, "wireguard is not there on Windows"],
])("Flannel with %j leaves a Windows node without a network, and says why", (cniOptions, why) => {
  const cluster = createCluster({ cni: flannel, cniOptions });
  cluster.apply(objects);
  cluster.settle();
  expect([...cluster.nodes.values()].map((n) => [n.name, n.ready])).toEqual([
    ["lin1", true],
    ["win1", false],
  ]);
  expect(cluster.warnings).toEqual([expect.stringMatching(/^win1 is NotReady: flanneld: /)]);
  expect(cluster.warnings[0]).toContain(why);
});
