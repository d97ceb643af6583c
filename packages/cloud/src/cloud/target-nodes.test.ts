import type { Node } from "@cnilab/core";
import { expect, test } from "vitest";
import { isEligible, subset } from "./target-nodes.ts";

function node(rest: Partial<Node> = {}): Node {
  return { apiVersion: "v1", kind: "Node", metadata: { name: "n1" }, ...rest };
}

test.each<[string, Node, boolean]>([
  ["any", node(), true],
  [
    "one that is not ready",
    node({ status: { conditions: [{ type: "Ready", status: "False" }] } }),
    true,
  ],
  [
    "one that is to be left out",
    node({
      metadata: {
        name: "n1",
        labels: { "node.kubernetes.io/exclude-from-external-load-balancers": "true" },
      },
    }),
    false,
  ],
  [
    "one that the autoscaler is about to delete",
    node({ spec: { taints: [{ key: "ToBeDeletedByClusterAutoscaler", effect: "NoSchedule" }] } }),
    false,
  ],
])("load balancers use %s", (_, object, expected) => {
  expect(isEligible(object)).toBe(expected);
});

test("of many nodes 250 are used, and hardly any other when one comes", () => {
  const nodes = Array.from({ length: 1000 }, (_, i) => `node${i}`);
  const before = new Set(subset(nodes, "default/web"));
  const after = subset([...nodes, "another"], "default/web");
  expect([before.size, after.length]).toEqual([250, 250]);
  expect(after.filter((name) => !before.has(name)).length).toBeLessThanOrEqual(1);
  expect(subset(nodes, "default/api")).not.toEqual([...before]);
  expect(subset(["a", "b"], "default/web")).toEqual(["a", "b"]);
});
