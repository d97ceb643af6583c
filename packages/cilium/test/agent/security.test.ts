import type { KubeObject } from "@cnilab/core";
import { parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { IDENTITY_SCOPE, RESERVED_IDENTITY, scopeOf } from "../../src/identity/numeric-identity.ts";
import { printLabels } from "../../src/labels/label-set.ts";
import { type LabNode, SecurityLab } from "./security-lab.ts";

const CIDENTITY = "CiliumIdentity.cilium.io";

/** Two nodes, a pod of each app on each. */
function shop(settings: ConstructorParameters<typeof SecurityLab>[0] = {}) {
  const lab = new SecurityLab(settings);
  const one = lab.node("192.168.0.1", "10.0.1.0/24");
  const two = lab.node("192.168.0.2", "10.0.2.0/24");
  const web1 = one.run({ name: "web1", labels: { app: "web" }, ip: "10.0.1.1" });
  const api1 = one.run({ name: "api1", labels: { app: "api" }, ip: "10.0.1.2" });
  const web2 = two.run({ name: "web2", labels: { app: "web" }, ip: "10.0.2.1" });
  const db2 = two.run({ name: "db2", labels: { app: "db" }, ip: "10.0.2.2" });
  lab.clock.settle();
  return { lab, one, two, web1, api1, web2, db2 };
}

const FROM_WEB = {
  endpointSelector: { matchLabels: { app: "db" } },
  ingress: [
    {
      fromEndpoints: [{ matchLabels: { app: "web" } }],
      toPorts: [{ ports: [{ port: "5432", protocol: "TCP" }] }],
    },
  ],
};

function relabel(lab: SecurityLab, key: string, labels: Record<string, string>): void {
  lab.api.update("Pod", key, (pod: KubeObject) => ({
    ...pod,
    metadata: { ...pod.metadata, labels },
  }));
}

describe("identities of endpoints", () => {
  test("pods of the same labels have one on all nodes; labels of the namespace are among them", () => {
    const { lab, web1, web2, api1 } = shop();
    expect(web1.identity).toBe(web2.identity);
    expect(api1.identity).not.toBe(web1.identity);
    expect(web1.labelTexts).toEqual([
      "k8s:app=web",
      "k8s:io.cilium.k8s.policy.cluster=default",
      "k8s:io.cilium.k8s.policy.serviceaccount=default",
      "k8s:io.kubernetes.pod.namespace=default",
    ]);
    expect(lab.api.list(CIDENTITY)).toHaveLength(3);
  });

  test("with a slow API server nodes make one each, and both work", () => {
    const lab = new SecurityLab();
    lab.propagation.requestMs = 5;
    lab.propagation.watchMs = 20;
    const one = lab.node("192.168.0.1", "10.0.1.0/24");
    const two = lab.node("192.168.0.2", "10.0.2.0/24");
    const web1 = one.run({ name: "web1", labels: { app: "web" }, ip: "10.0.1.1" });
    expect(web1.state).toBe("waiting-for-identity");
    const web2 = two.run({ name: "web2", labels: { app: "web" }, ip: "10.0.2.1" });
    const db = two.run({ name: "db", labels: { app: "db" }, ip: "10.0.2.2" });
    lab.apply(lab.cnp("db", FROM_WEB));
    expect(web1.identity).not.toBe(web2.identity);
    expect([db.ingress("10.0.1.1", 5432), db.ingress("10.0.2.1", 5432)]).toEqual([
      "allowed",
      "allowed",
    ]);
    const web3 = one.run({ name: "web3", labels: { app: "web" }, ip: "10.0.1.3" });
    const web4 = two.run({ name: "web4", labels: { app: "web" }, ip: "10.0.2.4" });
    lab.clock.settle();
    expect([web3.identity, web4.identity]).toEqual([web1.identity, web2.identity]);
  });

  test("a pod whose labels change is somebody else 5 s later, and others let it in before", () => {
    const { lab, two, web1, db2 } = shop();
    lab.apply(lab.cnp("db", FROM_WEB), lab.cnp("all", { ...FROM_WEB, ...INGRESS_OF_ADMIN }));
    const before = web1.identity;
    relabel(lab, "default/web1", { app: "admin" });
    lab.clock.advance(4999);
    expect(web1.identity).toBe(before);
    const admin = lab.api.list(CIDENTITY).at(-1)?.metadata.name;
    expect(db2.verdict("ingress", Number(admin), 22)).toBe("allowed");
    expect(two.identityOf("10.0.1.1")).toBe(before);
    lab.clock.advance(1);
    expect(String(web1.identity)).toBe(admin);
    expect(two.identityOf("10.0.1.1")).toBe(web1.identity);
    expect(db2.ingress("10.0.1.1", 5432)).toBe("dropped");
    expect(db2.ingress("10.0.1.1", 22)).toBe("allowed");
  });

  test("labels that are changed back in time change nothing", () => {
    const { lab, web1 } = shop();
    const before = web1.identity;
    relabel(lab, "default/web1", { app: "admin" });
    lab.clock.advance(3000);
    relabel(lab, "default/web1", { app: "web" });
    lab.clock.advance(10_000);
    expect(web1.identity).toBe(before);
  });

  test("labels of a namespace are those of all its pods; what makes no identity is left out", () => {
    const { lab, web1, api1 } = shop();
    const before = web1.identity;
    relabel(lab, "default/web1", { app: "web", "pod-template-hash": "abc" });
    lab.clock.settle();
    expect(web1.identity).toBe(before);
    lab.namespace("default", { team: "blue" });
    lab.clock.settle();
    for (const { labelTexts } of [web1, api1]) {
      expect(labelTexts).toContain("k8s:io.cilium.k8s.namespace.labels.team=blue");
    }
  });

  test("an endpoint that nobody knows labels of is init, and always restricted", () => {
    const { lab, one } = shop();
    lab.propagation.requestMs = 50;
    const late = one.run({ name: "late", labels: { app: "late" }, ip: "10.0.1.9" });
    expect(late.identity).toBe(RESERVED_IDENTITY.init);
    expect(late.ingress("10.0.1.1", 80)).toBe("dropped");
    lab.clock.settle();
    expect(late.ingress("10.0.1.1", 80)).toBe("allowed");
  });

  test("an identity that somebody deletes while it is used comes again", () => {
    const { lab, web1, db2 } = shop();
    lab.apply(lab.cnp("db", FROM_WEB));
    lab.api.delete(CIDENTITY, String(web1.identity));
    expect(db2.ingress("10.0.1.1", 5432)).toBe("allowed");
    lab.clock.settle();
    expect(lab.api.get(CIDENTITY, String(web1.identity))).toBeDefined();
  });
});

const INGRESS_OF_ADMIN = {
  ingress: [
    {
      fromEndpoints: [{ matchLabels: { app: "admin" } }],
      toPorts: [{ ports: [{ port: "22", protocol: "TCP" }] }],
    },
  ],
};

describe("addresses", () => {
  test("each node sees its own, those of others behind a tunnel, and the world", () => {
    const { one, two, web1, web2 } = shop();
    expect(one.identityOf("10.0.2.1")).toBe(web2.identity);
    expect(one.tunnelTo("10.0.2.1")).toBe(two.ip);
    expect([two.identityOf("10.0.2.1"), two.tunnelTo("10.0.2.1")]).toEqual([
      web2.identity,
      undefined,
    ]);
    expect(two.tunnelTo("10.0.1.1")).toBe(one.ip);
    expect(web1.identity).toBe(one.identityOf("10.0.1.1"));
    const seen = (node: LabNode) =>
      ["192.168.0.1", "192.168.0.2", "8.8.8.8"].map((each) => node.identityOf(each));
    const { host, remoteNode, world } = RESERVED_IDENTITY;
    expect(seen(one)).toEqual([host, remoteNode, world]);
    expect(seen(two)).toEqual([remoteNode, host, world]);
  });

  test("a pod that nobody has told of yet is the world behind its node, then unmanaged, then itself", () => {
    const { lab, one, two } = shop();
    lab.propagation.delay("Pod", 10);
    lab.propagation.delay("CiliumEndpoint.cilium.io", 20);
    const pod = two.run({ name: "new", labels: { app: "web" }, ip: "10.0.2.7" });
    expect([one.identityOf("10.0.2.7"), one.tunnelTo("10.0.2.7")]).toEqual([
      RESERVED_IDENTITY.world,
      two.ip,
    ]);
    expect(two.tunnelTo("10.0.2.7")).toBeUndefined();
    lab.clock.advance(10);
    expect(one.identityOf("10.0.2.7")).toBe(RESERVED_IDENTITY.unmanaged);
    lab.clock.advance(10);
    expect(one.identityOf("10.0.2.7")).toBe(pod.identity);
  });

  test("an address that goes to another pod is not taken away by the old one's end", () => {
    const { lab, one, two, web2 } = shop();
    const next = one.run({ name: "next", labels: { app: "next" }, ip: "10.0.2.1" });
    web2.remove();
    lab.clock.settle();
    expect(two.identityOf("10.0.2.1")).toBe(next.identity);
    expect(two.tunnelTo("10.0.2.1")).toBe(one.ip);
    expect(one.tunnelTo("10.0.2.1")).toBeUndefined();
    next.remove();
    expect(one.identityOf("10.0.2.1")).toBe(RESERVED_IDENTITY.world);
  });

  test.each([
    ["192.168.0.1", RESERVED_IDENTITY.host, RESERVED_IDENTITY.kubeApiServer],
    ["172.16.0.9", undefined, undefined],
  ])("the API server at %s", (address, onOne, onTwo) => {
    const { lab, one, two, db2 } = shop();
    lab.apply(apiServerAt(address));
    if (onOne === undefined) {
      const identity = one.identityOf(address);
      expect(scopeOf(identity)).toBe(IDENTITY_SCOPE.local);
      expect(printLabels(lab.policies.selectors.labelsOf(identity) ?? [])).toEqual([
        "reserved:kube-apiserver",
        "reserved:world",
      ]);
    } else {
      expect([one.identityOf(address), two.identityOf(address)]).toEqual([onOne, onTwo]);
    }
    lab.apply(
      lab.cnp("db", {
        endpointSelector: { matchLabels: { app: "db" } },
        egress: [{ toEntities: ["kube-apiserver"] }],
      }),
    );
    expect([db2.egress(address, 6443), db2.egress("10.0.1.1", 6443)]).toEqual([
      "allowed",
      "dropped",
    ]);
    lab.apply(apiServerAt("172.16.0.10"));
    expect(db2.egress(address, 6443)).toBe("dropped");
  });

  test("ranges of policies get identities, with the labels of wider ones", () => {
    const { lab, one, two, db2, web1 } = shop();
    lab.apply(
      lab.cnp("wide", {
        endpointSelector: { matchLabels: { app: "db" } },
        egress: [{ toCIDRSet: [{ cidr: "10.0.0.0/8", except: ["10.9.0.0/16"] }] }],
      }),
      lab.cnp("narrow", {
        endpointSelector: { matchLabels: { app: "web" } },
        egress: [{ toCIDR: ["10.8.0.0/16"] }],
      }),
    );
    const egress = (address: string) => [web1.egress(address, 1), db2.egress(address, 1)];
    expect(egress("10.7.0.1")).toEqual(["dropped", "allowed"]);
    expect(egress("10.8.0.1")).toEqual(["allowed", "allowed"]);
    expect(egress("10.9.0.1")).toEqual(["dropped", "dropped"]);
    // Never pods or nodes, whose addresses are in them.
    expect(egress("10.0.1.2")).toEqual(["dropped", "dropped"]);
    const identity = one.identityOf("10.8.0.1");
    expect(two.identityOf("10.8.0.1")).toBe(identity);
    expect(scopeOf(identity)).toBe(IDENTITY_SCOPE.local);
    lab.api.delete("CiliumNetworkPolicy.cilium.io", "default/narrow");
    lab.api.delete("CiliumNetworkPolicy.cilium.io", "default/wide");
    lab.clock.settle();
    expect(one.identityOf("10.8.0.1")).toBe(RESERVED_IDENTITY.world);
    expect(lab.policies.selectors.labelsOf(identity)).toBeUndefined();
  });

  test("a pod's address stays its own where a policy speaks of exactly it", () => {
    const { lab, one, web2, web1 } = shop();
    lab.apply(
      lab.cnp("one", {
        endpointSelector: { matchLabels: { app: "web" } },
        egress: [{ toCIDR: ["10.0.2.1/32"] }],
      }),
    );
    expect(one.identityOf("10.0.2.1")).toBe(web2.identity);
    expect(web1.egress("10.0.2.1", 1)).toBe("dropped");
    web2.remove();
    lab.clock.settle();
    expect(web1.egress("10.0.2.1", 1)).toBe("allowed");
  });

  test("a CiliumCIDRGroup gives its ranges to policies by name and by labels", () => {
    const { lab, db2 } = shop();
    const group = (externalCIDRs: string[]) => ({
      apiVersion: "cilium.io/v2",
      kind: "CiliumCIDRGroup",
      metadata: { name: "partners", labels: { tier: "gold" } },
      spec: { externalCIDRs },
    });
    const egress = (toCIDRSet: object[]) => ({
      endpointSelector: { matchLabels: { app: "db" } },
      egress: [{ toCIDRSet }],
    });
    lab.apply(
      group(["203.0.113.0/24"]),
      lab.cnp("ref", egress([{ cidrGroupRef: "partners" }])),
      lab.cnp("labels", egress([{ cidrGroupSelector: { matchLabels: { tier: "silver" } } }])),
    );
    expect([db2.egress("203.0.113.5", 1), db2.egress("198.51.100.1", 1)]).toEqual([
      "allowed",
      "dropped",
    ]);
    lab.apply(group(["198.51.100.0/24"]));
    expect([db2.egress("203.0.113.5", 1), db2.egress("198.51.100.1", 1)]).toEqual([
      "dropped",
      "allowed",
    ]);
    lab.api.delete("CiliumNetworkPolicy.cilium.io", "default/ref");
    lab.clock.settle();
    expect(db2.egress("198.51.100.1", 1)).toBe("dropped");
    lab.apply(
      lab.cnp("labels", egress([{ cidrGroupSelector: { matchLabels: { tier: "gold" } } }])),
    );
    expect(db2.egress("198.51.100.1", 1)).toBe("allowed");
  });

  test("names of DNS are known on the node that asked, alone", () => {
    const { lab, one, two, web1, web2 } = shop();
    lab.apply(
      lab.cnp("web", {
        endpointSelector: { matchLabels: { app: "web" } },
        egress: [{ toFQDNs: [{ matchPattern: "*.example.com" }] }],
      }),
    );
    const address = parseIp("203.0.113.7");
    expect([...lab.policies.selectors.fqdnSelectors]).toEqual([
      { matchName: "", matchPattern: "*.example.com" },
    ]);
    one.ipcache.setSelectors(address, [{ matchPattern: "*.example.com" }]);
    expect([web1.egress("203.0.113.7", 443), web2.egress("203.0.113.7", 443)]).toEqual([
      "allowed",
      "dropped",
    ]);
    // A range that covers it is known of it, too.
    lab.apply(
      lab.cnp("db", {
        endpointSelector: { matchLabels: { app: "api" } },
        egress: [{ toCIDR: ["203.0.113.0/24"] }],
      }),
    );
    const labels = printLabels(
      lab.policies.selectors.labelsOf(one.identityOf("203.0.113.7")) ?? [],
    );
    expect(labels).toEqual(["cidr:203.0.113.0/24", "fqdn:*.example.com", "reserved:world"]);
    expect(two.identityOf("203.0.113.7")).not.toBe(one.identityOf("203.0.113.7"));
    expect(web1.egress("203.0.113.7", 443)).toBe("allowed");
    one.ipcache.setSelectors(address, []);
    expect(web1.egress("203.0.113.7", 443)).toBe("dropped");
    expect(one.identityOf("203.0.113.7")).toBe(two.identityOf("203.0.113.7"));
  });
});

function apiServerAt(address: string): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "kubernetes",
      namespace: "default",
      labels: { "kubernetes.io/service-name": "kubernetes" },
    },
    addressType: "IPv4",
    endpoints: [{ addresses: [address] }],
  };
}

