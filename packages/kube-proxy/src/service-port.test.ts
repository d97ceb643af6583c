import type { Service, ServiceSpec } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { service } from "../test/objects.ts";
import {
  isExternallyAccessible,
  type ServicePort,
  servicePorts,
  usesClusterEndpoints,
  usesLocalEndpoints,
} from "./service-port.ts";

const PORTS = [{ port: 80 }];
const CLUSTER_IP: ServiceSpec = { clusterIP: "10.96.0.10", ports: PORTS };
const LOAD_BALANCER: ServiceSpec = { ...CLUSTER_IP, type: "LoadBalancer" };
const DUAL: ServiceSpec = {
  clusterIP: "10.96.0.10",
  clusterIPs: ["10.96.0.10", "fd00:10:96:0::a"],
  ports: PORTS,
};

function only(object: Service, family: 4 | 6 = 4): ServicePort {
  const [port] = servicePorts(object, family);
  if (port === undefined) throw new Error("no port");
  return port;
}

describe("not programmed", () => {
  test.each<[string, Service]>([
    ["ExternalName", service("web", { type: "ExternalName", externalName: "a.example" })],
    ["headless", service("web", { ...CLUSTER_IP, clusterIP: "None" })],
    ["headless, with the list of addresses", service("web", { ...DUAL, clusterIPs: ["None"] })],
    ["no cluster IP yet", service("web", { ports: PORTS })],
    ["no ports", service("web", { clusterIP: "10.96.0.10" })],
    [
      "another proxy's",
      service("web", CLUSTER_IP, {
        labels: { "service.kubernetes.io/service-proxy-name": "mine" },
      }),
    ],
  ])("%s", (_name, object) => {
    expect([...servicePorts(object, 4), ...servicePorts(object, 6)]).toEqual([]);
  });
});

test.each<[string, ServiceSpec, 4 | 6, Partial<ServicePort>]>([
  ["a plain one", CLUSTER_IP, 4, { spn: "default/web", clusterIP: "10.96.0.10", nodePort: 0 }],
  ["TCP is the default", CLUSTER_IP, 4, { protocol: "tcp", port: 80, portName: "" }],
  [
    "a port with a name",
    { ...CLUSTER_IP, ports: [{ name: "dns", protocol: "UDP", port: 53 }] },
    4,
    { spn: "default/web:dns", portName: "dns", protocol: "udp" },
  ],
  ["the address of the family", DUAL, 4, { clusterIP: "10.96.0.10" }],
  ["the address of the family, as IPv6 is spelled", DUAL, 6, { clusterIP: "fd00:10:96::a" }],
  [
    "external IPs of the family",
    { ...DUAL, externalIPs: ["198.51.100.80", "fd00::80", "nonsense"] },
    6,
    { externalIPs: ["fd00::80"] },
  ],
  ["no affinity", CLUSTER_IP, 4, { affinitySeconds: 0 }],
  [
    "affinity by default",
    { ...CLUSTER_IP, sessionAffinity: "ClientIP" },
    4,
    { affinitySeconds: 10_800 },
  ],
  [
    "affinity for a time",
    {
      ...CLUSTER_IP,
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
    },
    4,
    { affinitySeconds: 60 },
  ],
  [
    "a time without affinity",
    { ...CLUSTER_IP, sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } },
    4,
    { affinitySeconds: 0 },
  ],
  [
    "source ranges of the family, as networks",
    { ...LOAD_BALANCER, loadBalancerSourceRanges: [" 192.0.2.7/24 ", "fd00::/8"] },
    4,
    { sourceRanges: ["192.0.2.0/24"] },
  ],
  [
    "a source range of all addresses",
    { ...LOAD_BALANCER, loadBalancerSourceRanges: ["192.0.2.0/24", "0.0.0.0/0"] },
    4,
    { sourceRanges: [] },
  ],
  [
    "a source range of all addresses of the other family",
    { ...LOAD_BALANCER, loadBalancerSourceRanges: ["192.0.2.0/24", "::/0"] },
    4,
    { sourceRanges: ["192.0.2.0/24"] },
  ],
  [
    "a health check port",
    { ...LOAD_BALANCER, externalTrafficPolicy: "Local", healthCheckNodePort: 31_000 },
    4,
    { healthCheckNodePort: 31_000, externalPolicyLocal: true },
  ],
  [
    "a health check port under policy Cluster",
    { ...LOAD_BALANCER, externalTrafficPolicy: "Cluster", healthCheckNodePort: 31_000 },
    4,
    { healthCheckNodePort: 0, externalPolicyLocal: false },
  ],
  [
    "internal policy",
    { ...CLUSTER_IP, internalTrafficPolicy: "Local" },
    4,
    { internalPolicyLocal: true },
  ],
])("%s", (_name, spec, family, expected) => {
  expect(only(service("web", spec), family)).toMatchObject(expected);
});

