import {
  type ApiClient,
  type KubeObject,
  kindOf,
  type NodeContext,
  VirtualClock,
  type WatchEvent,
} from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import { concat, defer, filter, from, type Observable, Subject } from "rxjs";
import { expect, test } from "vitest";
import { ClusterFelix } from "../../src/felix/cluster-felix.ts";
import { CalcFeed } from "../../src/index.ts";

test("one watch of each kind feeds all nodes, and changes of one moment come together", async () => {
  const clock = new VirtualClock();
  const server = new FakeApi();
  const feed = new CalcFeed();
  server.put(pod("p0", "node-a", "10.0.0.1"));
  const [a, b] = ["node-a", "node-b"].map((node) =>
    feed.attach(node, { api: server.client, clock }),
  );
  if (a === undefined || b === undefined) throw new Error("no node");
  expect(new Set(server.watched).size).toBe(server.watched.length);
  const told: string[] = [];
  a.onChange(() => told.push("a"));
  b.onChange(() => told.push("b"));
  await clock.settle();
  expect(told).toEqual(["a"]);
  a.take();
  expect([...a.workloads.keys()]).toEqual(["k8s/red/p0/eth0"]);
  server.put(pod("p1", "node-b", "10.0.0.2"));
  server.put(
    policy({ ingress: [{ action: "Allow", source: { serviceAccounts: { names: ["default"] } } }] }),
  );
  expect(told).toEqual(["a"]);
  await clock.settle();
  expect(told.toSorted()).toEqual(["a", "a", "b"]);
  a.take();
  b.take();
  // Nobody made the service account default.
  expect([...a.ipSets.values()].map(({ members }) => [...members])).toEqual([
    ["10.0.0.1/32", "10.0.0.2/32"],
  ]);
  expect([...b.ipSets.values()]).toEqual([...a.ipSets.values()]);
  expect([...b.profiles.keys()]).toEqual(["kns.red", "ksa.red.default"]);
  server.remove(pod("p1", "node-b", "10.0.0.2"));
  await clock.settle();
  b.take();
  expect([
    ...b.workloads.keys(),
    ...b.policies.keys(),
    ...b.ipSets.keys(),
    ...b.profiles.keys(),
  ]).toEqual([]);
  server.put(policy({ selector: "=" }));
  expect([...feed.problems.values()]).toEqual(["expected =="]);
  feed.stop();
  server.put(pod("p2", "node-b", "10.0.0.3"));
  await clock.settle();
  b.take();
  expect(b.workloads.size).toBe(0);
});

test.each([
  ["there are no labels where nobody made it", [], "pcsa.role == 'r'", []],
  ["its labels where somebody did", [account({ role: "r" })], "pcsa.role == 'r'", ["gnp/p"]],
  ["its name either way", [], "pcsa.projectcalico.org/name == 'default'", ["gnp/p"]],
])("of a service account %s", (_, objects, selector, want) => {
  const server = new FakeApi();
  for (const each of [pod("p0", "node-a", "10.0.0.1"), policy({ selector }), ...objects])
    server.put(each);
  const node = new CalcFeed().attach("node-a", { api: server.client, clock: new VirtualClock() });
  node.take();
  expect([...node.policies.keys()]).toEqual(want);
});

test("a service account that goes while pods name it leaves its labels behind it", () => {
  const server = new FakeApi();
  const node = new CalcFeed().attach("node-a", { api: server.client, clock: new VirtualClock() });
  server.put(account({ role: "r" }));
  server.put(pod("p0", "node-a", "10.0.0.1"));
  server.put(policy({ selector: "pcsa.role == 'r'" }));
  node.take();
  expect(node.policies.size).toBe(1);
  server.remove(account({}));
  node.take();
  expect(node.policies.size).toBe(0);
  expect(node.profiles.get("ksa.red.default")).toEqual({ inboundRules: [], outboundRules: [] });
});

