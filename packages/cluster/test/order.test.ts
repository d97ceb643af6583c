import { type Kind, type KubeObject, objectKey, type Pod, type Service } from "@cnilab/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Cluster, createCluster } from "../src/index.ts";
import { app, yaml } from "./manifests.ts";
import { routed } from "./routed-cni.ts";

const OBJECTS = yaml(`${app("a", 3)}${app("b", 1)}${app("c", 2)}
{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {app: a}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: 1}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: np}, spec: {type: NodePort, selector: {app: b}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: x}}
---
{apiVersion: v1, kind: Service, metadata: {name: a, namespace: x}, spec: {clusterIP: None, selector: {app: s}, ports: [{port: 80}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: s, namespace: x}
spec:
  replicas: 2
  serviceName: a
  selector: {matchLabels: {app: s}}
  template: {metadata: {labels: {app: s}}, spec: {containers: [{name: c}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}}
---
{apiVersion: v1, kind: Node, metadata: {name: n10}}
`);

/** All that is there, without what tells the order of events. */
function everything(cluster: Cluster): unknown {
  return cluster.api.kinds.map((kind) =>
    cluster.api
      .list(kind)
      .map((o) => JSON.stringify(o))
      .sort(),
  );
}

/** What people see: names, addresses of Services, and which pods stand behind them. */
function visible({ api }: Cluster): Record<string, string[]> {
  const keys = (kind: Kind) =>
    api
      .list(kind)
      .map((o: KubeObject) => objectKey(o))
      .sort();
  const isOf = (s: KubeObject) => s.metadata.labels?.["kubernetes.io/service-name"];
  return {
    pods: api
      .list("Pod")
      .map((p: Pod) => `${objectKey(p)} ${p.status?.phase}`)
      .sort(),
    sets: keys("ReplicaSet"),
    services: api
      .list("Service")
      .map(
        (s: Service) =>
          `${objectKey(s)} ${s.spec.clusterIP} ${s.spec.ports?.map((p) => p.nodePort)}`,
      )
      .sort(),
    endpoints: api
      .list("EndpointSlice")
      .flatMap((s) =>
        s.endpoints.map((e) => `${isOf(s)} ${e.targetRef?.name} ${e.conditions?.ready}`),
      )
      .sort(),
  };
}

async function settled(batches: readonly (readonly KubeObject[])[]): Promise<Cluster> {
  const cluster = createCluster({ cni: routed });
  for (const batch of batches) {
    cluster.apply(batch);
    await cluster.settled();
  }
  return cluster;
}

const expected = await settled([OBJECTS]);

test("one input in any order makes one cluster, bit for bit", async () => {
  const shuffled = fc.shuffledSubarray(OBJECTS, { minLength: OBJECTS.length });
  await fc.assert(
    fc.asyncProperty(shuffled, async (objects) => {
      expect(everything(await settled([objects]))).toEqual(everything(expected));
    }),
    { numRuns: 20 },
  );
});

test("objects that come one after the other end up as those that come together", async () => {
  const nodes = OBJECTS.filter((o) => o.kind === "Node");
  const others = OBJECTS.filter((o) => o.kind !== "Node");
  const shuffled = fc.shuffledSubarray(others, { minLength: others.length });
  await fc.assert(
    fc.asyncProperty(shuffled, async (objects) => {
      const cluster = await settled([nodes, ...objects.map((o) => [o])]);
      expect(visible(cluster)).toEqual(visible(expected));
    }),
    { numRuns: 20 },
  );
});

test("applying the same again changes nothing", async () => {
  const cluster = await settled([OBJECTS]);
  const before = everything(cluster);
  cluster.apply(OBJECTS);
  await cluster.settled();
  expect(everything(cluster)).toEqual(before);
});

test("no two pods ever have one address, whatever comes and goes", async () => {
  const step = fc.tuple(fc.constantFrom("a", "b", "c"), fc.integer({ min: 0, max: 12 }));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
      const cluster = await settled([OBJECTS]);
      for (const [name, replicas] of steps) {
        cluster.scale("Deployment", `default/${name}`, replicas);
        cluster.clock.advance(300);
        const ips = cluster.api
          .list("Pod")
          .map((p) => p.status?.podIP)
          .filter((ip) => ip !== undefined);
        expect(new Set(ips).size).toBe(ips.length);
      }
    }),
    { numRuns: 20 },
  );
});
