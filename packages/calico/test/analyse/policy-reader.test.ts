import type { KubeObject } from "@cnilab/core";
import { parseIp } from "@cnilab/net";
import {
  evaluate,
  type IpProtocol,
  icmpNumber,
  outsideEndpoint,
  policyEndpoints,
  policyName,
} from "@cnilab/network-policy";
import { describe, expect, test } from "vitest";
import { calicoPolicyReader } from "../../src/analyse/policy-reader.ts";

function calico(kind: string, name: string, spec: object, more: object = {}): KubeObject {
  const metadata = { name, ...more };
  return { apiVersion: "projectcalico.org/v3", kind, metadata, spec } as unknown as KubeObject;
}

function pod(name: string, ip: string, node: string, account = "default"): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", labels: { app: name } },
    spec: {
      nodeName: node,
      serviceAccountName: account,
      containers: [{ name: "c", ports: [{ name: "pg", containerPort: 5432 }] }],
    },
    status: { podIP: ip },
  } as unknown as KubeObject;
}

function node(name: string, address: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: {} },
    status: { addresses: [{ type: "InternalIP", address }] },
  } as unknown as KubeObject;
}

const CLUSTER: readonly KubeObject[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop", labels: { team: "shop" } } },
  {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "api", namespace: "shop", labels: { role: "backend" } },
  } as unknown as KubeObject,
  pod("api", "10.0.1.1", "n1", "api"),
  pod("web", "10.0.1.2", "n1"),
  pod("db", "10.0.2.1", "n2"),
  node("n1", "192.168.0.1"),
  node("n2", "192.168.0.2"),
];

/** What is said of a flow, with the rules that say it: `denied: ingress by ...`. */
function ask(
  objects: readonly KubeObject[],
  from: string,
  to: string,
  [protocol, port]: readonly [IpProtocol, number],
): string {
  const all = [...CLUSTER, ...objects];
  const view = calicoPolicyReader.read(all);
  const known = new Map(policyEndpoints(all).map((each) => [each.name, each]));
  const [source, destination] = [from, to].map((name) =>
    view.endpoint(known.get(name) ?? outsideEndpoint(parseIp(name))),
  ) as [ReturnType<typeof view.endpoint>, ReturnType<typeof view.endpoint>];
  const verdict = evaluate(view.policies, { source, destination, protocol, port }, view.settings);
  const [side, { steps }] = verdict.egress.allowed
    ? (["ingress", verdict.ingress] as const)
    : (["egress", verdict.egress] as const);
  const step = steps.at(-1);
  if (step === undefined) return verdict.allowed ? "allowed" : "denied";
  const by =
    step.rule === undefined
      ? `end of ${step.tier.name}`
      : `${step.rule.rule.path} of ${policyName(step.rule.policy)}`;
  return `${verdict.allowed ? "allowed" : "denied"}: ${side} by ${by}`;
}

const PG = ["TCP", 5432] as const;
const PING = ["ICMP", icmpNumber(8, 0)] as const;
const DB = 'app == "db"';
const ONLY_API = calico(
  "NetworkPolicy",
  "db",
  {
    selector: DB,
    types: ["Ingress"],
    ingress: [
      {
        action: "Allow",
        protocol: "TCP",
        source: { serviceAccounts: { selector: 'role == "backend"' } },
        destination: { ports: ["pg"] },
      },
    ],
  },
  { namespace: "shop" },
);

