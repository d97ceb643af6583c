// What an operator sees of identities and policies on Cilium, in a cluster that runs and in one in trouble.
import { cilium } from "@cnilab/cilium";
import { CiliumAgent, ClusterSecurity, IdentityPart, ipcacheKeyOf } from "@cnilab/cilium/agent";
import { type Cluster, type ConnectProtocol, createCluster } from "@cnilab/cluster";
import type { CniOptionValues, KubeObject, Labels } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { type IpFamily, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";

function pod(name: string, node: number, labels: Labels = {}, container: object = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: name.replace(/\d+$/, ""), ...labels } },
    spec: {
      nodeName: `node${node}`,
      containers: [{ name: "c", ports: [{ name: "http", containerPort: 8080 }], ...container }],
    },
  } as KubeObject;
}

function policy(spec: object, name = "policy", kind = "CiliumNetworkPolicy"): KubeObject {
  const metadata = kind === "CiliumNetworkPolicy" ? { name, namespace: "default" } : { name };
  return { apiVersion: "cilium.io/v2", kind, metadata, spec } as unknown as KubeObject;
}

const app = (name: string) => ({ matchLabels: { app: name } });
const port = (text: string) => [{ ports: [{ port: text, protocol: "TCP" }] }];
const FROM_WEB = {
  endpointSelector: app("db"),
  ingress: [{ fromEndpoints: [app("web")], toPorts: port("8080") }],
};

/** web1, api1 on node1, web2, db2 on node2. */
async function lab(
  objects: readonly KubeObject[] = [],
  options: CniOptionValues = {},
  ipFamilies: readonly IpFamily[] = [4],
): Promise<Cluster> {
  const cluster = createCluster({
    nodes: 2,
    cni: cilium,
    cniOptions: options,
    config: { ipFamilies },
    listen: "all",
    register: registerKubeProxy,
  });
  cluster.apply([pod("web1", 1), pod("api1", 1), pod("web2", 2), pod("db2", 2), ...objects]);
  await cluster.settled();
  return cluster;
}

function verdict(
  cluster: Cluster,
  from: string,
  to: string,
  protocol: ConnectProtocol = "TCP",
): string {
  const ends = { from: cluster.endpoint(from), to: cluster.endpoint(to) };
  const { verdict, reason } = cluster.connect({ ...ends, protocol, port: 8080 });
  return verdict === "allowed" ? verdict : `${verdict}: ${reason}`;
}

function agentOf(cluster: Cluster, node: number): CiliumAgent {
  const machine = cluster.nodes.get(`node${node}`)?.kernel;
  const agent = machine && CiliumAgent.of(machine);
  if (agent === undefined) throw new Error(`no agent on node${node}`);
  return agent;
}

function security(cluster: Cluster): ClusterSecurity {
  return agentOf(cluster, 1).cluster.part(ClusterSecurity);
}

function identityOf(cluster: Cluster, pod: string): number | undefined {
  return cluster.api.get("CiliumEndpoint.cilium.io", `default/${pod}`)?.status.identity?.id;
}

async function apply(cluster: Cluster, ...objects: KubeObject[]): Promise<void> {
  cluster.apply(objects);
  await cluster.settled();
}

const DENIED = /^blocked: dropped at .* of CiliumNetworkPolicy default\/policy/;

describe.each<[name: string, options: CniOptionValues]>([
  ["VXLAN", {}],
  ["Geneve", { tunnelProtocol: "geneve" }],
  ["native routing", { routingMode: "native", autoDirectNodeRoutes: true }],
  ["endpoint routes", { "endpointRoutes.enabled": true }],
  ["without kube-proxy", { kubeProxyReplacement: true }],
])("with %s", (_name, options) => {
  test("policies are enforced on one node and between two, by who it is", async () => {
    const cluster = await lab([policy(FROM_WEB)], options);
    expect(verdict(cluster, "web1", "db2")).toBe("allowed");
    expect(verdict(cluster, "web2", "db2")).toBe("allowed");
    expect(verdict(cluster, "api1", "db2")).toMatch(DENIED);
    expect(verdict(cluster, "api1", "web1")).toBe("allowed");
    // Its own node always; another one is a peer as any.
    expect(verdict(cluster, "node/node2", "db2")).toBe("allowed");
    expect(verdict(cluster, "node/node1", "db2")).toMatch(DENIED);
    const egress = { endpointSelector: app("api"), egress: [{ toEndpoints: [app("web")] }] };
    await apply(cluster, policy(egress));
    expect(verdict(cluster, "api1", "web2")).toBe("allowed");
    expect(verdict(cluster, "api1", "db2")).toMatch(DENIED);
    expect(verdict(cluster, "api1", "node/node1")).toMatch(DENIED);
    await apply(cluster, policy({ ...egress, egress: [{ toEntities: ["host"] }] }));
    expect(verdict(cluster, "api1", "node/node1")).toBe("allowed");
    expect(verdict(cluster, "api1", "node/node2")).toMatch(DENIED);
  });
});

