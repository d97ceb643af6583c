import {
  type DaemonSet,
  type Deployment,
  objectKey,
  type Pod,
  type StatefulSet,
} from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { type Cluster, createCluster } from "../src/index.ts";
import { app, yaml } from "./manifests.ts";
import { routed } from "./routed-cni.ts";

async function cluster(text: string, nodes = 3): Promise<Cluster> {
  const made = createCluster({ cni: routed, nodes });
  made.apply(yaml(text));
  await made.settled();
  return made;
}

function names(of: Cluster): string[] {
  return of.api.list("Pod").map((p) => p.metadata.name);
}

/** The least number of ready pods and the most pods while `change` comes to rest. */
async function watchRoll(
  of: Cluster,
  change: () => void,
): Promise<{ least: number; most: number }> {
  const pods = new Map<string, Pod>();
  let least = Number.POSITIVE_INFINITY;
  let most = 0;
  const subscription = of.api.watch("Pod").subscribe(({ type, object }) => {
    const gone = type === "DELETED" || object.metadata.deletionTimestamp !== undefined;
    if (gone) pods.delete(object.metadata.name);
    else pods.set(object.metadata.name, object);
    const ready = [...pods.values()].filter((p) =>
      p.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True"),
    ).length;
    most = Math.max(most, pods.size);
    least = Math.min(least, ready);
  });
  // The watch began with the pods one by one.
  least = Number.POSITIVE_INFINITY;
  change();
  await of.settled();
  subscription.unsubscribe();
  return { least, most };
}

function withImage(of: Cluster, kind: "Deployment" | "StatefulSet" | "DaemonSet", image: string) {
  const object = of.api.list(kind)[0] as Deployment | StatefulSet | DaemonSet;
  of.api.update(kind, objectKey(object), (o) => {
    const containers = o.spec.template.spec.containers.map((c) => ({ ...c, image }));
    const template = { ...o.spec.template, spec: { ...o.spec.template.spec, containers } };
    return { ...o, spec: { ...o.spec, template } } as typeof o;
  });
}

describe("a Deployment", () => {
  test("has a ReplicaSet named after its template, and pods named after that", async () => {
    const web = await cluster(app("web", 3));
    const [set] = web.api.list("ReplicaSet");
    const hash = set?.metadata.labels?.["pod-template-hash"];
    expect(set?.metadata.name).toBe(`web-${hash}`);
    for (const name of names(web)) expect(name).toMatch(new RegExp(`^web-${hash}-[a-z0-9]{5}$`));
    expect(web.api.get("Deployment", "default/web")?.status).toMatchObject({
      replicas: 3,
      readyReplicas: 3,
      updatedReplicas: 3,
      unavailableReplicas: 0,
    });
  });

  test.each([
    ["the default", undefined, 3, 5],
    ["no surge", "{rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}", 3, 4],
    ["none less", "{rollingUpdate: {maxSurge: 2, maxUnavailable: 0}}", 4, 6],
    ["in parts", "{rollingUpdate: {maxSurge: 50%, maxUnavailable: 50%}}", 2, 6],
    ["Recreate", "{type: Recreate}", 0, 4],
  ])("rolls by %s", async (_, strategy, least, most) => {
    const web = await cluster(app("web", 4, strategy === undefined ? {} : { strategy }));
    const before = names(web);
    const rolled = await watchRoll(web, () => withImage(web, "Deployment", "web:2"));
    expect(rolled.least).toBeGreaterThanOrEqual(least);
    expect(rolled.most).toBeLessThanOrEqual(most);
    expect(names(web)).toHaveLength(4);
    expect(names(web).filter((name) => before.includes(name))).toEqual([]);
    expect(web.api.list("ReplicaSet").map((s) => s.spec.replicas)).toEqual([0, 4]);
  });

  test("goes back to the ReplicaSet of an earlier template", async () => {
    const web = await cluster(app("web", 2));
    const [first] = web.api.list("ReplicaSet");
    withImage(web, "Deployment", "web:2");
    await web.settled();
    withImage(web, "Deployment", "web:1");
    await web.settled();
    expect(web.api.list("ReplicaSet")).toHaveLength(2);
    expect(web.api.get("ReplicaSet", objectKey(first as never))?.spec.replicas).toBe(2);
  });

  test("grows, shrinks, and takes all with it when it goes", async () => {
    const web = await cluster(app("web", 2));
    web.scale("Deployment", "default/web", 5);
    await web.settled();
    expect(names(web)).toHaveLength(5);
    web.scale("Deployment", "default/web", 1);
    await web.settled();
    expect(names(web)).toHaveLength(1);
    web.delete("Deployment", "default/web");
    await web.settled();
    expect([web.api.count("ReplicaSet"), web.api.count("Pod")]).toEqual([0, 0]);
  });

  test("replaces a pod that is deleted by another", async () => {
    const web = await cluster(app("web", 2));
    const [gone] = names(web);
    web.delete("Pod", `default/${gone}`);
    await web.settled();
    expect(names(web)).toHaveLength(2);
    expect(names(web)).not.toContain(gone);
  });
});