describe("policies", () => {
  test("are in the maps 10 ms later, and follow identities as they come", () => {
    const { lab, one, db2 } = shop();
    expect(db2.ingress("10.0.1.2", 5432)).toBe("allowed");
    lab.api.put(lab.cnp("db", FROM_WEB));
    lab.clock.advance(9);
    expect(db2.ingress("10.0.1.2", 5432)).toBe("allowed");
    lab.clock.advance(1);
    expect(db2.ingress("10.0.1.2", 5432)).toBe("dropped");
    expect(db2.ingress("10.0.1.1", 5432)).toBe("allowed");
    expect(db2.map.ingressDeniedBy).toEqual({
      kind: "CiliumNetworkPolicy",
      namespace: "default",
      name: "db",
    });
    const size = db2.map.size;
    one.run({ name: "x", labels: { app: "web", v: "2" }, ip: "10.0.1.8" });
    lab.clock.settle();
    expect(db2.ingress("10.0.1.8", 5432)).toBe("allowed");
    expect(db2.map.size).toBe(size + 1);
    expect(db2.map.entries().find(([key]) => key.dport === 5432)?.[1].origin?.name).toBe("db");
  });

  test("endpoints of one identity share their map's entries on all nodes", () => {
    const { lab, web1, web2, db2 } = shop();
    lab.apply(lab.cnp("db", FROM_WEB));
    expect(lab.policies.endpoints.groupCount).toBeLessThanOrEqual(3);
    expect(web1.map.shared).not.toBe(db2.map.shared);
    expect(web1.map.shared).toBe(web2.map.shared);
  });

  test("an identity that is not told of yet is dropped, and let in when it is", () => {
    const { lab, one, db2 } = shop();
    lab.apply(lab.cnp("db", FROM_WEB));
    lab.propagation.delay(CIDENTITY, 1000);
    one.run({ name: "x", labels: { app: "web", v: "2" }, ip: "10.0.1.8" });
    lab.clock.advance(999);
    expect(db2.ingress("10.0.1.8", 5432)).toBe("dropped");
    lab.clock.advance(1);
    expect(db2.ingress("10.0.1.8", 5432)).toBe("allowed");
  });

  test("what an agent refuses leaves the policy as it was, and says why", () => {
    const { lab, db2 } = shop();
    lab.apply(lab.cnp("db", FROM_WEB));
    lab.apply(lab.cnp("db", { endpointSelector: {} }));
    expect(db2.ingress("10.0.1.2", 5432)).toBe("dropped");
    expect([...lab.policies.problems]).toEqual([
      [
        "CiliumNetworkPolicy default/db",
        "spec must have a rule in ingress, ingressDeny, egress or egressDeny",
      ],
    ]);
    lab.api.delete("CiliumNetworkPolicy.cilium.io", "default/db");
    lab.clock.settle();
    expect(db2.ingress("10.0.1.2", 5432)).toBe("allowed");
    expect(lab.policies.problems.size).toBe(0);
  });

  test("rules that contradict each other leave endpoints the policy that they had", () => {
    const { lab, db2 } = shop();
    lab.apply(lab.cnp("db", FROM_WEB));
    const l7 = (rules: object) => ({
      endpointSelector: { matchLabels: { app: "db" } },
      ingress: [{ toPorts: [{ ports: [{ port: "80", protocol: "TCP" }], rules }] }],
    });
    lab.apply(
      lab.cnp("x", l7({ http: [{ path: "/" }] })),
      lab.cnp("y", l7({ kafka: [{ topic: "t" }] })),
    );
    expect(db2.ingress("10.0.1.1", 5432)).toBe("allowed");
    expect(lab.policies.endpoints.status(db2)?.problem).toMatch(/conflicting L7 parsers/);
    lab.api.delete("CiliumNetworkPolicy.cilium.io", "default/y");
    lab.clock.settle();
    expect(lab.policies.endpoints.status(db2)?.problem).toBeUndefined();
  });

  test("deny comes first, whatever else allows", () => {
    const { lab, db2 } = shop();
    lab.apply(
      lab.cnp("db", FROM_WEB),
      lab.cnp("no", {
        endpointSelector: { matchLabels: { app: "db" } },
        ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: "web" } }] }],
      }),
    );
    expect(db2.ingress("10.0.1.1", 5432)).toBe("denied");
    expect(db2.ingress("192.168.0.2", 5432)).toBe("allowed");
  });

  test("policies of Kubernetes are enforced beside; their ranges never are pods", () => {
    const { lab, db2 } = shop();
    lab.apply({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "np", namespace: "default" },
      spec: {
        podSelector: { matchLabels: { app: "db" } },
        policyTypes: ["Ingress"],
        ingress: [
          { from: [{ ipBlock: { cidr: "10.0.0.0/8" } }], ports: [{ port: 5432 }] },
          { from: [{ podSelector: { matchLabels: { app: "api" } } }] },
        ],
      },
    });
    expect(
      ["10.0.1.1", "10.0.1.2", "10.200.0.1", "8.8.8.8"].map((a) => db2.ingress(a, 5432)),
    ).toEqual(["dropped", "allowed", "allowed", "dropped"]);
  });

  test("toServices follows a Service's backends", () => {
    const { lab, web1 } = shop();
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "ext", namespace: "default" },
    };
    const slice = (addresses: string[]) => ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "ext-1",
        namespace: "default",
        labels: { "kubernetes.io/service-name": "ext" },
      },
      addressType: "IPv4",
      endpoints: [{ addresses }],
    });
    lab.apply(
      lab.cnp("web", {
        endpointSelector: { matchLabels: { app: "web" } },
        egress: [{ toServices: [{ k8sService: { serviceName: "ext", namespace: "default" } }] }],
      }),
    );
    expect(web1.egress("203.0.113.1", 80)).toBe("dropped");
    lab.apply({ ...service, spec: {} }, slice(["203.0.113.1"]));
    expect(web1.egress("203.0.113.1", 80)).toBe("allowed");
    lab.apply(slice(["203.0.113.2"]));
    expect([web1.egress("203.0.113.1", 80), web1.egress("203.0.113.2", 80)]).toEqual([
      "dropped",
      "allowed",
    ]);
  });

  test("names of ports: an endpoint's own on the way in, everybody's on the way out", () => {
    const lab = new SecurityLab();
    const one = lab.node("192.168.0.1", "10.0.1.0/24");
    const port = (name: string) => [{ ports: [{ port: name, protocol: "TCP" }] }];
    lab.apply(
      lab.cnp("in", {
        endpointSelector: { matchLabels: { app: "web" } },
        ingress: [{ toPorts: port("http") }],
      }),
      lab.cnp("out", {
        endpointSelector: { matchLabels: { app: "client" } },
        egress: [{ toPorts: port("http") }],
      }),
    );
    const web = { labels: { app: "web" } };
    const a = one.run({ ...web, name: "a", ip: "10.0.1.1", ports: ["http/TCP/8080"] });
    const client = one.run({ name: "c", labels: { app: "client" }, ip: "10.0.1.3" });
    lab.clock.settle();
    expect(client.egress("10.0.1.1", 8080)).toBe("allowed");
    const b = one.run({ ...web, name: "b", ip: "10.0.1.2", ports: ["http/TCP/9090"] });
    expect([a.ingress("10.0.1.3", 8080), a.ingress("10.0.1.3", 9090)]).toEqual([
      "allowed",
      "dropped",
    ]);
    expect([b.ingress("10.0.1.3", 8080), b.ingress("10.0.1.3", 9090)]).toEqual([
      "dropped",
      "allowed",
    ]);
    expect(a.identity).toBe(b.identity);
    // Not within a second of the last time.
    lab.clock.advance(500);
    expect(client.egress("10.0.1.1", 8080)).toBe("allowed");
    lab.clock.advance(500);
    expect([client.egress("10.0.1.1", 8080), client.egress("10.0.1.2", 9090)]).toEqual([
      "dropped",
      "dropped",
    ]);
    b.remove();
    lab.clock.settle();
    expect(client.egress("10.0.1.1", 8080)).toBe("allowed");
  });

  test.each([
    ["default", "allowed", "allowed"],
    ["always", "dropped", "allowed"],
    ["never", "allowed", "allowed"],
  ] as const)(
    "enforcement %s: a pod without policies is %s, its node %s",
    (enforcement, pod, host) => {
      const { web1 } = shop({ policy: { enforcement } });
      expect([web1.ingress("10.0.2.2", 80), web1.ingress("192.168.0.1", 80)]).toEqual([pod, host]);
    },
  );

  test("redirects wait for the proxy's port, and are each endpoint's own", () => {
    const { lab, one, web1, web2 } = shop();
    const told: string[] = [];
    const ports = new Map<string, number>();
    one.proxy = {
      setRedirects: (endpoint, redirects) => {
        told.push(`${endpoint.id}: ${redirects.map(({ proxyId }) => proxyId)}`);
      },
      proxyPort: (proxyId) => ports.get(proxyId) ?? 0,
    };
    lab.apply(
      lab.cnp("web", {
        endpointSelector: { matchLabels: { app: "web" } },
        ingress: [
          {
            fromEndpoints: [{ matchLabels: { app: "api" } }],
            toPorts: [
              { ports: [{ port: "80", protocol: "TCP" }], rules: { http: [{ method: "GET" }] } },
            ],
          },
        ],
      }),
    );
    expect(told.at(-1)).toBe("1: 1:ingress:TCP:80:");
    expect(web1.ingress("10.0.1.2", 80)).toBe("dropped");
    ports.set("1:ingress:TCP:80:", 14_242);
    lab.policies.endpoints.proxyChanged(web1);
    expect(web1.ingress("10.0.1.2", 80)).toBe("proxy 14242");
    // Of its own node it goes past the proxy.
    expect(web1.ingress("192.168.0.1", 80)).toBe("allowed");
    expect(web2.ingress("10.0.1.2", 80)).toBe("dropped");
    lab.api.delete("CiliumNetworkPolicy.cilium.io", "default/web");
    lab.clock.settle();
    expect(told.at(-1)).toBe("1: ");
    expect([web1.ingress("10.0.1.2", 80), web1.map.shared === web2.map.shared]).toEqual([
      "allowed",
      true,
    ]);
  });

  test("nodes have policies where the host firewall is on", () => {
    const { lab, one } = shop({ policy: { hostFirewall: true } });
    lab.apply({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "node1", labels: { role: "edge" } },
    });
    const host = one.host();
    expect(host.labelTexts).toEqual(["k8s:role=edge", "reserved:host"]);
    expect(host.ingress("8.8.8.8", 22)).toBe("allowed");
    lab.apply({
      apiVersion: "cilium.io/v2",
      kind: "CiliumClusterwideNetworkPolicy",
      metadata: { name: "edge" },
      spec: {
        nodeSelector: { matchLabels: { role: "edge" } },
        ingress: [{ fromEntities: ["cluster"] }],
      },
    });
    expect([host.ingress("8.8.8.8", 22), host.ingress("10.0.2.1", 22)]).toEqual([
      "dropped",
      "allowed",
    ]);
    lab.apply({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "node1", labels: { role: "x" } },
    });
    expect(host.ingress("8.8.8.8", 22)).toBe("allowed");
  });

  test("ranges match nodes where that is set", () => {
    const { lab, web1 } = shop({ cidrMatchesNodes: true });
    lab.apply(
      lab.cnp("web", {
        endpointSelector: { matchLabels: { app: "web" } },
        egress: [{ toCIDR: ["192.168.0.0/16"] }],
      }),
    );
    expect([web1.egress("192.168.0.2", 1), web1.egress("10.0.2.1", 1)]).toEqual([
      "allowed",
      "dropped",
    ]);
  });
});

