// Services by Cilium alone, without kube-proxy: what programs find in the maps, and what maps hold when something is wrong.
import { cilium } from "@cnilab/cilium";
import { bpfOutput } from "@cnilab/cilium/dbg";
import { type Cluster, createCluster } from "@cnilab/cluster";
import type {
  CniOptionValues,
  ContainerPort,
  EndpointSlice,
  KubeObject,
  NodeAgent,
  ServiceSpec,
} from "@cnilab/core";
import { type SocketError, UdpSocket } from "@cnilab/linux";
import { type IpFamily, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";

function pod(
  name: string,
  node: number,
  ports: readonly ContainerPort[] = [{ containerPort: 8080 }],
): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: name.replace(/\d+$/, "") } },
    spec: { nodeName: `node${node}`, containers: [{ name: "c", ports }] },
  } as KubeObject;
}

function service(
  name: string,
  spec: Partial<ServiceSpec> = {},
  annotations: Readonly<Record<string, string>> = {},
): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default", annotations },
    spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }], ...spec },
  } as KubeObject;
}

interface LabOptions {
  readonly options?: CniOptionValues;
  readonly nodes?: number;
  readonly ipFamilies?: readonly IpFamily[];
}

async function lab(
  objects: readonly KubeObject[],
  { options = {}, nodes = 3, ipFamilies = [4] }: LabOptions = {},
): Promise<Cluster> {
  const cluster = createCluster({
    nodes,
    cni: cilium,
    cniOptions: { kubeProxyReplacement: true, ...options },
    config: { ipFamilies },
  });
  cluster.apply(objects);
  await cluster.settled();
  return cluster;
}

const WEB = [pod("web1", 1), pod("web2", 2)];
/** Outside of the cluster. */
const OUTSIDE = "192.168.5.5";

function ask(cluster: Cluster, from: string, to: string, protocol: "TCP" | "UDP" = "TCP"): string {
  const ends = { from: cluster.endpoint(from), to: cluster.endpoint(to) };
  const { verdict, backend } = cluster.connect({ ...ends, protocol });
  return backend === undefined ? verdict : `${verdict}: ${backend}`;
}

/** Whom ten connections reach. */
function reached(cluster: Cluster, from: string, to: string): string[] {
  const all = Array.from({ length: 10 }, () => ask(cluster, from, to));
  return [...new Set(all)].sort();
}

function listed(cluster: Cluster, node: number, words = "lb list"): Record<string, string[]> {
  const { kernel } = cluster.nodes.get(`node${node}`) ?? { kernel: undefined };
  if (kernel === undefined) throw new Error(`no node${node}`);
  const options = { labelsOf: () => [] };
  return bpfOutput(kernel, words.split(" "), options).json as Record<string, string[]>;
}

function agentOf(cluster: Cluster, node: number): NodeAgent {
  const agents = cluster.nodes.get(`node${node}`)?.agents ?? [];
  const agent = agents.find(({ name }) => name === "cilium-agent");
  if (agent === undefined) throw new Error(`no agent on node${node}`);
  return agent;
}

