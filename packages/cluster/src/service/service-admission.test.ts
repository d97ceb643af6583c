import type { Service, ServiceSpec } from "@cnilab/core";
import { parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { clusterConfig } from "../cluster-settings.ts";
import { ServiceAdmission } from "./service-admission.ts";

function service(name: string, spec: ServiceSpec = {}): Service {
  const metadata = { name, namespace: "default" };
  return { apiVersion: "v1", kind: "Service", metadata, spec: { ports: [{ port: 80 }], ...spec } };
}

const DUAL = clusterConfig({ ipFamilies: [4, 6] });
const SINGLE = clusterConfig();

test.each([
  [
    "ClusterIP",
    {},
    {
      type: "ClusterIP",
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      internalTrafficPolicy: "Cluster",
      sessionAffinity: "None",
      ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
    },
  ],
  ["headless", { clusterIP: "None" }, { clusterIP: "None", clusterIPs: ["None"] }],
  ["given", { clusterIP: "10.96.0.10" }, { clusterIP: "10.96.0.10", clusterIPs: ["10.96.0.10"] }],
  [
    "node port given",
    { type: "NodePort", ports: [{ port: 80, nodePort: 30_007 }] },
    { externalTrafficPolicy: "Cluster", ports: [{ port: 80, nodePort: 30_007 }] },
  ],
] as [string, ServiceSpec, object][])("fills in a Service: %s", (_, spec, expected) => {
  expect(new ServiceAdmission(SINGLE, 1).create(service("web", spec)).spec).toMatchObject(expected);
});

test.each([
  ["single stack", {}, [4]],
  ["IPv6", { ipFamilies: ["IPv6"] }, [6]],
  ["prefers both", { ipFamilyPolicy: "PreferDualStack" }, [4, 6]],
  [
    "requires both, IPv6 first",
    { ipFamilyPolicy: "RequireDualStack", ipFamilies: ["IPv6"] },
    [6, 4],
  ],
  ["two families", { ipFamilyPolicy: "PreferDualStack", ipFamilies: ["IPv6", "IPv4"] }, [6, 4]],
] as [string, ServiceSpec, number[]][])(
  "families on a dual-stack cluster: %s",
  (_, spec, families) => {
    const { clusterIPs } = new ServiceAdmission(DUAL, 1).create(service("web", spec)).spec;
    expect(clusterIPs?.map((ip) => (ip.includes(":") ? 6 : 4))).toEqual(families);
  },
);

test.each([
  [
    "outside",
    { clusterIP: "10.1.2.3" },
    'spec.clusterIPs: Invalid value: ["10.1.2.3"]: failed to allocate IP 10.1.2.3: the provided IP (10.1.2.3) is not in the valid range. The range of valid IPs is 10.96.0.0/12',
  ],
  [
    "the API server's",
    { clusterIP: "10.96.0.1" },
    "failed to allocate IP 10.96.0.1: provided IP is already allocated (Service default/kubernetes has it)",
  ],
  [
    "IPv6 on IPv4",
    { ipFamilies: ["IPv6"] },
    'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
  ],
  [
    "two families by policy SingleStack",
    { ipFamilyPolicy: "SingleStack", ipFamilies: ["IPv4", "IPv6"] },
    "not configured on this cluster",
  ],
  ["dual on single", { ipFamilyPolicy: "RequireDualStack" }, "not configured for dual-stack"],
  [
    "node port",
    { type: "NodePort", ports: [{ port: 80, nodePort: 80 }] },
    "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
  ],
] as [string, ServiceSpec, string][])("refuses: %s", (_, spec, message) => {
  expect(() => new ServiceAdmission(SINGLE, 1).create(service("web", spec))).toThrow(message);
});

describe("addresses", () => {
  test("do not depend on the order in which Services are made", () => {
    const names = ["a", "b", "c", "d"];
    const make = (order: string[]) => {
      const admission = new ServiceAdmission(SINGLE, 1);
      return new Map(order.map((n) => [n, admission.create(service(n)).spec.clusterIP]));
    };
    const there = make(names);
    for (const [name, ip] of make([...names].reverse())) expect(ip).toBe(there.get(name));
  });

  test("are other ones for a Service that is made again", () => {
    const admission = new ServiceAdmission(SINGLE, 1);
    const seen = new Set<string | undefined>();
    for (let i = 0; i < 5; i++) {
      const made = admission.create(service("web"));
      seen.add(made.spec.clusterIP);
      admission.removed(made);
    }
    expect(seen.size).toBe(5);
  });

  test("are the same again where no other is left", () => {
    const config = { ...SINGLE, serviceCidrs: [parsePrefix("10.96.0.0/30")] };
    const admission = new ServiceAdmission(config, 1);
    const made = admission.create(service("web"));
    expect(made.spec.clusterIP).toBe("10.96.0.2");
    expect(() => admission.create(service("more"))).toThrow("range is full (10.96.0.0/30");
    admission.removed(made);
    expect(admission.create(service("web")).spec.clusterIP).toBe("10.96.0.2");
  });

  test("are each given once until the range is full", () => {
    const config = clusterConfig({ serviceCidrs: [parsePrefix("10.96.0.0/24")] });
    const admission = new ServiceAdmission(config, 7);
    const seen = new Set<string>();
    for (let i = 0; i < 253; i++)
      seen.add(admission.create(service(`s${i}`)).spec.clusterIP as string);
    expect(seen.size).toBe(253);
    expect(() => admission.create(service("more"))).toThrow(
      "range is full (10.96.0.0/24, 254 addresses)",
    );
  });

  test("stay where a Service changes, and cannot be changed", () => {
    const admission = new ServiceAdmission(SINGLE, 1);
    const old = admission.create(service("web"));
    const changed = service("web", { ports: [{ port: 81 }] });
    expect(admission.update(changed, old).spec.clusterIP).toBe(old.spec.clusterIP);
    const moved = service("web", { clusterIP: "10.96.3.3" });
    expect(() => admission.update(moved, old)).toThrow("may not change once set");
  });
});

test("node ports are given, kept and freed", () => {
  const admission = new ServiceAdmission(SINGLE, 1);
  const old = admission.create(service("web", { type: "NodePort" }));
  const port = old.spec.ports?.[0]?.nodePort as number;
  expect(port).toBeGreaterThanOrEqual(30_086);
  expect(
    admission.update(service("web", { type: "NodePort" }), old).spec.ports?.[0]?.nodePort,
  ).toBe(port);
  const taking = service("other", { type: "NodePort", ports: [{ port: 1, nodePort: port }] });
  expect(() => admission.create(taking)).toThrow(
    `Invalid value: ${port}: provided port is already allocated (Service default/web has it)`,
  );
  const closed = admission.update(service("web"), old);
  expect(closed.spec.ports?.[0]?.nodePort).toBeUndefined();
  expect(admission.create(taking).spec.ports?.[0]?.nodePort).toBe(port);
});

/** Makes a Service, changes it, and says what becomes of it. */
function changed(config: typeof SINGLE, first: ServiceSpec, second: ServiceSpec) {
  const admission = new ServiceAdmission(config, 1);
  const old = admission.create(service("web", first));
  return { admission, old, now: () => admission.update(service("web", second), old) };
}

test.each<[string, ServiceSpec, string]>([
  [
    "a node port of a Service without",
    { ports: [{ port: 80, nodePort: 30_080 }] },
    "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
  ],
  [
    "one node port twice",
    {
      type: "NodePort",
      ports: [
        { name: "a", port: 80, nodePort: 30_080 },
        { name: "b", port: 81, nodePort: 30_080 },
      ],
    },
    "spec.ports[1].nodePort: Duplicate value: 30080",
  ],
  [
    "a headless load balancer",
    { type: "LoadBalancer", clusterIP: "None" },
    "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services",
  ],
  [
    "source ranges of no load balancer",
    { type: "NodePort", loadBalancerSourceRanges: ["10.0.0.0/8"] },
    "spec.loadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
  ],
  [
    "an external policy without a way from outside",
    { externalTrafficPolicy: "Local" },
    'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
  ],
  [
    "a health check port under policy Cluster",
    { type: "LoadBalancer", healthCheckNodePort: 31_000 },
    "spec.healthCheckNodePort: Invalid value: 31000: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
  ],
])("refuses %s", (_, spec, message) => {
  expect(() => new ServiceAdmission(SINGLE, 1).create(service("web", spec))).toThrow(message);
});

describe("node ports", () => {
  const DNS: ServiceSpec = {
    type: "NodePort",
    ports: [
      { name: "udp", port: 53, protocol: "UDP" },
      { name: "tcp", port: 53, protocol: "TCP" },
      { name: "metrics", port: 9153 },
    ],
  };

  test("protocols of one port share a number, other ports do not", () => {
    const { spec } = new ServiceAdmission(SINGLE, 1).create(service("dns", DNS));
    const [udp, tcp, metrics] = spec.ports?.map((p) => p.nodePort) ?? [];
    expect([tcp === udp, metrics === udp]).toEqual([true, false]);
  });

  test("a port keeps its number by its name", () => {
    const two = (port: number): ServiceSpec => ({
      type: "NodePort",
      ports: [
        { name: "b", port: 81 },
        { name: "a", port },
      ],
    });
    const { old, now } = changed(SINGLE, two(80), two(8080));
    const numbers = (s: Service) => s.spec.ports?.map((p) => p.nodePort);
    expect(numbers(now())).toEqual(numbers(old));
  });

  test("come from the configured range, its lower part last", () => {
    const config = clusterConfig({ serviceNodePortRange: { first: 100, last: 131 } });
    const admission = new ServiceAdmission(config, 1);
    const given = Array.from({ length: 32 }, (_, i) => {
      const made = admission.create(service(`s${i}`, { type: "NodePort" }));
      return made.spec.ports?.[0]?.nodePort as number;
    });
    expect(Math.min(...given.slice(0, 16))).toBe(116);
    expect([...given].sort((x, y) => x - y)).toEqual(given.map((_, i) => 100 + i));
    const another = () => admission.create(service("another", { type: "NodePort" }));
    expect(another).toThrow("failed to allocate a nodePort: range is full (100-131, 32 ports)");
  });

  test("a load balancer needs none where it says so, and may ask for some", () => {
    const admission = new ServiceAdmission(SINGLE, 1);
    const ports = [
      { name: "a", port: 80 },
      { name: "b", port: 81, nodePort: 30_081 },
    ];
    const spec = { type: "LoadBalancer", allocateLoadBalancerNodePorts: false, ports } as const;
    const made = admission.create(service("web", spec));
    expect(made.spec.ports?.map((p) => p.nodePort)).toEqual([undefined, 30_081]);
  });

  test.each<[string, ServiceSpec]>([
    ["ClusterIP", { type: "ClusterIP" }],
    ["ExternalName", { type: "ExternalName", externalName: "example.com" }],
  ])("are free when the type becomes %s", (_, next) => {
    const first: ServiceSpec = {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      healthCheckNodePort: 31_000,
      ports: [{ port: 80, nodePort: 30_080 }],
    };
    const { admission, now } = changed(SINGLE, first, next);
    const spec = now().spec;
    expect([spec.healthCheckNodePort, spec.ports?.[0]?.nodePort]).toEqual([undefined, undefined]);
    const again = { ...first, ports: [{ port: 80, nodePort: 30_080 }] };
    expect(() => admission.create(service("other", again))).not.toThrow();
  });

  test("a health check port stays with its Service, and goes with policy Local", () => {
    const local: ServiceSpec = { type: "LoadBalancer", externalTrafficPolicy: "Local" };
    const { old, now } = changed(SINGLE, local, { ...local, ports: [{ port: 8080 }] });
    expect(old.spec.healthCheckNodePort).toBeGreaterThanOrEqual(30_086);
    expect(now().spec.healthCheckNodePort).toBe(old.spec.healthCheckNodePort);
    const cluster = changed(SINGLE, local, { ...local, externalTrafficPolicy: "Cluster" });
    expect(cluster.now().spec.healthCheckNodePort).toBeUndefined();
  });

  test("what fails takes nothing", () => {
    const admission = new ServiceAdmission(SINGLE, 1);
    const ports = [
      { name: "a", port: 80, nodePort: 30_080 },
      { name: "b", port: 81, nodePort: 80 },
    ];
    const failing = service("web", { type: "NodePort", clusterIP: "10.96.0.9", ports });
    expect(() => admission.create(failing)).toThrow("spec.ports[1].nodePort");
    const fitting = { type: "NodePort", clusterIP: "10.96.0.9", ports: ports.slice(0, 1) } as const;
    expect(() => admission.create(service("other", fitting))).not.toThrow();
  });
});

test.each<[string, ServiceSpec, string]>([
  ["families", { ipFamilies: ["IPv4", "IPv6"] }, "when multiple IP families are specified"],
  [
    "addresses",
    { clusterIPs: ["10.96.0.9", "fd00:10:96::9"] },
    "when multiple cluster IPs are specified",
  ],
])("two %s want a policy", (_, spec, message) => {
  const make = () => new ServiceAdmission(DUAL, 1).create(service("web", spec));
  expect(make).toThrow(
    `spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' ${message}`,
  );
});

describe("families of a Service that changes", () => {
  const PREFER: ServiceSpec = { ipFamilyPolicy: "PreferDualStack" };
  const SECOND = /:/;

  test.each<[string, ServiceSpec, ServiceSpec, number[]]>([
    ["single to dual", {}, PREFER, [4, 6]],
    [
      "IPv6 first, to dual",
      { ipFamilies: ["IPv6"] },
      { ipFamilyPolicy: "RequireDualStack" },
      [6, 4],
    ],
    ["dual to single", PREFER, { ipFamilyPolicy: "SingleStack" }, [4]],
    ["dual, nothing said", PREFER, {}, [4, 6]],
  ])("%s", (_, first, second, families) => {
    const { old, now } = changed(DUAL, first, second);
    const { clusterIPs = [], clusterIP } = now().spec;
    expect(clusterIPs.map((ip) => (SECOND.test(ip) ? 6 : 4))).toEqual(families);
    expect(clusterIP).toBe(old.spec.clusterIP);
  });

  test("a released second address is free", () => {
    const { admission, old, now } = changed(DUAL, PREFER, { ipFamilyPolicy: "SingleStack" });
    const second = old.spec.clusterIPs?.[1] as string;
    const taking = service("other", { clusterIP: second });
    expect(() => admission.create(taking)).toThrow("provided IP is already allocated");
    now();
    expect(admission.create(taking).spec.clusterIP).toBe(second);
  });

  test.each<[string, ServiceSpec, ServiceSpec, string]>([
    [
      "the first family",
      {},
      { ipFamilies: ["IPv6"] },
      'spec.ipFamilies[0]: Invalid value: "IPv6": may not change once set',
    ],
    [
      "fewer families by a dual policy",
      PREFER,
      { ...PREFER, ipFamilies: ["IPv4"] },
      "must be 'SingleStack' to release the secondary IP family",
    ],
  ])("may not become %s", (_, first, second, message) => {
    expect(changed(DUAL, first, second).now).toThrow(message);
  });

  test("a headless Service without selector has both, whatever the cluster has", () => {
    const { spec } = new ServiceAdmission(SINGLE, 1).create(service("db", { clusterIP: "None" }));
    expect([spec.ipFamilyPolicy, spec.ipFamilies]).toEqual(["RequireDualStack", ["IPv4", "IPv6"]]);
    const chosen = service("db", { clusterIP: "None", selector: { app: "db" } });
    expect(new ServiceAdmission(SINGLE, 1).create(chosen).spec.ipFamilies).toEqual(["IPv4"]);
  });
});

test.each<[string, ServiceSpec, ServiceSpec]>([
  [
    "affinity",
    { sessionAffinity: "ClientIP" },
    { sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } },
  ],
  ["external addresses", { externalIPs: ["192.0.2.1"] }, { externalTrafficPolicy: "Cluster" }],
  ["a load balancer", { type: "LoadBalancer" }, { allocateLoadBalancerNodePorts: true }],
])("defaults of %s", (_, spec, expected) => {
  expect(new ServiceAdmission(SINGLE, 1).create(service("web", spec)).spec).toMatchObject(expected);
});

test("only a load balancer has addresses in its status, each with its mode", () => {
  const ingress = [{ ip: "192.0.2.1" }, { hostname: "lb.example.com" }];
  const status = { loadBalancer: { ingress } };
  const admission = new ServiceAdmission(SINGLE, 1);
  const old = admission.create({ ...service("web", { type: "LoadBalancer" }), status });
  expect(old.status?.loadBalancer?.ingress).toEqual([
    { ip: "192.0.2.1", ipMode: "VIP" },
    { hostname: "lb.example.com" },
  ]);
  const now = admission.update({ ...service("web"), status: old.status as object }, old);
  expect(now.status?.loadBalancer).toEqual({});
});