test("with both families each has its own world, ranges and pods", async () => {
  const cluster = await lab([policy(FROM_WEB)], {}, [4, 6]);
  const ask = (from: string, to: string) => {
    const address = cluster.api.get("Pod", `default/${to}`)?.status?.podIPs?.[1]?.ip ?? "";
    return verdict(cluster, from, address);
  };
  expect(ask("web1", "db2")).toBe("allowed");
  expect(ask("api1", "db2")).toMatch(DENIED);
  const identities = ["8.8.8.8", "2001:db8::8", "203.0.113.1"].map((text) =>
    agentOf(cluster, 1).maps.ipcache.get(ipcacheKeyOf(parseIp(text))),
  );
  expect(identities.map((info) => info?.identity)).toEqual([9, 10, 9]);
  const world = { endpointSelector: app("api"), egress: [{ toCIDR: ["::/0"] }] };
  await apply(cluster, policy(world));
  expect(ask("api1", "db2")).toMatch(DENIED);
  await apply(cluster, policy({ ...world, egress: [{ toEntities: ["cluster"] }] }));
  expect(ask("api1", "db2")).toBe("allowed");
});

test("in audit mode what policies deny passes", async () => {
  const cluster = await lab([policy(FROM_WEB)], { policyAuditMode: true });
  expect(verdict(cluster, "api1", "db2")).toBe("allowed");
});

test("policyEnforcementMode is for all pods", async () => {
  const always = await lab([policy(FROM_WEB)], { policyEnforcementMode: "always" });
  expect(verdict(always, "web2", "web1")).toMatch(/^blocked: .* kube-system\/cilium-config/);
  const never = await lab([policy(FROM_WEB)], { policyEnforcementMode: "never" });
  expect(verdict(never, "api1", "db2")).toBe("allowed");
});

test("a pod whose labels change has its old identity for 5 s, and others know the new one before", async () => {
  const cluster = await lab([policy(FROM_WEB)]);
  const before = identityOf(cluster, "web1");
  cluster.apply([pod("web1", 1, { app: "other" })]);
  cluster.clock.advance(4900);
  expect(identityOf(cluster, "web1")).toBe(before);
  expect(verdict(cluster, "web1", "db2")).toBe("allowed");
  cluster.clock.advance(200);
  expect(identityOf(cluster, "web1")).not.toBe(before);
  expect(verdict(cluster, "web1", "db2")).toMatch(DENIED);
});

test("a pod that is not ready has an identity, and is let in", async () => {
  const never = { readinessProbe: { tcpSocket: { port: 1 } } };
  const unready = pod("web3", 1, {}, { ...never, ports: [{ containerPort: 8080 }] });
  const cluster = await lab([policy(FROM_WEB), unready]);
  expect(identityOf(cluster, "web3")).toBe(identityOf(cluster, "web1"));
  expect(verdict(cluster, "web3", "db2")).toBe("allowed");
});

test("names of ports mean what the pod says", async () => {
  const named = { endpointSelector: app("db"), ingress: [{ toPorts: port("http") }] };
  const cluster = await lab([policy(named)]);
  expect(verdict(cluster, "api1", "db2")).toBe("allowed");
  await apply(cluster, policy({ ...named, ingress: [{ toPorts: port("metrics") }] }));
  expect(verdict(cluster, "api1", "db2")).toMatch(DENIED);
});