describe("node ports", () => {
  const cluster = lab([
    ...WEB,
    pod("client1", 1),
    pod("client3", 3),
    service("web", { type: "NodePort", ports: [{ port: 80, targetPort: 8080, nodePort: 30_080 }] }),
    service("local", {
      type: "NodePort",
      externalTrafficPolicy: "Local",
      ports: [{ port: 80, targetPort: 8080, nodePort: 30_081 }],
    }),
    service("inside", {
      type: "NodePort",
      internalTrafficPolicy: "Local",
      ports: [{ port: 80, targetPort: 8080, nodePort: 30_082 }],
    }),
  ]);
  const BOTH = ["allowed: default/web1", "allowed: default/web2"];

  test.each<[what: string, from: string, to: string, expected: readonly string[]]>([
    ["from outside, any node", OUTSIDE, "192.168.0.13:30080", BOTH],
    ["from a pod, its own node", "client3", "192.168.0.13:30080", BOTH],
    ["from a node, another", "node/node3", "192.168.0.11:30080", BOTH],
    ["Local: a node with a backend has only that", OUTSIDE, "192.168.0.12:30081", [BOTH[1] ?? ""]],
    ["Local: a node without refuses", OUTSIDE, "192.168.0.13:30081", ["refused"]],
    ["Local: pods get all", "client3", "192.168.0.13:30081", BOTH],
    ["internal Local: pods get those of their node", "client1", "svc/inside:80", [BOTH[0] ?? ""]],
    [
      "internal Local: a pod of a node without gets none",
      "client3",
      "svc/inside:80",
      ["unreachable"],
    ],
    ["internal Local: the network gets all", OUTSIDE, "192.168.0.13:30082", BOTH],
  ])("%s", async (_what, from, to, expected) => {
    expect(reached(await cluster, from, to)).toEqual(expected);
  });
});

describe("host ports", () => {
  const cluster = lab([
    pod("any", 1, [{ containerPort: 8080, hostPort: 8000 }]),
    pod("own", 1, [{ containerPort: 8080, hostPort: 8001, hostIP: "127.0.0.1" }]),
    pod("one", 1, [{ containerPort: 8080, hostPort: 8002, hostIP: "192.168.0.11" }]),
    pod("udp", 1, [{ containerPort: 53, hostPort: 5300, protocol: "UDP" }]),
    pod("far", 2),
  ]);

  test.each<[from: string, to: string, protocol: "TCP" | "UDP", expected: string]>([
    [OUTSIDE, "192.168.0.11:8000", "TCP", "allowed: default/any"],
    ["far", "192.168.0.11:8000", "TCP", "allowed: default/any"],
    ["any", "192.168.0.11:8000", "TCP", "allowed: default/any"],
    ["node/node1", "127.0.0.1:8000", "TCP", "allowed: default/any"],
    ["far", "192.168.0.12:8000", "TCP", "refused"],
    ["node/node1", "127.0.0.1:8001", "TCP", "allowed: default/own"],
    // The agent writes it for each of the node's addresses, and at devices nobody looks at its flag.
    ["far", "192.168.0.11:8001", "TCP", "allowed: default/own"],
    ["far", "192.168.0.11:8002", "TCP", "allowed: default/one"],
    ["far", "192.168.0.11:5300", "UDP", "allowed: default/udp"],
  ])("from %s to %s by %s: %s", async (from, to, protocol, expected) => {
    expect(ask(await cluster, from, to, protocol)).toBe(expected);
  });

  test("are on the pod's node alone, and go with it", async () => {
    const made = await lab([
      pod("any", 1, [{ containerPort: 8080, hostPort: 8000 }]),
      pod("far", 2),
    ]);
    const at = (node: number) =>
      Object.keys(listed(made, node)).filter((key) => key.includes(":8000/TCP (0)"));
    expect(at(1)).toEqual(["0.0.0.0:8000/TCP (0)", "192.168.0.11:8000/TCP (0)"]);
    expect(at(2)).toEqual([]);
    made.api.delete("Pod", "default/any", { gracePeriodSeconds: 0 });
    await made.settled();
    expect(at(1)).toEqual([]);
    expect(ask(made, "far", "192.168.0.11:8000")).toBe("refused");
  });
});

test("source ranges let through who is of them, or who is not", async () => {
  const spec = (nodePort: number): Partial<ServiceSpec> => ({
    type: "LoadBalancer",
    loadBalancerSourceRanges: ["192.168.5.0/24"],
    ports: [{ port: 80, targetPort: 8080, nodePort }],
  });
  const deny = { "service.cilium.io/src-ranges-policy": "deny" };
  const objects = [...WEB, service("web", spec(30_090)), service("not", spec(30_091), deny)];
  const cluster = await lab(objects, { options: { "bpf.lbSourceRangeAllTypes": true } });
  const from = (source: string) =>
    [30_090, 30_091].map((port) => ask(cluster, source, `192.168.0.11:${port}`).split(":")[0]);
  expect(from("192.168.5.5")).toEqual(["allowed", "unreachable"]);
  expect(from("192.168.6.6")).toEqual(["unreachable", "allowed"]);
  const flags = Object.entries(listed(cluster, 1)).flatMap(([key, [text = ""]]) =>
    key.startsWith("192.168.0.11:") && key.endsWith("(0)") ? /\[.*\]/.exec(text)?.[0] : [],
  );
  expect(flags).toEqual(["[NodePort, check source-range]", "[NodePort, check source-range, deny]"]);
});