describe("pods", () => {
  test.each([
    [
      "shop/api",
      "shop/db",
      PG,
      "allowed: ingress by spec.ingress[0] of NetworkPolicy.projectcalico.org shop/db",
    ],
    ["shop/web", "shop/db", PG, "denied: ingress by end of default"],
    ["shop/api", "shop/db", PING, "denied: ingress by end of default"],
    ["shop/db", "shop/api", PG, "allowed"],
    ["192.0.2.1", "shop/db", PG, "denied: ingress by end of default"],
    // The kubelet's probes come from the pod's own node.
    ["node/n2", "shop/db", PG, "allowed"],
    ["node/n1", "shop/db", PG, "denied: ingress by end of default"],
  ])("a service account's selector and a named port: %s to %s", (from, to, what, expected) => {
    expect(ask([ONLY_API], from, to, what)).toBe(expected);
  });

  const pings = (rule: object) =>
    calico("GlobalNetworkPolicy", "pings", {
      selector: DB,
      types: ["Ingress"],
      ingress: [{ action: "Deny", ...rule }, { action: "Allow" }],
    });
  test.each([
    [{ protocol: "ICMP", icmp: { type: 8 } }, PING, "denied"],
    [{ protocol: "ICMP", icmp: { type: 8, code: 1 } }, PING, "allowed"],
    [{ protocol: "ICMP", notICMP: { type: 8 } }, PING, "allowed"],
    [{ protocol: "ICMP", notICMP: { type: 0 } }, PING, "denied"],
    [{ protocol: 1 }, PING, "denied"],
    [{ notProtocol: "TCP" }, PING, "denied"],
    [{ notProtocol: "TCP" }, PG, "allowed"],
    [{ protocol: 47 }, [47, 0] as const, "denied"],
    [{ protocol: "TCP", destination: { notPorts: ["pg"] } }, PG, "allowed"],
    [{ protocol: "TCP", destination: { notPorts: [80, "8000:9000"] } }, PG, "denied"],
    [{ protocol: "TCP", source: { ports: ["1:1023"] } }, PG, "allowed"],
    [{ protocol: "TCP", source: { ports: ["32768:60999"] } }, PG, "denied"],
    [{ ipVersion: 6 }, PG, "allowed"],
    // No list of networks may be of the other family alone.
    [{ source: { notNets: ["fd00::/8"] } }, PG, "allowed"],
    [{ source: { notNets: ["fd00::/8", "192.0.2.0/24"] } }, PG, "denied"],
    [{ source: { notNets: ["0.0.0.0/0"] } }, PG, "allowed"],
    [{ source: { nets: ["10.0.1.0/24"], notNets: ["10.0.1.1"] } }, PG, "allowed"],
    [{ source: { nets: ["10.0.1.0/24"], notSelector: 'app == "web"' } }, PG, "denied"],
    [{ destination: { selector: 'app == "web"' } }, PG, "allowed"],
  ])("deny rule %j", (rule, what, expected) => {
    expect(ask([pings(rule)], "shop/api", "shop/db", what)).toMatch(
      new RegExp(`^${expected}: ingress`),
    );
  });
});

describe("tiers", () => {
  const all = (name: string, tier: string, order: number | undefined, action: string) =>
    calico("GlobalNetworkPolicy", name, {
      tier,
      ...(order !== undefined && { order }),
      selector: DB,
      types: ["Ingress"],
      ingress: [{ action }],
    });
  const tier = (name: string, spec: object) => calico("Tier", name, spec);
  test.each([
    [
      "lowest order first",
      [all("b", "default", 1, "Allow"), all("a", "default", 2, "Deny")],
      "allowed: b",
    ],
    [
      "without order last",
      [all("a", "default", undefined, "Deny"), all("b", "default", 9, "Allow")],
      "allowed: b",
    ],
    [
      "equal order by name",
      [all("b", "default", 1, "Deny"), all("a", "default", 1, "Allow")],
      "allowed: a",
    ],
    [
      "tier before tier",
      [tier("t", { order: 1 }), all("a", "default", 1, "Allow"), all("z", "t", 9, "Deny")],
      "denied: z",
    ],
    [
      "pass to the next",
      [tier("t", { order: 1 }), all("a", "default", 1, "Allow"), all("z", "t", 9, "Pass")],
      "allowed: a",
    ],
    [
      "a tier without order last",
      [tier("t", {}), all("a", "default", 1, "Allow"), all("z", "t", 9, "Deny")],
      "allowed: a",
    ],
    ["log goes on", [all("a", "default", 1, "Log"), all("b", "default", 2, "Allow")], "allowed: b"],
    [
      "a tier that is not there last",
      [all("a", "none", 1, "Deny"), all("b", "default", 1, "Allow")],
      "allowed: b",
    ],
    ["but asked", [all("a", "none", 1, "Deny"), all("b", "default", 1, "Pass")], "denied: a"],
  ])("%s", (_, objects, expected) => {
    const found = ask(objects, "shop/api", "shop/db", PG);
    const [verdict, name] = expected.split(": ");
    expect(found).toBe(`${verdict}: ingress by spec.ingress[0] of GlobalNetworkPolicy ${name}`);
  });

  test("behind all tiers a pod's profile allows", () => {
    const objects = [tier("t", { order: 1, defaultAction: "Pass" }), all("a", "t", 1, "Log")];
    expect(ask(objects, "shop/api", "shop/db", PG)).toBe("allowed: ingress by end of t");
  });
});

