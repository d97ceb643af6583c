import {
  type KubeObject,
  type LabelSelector,
  type NetworkPolicy,
  objectKey,
  SeededRandom,
  VirtualClock,
} from "@cnilab/core";
import { Kernel, Network } from "@cnilab/linux";
import { formatIp, parseIp } from "@cnilab/net";
import {
  evaluate,
  icmpNumber,
  outsideEndpoint,
  PolicyAnalysis,
  policyEndpoints,
} from "@cnilab/network-policy";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StandAloneNpc, weavePolicyReader } from "../../src/index.ts";
import { NpcVerdicts } from "./npc-verdicts.ts";

const NAMESPACES = ["x", "y", "z"];
const NODES = ["node1", "node2"];
/** Of the nodes' bridges: the source of what nodes send to pods. */
const BRIDGES: Readonly<Record<string, string>> = {
  "node/node1": "10.32.0.1",
  "node/node2": "10.40.0.1",
};
const OUTSIDE = ["203.0.113.5", "10.9.0.1", "224.0.0.251"];

// Pods and namespaces have no label in common: sets are named after selectors, and one of namespaces and one of pods could be the same.
const podKey = fc.constantFrom("app", "tier");
const namespaceKey = fc.constantFrom("team", "env");
const value = fc.constantFrom("a", "b", "");
const few = <T>(each: fc.Arbitrary<T>) => fc.array(each, { maxLength: 3 });
const labels = (key: fc.Arbitrary<string>) =>
  fc.dictionary(key, value, { maxKeys: 2, noNullPrototype: true });
const selector = (key: fc.Arbitrary<string>): fc.Arbitrary<LabelSelector> =>
  fc.oneof(
    fc.constant({}),
    fc.record({
      matchLabels: fc.dictionary(key, value, { minKeys: 1, maxKeys: 1, noNullPrototype: true }),
    }),
    fc.record({
      matchExpressions: fc.array(
        fc.oneof(
          fc.record({
            key,
            operator: fc.constantFrom("In" as const, "NotIn" as const),
            values: fc.array(value, { minLength: 1, maxLength: 2 }),
          }),
          fc.record({ key, operator: fc.constantFrom("Exists" as const, "DoesNotExist" as const) }),
        ),
        { minLength: 1, maxLength: 2 },
      ),
    }),
  );
const block = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .constantFrom(
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.32.0.0/12",
        "10.32.0.4/30",
        "192.168.0.0/16",
        "192.168.0.2/32",
        "203.0.113.0/24",
      )
      .map((cidr) => ({ cidr })),
  },
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      { cidr: "0.0.0.0/0", except: ["10.0.0.0/8"] },
      { cidr: "10.0.0.0/8", except: ["10.32.0.0/12", "10.9.0.0/16"] },
      { cidr: "10.0.0.0/8", except: ["10.9.0.0/16"] },
      { cidr: "192.168.0.0/16", except: ["192.168.0.1/32"] },
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      { cidr: "2001:db8::/32" },
      { cidr: "2001:db8::/32", except: ["2001:db8:1::/48"] },
    ),
  },
);
const peer = fc.oneof(
  block.map((ipBlock) => ({ ipBlock })),
  fc.record({ podSelector: selector(podKey) }),
  fc.record({ namespaceSelector: selector(namespaceKey) }),
  fc.record({ namespaceSelector: selector(namespaceKey), podSelector: selector(podKey) }),
);
const protocol = fc.constantFrom("TCP" as const, "UDP" as const, "SCTP" as const);
const port = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record(
      { protocol, port: fc.constantFrom(53, 80, 81) },
      { requiredKeys: ["port"] },
    ),
  },
  { weight: 3, arbitrary: fc.record({ protocol }, { requiredKeys: [] }) },
  {
    weight: 3,
    arbitrary: fc.record({ protocol, port: fc.constant(80), endPort: fc.constantFrom(80, 90) }),
  },
  { weight: 1, arbitrary: fc.record({ port: fc.constant("http") }) },
);
const policies = fc
  .array(
    fc.record({
      namespace: fc.constantFrom(...NAMESPACES),
      spec: fc.record(
        {
          podSelector: selector(podKey),
          policyTypes: fc.constantFrom(
            ["Ingress" as const],
            ["Egress" as const],
            ["Ingress" as const, "Egress" as const],
          ),
          ingress: few(fc.record({ from: few(peer), ports: few(port) }, { requiredKeys: [] })),
          egress: few(fc.record({ to: few(peer), ports: few(port) }, { requiredKeys: [] })),
        },
        { requiredKeys: ["podSelector"] },
      ),
    }),
    { maxLength: 4 },
  )
  .map((all) =>
    all
      .map(({ namespace, spec }, i) => policy(spec as NetworkPolicy["spec"], `p${i}`, namespace))
      .sort((x, y) => (objectKey(x) < objectKey(y) ? -1 : 1)),
  );