describe("the health check port of a Service with external policy Local", () => {
  const local = (healthCheckNodePort: number) =>
    service("web", { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort });
  const answers = (cluster: Cluster, port: number) =>
    [1, 2, 3].map((node) => {
      const { verdict, response } = cluster.connect({
        from: cluster.endpoint(OUTSIDE),
        to: cluster.endpoint(`192.168.0.1${node}:${port}`),
        http: { method: "GET", path: "/healthz", host: "node" },
      } as never) as { verdict: string; response?: { status: number; body: string } };
      return response === undefined ? verdict : `${response.status} ${response.body.trim()}`;
    });

  test("answers by what the node has", async () => {
    const cluster = await lab([...WEB, local(32_100)]);
    const owners = [1, 2, 3].map((node) =>
      cluster.nodes
        .get(`node${node}`)
        ?.kernel.initNs.sockets.listening(6, 32_100)
        .map(({ owner }) => owner),
    );
    expect(owners).toEqual([["cilium-agent"], ["cilium-agent"], ["cilium-agent"]]);
    cluster.api.delete("Service", "default/web");
    await cluster.settled();
    expect(answers(cluster, 32_100)).toEqual(["refused", "refused", "refused"]);
  });
});

describe("an agent that stops", () => {
  test("leaves its node with the Services it knew; it catches up when it is back", async () => {
    const cluster = await lab([...WEB, pod("client", 3), service("web")]);
    const before = listed(cluster, 3);
    agentOf(cluster, 3).stop();
    cluster.apply([pod("web9", 1)]);
    cluster.api.delete("Pod", "default/web2", { gracePeriodSeconds: 0 });
    cluster.apply([service("late")]);
    await cluster.settled();
    expect(listed(cluster, 3)).toEqual(before);
    expect(listed(cluster, 1)).not.toEqual(before);
    expect(reached(cluster, "client", "svc/web:80")).toContain("allowed: default/web1");
    expect(ask(cluster, "client", "svc/late:80")).not.toMatch(/^allowed/);
    agentOf(cluster, 3).start();
    await cluster.settled();
    expect(listed(cluster, 3)).toEqual(listed(cluster, 1));
    expect(reached(cluster, "client", "svc/web:80")).toEqual([
      "allowed: default/web1",
      "allowed: default/web9",
    ]);
    expect(ask(cluster, "client", "svc/late:80")).toMatch(/^allowed/);
  });
});

describe("a full map of Services", () => {
  test("leaves out those there is no room for, and says which", async () => {
    // default/kubernetes has 2 entries, each Service 3.
    const names = ["a", "b", "c"];
    const services = names.map((name) => service(name));
    const cluster = await lab([...WEB, pod("client", 3), ...services], {
      options: { "bpf.lbMapMax": 9 },
    });
    const served = names.filter((name) =>
      /^allowed/.test(ask(cluster, "client", `svc/${name}:80`)),
    );
    expect(served).toHaveLength(2);
    expect(Object.keys(listed(cluster, 3))).toHaveLength(9);
    const [lost] = names.filter((name) => !served.includes(name));
    expect(cluster.warnings).toEqual([
      expect.stringMatching(
        new RegExp(
          `^Service default/${lost} is not served at \\S+:80/TCP: Updating frontend failed: Unable to update service entry .*--bpf-lb-map-max`,
        ),
      ),
    ]);
    cluster.api.delete("Service", `default/${served[0]}`);
    await cluster.settled();
    expect(ask(cluster, "client", `svc/${lost}:80`)).toMatch(/^allowed/);
  });
});