test("nodes have policies of their own with the host firewall", async () => {
  const cluster = await lab([], { "hostFirewall.enabled": true });
  expect(verdict(cluster, "api1", "node/node2")).toBe("allowed");
  // Labels of Kubernetes make no identity, as those of pods do not.
  cluster.api.update("Node", "node2", (node) => ({
    ...node,
    metadata: { ...node.metadata, labels: { ...node.metadata.labels, role: "db" } },
  }));
  const spec = {
    nodeSelector: { matchLabels: { role: "db" } },
    ingress: [{ fromEndpoints: [app("web")] }, { fromEntities: ["remote-node", "health"] }],
  };
  await apply(cluster, policy(spec, "hosts", "CiliumClusterwideNetworkPolicy"));
  const DENIED_HOST = /^blocked: .* of CiliumClusterwideNetworkPolicy hosts/;
  expect(verdict(cluster, "api1", "node/node2")).toMatch(DENIED_HOST);
  expect(verdict(cluster, "web1", "node/node2")).toBe("allowed");
  expect(verdict(cluster, "api1", "node/node1")).toBe("allowed");
  expect(verdict(cluster, "node/node1", "node/node2")).toBe("allowed");
});

test("what needs authentication is dropped, and said not to be modelled", async () => {
  const [ingress] = FROM_WEB.ingress;
  const rule = { ...ingress, authentication: { mode: "required" } };
  const cluster = await lab([policy({ ...FROM_WEB, ingress: [rule] })]);
  expect(verdict(cluster, "web1", "db2")).toMatch(
    /^blocked: .* of CiliumNetworkPolicy default\/policy/,
  );
  expect(cluster.warnings).toEqual([
    "CiliumNetworkPolicy default/policy asks for authentication, which is not modelled: what needs it is dropped (Authentication required)",
  ]);
});

test("policies that Cilium does not know are told of; what it refuses is, too, and where", async () => {
  const cluster = await lab([
    {
      apiVersion: "policy.networking.k8s.io/v1alpha2",
      kind: "ClusterNetworkPolicy",
      metadata: { name: "baseline" },
      spec: { tier: "Baseline", priority: 1, subject: { namespaces: {} } },
    } as unknown as KubeObject,
    policy({ ...FROM_WEB, ingress: [{ fromEndpoints: [{}], fromEntities: ["world"] }] }),
  ]);
  expect(cluster.warnings).toEqual([
    "ClusterNetworkPolicy baseline is not enforced: this CNI has no engine for it",
    "CiliumNetworkPolicy default/policy is not enforced: spec.ingress[0].fromEntities cannot stand beside fromEndpoints; make it a rule of its own",
  ]);
  const { status } = cluster.api.get("CiliumNetworkPolicy.cilium.io", "default/policy") ?? {};
  expect(status?.conditions).toMatchObject([
    {
      type: "Valid",
      status: "False",
      message: "combining FromEndpoints and FromEntities is not supported yet",
    },
  ]);
  await apply(cluster, policy(FROM_WEB));
  const now = cluster.api.get("CiliumNetworkPolicy.cilium.io", "default/policy")?.status;
  expect(now?.conditions).toMatchObject([
    { type: "Valid", status: "True", message: "Policy validation succeeded" },
  ]);
});