describe("faults", () => {
  test("a full map: what has no room is missing, is told of, and comes when there is room", () => {
    const { lab, one, db2 } = shop({ maxEntries: 4 });
    lab.apply(lab.cnp("db", FROM_WEB));
    // Egress to all, the node, and web: one more has room.
    expect(lab.policies.endpoints.status(db2)).toMatchObject({ missing: 0, pressure: 0.75 });
    const x = one.run({ name: "x", labels: { app: "web", v: "2" }, ip: "10.0.1.8" });
    const y = one.run({ name: "y", labels: { app: "web", v: "3" }, ip: "10.0.1.9" });
    lab.clock.settle();
    expect([db2.ingress("10.0.1.8", 5432), db2.ingress("10.0.1.9", 5432)]).toEqual([
      "allowed",
      "dropped",
    ]);
    expect(lab.policies.endpoints.status(db2)).toMatchObject({
      missing: 1,
      pressure: 1.25,
      problem: `Failed to add PolicyMap key {Prefixlen:64 Identity:${y.identity} TrafficDirection:0 Nexthdr:6 DestPort:5432}: no space left on device`,
    });
    expect(db2.map.size).toBe(4);
    x.remove();
    lab.api.delete(CIDENTITY, String(x.identity));
    lab.clock.settle();
    expect(db2.ingress("10.0.1.9", 5432)).toBe("allowed");
    expect(lab.policies.endpoints.status(db2)).toMatchObject({ missing: 0 });
  });

  test("while an agent is away its maps stand still; those of others go on", () => {
    const { lab, one, two, web1, web2, db2 } = shop();
    two.stop();
    lab.apply(lab.cnp("db", FROM_WEB), lab.cnp("web", NOBODY));
    const x = one.run({ name: "x", labels: { app: "x" }, ip: "10.0.1.8" });
    relabel(lab, "default/web2", { app: "other" });
    lab.clock.settle();
    expect([one.identityOf("10.0.1.8"), two.identityOf("10.0.1.8")]).toEqual([
      x.identity,
      RESERVED_IDENTITY.world,
    ]);
    expect([web1, web2, db2].map((each) => each.ingress("10.0.1.2", 5432))).toEqual([
      "dropped",
      "allowed",
      "allowed",
    ]);
    const before = web2.identity;
    two.start();
    expect(two.identityOf("10.0.1.8")).toBe(x.identity);
    expect(db2.ingress("10.0.1.2", 5432)).toBe("dropped");
    // It is as others know it for a while, and then somebody else.
    expect(web2.identity).toBe(before);
    lab.clock.settle();
    expect(web2.identity).not.toBe(before);
    expect(one.identityOf("10.0.2.1")).toBe(web2.identity);
  });

  test("an address that went elsewhere while an agent was away is there when it is back", () => {
    const { lab, one, two, web2 } = shop();
    two.stop();
    two.endpoints.splice(two.endpoints.indexOf(web2), 1);
    lab.api.delete("CiliumEndpoint.cilium.io", "default/web2");
    lab.api.delete("Pod", "default/web2");
    const next = one.run({ name: "next", labels: { app: "next" }, ip: "10.0.2.1" });
    expect(two.identityOf("10.0.2.1")).toBe(web2.identity);
    two.start();
    expect([two.identityOf("10.0.2.1"), two.tunnelTo("10.0.2.1")]).toEqual([next.identity, one.ip]);
  });

  test("a node that the API server is out of reach of keeps what it knows, and makes no identity", () => {
    const { lab, one, two } = shop();
    two.ipcache.setCutOff(true);
    two.identities.isCutOff = true;
    const x = one.run({ name: "x", labels: { app: "x" }, ip: "10.0.1.8" });
    const y = two.run({ name: "y", labels: { app: "y" }, ip: "10.0.2.8" });
    lab.clock.advance(60_000);
    expect(y.identity).toBe(RESERVED_IDENTITY.init);
    expect(two.identityOf("10.0.1.8")).toBe(RESERVED_IDENTITY.world);
    two.ipcache.setCutOff(false);
    two.identities.isCutOff = false;
    lab.clock.settle();
    expect(two.identityOf("10.0.1.8")).toBe(x.identity);
    expect(one.identityOf("10.0.2.8")).toBe(y.identity);
  });
});

