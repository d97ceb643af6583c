import type { Endpoint, EndpointSlice } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { type Cluster, type ClusterOptions, createCluster } from "../src/index.ts";
import { app, yaml } from "./manifests.ts";
import { routed } from "./routed-cni.ts";

async function cluster(text: string, options: ClusterOptions = {}): Promise<Cluster> {
  const made = createCluster({ cni: routed, ...options });
  made.apply(yaml(text));
  await made.settled();
  return made;
}

function slices(of: Cluster, service: string): EndpointSlice[] {
  return of.api
    .list("EndpointSlice")
    .filter((s) => s.metadata.labels?.["kubernetes.io/service-name"] === service);
}

function endpoints(of: Cluster, service: string): Endpoint[] {
  return slices(of, service).flatMap((s) => s.endpoints);
}

function conditions(of: Cluster, service: string): string[] {
  return endpoints(of, service).map(({ conditions: c }) =>
    [c?.ready && "ready", c?.serving && "serving", c?.terminating && "terminating"]
      .filter(Boolean)
      .join("+"),
  );
}

const pod = (name: string, rest: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: web}}
spec: {${rest}}
---
`;
const WEB =
  "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}\n---\n";

test("a slice names port, node and pod of each endpoint", async () => {
  const web = await cluster(app("web", 2));
  const [slice] = slices(web, "web");
  expect(slice).toMatchObject({
    addressType: "IPv4",
    ports: [{ name: "", port: 8080, protocol: "TCP" }],
    metadata: {
      labels: { "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" },
    },
  });
  expect(slice?.metadata.name).toMatch(/^web-[a-z0-9]{5}$/);
  for (const { nodeName, targetRef, addresses } of slice?.endpoints ?? []) {
    const target = web.api.get("Pod", `default/${targetRef?.name}`);
    expect(target?.spec.nodeName).toBe(nodeName);
    expect(target?.status?.podIP).toBe(addresses[0]);
  }
});

test.each([
  ["ready", "containers: [{name: c}]", ["ready+serving"]],
  [
    "a probe that fails",
    "containers: [{name: c, ports: [{containerPort: 80}], readinessProbe: {tcpSocket: {port: 81}}}]",
    [""],
  ],
  [
    "a probe that succeeds",
    "containers: [{name: c, ports: [{containerPort: 80}], readinessProbe: {httpGet: {port: 80}, initialDelaySeconds: 30}}]",
    ["ready+serving"],
  ],
  [
    "a gRPC probe",
    "containers: [{name: c, readinessProbe: {grpc: {port: 50051}}}]",
    ["ready+serving"],
  ],
  [
    "a command",
    "containers: [{name: c, readinessProbe: {exec: {command: [x]}}}]",
    ["ready+serving"],
  ],
  [
    "a named port that is not there",
    "containers: [{name: c, readinessProbe: {httpGet: {port: nope}}}]",
    [""],
  ],
  [
    "a container that crashes",
    "containers: [{name: c, ports: [{containerPort: 80}]}, {name: d, ports: [{containerPort: 80}]}]",
    [""],
  ],
])("an endpoint is as ready as its pod: %s", async (_, spec, expected) => {
  expect(conditions(await cluster(WEB + pod("web", spec)), "web")).toEqual(expected);
});

test("a pod on its way out serves and is not ready, until it is gone", async () => {
  const web = await cluster(WEB + pod("web", "containers: [{name: c}]"));
  web.delete("Pod", "default/web");
  web.clock.advance(500);
  expect(conditions(web, "web")).toEqual(["serving+terminating"]);
  await web.settled();
  expect(conditions(web, "web")).toEqual([]);
  expect(web.nodes.get("node1")?.kernel.namespaces).toHaveProperty("next");
  expect([...(web.nodes.get("node1")?.kernel.namespaces ?? [])]).toEqual([]);
});

test("publishNotReadyAddresses makes all ready", async () => {
  const spec =
    "containers: [{name: c, ports: [{containerPort: 80}], readinessProbe: {tcpSocket: {port: 81}}}]";
  const web = await cluster(
    WEB.replace("selector", "publishNotReadyAddresses: true, selector") + pod("web", spec),
  );
  expect(conditions(web, "web")).toEqual(["ready"]);
});

test("100 endpoints fill a slice, and stay where they are", async () => {
  const web = await cluster(app("web", 250), { nodes: 10 });
  const sizes = () => slices(web, "web").map((s) => s.endpoints.length);
  expect(sizes()).toEqual([100, 100, 50]);
  const [first] = slices(web, "web");
  web.delete("Pod", `default/${first?.endpoints[7]?.targetRef?.name}`);
  await web.settled();
  expect(sizes().reduce((x, y) => x + y)).toBe(250);
  const kept = new Set(slices(web, "web")[0]?.endpoints.map((e) => e.targetRef?.uid));
  expect(first?.endpoints.filter((e) => kept.has(e.targetRef?.uid))).toHaveLength(99);
  web.scale("Deployment", "default/web", 0);
  await web.settled();
  expect(sizes()).toEqual([0]);
});

test("pods whose ports differ have slices of their own", async () => {
  const service =
    "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}}\n---\n";
  const port = (n: number) => `containers: [{name: c, ports: [{name: http, containerPort: ${n}}]}]`;
  const web = await cluster(
    service + pod("a", port(80)) + pod("b", port(81)) + pod("c", "containers: [{name: c}]"),
  );
  const found = slices(web, "web").map(
    (s) => `${s.ports?.map((p) => p.port)} ${s.endpoints.map((e) => e.targetRef?.name)}`,
  );
  expect(found.sort()).toEqual([" c", "80 a", "81 b"]);
});

test("dual-stack Services have a slice of each family", async () => {
  const web = await cluster(
    WEB.replace("selector", "ipFamilyPolicy: RequireDualStack, selector") +
      pod("a", "containers: [{name: c}]"),
    {
      config: { ipFamilies: [4, 6] },
    },
  );
  expect(
    slices(web, "web")
      .map((s) => s.addressType)
      .sort(),
  ).toEqual(["IPv4", "IPv6"]);
  expect(web.api.get("Pod", "default/a")?.status?.podIPs).toHaveLength(2);
  const [ipv4, ipv6] = web.api.get("Service", "default/web")?.spec.clusterIPs ?? [];
  expect([ipv4, ipv6]).toEqual([
    expect.stringMatching(/^10\./),
    expect.stringMatching(/^fd00:10:96::/),
  ]);
});

describe("a Service without a selector", () => {
  const service =
    "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {ports: [{port: 5432}]}}\n---\n";

  test("has the slices that mirror its Endpoints", async () => {
    const db = await cluster(
      `${service}{apiVersion: v1, kind: Endpoints, metadata: {name: db}, subsets: [{addresses: [{ip: 192.0.2.1}], notReadyAddresses: [{ip: 192.0.2.2}], ports: [{port: 5432}]}]}`,
    );
    expect(slices(db, "db")).toMatchObject([
      {
        addressType: "IPv4",
        ports: [{ name: "", port: 5432, protocol: "TCP" }],
        endpoints: [
          { addresses: ["192.0.2.1"], conditions: { ready: true } },
          { addresses: ["192.0.2.2"], conditions: { ready: false } },
        ],
      },
    ]);
    db.delete("Endpoints", "default/db");
    await db.settled();
    expect(slices(db, "db")).toEqual([]);
  });

  test("keeps slices that somebody wrote", async () => {
    const db = await cluster(
      `${service}{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: mine, labels: {kubernetes.io/service-name: db}}, addressType: IPv4, ports: [{port: 1}], endpoints: [{addresses: [192.0.2.7]}]}`,
    );
    expect(endpoints(db, "db").map((e) => e.addresses)).toEqual([["192.0.2.7"]]);
  });
});

test("a selector that changes finds its pods anew", async () => {
  const web = await cluster(app("web", 2) + app("api", 3));
  web.apply(
    yaml(
      "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: api}, ports: [{port: 80}]}}",
    ),
  );
  await web.settled();
  expect(endpoints(web, "web")).toHaveLength(3);
});

test("labels of a pod that change take it out of one Service and into another", async () => {
  const web = await cluster(app("web", 1) + app("api", 1));
  const [first] = web.api.list("Pod").filter((p) => p.metadata.labels?.["app"] === "api");
  web.api.update("Pod", `default/${first?.metadata.name}`, (p) => ({
    ...p,
    metadata: { ...p.metadata, labels: { ...p.metadata.labels, app: "web" } },
  }));
  await web.settled();
  expect(endpoints(web, "web")).toHaveLength(2);
});

test("a Service that goes takes its slices along", async () => {
  const web = await cluster(app("web", 1));
  web.delete("Service", "default/web");
  await web.settled();
  expect(slices(web, "web")).toEqual([]);
});

test("the API server is a Service with an endpoint that answers", async () => {
  const web = await cluster(app("web", 1));
  expect(web.api.get("Service", "default/kubernetes")?.spec.clusterIP).toBe("10.96.0.1");
  const from = web.endpoint("node/node1");
  const answer = web.connect({
    from,
    to: web.endpoint(`${endpoints(web, "kubernetes")[0]?.addresses[0]}:6443`),
  });
  expect([answer.verdict, answer.backend]).toEqual(["allowed", "apiserver"]);
});
