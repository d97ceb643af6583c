import type { Endpoint, EndpointSlice, Node, Service, ServiceSpec } from "@cnilab/core";
import { expect, test } from "vitest";
import { electedNode } from "./election.ts";

const EXCLUDED = { "node.kubernetes.io/exclude-from-external-load-balancers": "" };
const nodes = new Map<string, Node>(
  ["node1", "node2", "node3", "excluded", "offline"].map((name) => {
    const labels = name === "excluded" ? EXCLUDED : {};
    const conditions =
      name === "offline" ? [{ type: "NetworkUnavailable", status: "True" as const }] : [];
    const metadata = { name, labels };
    return [name, { apiVersion: "v1", kind: "Node", metadata, status: { conditions } }];
  }),
);

/** `NODE`, with `!` not ready, `~` serving while it ends. */
function slice(texts: readonly string[]): EndpointSlice {
  const endpoints = texts.map((text): Endpoint => {
    const ready = !/[!~]$/.test(text);
    const serving = !text.endsWith("!");
    return {
      addresses: ["10.244.0.1"],
      nodeName: text.replace(/[!~]$/, ""),
      conditions: { ready, serving },
    };
  });
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", namespace: "default" },
    addressType: "IPv4",
    endpoints,
  };
}

const LOCAL: ServiceSpec = { externalTrafficPolicy: "Local" };

// Made with: for n in node1 node2 node3; do printf "$n#ADDRESS" | sha256sum; done
test.each<[string, ServiceSpec, string, string[], string[], string | undefined]>([
  ["the lowest hash", {}, "192.168.255.1", ["node1"], ["node1", "node2", "node3"], "node3"],
  [
    "another address, another node",
    {},
    "192.168.255.2",
    ["node1"],
    ["node1", "node2", "node3"],
    "node2",
  ],
  ["the lowest of those alive", {}, "192.168.255.1", ["node1"], ["node1", "node2"], "node2"],
  ["nobody without endpoints", {}, "192.168.255.1", [], ["node1"], undefined],
  ["nobody for endpoints that do not serve", {}, "192.168.255.1", ["node1!"], ["node1"], undefined],
  [
    "somebody for one that serves while it ends",
    {},
    "192.168.255.1",
    ["node1~"],
    ["node1"],
    "node1",
  ],
  ["Local: who has an endpoint", LOCAL, "192.168.255.1", ["node1"], ["node1", "node3"], "node1"],
  ["Local: nobody without one", LOCAL, "192.168.255.1", ["node2"], ["node1", "node3"], undefined],
  ["not who is excluded", {}, "192.168.255.1", ["node1"], ["excluded"], undefined],
  ["not who has no network", {}, "192.168.255.1", ["node1"], ["offline"], undefined],
  ["not who is no node", {}, "192.168.255.1", ["node1"], ["gone"], undefined],
])("%s", (_, spec, address, endpoints, alive, expected) => {
  const metadata = { name: "web", namespace: "default" };
  const service: Service = { apiVersion: "v1", kind: "Service", metadata, spec };
  const owner = electedNode(service, address, [slice(endpoints)], nodes, new Set(alive));
  expect(owner).toBe(expected);
});
