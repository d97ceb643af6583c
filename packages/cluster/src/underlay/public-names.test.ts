import type { KubeObject } from "@cnilab/core";
import { formatIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { createCluster } from "../index.ts";
import { PublicNames } from "./public-names.ts";

const NETWORKING = "networking.k8s.io/v1";
const GATEWAY = "gateway.networking.k8s.io/v1";

function object(apiVersion: string, kind: string, name: string, rest: object): KubeObject {
  return { apiVersion, kind, metadata: { name, namespace: "shop" }, ...rest };
}

const ingress = (name: string, hosts: string[], ip?: string) =>
  object(NETWORKING, "Ingress", name, {
    spec: { rules: hosts.map((host) => ({ host })) },
    ...(ip && { status: { loadBalancer: { ingress: [{ ip }] } } }),
  });

const parents = (name: string, accepted: boolean) => [
  {
    parentRef: { name },
    controllerName: "x/y",
    conditions: [
      { type: "Accepted", status: accepted ? "True" : "False", reason: "", message: "" },
    ],
  },
];

const OBJECTS: KubeObject[] = [
  ingress("web", ["Shop.example.com", "*.wild.example.com"], "198.51.100.1"),
  ingress("pending", ["pending.example.com"]),
  object(GATEWAY, "Gateway", "edge", {
    spec: { gatewayClassName: "cnilab", listeners: [{ name: "a", hostname: "edge.example.org" }] },
    status: { addresses: [{ type: "IPAddress", value: "198.51.100.2" }] },
  }),
  object(GATEWAY, "HTTPRoute", "api", {
    spec: { hostnames: ["api.example.org"], parentRefs: [{ name: "edge" }] },
    status: { parents: parents("edge", true) },
  }),
  object(GATEWAY, "HTTPRoute", "refused", {
    spec: { hostnames: ["refused.example.org"], parentRefs: [{ name: "edge" }] },
    status: { parents: parents("edge", false) },
  }),
];

function names(): PublicNames {
  const { api } = createCluster();
  const all = new PublicNames(api);
  for (const each of OBJECTS) api.create(each as never);
  return all;
}

test.each<[string, string | undefined, string | undefined]>([
  ["shop.example.com", "198.51.100.1", "Ingress shop/web"],
  ["SHOP.example.com.", "198.51.100.1", "Ingress shop/web"],
  ["a.wild.example.com", "198.51.100.1", "Ingress shop/web"],
  ["a.b.wild.example.com", "198.51.100.1", "Ingress shop/web"],
  ["wild.example.com", undefined, undefined],
  ["pending.example.com", undefined, undefined],
  ["edge.example.org", "198.51.100.2", "Gateway shop/edge"],
  ["api.example.org", "198.51.100.2", "HTTPRoute shop/api"],
  ["refused.example.org", undefined, undefined],
  ["example.org", undefined, undefined],
])("%s is %s", (name, address, holder) => {
  const found = names().find(name);
  expect([found?.addresses.map(formatIp)[0], found?.holder]).toEqual([address, holder]);
});

test("names come and go with their objects", () => {
  const { api, clock } = createCluster();
  const all = new PublicNames(api);
  expect(all.find("shop.example.com")).toBeUndefined();
  api.create(OBJECTS[0] as never);
  clock.advance(0);
  expect(all.find("shop.example.com")?.holder).toBe("Ingress shop/web");
  api.delete("Ingress", "shop/web");
  clock.advance(0);
  expect([...all.all]).toEqual([]);
});