test("a node that is gone is told of nothing any more, and its successor of everything", async () => {
  const clock = new VirtualClock();
  const server = new FakeApi();
  const feed = new CalcFeed();
  const context = { api: server.client, clock };
  const gone = feed.attach("node-a", context);
  let told = 0;
  gone.onChange(() => told++);
  server.put({ apiVersion: "v1", kind: "Node", metadata: { name: "node-a" } });
  server.remove({ apiVersion: "v1", kind: "Node", metadata: { name: "node-a" } });
  server.put(pod("p0", "node-a", "10.0.0.1"));
  await clock.settle();
  expect(told).toBe(0);
  const successor = feed.attach("node-a", context);
  expect(successor).not.toBe(gone);
  successor.take();
  expect([...successor.workloads.keys()]).toEqual(["k8s/red/p0/eth0"]);
});

test("what FelixConfiguration says of endpoints counts for all nodes as soon as it is said", () => {
  const clock = new VirtualClock();
  const server = new FakeApi();
  const spoofer = pod("p0", "node-a", "10.0.0.1");
  server.put({
    ...spoofer,
    metadata: {
      ...spoofer.metadata,
      annotations: { "cni.projectcalico.org/allowedSourcePrefixes": '["8.8.8.8/32"]' },
    },
  });
  const cluster = new ClusterFelix();
  const attach = () => {
    const node = cluster.attach({
      api: server.client,
      clock,
      name: "node-a",
    } as unknown as NodeContext<Kernel>);
    node.take();
    return node;
  };
  const before = attach();
  expect(before.workloads.size).toBe(0);
  server.put({
    apiVersion: "projectcalico.org/v3",
    kind: "FelixConfiguration",
    metadata: { name: "default" },
    ...{ spec: { workloadSourceSpoofing: "Any" } },
  });
  const after = attach();
  expect([...after.workloads.keys()]).toEqual(["k8s/red/p0/eth0"]);
  expect(attach()).toBe(after);
  // Of what there was before nobody is told any more.
  server.put(pod("p1", "node-a", "10.0.0.2"));
  before.take();
  expect(before.workloads.size).toBe(0);
});

/** What of an API server the feed uses. */
class FakeApi {
  readonly watched: string[] = [];
  readonly #objects = new Map<string, KubeObject>();
  readonly #changes = new Subject<WatchEvent>();

  get client(): ApiClient {
    const watch = (kind: string): Observable<WatchEvent> => {
      this.watched.push(kind);
      const of = ({ object }: WatchEvent) => kindOf(object) === kind;
      return concat(
        defer(() =>
          from(
            [...this.#objects.values()]
              .map((object): WatchEvent => ({ type: "ADDED", object }))
              .filter(of),
          ),
        ),
        this.#changes.pipe(filter(of)),
      );
    };
    const get = (kind: string, key: string) =>
      [...this.#objects.values()].find((o) => kindOf(o) === kind && o.metadata.name === key);
    return { watch, get } as unknown as ApiClient;
  }

  put(object: KubeObject): void {
    const key = `${object.kind} ${object.metadata.name}`;
    const type = this.#objects.has(key) ? "MODIFIED" : "ADDED";
    this.#objects.set(key, object);
    this.#changes.next({ type, object });
  }

  remove(object: KubeObject): void {
    this.#objects.delete(`${object.kind} ${object.metadata.name}`);
    this.#changes.next({ type: "DELETED", object });
  }
}

function pod(name: string, nodeName: string, ip: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "red" },
    ...{ spec: { nodeName, containers: [] }, status: { phase: "Running", podIPs: [{ ip }] } },
  };
}

function account(labels: Readonly<Record<string, string>>): KubeObject {
  return {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "default", namespace: "red", labels },
  };
}

function policy(spec: object): KubeObject {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkPolicy",
    metadata: { name: "p" },
    ...{ spec },
  };
}
