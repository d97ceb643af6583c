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
  ["two families", { ipFamilies: ["IPv4", "IPv6"] }, [4, 6]],
] as [string, ServiceSpec, number[]][])(
  "families on a dual-stack cluster: %s",
  (_, spec, families) => {
    const { clusterIPs } = new ServiceAdmission(DUAL, 1).create(service("web", spec)).spec;
    expect(clusterIPs?.map((ip) => (ip.includes(":") ? 6 : 4))).toEqual(families);
  },
);

test.each([
  ["outside", { clusterIP: "10.1.2.3" }, "10.1.2.3 is not in the Service range 10.96.0.0/12"],
  [
    "the API server's",
    { clusterIP: "10.96.0.1" },
    "already allocated to Service default/kubernetes",
  ],
  ["IPv6 on IPv4", { ipFamilies: ["IPv6"] }, "IPv6 is not configured on this cluster"],
  ["dual on single", { ipFamilyPolicy: "RequireDualStack" }, "not configured for dual-stack"],
  [
    "node port",
    { type: "NodePort", ports: [{ port: 80, nodePort: 80 }] },
    "80 is not in the range 30000-32767",
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
    expect(() => admission.create(service("more"))).toThrow("range 10.96.0.0/30 is full");
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
    expect(() => admission.create(service("more"))).toThrow("is full (254 addresses)");
  });

  test("stay where a Service changes, and cannot be changed", () => {
    const admission = new ServiceAdmission(SINGLE, 1);
    const old = admission.create(service("web"));
    const changed = service("web", { ports: [{ port: 81 }] });
    expect(admission.update(changed, old).spec.clusterIP).toBe(old.spec.clusterIP);
    const moved = service("web", { clusterIP: "10.96.3.3" });
    expect(() => admission.update(moved, old)).toThrow("field is immutable");
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
    `${port} is already allocated to Service default/web`,
  );
  const closed = admission.update(service("web"), old);
  expect(closed.spec.ports?.[0]?.nodePort).toBeUndefined();
  expect(admission.create(taking).spec.ports?.[0]?.nodePort).toBe(port);
});