const pods = fc
  .array(
    fc.record({
      namespace: fc.constantFrom(...NAMESPACES),
      labels: labels(podKey),
      node: fc.constantFrom(...NODES),
      state: fc.constantFrom("Running", "Running", "Running", "Succeeded", "host"),
    }),
    { minLength: 2, maxLength: 5 },
  )
  .map((all) =>
    all.map((each, i) => {
      const podIP = each.state === "host" ? "192.168.0.1" : `10.32.0.${i + 4}`;
      return {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: `pod${i}`, namespace: each.namespace, labels: each.labels },
        spec: { nodeName: each.node, hostNetwork: each.state === "host", containers: [] },
        status: { podIP, phase: each.state === "host" ? "Running" : each.state },
      } as KubeObject;
    }),
  );
const namespaces = fc.tuple(...NAMESPACES.map(() => labels(namespaceKey))).map((all) =>
  all.map((each, i) => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: NAMESPACES[i] as string, labels: each },
  })),
);
const nodes: readonly KubeObject[] = NODES.map(
  (name, i) =>
    ({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name },
      status: { addresses: [{ type: "InternalIP", address: `192.168.0.${i + 1}` }] },
    }) as KubeObject,
);

function policy(spec: NetworkPolicy["spec"], name = "p", namespace = "x"): NetworkPolicy {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace },
    spec,
  };
}

const QUESTIONS = [
  ["TCP", 80],
  ["TCP", 81],
  ["TCP", 90],
  ["UDP", 53],
  ["UDP", 65_535],
  ["SCTP", 80],
  ["ICMP", 8],
] as const;

/** Where the analyser and the rules that weave-npc programs differ. */
function differences(
  objects: readonly KubeObject[],
  counts: Map<boolean, number>,
): readonly string[] {
  const kernel = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "node1");
  new StandAloneNpc(kernel.initNs).apply(objects);
  const rules = new NpcVerdicts(kernel.initNs);
  const view = weavePolicyReader.read(objects);
  const ends = [
    ...policyEndpoints(objects),
    ...OUTSIDE.map((text) => outsideEndpoint(parseIp(text))),
  ].map(view.endpoint);
  const analysis = new PolicyAnalysis(view.policies, ends, view.settings);
  const wrong: string[] = [];
  ends.forEach((source, s) => {
    ends.forEach((destination, d) => {
      if (s === d) return;
      const isNear = source.node === destination.node;
      for (const [protocol, port] of QUESTIONS) {
        const number = protocol === "ICMP" ? icmpNumber(port, 0) : port;
        const packet = {
          source: source.address,
          destination: destination.address,
          protocol: protocol.toLowerCase(),
          port,
          isForNode: isNear && destination.pod === undefined,
        };
        const bridge = BRIDGES[source.name];
        const arriving = { ...packet, ...(bridge !== undefined && { source: parseIp(bridge) }) };
        const expected = {
          egress: source.pod === undefined || rules.egress(packet),
          // What a node sends to its own pods is not forwarded.
          ingress:
            destination.pod === undefined ||
            (source.pod === undefined && isNear) ||
            rules.ingress(arriving),
        };
        const found = evaluate(
          view.policies,
          { source, destination, protocol, port: number },
          view.settings,
        );
        const quick = analysis.verdict(s, d, protocol, number);
        for (const side of ["egress", "ingress"] as const) {
          counts.set(expected[side], (counts.get(expected[side]) ?? 0) + 1);
          if (found[side].allowed === expected[side] && quick[side] === expected[side]) continue;
          wrong.push(
            `${side} ${source.name} ${formatIp(source.address)} -> ${destination.name} ${protocol} ${port}: rules ${expected[side]}, evaluation ${found[side].allowed}, analysis ${quick[side]}`,
          );
        }
      }
    });
  });
  return wrong;
}

