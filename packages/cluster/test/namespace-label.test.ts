import { createCluster, parseManifests } from "@cnilab/cluster";
import { expect, test } from "vitest";

test("every namespace has the label with its name, whatever else it is given", () => {
  const cluster = createCluster();
  const manifest = (labels: string) =>
    `apiVersion: v1\nkind: Namespace\nmetadata: {name: web, labels: ${labels}}\n`;
  const labels = () => cluster.api.get("Namespace", "web")?.metadata.labels;
  cluster.apply(parseManifests(manifest("{team: blue}"), "a.yaml").objects);
  expect(labels()).toEqual({ team: "blue", "kubernetes.io/metadata.name": "web" });
  cluster.apply(parseManifests(manifest("{kubernetes.io/metadata.name: other}"), "b.yaml").objects);
  expect(labels()?.["kubernetes.io/metadata.name"]).toBe("web");
  expect(cluster.api.get("Namespace", "default")?.metadata.labels).toEqual({
    "kubernetes.io/metadata.name": "default",
  });
});