describe("a Service for some nodes", () => {
  test("is in the maps of those alone", async () => {
    const annotations = { "service.cilium.io/node": "beefy" };
    const cluster = await lab([...WEB, service("web", {}, annotations)]);
    cluster.api.update("Node", "node2", (node) => ({
      ...node,
      metadata: {
        ...node.metadata,
        labels: { ...node.metadata.labels, "service.cilium.io/node": "beefy" },
      },
    }));
    // Something that agents act on.
    cluster.apply([service("other", { selector: { app: "none" } })]);
    await cluster.settled();
    const slots = (node: number) =>
      Object.values(listed(cluster, node)).filter(([text = ""]) => text.includes(":8080/TCP"));
    expect([slots(1), slots(2), slots(3)].map(({ length }) => length)).toEqual([0, 2, 0]);
  });
});

describe("backends that end", () => {
  const slice = (conditions: object): EndpointSlice =>
    ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "web-x",
        namespace: "default",
        labels: { "kubernetes.io/service-name": "web" },
      },
      addressType: "IPv4",
      ports: [{ name: "", port: 8080, protocol: "TCP" }],
      endpoints: [
        { addresses: ["10.9.9.1"], conditions: { ready: true } },
        { addresses: ["10.9.9.2"], conditions },
      ],
    }) as EndpointSlice;

  test.each<[string, object, string]>([
    ["ready", { ready: true }, "0 2[0]"],
    ["terminating", { ready: false, serving: true, terminating: true }, "0 1[1]"],
    ["not ready", { ready: false }, "0 1[0]"],
  ])("%s count in the slot of the service", async (_what, conditions, expected) => {
    const spec = { selector: undefined } as unknown as Partial<ServiceSpec>;
    const cluster = await lab([service("web", spec), slice(conditions)], { nodes: 1 });
    const ip = cluster.api.get("Service", "default/web")?.spec.clusterIP;
    expect(listed(cluster, 1, "lb frontends")[`${ip}:80/TCP (0)`]?.[0]).toContain(`${expected} (`);
  });
});

describe("a UDP socket whose backend goes", () => {
  test.each<[options: CniOptionValues, expected: readonly string[]]>([
    [{}, ["ECONNABORTED"]],
    [{ "socketLB.hostNamespaceOnly": true }, []],
  ])("with %j hears %j", async (options, expected) => {
    const udp = [{ containerPort: 53, protocol: "UDP" }] as const;
    const cluster = await lab(
      [
        pod("dns1", 1, udp),
        pod("client", 2),
        service("dns", { selector: { app: "dns" }, ports: [{ port: 53, protocol: "UDP" }] }),
      ],
      { options, nodes: 2 },
    );
    const uid = cluster.api.get("Pod", "default/client")?.metadata.uid ?? "";
    const netns = cluster.nodes.get("node2")?.kubelet.sandboxOf(uid);
    if (netns === undefined) throw new Error("no sandbox");
    const remoteAddress = parseIp(cluster.api.get("Service", "default/dns")?.spec.clusterIP ?? "");
    const heard: string[] = [];
    const onError = ({ errno }: SocketError) => heard.push(errno);
    const owner = "client";
    const socket = new UdpSocket(netns, { owner, remoteAddress, remotePort: 53, onError });
    expect(socket.peerName).toEqual({ address: remoteAddress, port: 53 });
    cluster.apply([pod("dns2", 2, udp)]);
    await cluster.settled();
    expect(heard).toEqual([]);
    cluster.api.delete("Pod", "default/dns1", { gracePeriodSeconds: 0 });
    await cluster.settled();
    expect(heard).toEqual(expected);
    expect(socket.state).toBe(expected.length > 0 ? "UNCONN" : "ESTAB");
    socket.close();
  });
});