const NOBODY = {
  endpointSelector: { matchLabels: { app: "web" } },
  ingress: [{ fromEndpoints: [] }],
};

test("10,000 identities: a namespace's policy has those of its namespace", () => {
  const lab = new SecurityLab();
  const one = lab.node("192.168.0.1", "10.0.0.0/16");
  for (let i = 0; i < 10_000; i++) {
    lab.api.create({
      apiVersion: "cilium.io/v2",
      kind: "CiliumIdentity",
      metadata: { name: String(256 + i) },
      "security-labels": {
        "k8s:app": `app-${i}`,
        "k8s:io.kubernetes.pod.namespace": `ns-${i % 100}`,
        "k8s:io.cilium.k8s.policy.cluster": "default",
      },
    } as KubeObject);
  }
  lab.namespace("ns-1");
  const pod = one.run({ name: "p", namespace: "ns-1", labels: { app: "mine" }, ip: "10.0.0.1" });
  const ingress = [{ fromEndpoints: [{}] }];
  lab.apply(lab.cnp("in", { endpointSelector: {}, ingress }, "ns-1"));
  // Those of ns-1, the pod's own, the node, and egress to all.
  expect(pod.map.size).toBe(100 + 1 + 1 + 1);
  expect([pod.verdict("ingress", 257, 80), pod.verdict("ingress", 256, 80)]).toEqual([
    "allowed",
    "dropped",
  ]);
});
