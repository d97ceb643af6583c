import { type Pod, SeededRandom, VirtualClock, type WatchEvent } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { ApiStore } from "./api-store.ts";

function pod(name: string, nodeName?: string): Pod {
  const spec = { containers: [{ name: "c" }], ...(nodeName === undefined ? {} : { nodeName }) };
  return { apiVersion: "v1", kind: "Pod", metadata: { name }, spec };
}

function store(seed = 1): { api: ApiStore; clock: VirtualClock } {
  const clock = new VirtualClock();
  return { api: new ApiStore(clock, new SeededRandom(seed)), clock };
}

function short({ type, object }: WatchEvent): string {
  return `${type} ${object.metadata.name} ${object.metadata.resourceVersion}`;
}

describe("objects", () => {
  test("get what the server fills in", () => {
    const { api } = store();
    const { metadata } = api.create<"Pod">(pod("a"));
    expect(metadata).toMatchObject({
      name: "a",
      namespace: "default",
      generation: 1,
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
    });
    expect(metadata.uid).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
  });

  test("have the same uid in each run of one seed", () => {
    const uids = [1, 1, 2].map((seed) => store(seed).api.create<"Pod">(pod("a")).metadata.uid);
    expect(uids[0]).toBe(uids[1]);
    expect(uids[0]).not.toBe(uids[2]);
  });

  test("cannot be made twice", () => {
    const { api } = store();
    api.create<"Pod">(pod("a"));
    expect(() => api.create<"Pod">(pod("a"))).toThrow("Pod default/a already exists");
  });

  test("count generations of the spec, not of the status", () => {
    const { api } = store();
    api.create<"Pod">(pod("a"));
    const update = (change: (p: Pod) => Pod) => api.update("Pod", "default/a", change)?.metadata;
    expect(update((p) => ({ ...p, status: { phase: "Running" } }))?.generation).toBe(1);
    expect(update((p) => ({ ...p, spec: { ...p.spec, nodeName: "n" } }))?.generation).toBe(2);
    expect(update((p) => p)?.resourceVersion).toBe("3");
    expect(api.update("Pod", "default/nobody", (p) => p)).toBeUndefined();
  });
});

describe("deletion", () => {
  test.each([
    ["a pod without a node", pod("a"), undefined, false],
    ["a pod on a node", pod("a", "n"), undefined, true],
    ["a pod on a node, at once", pod("a", "n"), 0, false],
    [
      "a pod that has finished",
      { ...pod("a", "n"), status: { phase: "Succeeded" } } as Pod,
      undefined,
      false,
    ],
  ])("%s", (_, object, gracePeriodSeconds, stays) => {
    const { api } = store();
    api.create<"Pod">(object);
    api.delete("Pod", "default/a", gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds });
    const left = api.get("Pod", "default/a");
    expect(left !== undefined).toBe(stays);
    expect(left?.metadata.deletionTimestamp !== undefined).toBe(stays);
  });
});

describe("watches", () => {
  test("start with what is there", () => {
    const { api } = store();
    api.create<"Pod">(pod("a"));
    const seen: string[] = [];
    api.watch("Pod").subscribe((event) => seen.push(short(event)));
    api.create<"Pod">(pod("b"));
    api.delete("Pod", "default/a");
    expect(seen).toEqual(["ADDED a 1", "ADDED b 2", "DELETED a 3"]);
  });

  test("tell all watchers in one order, also what a watcher does", () => {
    const { api } = store();
    const first: string[] = [];
    const second: string[] = [];
    api.watch("Pod").subscribe((event) => {
      first.push(short(event));
      if (event.type === "ADDED" && event.object.metadata.name === "a") api.create<"Pod">(pod("b"));
    });
    api.watch("Pod").subscribe((event) => second.push(short(event)));
    api.create<"Pod">(pod("a"));
    expect(first).toEqual(["ADDED a 1", "ADDED b 2"]);
    expect(second).toEqual(first);
  });

  test("tell a watcher that comes in the midst of it each object once", () => {
    const { api } = store();
    const late: string[] = [];
    api.watch("Pod").subscribe((event) => {
      if (event.object.metadata.name !== "a") return;
      api.create<"Pod">(pod("b"));
      api.watch("Pod").subscribe((e) => late.push(short(e)));
      api.create<"Pod">(pod("c"));
    });
    api.create<"Pod">(pod("a"));
    expect(late).toEqual(["ADDED a 1", "ADDED b 2", "ADDED c 3"]);
  });

  test("of a node see its pods alone, from when they are bound", () => {
    const { api } = store();
    const seen: string[] = [];
    api.create<"Pod">(pod("early", "n1"));
    api.watchPodsOfNode("n1").subscribe((event) => seen.push(short(event)));
    api.create<"Pod">(pod("late"));
    api.create<"Pod">(pod("other", "n2"));
    api.update("Pod", "default/late", (p) => ({ ...p, spec: { ...p.spec, nodeName: "n1" } }));
    api.delete("Pod", "default/early", { gracePeriodSeconds: 0 });
    expect(seen).toEqual(["ADDED early 1", "ADDED late 4", "DELETED early 5"]);
    expect([...api.podsOfNode("n1")].map((p) => p.metadata.name)).toEqual(["late"]);
  });
});

test("snapshots come once a moment, the same object for all", () => {
  const { api, clock } = store();
  const seen: unknown[][] = [[], []];
  for (const list of seen) api.snapshots("Pod").subscribe((s) => list.push(s));
  api.create<"Pod">(pod("a"));
  api.create<"Pod">(pod("b"));
  clock.settle();
  api.create<"Pod">(pod("c"));
  clock.settle();
  const sizes = seen[0]?.map((s) => (s as { objects: Map<string, Pod> }).objects.size);
  expect(sizes).toEqual([0, 2, 3]);
  expect(seen[1]?.slice(1)).toEqual(seen[0]?.slice(1));
  expect(seen[1]?.[2]).toBe(seen[0]?.[2]);
});