describe("hosts", () => {
  const host = (name: string, spec: object) =>
    calico("HostEndpoint", name, { node: "n2", ...spec }, { labels: { role: "host" } });
  const bare = host("n2", { interfaceName: "*", expectedIPs: ["192.168.0.2"] });
  const open = host("n2", { interfaceName: "*", profiles: ["projectcalico-default-allow"] });
  const policy = (spec: object) =>
    calico("GlobalNetworkPolicy", "hosts", {
      selector: 'role == "host"',
      types: ["Ingress"],
      ...spec,
    });
  const SSH = ["TCP", 22] as const;
  test.each([
    ["without policy and profile", [bare], "192.0.2.1", PG, "denied: ingress by end of profiles"],
    [
      "a failsafe port",
      [bare],
      "192.0.2.1",
      SSH,
      "allowed: ingress by spec.failsafeInboundHostPorts of FelixConfiguration default",
    ],
    [
      "a profile that allows",
      [open],
      "192.0.2.1",
      PG,
      "allowed: ingress by spec.profiles: projectcalico-default-allow of HostEndpoint n2",
    ],
    [
      "a policy",
      [open, policy({ ingress: [] })],
      "192.0.2.1",
      PG,
      "denied: ingress by end of default",
    ],
    ["its own pod", [bare], "shop/db", PG, "allowed"],
    ["another node's pod", [bare], "shop/api", PG, "denied: ingress by end of profiles"],
    [
      "before tracking",
      [
        host("n2", { interfaceName: "eth0", expectedIPs: ["192.168.0.2"] }),
        policy({ doNotTrack: true, applyOnForward: true, ingress: [{ action: "Allow" }] }),
      ],
      "192.0.2.1",
      PG,
      "allowed: ingress by spec.ingress[0] of GlobalNetworkPolicy hosts",
    ],
    [
      "before tracking, on all interfaces",
      [bare, policy({ doNotTrack: true, applyOnForward: true, ingress: [{ action: "Allow" }] })],
      "192.0.2.1",
      PG,
      "denied: ingress by end of profiles",
    ],
    [
      "before DNAT nothing ends a tier",
      [open, policy({ preDNAT: true, applyOnForward: true, ingress: [] })],
      "192.0.2.1",
      PG,
      "allowed: ingress by spec.profiles: projectcalico-default-allow of HostEndpoint n2",
    ],
  ])("%s", (_, objects, from, what, expected) => {
    expect(ask(objects, from, "node/n2", what)).toBe(expected);
  });

  test("a rule finds a host by its labels, and no policy before DNAT is about pods", () => {
    const fromHosts = calico("GlobalNetworkPolicy", "p", {
      selector: DB,
      types: ["Ingress"],
      ingress: [{ action: "Allow", source: { selector: 'role == "host"' } }],
    });
    const first = calico(
      "HostEndpoint",
      "n1",
      { node: "n1", expectedIPs: ["192.168.0.1"] },
      { labels: { role: "host" } },
    );
    const preDnat = calico("GlobalNetworkPolicy", "q", {
      selector: "all()",
      preDNAT: true,
      applyOnForward: true,
      ingress: [{ action: "Deny" }],
    });
    // What the host itself sends is asked at its own side, too: that is a failsafe port's.
    expect(ask([fromHosts, first, preDnat], "node/n1", "shop/db", ["TCP", 179])).toBe(
      "allowed: ingress by spec.ingress[0] of GlobalNetworkPolicy p",
    );
    expect(ask([fromHosts, preDnat], "node/n1", "shop/db", PG)).toBe(
      "denied: ingress by end of default",
    );
  });
});

