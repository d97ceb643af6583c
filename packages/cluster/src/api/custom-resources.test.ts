import { type CustomResource, type KubeObject, SeededRandom, VirtualClock } from "@cnilab/core";
import { integer, object, strictObject, string } from "@cnilab/core/validation";
import { expect, test } from "vitest";
import { createCluster } from "../cluster.ts";
import { parseManifests } from "../manifest/parse-manifests.ts";
import { ApiStore } from "./api-store.ts";
import { CustomResources } from "./custom-resources.ts";

interface Widget extends KubeObject {
  readonly spec: { readonly size?: number; readonly selector?: string };
}

const WIDGET: CustomResource<Widget> = {
  group: "example.com",
  version: "v2",
  kind: "Service",
  plural: "services",
  singular: "service",
  namespaced: false,
  check: object({ spec: strictObject({ size: integer(1), selector: string }) }, ["spec"]),
  servedVersions: [
    {
      group: "old.example.com",
      version: "v1",
      kind: "Gadget",
      convert: (given) => ({ ...given, spec: (given as { config?: object }).config }) as Widget,
    },
  ],
  default: (given) =>
    given.spec.size === undefined ? { ...given, spec: { ...given.spec, size: 7 } } : given,
};
const resources = [WIDGET as CustomResource];
const parse = (text: string) => parseManifests(text, "in.yaml", { resources });

test("an object comes in any served version, and has its defaults", () => {
  const { objects, ignored } = parse(
    [
      "{apiVersion: example.com/v2, kind: Service, metadata: {name: a}, spec: {}}",
      "{apiVersion: old.example.com/v1, kind: Gadget, metadata: {name: b, namespace: n}, config: {size: 1}}",
      "{apiVersion: other.example.com/v1, kind: Service, metadata: {name: c}}",
    ].join("\n---\n"),
  );
  expect(objects).toMatchObject([
    { apiVersion: "example.com/v2", kind: "Service", metadata: { name: "a" }, spec: { size: 7 } },
    { apiVersion: "example.com/v2", kind: "Service", metadata: { name: "b" }, spec: { size: 1 } },
  ]);
  // In no namespace, whatever it says.
  expect(objects[1]?.metadata).toEqual({ name: "b" });
  expect(ignored).toEqual([{ kind: "Service.other.example.com", count: 1 }]);
});

test.each([
  [
    "apiVersion: example.com/v2\nkind: Service\nmetadata: {name: a}\nspec:\n  size: 0",
    "in.yaml:5: Service.example.com a: spec.size must be a whole number of at least 1, not 0",
  ],
  [
    "apiVersion: example.com/v1\nkind: Service\nmetadata: {name: a}\nspec: {}",
    "in.yaml:1: Service.example.com a: apiVersion example.com/v1 is not served any more; write example.com/v2",
  ],
  [
    "{apiVersion: example.com/v2, kind: Service, metadata: {name: a}, spec: {}}\n---\n{apiVersion: old.example.com/v1, kind: Gadget, metadata: {name: a}, config: {}}",
    "in.yaml:3: Service.example.com a: is here a second time (first on line 1); remove one",
  ],
  [
    "{apiVersion: example.com/v2, kind: Service, metadata: {name: A}, spec: {}}",
    "in.yaml:1: Service.example.com A: metadata.name must be lower-case letters",
  ],
])("%j is refused", (text, message) => {
  expect(() => parse(text)).toThrow(message);
});

test("kinds of one name are kept apart, in scope, too", () => {
  const clock = new VirtualClock();
  const api = new ApiStore(clock, new SeededRandom(1), new CustomResources(resources));
  api.create<"Service">({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "a" },
    spec: {},
  } as never);
  api.create({
    apiVersion: "example.com/v2",
    kind: "Service",
    metadata: { name: "a" },
    spec: {},
  } as never);
  expect(api.list("Service").map((o) => o.metadata.namespace)).toEqual(["default"]);
  expect(api.get("Service.example.com" as "Service", "a")).toMatchObject({ spec: { size: 7 } });
});

test("applying the same again changes nothing, and a selector of theirs may change", () => {
  const cluster = createCluster({ nodes: 1, resources });
  const given = (selector: string) =>
    parse(
      `{apiVersion: example.com/v2, kind: Service, metadata: {name: a}, spec: {selector: "${selector}"}}`,
    ).objects;
  const version = () => cluster.api.version("Service.example.com" as "Service");
  cluster.apply(given("x"));
  const first = version();
  cluster.apply(given("x"));
  expect(version()).toBe(first);
  cluster.apply(given("y"));
  expect(version()).toBeGreaterThan(first);
  expect(cluster.warnings).toEqual([
    "nobody reads Service.example.com: this cluster has no such kinds",
  ]);
});