const DB = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 3
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: pg, image: "pg:1", ports: [{containerPort: 5432}]}]}
`;

describe("a StatefulSet", () => {
  test("makes its pods one after the other", async () => {
    const db = createCluster({ cni: routed });
    const seen: string[] = [];
    db.api.watch("Pod").subscribe(({ type, object, old }) => {
      const ready = (p: Pod | undefined) =>
        p?.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;
      if (type === "ADDED") seen.push(`${object.metadata.name} made`);
      if (ready(object) && !ready(old)) seen.push(`${object.metadata.name} ready`);
    });
    db.apply(yaml(DB));
    await db.settled();
    expect(seen).toEqual(["0", "1", "2"].flatMap((i) => [`db-${i} made`, `db-${i} ready`]));
  });

  test("replaces them from the top, and keeps their names", async () => {
    const db = await cluster(DB);
    const seen: string[] = [];
    const subscription = db.api.watch("Pod").subscribe(({ type, object }) => {
      if (type === "DELETED") seen.push(object.metadata.name);
    });
    withImage(db, "StatefulSet", "pg:2");
    await db.settled();
    subscription.unsubscribe();
    expect(seen).toEqual(["db-2", "db-1", "db-0"]);
    expect(names(db).sort()).toEqual(["db-0", "db-1", "db-2"]);
    expect(db.api.list("Pod").map((p) => p.spec.containers[0]?.image)).toEqual(
      Array(3).fill("pg:2"),
    );
  });

  test("leaves pods below the partition alone", async () => {
    const db = await cluster(
      DB.replace("serviceName", "updateStrategy: {rollingUpdate: {partition: 2}}\n  serviceName"),
    );
    withImage(db, "StatefulSet", "pg:2");
    await db.settled();
    const images = db.api
      .list("Pod")
      .map((p) => `${p.metadata.name} ${p.spec.containers[0]?.image}`);
    expect(images.sort()).toEqual(["db-0 pg:1", "db-1 pg:1", "db-2 pg:2"]);
  });

  test("shrinks from the top", async () => {
    const db = await cluster(DB);
    db.scale("StatefulSet", "default/db", 1);
    await db.settled();
    expect(names(db)).toEqual(["db-0"]);
  });
});

const AGENT = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {nodeSelector: {kubernetes.io/os: linux}, containers: [{name: c, image: "a:1"}]}
`;

describe("a DaemonSet", () => {
  test("has a pod on every node, also on one that comes later", async () => {
    const agent = await cluster(AGENT, 3);
    agent.apply(yaml("{apiVersion: v1, kind: Node, metadata: {name: late}}"));
    await agent.settled();
    const nodes = agent.api.list("Pod").map((p) => p.spec.nodeName);
    expect(nodes.sort()).toEqual(["late", "node1", "node2", "node3"]);
    agent.delete("Node", "node2");
    await agent.settled();
    expect(agent.api.count("Pod")).toBe(3);
  });

  test("leaves nodes with a taint alone", async () => {
    const tainted =
      "{apiVersion: v1, kind: Node, metadata: {name: bad}, spec: {taints: [{key: x, effect: NoSchedule}]}}";
    const agent = createCluster({ cni: routed });
    agent.apply(
      yaml(`${AGENT}\n---\n${tainted}\n---\n{apiVersion: v1, kind: Node, metadata: {name: good}}`),
    );
    await agent.settled();
    expect(agent.api.list("Pod").map((p) => p.spec.nodeName)).toEqual(["good"]);
  });

  test("replaces one pod at a time", async () => {
    const agent = await cluster(AGENT, 4);
    const { least } = await watchRoll(agent, () => withImage(agent, "DaemonSet", "a:2"));
    expect(least).toBeGreaterThanOrEqual(3);
    expect(agent.api.list("Pod").map((p) => p.spec.containers[0]?.image)).toEqual(
      Array(4).fill("a:2"),
    );
  });
});

test.each([
  ["one", "", 1],
  ["three, two at a time", "completions: 3, parallelism: 2,", 3],
  ["indexed", "completions: 2, parallelism: 2, completionMode: Indexed,", 2],
  ["suspended", "suspend: true,", 0],
])("a Job runs to its end: %s", async (_, fields, succeeded) => {
  const job = await cluster(`
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec: {${fields} template: {spec: {restartPolicy: Never, containers: [{name: c}]}}}
`);
  expect(job.api.get("Job", "default/once")?.status?.succeeded).toBe(succeeded);
  expect(job.api.list("Pod").map((p) => p.status?.phase)).toEqual(
    Array(succeeded).fill("Succeeded"),
  );
});

test("a ReplicationController keeps its pods", async () => {
  const rc = await cluster(`
apiVersion: v1
kind: ReplicationController
metadata: {name: old}
spec: {replicas: 2, selector: {a: b}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c}]}}}
`);
  expect(names(rc)).toHaveLength(2);
});