describe("other objects", () => {
  const toService = calico(
    "NetworkPolicy",
    "out",
    {
      selector: 'app == "web"',
      types: ["Egress"],
      egress: [{ action: "Allow", destination: { services: { name: "db", namespace: "shop" } } }],
    },
    { namespace: "shop" },
  );
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "db", namespace: "shop" },
    spec: { selector: { app: "db" }, ports: [{ port: 80, targetPort: "pg" }] },
  } as unknown as KubeObject;
  const slice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "db-1", namespace: "shop", labels: { "kubernetes.io/service-name": "db" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.0.2.1"] }],
    ports: [{ port: 5432, protocol: "TCP" }],
  } as unknown as KubeObject;
  test.each([
    ["what its slices say", [slice], "allowed"],
    ["whom it selects, without slices", [service], "allowed"],
    ["nobody, where there is no such Service", [], "denied"],
  ])("a Service is %s", (_, objects, expected) => {
    expect(ask([toService, ...objects], "shop/web", "shop/db", PG)).toMatch(
      new RegExp(`^${expected}`),
    );
    expect(ask([toService, ...objects], "shop/web", "shop/db", ["TCP", 80])).toMatch(/^denied/);
  });

  test.each([
    [
      "a GlobalNetworkSet",
      calico("GlobalNetworkSet", "s", { nets: ["192.0.2.0/24"] }, { labels: { out: "side" } }),
      {},
    ],
    [
      "a NetworkSet by its namespace",
      calico(
        "NetworkSet",
        "s",
        { nets: ["192.0.2.1"] },
        { namespace: "shop", labels: { out: "side" } },
      ),
      { namespaceSelector: 'team == "shop"' },
    ],
  ])("%s is found by its labels", (_, set, more) => {
    const policy = calico("GlobalNetworkPolicy", "p", {
      selector: DB,
      types: ["Ingress"],
      ingress: [{ action: "Allow", source: { selector: 'out == "side"', ...more } }],
    });
    expect(ask([policy, set], "192.0.2.1", "shop/db", PG)).toMatch(/^allowed/);
    expect(ask([policy, set], "192.0.3.1", "shop/db", PG)).toMatch(/^denied/);
  });

  test("rules of Kubernetes keep their places, however many they become", () => {
    const policy = {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "k", namespace: "shop" },
      spec: {
        podSelector: { matchLabels: { app: "db" } },
        policyTypes: ["Ingress"],
        ingress: [
          {
            from: [
              { podSelector: { matchLabels: { app: "x" } } },
              { podSelector: { matchLabels: { app: "y" } } },
            ],
            ports: [{ port: 1 }, { port: 2, protocol: "UDP" }],
          },
          { from: [{ ipBlock: { cidr: "10.0.1.0/24", except: ["10.0.1.2/32"] } }] },
        ],
      },
    } as unknown as KubeObject;
    // An ipBlock means pods, too.
    expect(ask([policy], "shop/api", "shop/db", PG)).toBe(
      "allowed: ingress by spec.ingress[1] of NetworkPolicy shop/k",
    );
    expect(ask([policy], "shop/web", "shop/db", PG)).toBe("denied: ingress by end of default");
  });

  test("what is not enforced is told with the reason", () => {
    const objects = [
      calico("StagedGlobalNetworkPolicy", "s", { selector: "all()", types: ["Ingress"] }),
      calico("GlobalNetworkPolicy", "u", { selector: "app ==", types: ["Ingress"] }),
      {
        apiVersion: "policy.networking.k8s.io/v1alpha1",
        kind: "AdminNetworkPolicy",
        metadata: { name: "a" },
        spec: { priority: 1, subject: { namespaces: {} } },
      } as unknown as KubeObject,
    ];
    const { ignored, policies } = calicoPolicyReader.read(objects);
    expect(policies).toEqual([]);
    expect(ignored.map(({ object, reason }) => `${object.kind}: ${reason.slice(0, 24)}`)).toEqual([
      "StagedGlobalNetworkPolicy: it is staged: what it wo",
      "AdminNetworkPolicy: Calico enforces ClusterN",
      expect.stringMatching(/^GlobalNetworkPolicy: /),
    ]);
  });
});