describe("faults", () => {
  test("an identity that is not told of yet is denied, and let in when it is", async () => {
    const cluster = await lab([policy(FROM_WEB)]);
    security(cluster).propagation.delay("CiliumIdentity.cilium.io", 60_000);
    cluster.apply([pod("web3", 1, { version: "2" })]);
    cluster.clock.advance(10_000);
    expect(verdict(cluster, "web3", "web2")).toBe("allowed");
    expect(verdict(cluster, "web3", "db2")).toMatch(DENIED);
    cluster.clock.advance(60_000);
    expect(verdict(cluster, "web3", "db2")).toBe("allowed");
  });

  // Tunnels carry the sender's identity; with native routing the receiver looks the address up.
  test.each<[name: string, options: CniOptionValues, expected: string | RegExp]>([
    ["a tunnel tells who it is", {}, "allowed"],
    ["without one it is the world", { routingMode: "native", autoDirectNodeRoutes: true }, DENIED],
  ])("an ipcache that is stale: %s", async (_name, options, expected) => {
    const cluster = await lab([policy(FROM_WEB)], options);
    for (const kind of ["Pod", "CiliumEndpoint.cilium.io"] as const) {
      security(cluster).propagation.delay(kind, 60_000);
    }
    cluster.apply([pod("web3", 1)]);
    cluster.clock.advance(10_000);
    const address = parseIp(cluster.api.get("Pod", "default/web3")?.status?.podIP ?? "");
    const seen = () => agentOf(cluster, 2).maps.ipcache.get(ipcacheKeyOf(address))?.identity;
    expect(seen()).toBe(2);
    expect(verdict(cluster, "web3", "db2")).toEqual(
      typeof expected === "string" ? expected : expect.stringMatching(expected),
    );
    cluster.clock.advance(60_000);
    expect(seen()).toBe(identityOf(cluster, "web3"));
    expect(verdict(cluster, "web3", "db2")).toBe("allowed");
  });

  test("a policy map that is full lacks entries, and the agent says so", async () => {
    const ranges = Array.from({ length: 400 }, (_, i) => `203.${i >> 8}.${i & 255}.0/24`);
    const spec = {
      endpointSelector: app("db"),
      ingress: [{ fromCIDR: ranges }, { fromEndpoints: [app("web")] }],
    };
    const cluster = await lab([policy(spec)], { "bpf.policyMapMax": 256 });
    const agent = agentOf(cluster, 2);
    const endpoint = agent.endpoints.byPod("default/db2");
    const map = agent.maps.lxcPolicy(endpoint?.id ?? 0);
    expect(map.size).toBe(256);
    // 400 ranges, web, the node, and what goes out: 147 too many.
    expect(cluster.warnings).toEqual([
      expect.stringMatching(
        /^endpoint \d+ \(default\/db2\) on node2: 147 entries do not fit its policy map: Failed to add PolicyMap key \{Prefixlen:40 Identity:\d+ TrafficDirection:0 Nexthdr:0 DestPort:0\}: no space left on device$/,
      ),
    ]);
    const few = { ...spec, ingress: [{ fromCIDR: ranges.slice(0, 10) }, spec.ingress[1]] };
    await apply(cluster, policy(few));
    expect(cluster.warnings).toEqual([]);
    expect(verdict(cluster, "web1", "db2")).toBe("allowed");
  });

  test("addresses of a node that is gone, and of its pods, are nobody's", async () => {
    const cluster = await lab();
    const addresses = ["web2", "db2"].map((name) =>
      parseIp(cluster.api.get("Pod", `default/${name}`)?.status?.podIP ?? ""),
    );
    const seen = () =>
      addresses.map((at) => agentOf(cluster, 1).maps.ipcache.get(ipcacheKeyOf(at))?.identity);
    expect(seen()).toEqual([identityOf(cluster, "web2"), identityOf(cluster, "db2")]);
    cluster.api.delete("Node", "node2");
    await cluster.settled();
    // The pod garbage collector looks later.
    cluster.clock.advance(600_000);
    expect(seen()).toEqual([2, 2]);
    expect(cluster.api.list("CiliumEndpoint.cilium.io", "default")).toHaveLength(2);
  });

  test("while an agent is away its node goes on with the policies that it had", async () => {
    const cluster = await lab();
    const agent = agentOf(cluster, 2);
    agent.stop();
    await apply(cluster, policy({ ...FROM_WEB, endpointSelector: {} }));
    expect(verdict(cluster, "api1", "db2")).toBe("allowed");
    expect(verdict(cluster, "db2", "web1")).toMatch(DENIED);
    agent.start();
    await cluster.settled();
    expect(verdict(cluster, "api1", "db2")).toMatch(DENIED);
    expect(verdict(cluster, "web1", "db2")).toBe("allowed");
  });

  test("a node that the API server is out of reach of keeps what it knows", async () => {
    const cluster = await lab();
    const part = agentOf(cluster, 2).part(IdentityPart);
    part?.setCutOff(true);
    await apply(cluster, policy(FROM_WEB), pod("web3", 1));
    expect(verdict(cluster, "api1", "db2")).toBe("allowed");
    part?.setCutOff(false);
    await cluster.settled();
    expect(verdict(cluster, "api1", "db2")).toMatch(DENIED);
    expect(verdict(cluster, "web3", "db2")).toBe("allowed");
  });
});
