import type { Endpoint, EndpointSlice } from "@cnilab/core";
import { expect, test } from "vitest";
import { slice } from "../test/objects.ts";
import {
  endpointPortKey,
  endpointsByPort,
  type ProxyEndpoint,
  serviceOfSlice,
} from "./endpoint.ts";

const HTTP = [{ name: "http", port: 8080, protocol: "TCP" }] as const;

function texts(slices: EndpointSlice[], key = "http/tcp", family: 4 | 6 = 4): string[] {
  return (endpointsByPort(slices, family).get(key) ?? []).map((e) => e.text);
}

test.each<[string, Record<string, string>, string | undefined]>([
  ["a Service's", {}, "default/web"],
  ["nobody's", { "kubernetes.io/service-name": "" }, undefined],
  ["a headless Service's", { "service.kubernetes.io/headless": "" }, undefined],
  ["another proxy's", { "service.kubernetes.io/service-proxy-name": "mine" }, undefined],
])("a slice is %s", (_name, labels, expected) => {
  expect(serviceOfSlice(slice("web", HTTP, [], labels))).toBe(expected);
});

test("a slice without labels is nobody's", () => {
  const { labels: _, ...metadata } = slice("web", HTTP, []).metadata;
  expect(serviceOfSlice({ ...slice("web", HTTP, []), metadata })).toBeUndefined();
});

test.each<[string, EndpointSlice[], string[]]>([
  [
    "stand in the order of their text",
    [slice("web", HTTP, ["10.244.2.1", "10.244.1.9", "10.244.1.10", "10.244.10.1"])],
    ["10.244.1.10:8080", "10.244.1.9:8080", "10.244.10.1:8080", "10.244.2.1:8080"],
  ],
  [
    "of several slices are one list, each once",
    [slice("web", HTTP, ["10.244.1.2"]), slice("web", HTTP, ["10.244.1.1", "10.244.1.2"])],
    ["10.244.1.1:8080", "10.244.1.2:8080"],
  ],
  ["of the other family are left out", [slice("web", HTTP, ["fd00::1"])], []],
  [
    "of a slice with an address of the other family are left out",
    [{ ...slice("web", HTTP, ["fd00::1"]), addressType: "IPv4" }],
    [],
  ],
  ["without a port number are left out", [slice("web", [{ name: "http" }], ["10.244.1.1"])], []],
  [
    "count by their first address",
    [{ ...slice("web", HTTP, []), endpoints: [{ addresses: ["10.244.1.1", "10.244.1.2"] }] }],
    ["10.244.1.1:8080"],
  ],
])("endpoints %s", (_name, slices, expected) => {
  expect(texts(slices)).toEqual(expected);
});

test("IPv6 endpoints are spelled with brackets", () => {
  expect(texts([slice("web", HTTP, ["fd00:0::1"])], "http/tcp", 6)).toEqual(["[fd00::1]:8080"]);
});

test("ports are told apart by name and protocol", () => {
  const ports = [
    { name: "dns", port: 53, protocol: "UDP" },
    { name: "dns", port: 5353, protocol: "TCP" },
    { port: 80 },
  ] as const;
  const byPort = endpointsByPort([slice("web", ports, ["10.244.1.1"])], 4);
  expect([...byPort].map(([key, [e]]) => [key, e?.port])).toEqual([
    ["dns/udp", 53],
    ["dns/tcp", 5353],
    ["/tcp", 80],
  ]);
  expect(endpointPortKey("dns", "UDP")).toBe("dns/udp");
});

// What an endpoint says of itself: absent conditions mean a ready one.
test.each<[string, Partial<Endpoint>, Partial<ProxyEndpoint>]>([
  ["nothing", {}, { ready: true, serving: true, terminating: false, nodeName: undefined }],
  ["not ready", { conditions: { ready: false } }, { ready: false, serving: true }],
  [
    "ending",
    { conditions: { ready: false, serving: true, terminating: true } },
    { ready: false, serving: true, terminating: true },
  ],
  ["its node", { nodeName: "n1" }, { nodeName: "n1" }],
  ["hints", { hints: { forZones: [{ name: "z1" }] } }, { zoneHints: ["z1"], nodeHints: undefined }],
  ["node hints", { hints: { forNodes: [{ name: "n1" }] } }, { nodeHints: ["n1"] }],
  ["empty hints are none", { hints: { forZones: [] } }, { zoneHints: undefined }],
])("an endpoint that tells %s", (_name, about, expected) => {
  const endpoints = [{ addresses: ["10.244.1.1"], ...about }];
  const [endpoint] =
    endpointsByPort([{ ...slice("web", HTTP, []), endpoints }], 4).get("http/tcp") ?? [];
  expect(endpoint).toMatchObject(expected);
});

test.each<[string, Partial<Endpoint>, Partial<Endpoint>, boolean, Record<string, boolean>]>([
  ["alike", { nodeName: "n1" }, { nodeName: "n1" }, true, {}],
  [
    "with other conditions",
    { nodeName: "n1", conditions: { ready: false } },
    { nodeName: "n1" },
    false,
    { n1: true },
  ],
  [
    "with other conditions and no node",
    { conditions: { ready: false } },
    { conditions: { ready: true } },
    false,
    {},
  ],
])("an endpoint twice, %s", (_name, first, second, ready, byNode) => {
  const endpoints = [first, second].map((about) => ({ addresses: ["10.244.1.1"], ...about }));
  const slices = endpoints.map((e) => ({ ...slice("web", HTTP, []), endpoints: [e] }));
  const all = endpointsByPort(slices, 4).get("http/tcp") ?? [];
  expect(all.map((e) => e.ready)).toEqual([ready]);
  const versions = [...(all[0]?.byNode ?? [])].map(([node, e]) => [node, e.ready]);
  expect(Object.fromEntries(versions)).toEqual(byNode);
});
