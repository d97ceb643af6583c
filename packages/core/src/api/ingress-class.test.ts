import { expect, test } from "vitest";
import type { Ingress, IngressClass } from "./ingress.ts";
import { withDefaultIngressClass } from "./ingress-class.ts";

const ingress = (spec: Ingress["spec"], annotations?: Record<string, string>): Ingress => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "Ingress",
  metadata: { name: "web", ...(annotations && { annotations }) },
  spec,
});

const ingressClass = (
  name: string,
  creationTimestamp: string,
  isDefault = "true",
): IngressClass => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "IngressClass",
  metadata: {
    name,
    creationTimestamp,
    annotations: { "ingressclass.kubernetes.io/is-default-class": isDefault },
  },
  spec: { controller: "example.com/controller" },
});

const OLD = "2026-01-01T00:00:00Z";
const NEW = "2026-02-01T00:00:00Z";

test.each<[string, Ingress, readonly IngressClass[], string | undefined]>([
  ["no class at all", ingress({}), [], undefined],
  ["no default", ingress({}), [ingressClass("a", OLD, "false")], undefined],
  ["the default", ingress({}), [ingressClass("a", OLD)], "a"],
  ["the newest of two", ingress({}), [ingressClass("a", OLD), ingressClass("b", NEW)], "b"],
  ["two of one age", ingress({}), [ingressClass("b", OLD), ingressClass("a", OLD)], "a"],
  ["its own", ingress({ ingressClassName: "mine" }), [ingressClass("a", OLD)], "mine"],
  [
    "the annotation",
    ingress({}, { "kubernetes.io/ingress.class": "nginx" }),
    [ingressClass("a", OLD)],
    undefined,
  ],
])("%s", (_, given, classes, expected) => {
  expect(withDefaultIngressClass(given, classes).spec.ingressClassName).toBe(expected);
});