test.each<
  [
    string,
    ServiceSpec["type"],
    { ip?: string; ipMode?: "VIP" | "Proxy"; hostname?: string },
    string[],
  ]
>([
  ["an address", "LoadBalancer", { ip: "203.0.113.1" }, ["203.0.113.1"]],
  ["mode VIP", "LoadBalancer", { ip: "203.0.113.1", ipMode: "VIP" }, ["203.0.113.1"]],
  [
    "mode Proxy: traffic must pass the load balancer",
    "LoadBalancer",
    { ip: "203.0.113.1", ipMode: "Proxy" },
    [],
  ],
  ["a host name", "LoadBalancer", { hostname: "lb.example" }, []],
  // The API server empties the status of such a Service; kube-proxy does not look at the type.
  ["a type that has none", "NodePort", { ip: "203.0.113.1" }, ["203.0.113.1"]],
])("load balancer with %s", (_name, type = "LoadBalancer", ingress, expected) => {
  const object = {
    ...service("web", { ...CLUSTER_IP, type }),
    status: { loadBalancer: { ingress: [ingress] } },
  };
  expect(only(object).loadBalancerIPs).toEqual(expected);
});

test.each<[string, ServiceSpec, boolean, boolean, boolean]>([
  // Reached from outside; uses endpoints of other nodes; uses this node's only.
  ["a plain one", CLUSTER_IP, false, true, false],
  ["internal Local", { ...CLUSTER_IP, internalTrafficPolicy: "Local" }, false, false, true],
  [
    "external Local, no way from outside",
    { ...CLUSTER_IP, externalTrafficPolicy: "Local" },
    false,
    true,
    false,
  ],
  ["an external IP", { ...CLUSTER_IP, externalIPs: ["198.51.100.80"] }, true, true, false],
  [
    "a node port, external Local",
    {
      ...CLUSTER_IP,
      type: "NodePort",
      ports: [{ port: 80, nodePort: 30_080 }],
      externalTrafficPolicy: "Local",
    },
    true,
    true,
    true,
  ],
  [
    "a node port, internal Local",
    { ...CLUSTER_IP, ports: [{ port: 80, nodePort: 30_080 }], internalTrafficPolicy: "Local" },
    true,
    true,
    true,
  ],
])("which endpoints: %s", (_name, spec, external, cluster, local) => {
  const port = only(service("web", spec));
  expect(isExternallyAccessible(port)).toBe(external);
  expect(usesClusterEndpoints(port)).toBe(cluster);
  expect(usesLocalEndpoints(port)).toBe(local);
});

test("each port tells where it comes from", () => {
  const ports = [{ port: 80 }, { name: "admin", port: 81 }];
  const origins = servicePorts(service("web", { ...CLUSTER_IP, ports }), 4).map((p) => p.origin);
  const web = { kind: "Service", namespace: "default", name: "web" };
  expect(origins).toEqual([web, { ...web, detail: "port admin" }]);
});
