import { ADD_ON_ANNOTATION, ADD_ONS, type AddOn, isAddOn } from "@cnilab/core";
import { expect, test } from "vitest";
import { type Cluster, createCluster } from "../src/index.ts";
import { app, yaml } from "./manifests.ts";
import { routed } from "./routed-cni.ts";

const EXTRA: AddOn = { name: "extra", objects: () => yaml(app("extra", 2)) };
/** Wants something as soon as there is a Service of the input's named so. */
const LATER: AddOn = {
  name: "later",
  objects: (api) =>
    api.get("Service", "default/wanted") === undefined ? [] : yaml(app("later", 1)),
};

function withAddOns(...addOns: AddOn[]): Cluster {
  return createCluster({
    cni: routed,
    register: (root) => {
      for (const useValue of addOns) root.register(ADD_ONS, { useValue });
    },
  });
}

const podsOf = (cluster: Cluster) =>
  new Map(
    cluster.api
      .list("Pod")
      .map((p) => [p.metadata.name, `${p.spec.nodeName} ${p.status?.podIP}`] as const),
  );
const deployments = (cluster: Cluster) =>
  cluster.api
    .list("Deployment")
    .map((d) => d.metadata.name)
    .sort();

test("an add-on comes beside the input, and leaves its pods where they would be without", () => {
  const alone = withAddOns();
  const beside = withAddOns(EXTRA, LATER);
  for (const cluster of [alone, beside]) {
    cluster.apply(yaml(app("web", 5)));
    cluster.settle();
  }
  expect(deployments(beside)).toEqual(["extra", "web"]);
  const pods = podsOf(beside);
  for (const [name, where] of podsOf(alone)) expect(pods.get(name)).toBe(where);
  const added = beside.api.list("Pod").filter(isAddOn);
  expect(added).toHaveLength(2);
  expect(added.every((p) => p.status?.phase === "Running")).toBe(true);
  expect(added[0]?.metadata.annotations).toEqual({ [ADD_ON_ANNOTATION]: "extra" });
  expect(
    beside.api
      .list("Service")
      .filter(isAddOn)
      .map((s) => s.metadata.name),
  ).toEqual(["extra"]);
});

test("what the input brings itself is left alone", () => {
  const cluster = withAddOns(EXTRA);
  cluster.apply(yaml(app("extra", 1)));
  cluster.settle();
  expect(cluster.api.list("Pod")).toHaveLength(1);
  expect(cluster.api.list("Deployment").some(isAddOn)).toBe(false);
});

test("what was deleted stays away, and what is wanted later comes later", () => {
  const cluster = withAddOns(EXTRA, LATER);
  cluster.settle();
  cluster.delete("Deployment", "default/extra");
  cluster.settle();
  expect(deployments(cluster)).toEqual([]);
  cluster.apply(yaml(app("wanted", 1)));
  cluster.settle();
  expect(deployments(cluster)).toEqual(["later", "wanted"]);
});