test("random policies: what the analyser says is what weave-npc's rules do", () => {
  const counts = new Map<boolean, number>();
  fc.assert(
    fc.property(namespaces, pods, policies, (around, own, given) => {
      expect(differences([...around, ...nodes, ...own, ...given], counts)).toEqual([]);
    }),
    { numRuns: 1500, seed: 9 },
  );
  expect(counts.get(true)).toBeGreaterThan(100_000);
  expect(counts.get(false)).toBeGreaterThan(20_000);
}, 120_000);

describe("what weave-npc does otherwise is told", () => {
  test.each<[string, NetworkPolicy["spec"], string]>([
    [
      "a named port",
      { ingress: [{}, { ports: [{ port: 80 }, { port: "http" }] }] },
      "spec.ingress[1].ports[1] names port http, and weave-npc takes no policy with named ports",
    ],
    [
      "a named port of a direction that is not meant",
      { policyTypes: ["Ingress"], egress: [{ ports: [{ port: "http" }] }] },
      "spec.egress[0].ports[0] names port http",
    ],
    [
      "a range of ports",
      { ingress: [{ ports: [{ port: 80, endPort: 90 }] }] },
      "spec.ingress[0].ports[0] has endPort 90, which weave-npc does not know: port 80 alone is let through",
    ],
    [
      "a direction that is not meant",
      { policyTypes: ["Egress"], ingress: [{}] },
      "spec.ingress is programmed though policyTypes has no Ingress: it opens what other policies close",
    ],
    [
      "IPv6",
      { ingress: [{}, { from: [{ ipBlock: { cidr: "fd00::/8" } }] }] },
      "weave-npc knows no IPv6 and stops at fd00::/8 (spec.ingress[1].from[0]): its pods are closed, and rules behind it are missing",
    ],
    [
      "IPv6 with exceptions",
      { ingress: [{}, { from: [{ ipBlock: { cidr: "fd00::/8", except: ["fd00::/16"] } }] }] },
      "its pods are closed, and none of its rules is there",
    ],
    [
      "a part of the pods' range",
      { ingress: [{ from: [{ ipBlock: { cidr: "10.32.0.0/16" } }] }] },
      "spec.ingress[0].from[0] has a part of 10.32.0.0/12",
    ],
  ])("%s", (_, spec, expected) => {
    const { ignored, deviations = [] } = weavePolicyReader.read([policy(spec)]);
    const reasons = [...ignored, ...deviations].map(({ reason }) => reason);
    expect(reasons).toEqual([expect.stringContaining(expected)]);
  });

  test.each<[string, NetworkPolicy["spec"]]>([
    ["numbers", { ingress: [{ ports: [{ port: 80, endPort: 80 }] }] }],
    ["all of the pods' range", { ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8" } }] }] }],
    [
      "a part of the pods' range to send to",
      { policyTypes: ["Egress"], egress: [{ to: [{ ipBlock: { cidr: "10.32.0.0/16" } }] }] },
    ],
  ])("and nothing of %s", (_, spec) => {
    const { ignored, deviations } = weavePolicyReader.read([policy(spec)]);
    expect([...ignored, ...(deviations ?? [])]).toEqual([]);
  });

  test("sets of one name: of namespaces, and of pods in namespaces", () => {
    const ofNamespaces = [{ from: [{ namespaceSelector: {} }] }];
    const ofPods = [{ from: [{ namespaceSelector: {}, podSelector: {} }] }];
    const reasons = (...all: readonly NetworkPolicy["spec"][]) => {
      const view = weavePolicyReader.read(all.map((spec, i) => policy(spec, `p${i}`)));
      return [view.ignored, view.deviations ?? []].map((each) => each.map(({ reason }) => reason));
    };
    expect(reasons({ ingress: ofNamespaces }, { ingress: ofPods })).toEqual([
      [],
      [
        expect.stringContaining(
          "of namespaceSelector {} and podSelector {} the name of a set of namespaces",
        ),
      ],
    ]);
    expect(reasons({ ingress: ofPods }, { ingress: ofNamespaces })).toEqual([
      [expect.stringContaining("of namespaceSelector {} the name of a set of pods in namespaces")],
      [],
    ]);
  });

  test("another range of pods is that of the nodes' bridges", () => {
    const reader = weavePolicyReader.withOptions?.({ "ipalloc-range": "172.30.0.0/16" });
    const own = policy({ ingress: [{ from: [{ ipBlock: { cidr: "172.30.4.0/24" } }] }] });
    expect(reader?.read([own]).deviations).toHaveLength(1);
    expect(weavePolicyReader.read([own]).deviations).toEqual([]);
  });
});
