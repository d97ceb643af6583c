import { expect, test } from "vitest";
import type { ProxyEndpoint } from "./endpoint.ts";
import { categorizeEndpoints, dependsOnNode } from "./endpoint-categories.ts";
import type { ServicePort } from "./service-port.ts";

const PORT: ServicePort = {
  spn: "default/web",
  portName: "",
  clusterIP: "10.96.0.10",
  port: 80,
  protocol: "tcp",
  nodePort: 0,
  externalIPs: [],
  loadBalancerIPs: [],
  sourceRanges: [],
  internalPolicyLocal: false,
  externalPolicyLocal: false,
  affinitySeconds: 0,
  healthCheckNodePort: 0,
  origin: { kind: "Service", namespace: "default", name: "web" },
};
const CLUSTER = {};
const INTERNAL_LOCAL = { internalPolicyLocal: true };
const EXTERNAL_LOCAL = { nodePort: 30_080, externalPolicyLocal: true };

/**
 * `NAME@NODE[state][hints]`: state `!` not ready, `~` terminating but serving, `%` terminating for
 * good; hints `z:ZONE` or `n:NODE`.
 */
function endpoint(text: string): ProxyEndpoint {
  const [, name = "", node, state, kind, hint] =
    /^(\w+)@(\w+)([!~%]?)(?: ([zn]):(\w+))?$/.exec(text) ?? [];
  return {
    address: 0,
    ip: name,
    port: 80,
    text: name,
    nodeName: node,
    ready: state === "",
    serving: state === "" || state === "~",
    terminating: state === "~" || state === "%",
    zoneHints: kind === "z" && hint !== undefined ? [hint] : undefined,
    nodeHints: kind === "n" && hint !== undefined ? [hint] : undefined,
  };
}

// Seen from n1 in zone z1.
test.each<[string, Partial<ServicePort>, string[], string, string, boolean]>([
  ["ready ones, wherever they are", CLUSTER, ["a@n1", "b@n2", "c@n2!"], "a b", "", true],
  [
    "serving ones that end, when none is ready",
    CLUSTER,
    ["a@n1~", "b@n2!", "c@n2%"],
    "a",
    "",
    true,
  ],
  ["none at all", CLUSTER, ["a@n1!", "b@n2%"], "", "", false],
  ["hinted to this zone", CLUSTER, ["a@n1 z:z1", "b@n2 z:z2"], "a", "", true],
  ["hints of another zone only", CLUSTER, ["a@n1 z:z3", "b@n2 z:z2"], "a b", "", true],
  ["one without a hint makes all hints void", CLUSTER, ["a@n1 z:z1", "b@n2"], "a b", "", true],
  [
    "hints of endpoints that are not ready do not count",
    CLUSTER,
    ["a@n1 z:z1", "b@n2!"],
    "a",
    "",
    true,
  ],
  ["hinted to this node", CLUSTER, ["a@n1 n:n1", "b@n2 n:n2"], "a", "", true],
  ["internal policy Local", INTERNAL_LOCAL, ["a@n1", "b@n2"], "", "a", true],
  ["internal policy Local, none here", INTERNAL_LOCAL, ["b@n2"], "", "", true],
  ["external policy Local", EXTERNAL_LOCAL, ["a@n1", "b@n2"], "a b", "a", true],
  ["each list falls back by itself", EXTERNAL_LOCAL, ["a@n1~", "b@n2"], "b", "a", true],
])("%s", (_name, policy, endpoints, cluster, local, any) => {
  const port = { ...PORT, ...policy };
  const result = categorizeEndpoints(endpoints.map(endpoint), port, { name: "n1", zone: "z1" });
  const texts = (list: readonly ProxyEndpoint[]) => list.map((e) => e.text).join(" ");
  expect([texts(result.cluster), texts(result.local), result.any]).toEqual([cluster, local, any]);
});

test.each<[string, Partial<ServicePort>, string[], boolean]>([
  ["a plain Service is the same everywhere", CLUSTER, ["a@n1"], false],
  ["hints differ by node", CLUSTER, ["a@n1 z:z1"], true],
  ["policy Local differs by node", INTERNAL_LOCAL, ["a@n1"], true],
  [
    "external policy Local without a way from outside",
    { externalPolicyLocal: true },
    ["a@n1"],
    false,
  ],
])("%s", (_name, policy, endpoints, expected) => {
  expect(dependsOnNode({ ...PORT, ...policy }, endpoints.map(endpoint))).toBe(expected);
});

test("of one that slices tell twice the first counts, but on its own node the last", () => {
  const first = endpoint("a@n1!");
  const again = endpoint("a@n1");
  const twice = { ...first, byNode: new Map([["n1", again]]) };
  const usedOn = (name: string) =>
    categorizeEndpoints([twice], PORT, { name, zone: "z1" }).cluster.map((e) => e.ready);
  expect([usedOn("n1"), usedOn("n2")]).toEqual([[true], []]);
  expect(dependsOnNode(PORT, [twice])).toBe(true);
});
