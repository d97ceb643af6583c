import { type KubeObject, objectKey } from "@cnilab/core";
import { parsePrefix, tryParsePrefix } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CalcGraph } from "../../src/calc/calc-graph.ts";
import { CalcObjects } from "../../src/calc/calc-objects.ts";
import type { NodeCalc } from "../../src/calc/node-calc.ts";
import { modelProfile } from "../../src/conversion/model-sets.ts";
import { namespaceProfile } from "../../src/conversion/profiles.ts";
import { policyIdText } from "../../src/names/policy-id.ts";
import { parseSelector } from "../../src/selector/selector.ts";
import { SelectorError } from "../../src/selector/selector-error.ts";
import { expectedNode } from "./expected-node.ts";

const NODES = ["node-a", "node-b", "node-c"];
const V3 = "projectcalico.org/v3";

type Event =
  | { readonly do: "update" | "delete"; readonly object: KubeObject }
  | { readonly do: "take"; readonly node: string };

const labels = fc.dictionary(fc.constantFrom("app", "tier", "x"), fc.constantFrom("a", "b", "c"), {
  maxKeys: 3,
});
const selector = fc.constantFrom(
  "",
  "all()",
  "app == 'a'",
  "app in {'a', 'b'}",
  "app != 'a'",
  "has(tier)",
  "!has(tier)",
  "tier == 'b' && x == 'c'",
  "app == 'a' || has(x)",
  "app starts with 'a'",
  "app == 'a' && app == 'b'",
  "projectcalico.org/orchestrator == 'k8s'",
);
const nets = fc.subarray([
  "10.0.0.0/8",
  "10.0.0.0/30",
  "10.0.0.1/32",
  "10.0.1.0/24",
  "0.0.0.0/0",
  "fd00::/16",
  "fd00::1",
]);
const entity = fc.record(
  {
    selector,
    notSelector: selector,
    namespaceSelector: fc.constantFrom("all()", "global()", "team == 'a'", "has(team)"),
    serviceAccounts: fc.constantFrom({ names: ["default"] }, { selector: "role == 'r'" }),
    nets,
    ports: fc.constantFrom([80], ["http"], ["http", 80], ["dns", "http"]),
    notPorts: fc.constantFrom(["http"], [1, "dns"]),
    services: fc.constantFrom({ name: "svc", namespace: "red" }),
  },
  { requiredKeys: [] },
);
const rule = fc.record(
  {
    action: fc.constantFrom("Allow", "Deny", "Pass", "Log"),
    protocol: fc.constantFrom("TCP", "UDP", 132),
    source: entity,
    destination: entity,
  },
  { requiredKeys: ["action"] },
);
const policySpec = fc.record(
  {
    tier: fc.constantFrom("default", "first", "nowhere"),
    order: fc.constantFrom(1, 2, 3),
    selector,
    serviceAccountSelector: fc.constantFrom("role == 'r'"),
    ingress: fc.array(rule, { maxLength: 2 }),
    egress: fc.array(rule, { maxLength: 1 }),
    types: fc.constantFrom(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
    performanceHints: fc.constantFrom(["AssumeNeededOnEveryNode"]),
  },
  { requiredKeys: [] },
);
const globalSpec = fc
  .tuple(
    policySpec,
    fc.record(
      {
        namespaceSelector: fc.constantFrom("team == 'a'", "all()"),
        applyOnForward: fc.boolean(),
        doNotTrack: fc.boolean(),
        preDNAT: fc.boolean(),
      },
      { requiredKeys: [] },
    ),
  )
  .map(([spec, more]) => ({ ...spec, ...more }));
const namespace = fc.constantFrom("red", "blue");
const named = (...names: readonly string[]) => fc.constantFrom(...names);

function object<T>(
  apiVersion: string,
  kind: string,
  name: fc.Arbitrary<string>,
  spec: fc.Arbitrary<T>,
  of: fc.Arbitrary<string | undefined> = fc.constant(undefined),
): fc.Arbitrary<KubeObject> {
  return fc.tuple(name, of, labels, spec).map(([n, ns, l, s]) => ({
    apiVersion,
    kind,
    metadata: { name: n, ...(ns !== undefined && { namespace: ns }), labels: l },
    ...(s as object),
  }));
}

const inSpec = <T>(spec: fc.Arbitrary<T>) => spec.map((s) => ({ spec: s }));
const team = fc.dictionary(fc.constant("team"), fc.constantFrom("a", "b"), { maxKeys: 1 });
const pod = fc
  .tuple(
    named("p0", "p1", "p2", "p3", "p4"),
    namespace,
    labels,
    fc.constantFrom(...NODES),
    fc.subarray(["10.0.0.1", "10.0.0.2", "10.0.1.3", "fd00::1"]),
    fc.constantFrom("Running", "Succeeded"),
    fc.constantFrom(undefined, "default", "robot"),
  )
  .map(
    ([name, ns, l, nodeName, ips, phase, serviceAccountName]): KubeObject => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: ns, labels: l },
      ...{
        spec: {
          nodeName,
          ...(serviceAccountName !== undefined && { serviceAccountName }),
          containers: [
            {
              name: "c",
              ports: [
                { name: "http", containerPort: 8080 },
                { name: "dns", containerPort: 53, protocol: "UDP" },
              ],
            },
          ],
        },
        status: { phase, podIPs: ips.map((ip) => ({ ip })) },
      },
    }),
  );
const anyObject: fc.Arbitrary<KubeObject> = fc.oneof(
  { weight: 6, arbitrary: pod },
  object("v1", "Namespace", named("red", "blue"), fc.constant({})),
  fc.tuple(namespace, team).map(
    ([name, l]): KubeObject => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels: l },
    }),
  ),
  fc.tuple(namespace, named("default", "robot"), fc.constantFrom({}, { role: "r" })).map(
    ([ns, name, l]): KubeObject => ({
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name, namespace: ns, labels: l },
    }),
  ),
  object(
    V3,
    "Tier",
    named("default", "first"),
    inSpec(
      fc.record(
        { order: named2(1, 2), defaultAction: fc.constantFrom("Deny", "Pass") },
        { requiredKeys: [] },
      ),
    ),
  ),
  object(
    V3,
    "Profile",
    named("host", "other"),
    inSpec(
      fc.record(
        { ingress: fc.array(rule, { maxLength: 1 }), labelsToApply: labels },
        { requiredKeys: [] },
      ),
    ),
  ),
  {
    weight: 3,
    arbitrary: object(V3, "NetworkPolicy", named("n0", "n1"), inSpec(policySpec), namespace),
  },
  {
    weight: 3,
    arbitrary: object(V3, "GlobalNetworkPolicy", named("g0", "g1", "g2"), inSpec(globalSpec)),
  },
  object(V3, "StagedNetworkPolicy", named("n0"), inSpec(policySpec), namespace),
  object(V3, "GlobalNetworkSet", named("s0", "s1"), inSpec(fc.record({ nets }))),
  object(V3, "NetworkSet", named("s0"), inSpec(fc.record({ nets })), namespace),
  object(
    V3,
    "HostEndpoint",
    named("h0", "h1"),
    inSpec(
      fc.record({
        node: fc.constantFrom(...NODES),
        interfaceName: fc.constantFrom("eth0", "*"),
        expectedIPs: fc.subarray(["172.18.0.2", "10.0.0.1"]),
        profiles: fc.subarray(["host", "kns.red"]),
      }),
    ),
  ),
  fc
    .tuple(
      named("svc-1", "svc-2"),
      named("svc", "other"),
      fc.subarray(["10.0.0.1", "10.0.0.2", "fd00::1"]),
    )
    .map(
      ([name, service, addresses]): KubeObject => ({
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name, namespace: "red", labels: { "kubernetes.io/service-name": service } },
        ...{
          endpoints: [{ addresses }],
          ports: [{ port: 80 }, { port: 53, protocol: "UDP" }, { name: "all" }],
        },
      }),
    ),
);

function named2<T>(...values: readonly T[]): fc.Arbitrary<T> {
  return fc.constantFrom(...values);
}

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 8, arbitrary: anyObject.map((each): Event => ({ do: "update", object: each })) },
  { weight: 3, arbitrary: anyObject.map((each): Event => ({ do: "delete", object: each })) },
  { weight: 2, arbitrary: fc.constantFrom(...NODES).map((node): Event => ({ do: "take", node })) },
);

describe("CalcGraph", () => {
  test("what it comes to step by step is what it comes to at once, in any order, and what it should be", () => {
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 1, maxLength: 80, size: "max" }),
        fc.infiniteStream(fc.nat()),
        (events, order) => {
          const graph = new CalcGraph();
          const objects = new CalcObjects(graph);
          const there = new Map<string, KubeObject>();
          for (const each of events) {
            if (each.do === "take") {
              graph.node(each.node).take();
              continue;
            }
            const key = `${each.object.apiVersion} ${each.object.kind} ${objectKey(each.object)}`;
            if (each.do === "update") {
              objects.update(each.object);
              there.set(key, each.object);
            } else {
              objects.delete(each.object);
              there.delete(key);
            }
          }
          const fresh = new CalcGraph();
          const anew = new CalcObjects(fresh);
          const shuffled = [...there.values()]
            .map((each) => [order.next().value ?? 0, each] as const)
            .sort(([x], [y]) => x - y);
          for (const [, each] of shuffled) anew.update(each);
          for (const name of NODES) {
            const [node, again] = [graph.node(name), fresh.node(name)];
            node.take();
            again.take();
            expect(dump(node)).toEqual(dump(again));
            expect(dump(node)).toEqual(expectedNode(name, [...there.values()]));
            expect(node.hasChanges).toBe(false);
          }
          expect(graph.activeIpSets).toBe(fresh.activeIpSets);
          for (const each of there.values()) objects.delete(each);
          for (const name of NODES) graph.node(name).take();
          expect(graph.activeIpSets).toBe(0);
          expect(NODES.map((name) => dump(graph.node(name)))).toEqual(
            NODES.map(() => dump(new CalcGraph().node("none"))),
          );
        },
      ),
      { numRuns: 100 },
    );
  });

  test("a list of changes has all that is different, and nothing else", () => {
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 40, size: "max" }), (events) => {
        const graph = new CalcGraph();
        const objects = new CalcObjects(graph);
        const node = graph.node("node-a");
        for (const each of events) {
          if (each.do === "update") objects.update(each.object);
          else if (each.do === "delete") objects.delete(each.object);
          else {
            const before = copy(node);
            const changes = node.take();
            for (const part of ["policies", "profiles", "workloads", "hosts", "ipSets"] as const) {
              const keys = new Set([...before[part].keys(), ...node[part].keys()]);
              const different = [...keys].filter(
                (key) => before[part].get(key) !== node[part].get(key),
              );
              expect([...changes[part]].sort()).toEqual(different.sort());
            }
            for (const [id, { members, since }] of node.ipSets) {
              const last = before.ipSets.get(id);
              if (since === undefined || last?.version !== since.version) continue;
              const patched = new Set(last.members);
              for (const member of since.removed) expect(patched.delete(member)).toBe(true);
              for (const member of since.added) patched.add(member);
              expect(patched).toEqual(members);
            }
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  test("labels of a namespace that change make its pods others", () => {
    const graph = new CalcGraph();
    const objects = new CalcObjects(graph);
    objects.update(podOn("node-a", "10.0.0.1"));
    objects.update(namespaceWith({ team: "a" }));
    objects.update(policy({ namespaceSelector: "team == 'a'" }));
    objects.update({
      ...policy({ ingress: [{ action: "Allow", source: { namespaceSelector: "team == 'a'" } }] }),
      metadata: { name: "q" },
    });
    const node = graph.node("node-a");
    node.take();
    expect([...node.policies.keys()]).toEqual(["gnp/p", "gnp/q"]);
    expect([...node.ipSets.values()].map(({ members }) => members.size)).toEqual([1]);
    objects.update(namespaceWith({ team: "b" }));
    expect(node.take()).toMatchObject({ policies: ["gnp/p"], workloads: ["k8s/red/node-a/eth0"] });
    expect([...node.policies.keys()]).toEqual(["gnp/q"]);
    expect([...node.ipSets.values()].map(({ members }) => members.size)).toEqual([0]);
  });

  test("nodes that have the same share it", () => {
    const graph = new CalcGraph();
    const objects = new CalcObjects(graph);
    for (const [i, nodeName] of NODES.entries()) objects.update(podOn(nodeName, `10.0.0.${i}`));
    objects.update(policy({ ingress: [{ action: "Allow", source: { selector: "app == 'a'" } }] }));
    const [a, b] = [graph.node("node-a"), graph.node("node-b")];
    a.take();
    b.take();
    const id = [...a.ipSets.keys()][0] ?? "";
    expect(a.ipSets.get(id)?.members).toEqual(
      new Set(["10.0.0.0/32", "10.0.0.1/32", "10.0.0.2/32"]),
    );
    expect(b.ipSets.get(id)).toBe(a.ipSets.get(id));
    expect(b.policies.get("gnp/p")).toBe(a.policies.get("gnp/p"));
  });

  test("a change of a policy's place keeps its rules", () => {
    const graph = new CalcGraph();
    const objects = new CalcObjects(graph);
    objects.update(podOn("node-a", "10.0.0.1"));
    objects.update(
      policy({ order: 1, ingress: [{ action: "Allow", source: { selector: "app == 'a'" } }] }),
    );
    const node = graph.node("node-a");
    node.take();
    objects.update(
      policy({ order: 2, ingress: [{ action: "Allow", source: { selector: "app == 'a'" } }] }),
    );
    expect(node.take()).toEqual({
      policies: [],
      profiles: [],
      workloads: [],
      hosts: [],
      ipSets: [],
    });
  });

  test("only nodes that a change concerns are told of it, and once", () => {
    const graph = new CalcGraph();
    const objects = new CalcObjects(graph);
    objects.update(podOn("node-a", "10.0.0.1"));
    objects.update({
      ...podOn("node-b", "10.0.0.2"),
      metadata: { name: "other", namespace: "red", labels: {} },
    });
    const told: string[] = [];
    const [a, b] = [graph.node("node-a"), graph.node("node-b")];
    a.take();
    b.take();
    const end = a.onChange(() => told.push("a"));
    b.onChange(() => told.push("b"));
    objects.update(policy({ selector: "app == 'a'" }));
    graph.flush();
    objects.update(policy({ selector: "app == 'a'", order: 1 }));
    graph.flush();
    expect(told).toEqual(["a"]);
    a.take();
    objects.delete(policy({}));
    graph.flush();
    expect(told).toEqual(["a", "a"]);
    a.take();
    end();
    objects.update(policy({}));
    graph.flush();
    expect(told).toEqual(["a", "a", "b"]);
  });

  test("a pod that asks to spoof its source is no endpoint unless that is allowed", () => {
    const spoofing: KubeObject = {
      ...podOn("node-a", "10.0.0.1"),
      metadata: {
        name: "p",
        namespace: "red",
        annotations: { "cni.projectcalico.org/allowedSourcePrefixes": '["192.168.0.0/16"]' },
      },
    };
    for (const sourceSpoofing of [false, true]) {
      const graph = new CalcGraph({ sourceSpoofing });
      new CalcObjects(graph).update(spoofing);
      const node = graph.node("node-a");
      node.take();
      expect(node.workloads.size).toBe(sourceSpoofing ? 1 : 0);
    }
  });

  test("without suppression, members of a set may lie within each other", () => {
    const [inside, range] = ["10.0.0.1/32", "10.0.0.0/8"];
    for (const suppressOverlaps of [false, true]) {
      const graph = new CalcGraph({ suppressOverlaps });
      const objects = new CalcObjects(graph);
      objects.update(podOn("node-a", "10.0.0.1"));
      objects.update(networkSet("s", [range]));
      objects.update(policy({ ingress: [{ action: "Allow", source: { selector: "all()" } }] }));
      const node = graph.node("node-a");
      node.take();
      expect([...node.ipSets.values()].map(({ members }) => [...members].sort())).toEqual([
        suppressOverlaps ? [range] : [range, inside],
      ]);
      objects.delete(networkSet("s", [range]));
      node.take();
      expect([...node.ipSets.values()].map(({ members }) => [...members])).toEqual([[inside]]);
    }
  });

  test("a policy that cannot be read counts as not there, and says why", () => {
    const graph = new CalcGraph();
    const objects = new CalcObjects(graph);
    objects.update(podOn("node-a", "10.0.0.1"));
    objects.update(policy({ selector: "app == 'a'" }));
    objects.update(policy({ selector: "app == a" }));
    const node = graph.node("node-a");
    node.take();
    expect(node.policies.size).toBe(0);
    expect([...objects.problems]).toEqual([
      ["GlobalNetworkPolicy.projectcalico.org p", "expected string"],
    ]);
    objects.update(policy({ ingress: [{ action: "Allow", source: { selector: "=" } }] }));
    expect([...objects.problems.values()]).toEqual(["expected =="]);
    objects.update(policy({}));
    expect(objects.problems.size).toBe(0);
  });

  test("setting what cannot be read changes nothing", () => {
    const graph = new CalcGraph();
    const profile = modelProfile(namespaceProfile({ metadata: { name: "red" } }));
    const bad = {
      ...profile,
      inboundRules: [{ action: "allow", source: { selector: "(" }, destination: {} }],
    } as const;
    expect(() => graph.setProfile("kns.red", bad)).toThrow(SelectorError);
    expect(() => parseSelector("(")).toThrow("unexpected token: TokEOF()");
  });
});

function podOn(nodeName: string, ip: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: nodeName, namespace: "red", labels: { app: "a" } },
    ...{ spec: { nodeName, containers: [] }, status: { phase: "Running", podIPs: [{ ip }] } },
  };
}

function namespaceWith(of: Readonly<Record<string, string>>): KubeObject {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name: "red", labels: of } };
}

function policy(spec: object): KubeObject {
  return { apiVersion: V3, kind: "GlobalNetworkPolicy", metadata: { name: "p" }, ...{ spec } };
}

function networkSet(name: string, ranges: readonly string[]): KubeObject {
  for (const range of ranges) expect(tryParsePrefix(range)).toEqual(parsePrefix(range));
  return {
    apiVersion: V3,
    kind: "GlobalNetworkSet",
    metadata: { name },
    ...{ spec: { nets: ranges } },
  };
}

function copy(
  node: NodeCalc,
): Pick<NodeCalc, "policies" | "profiles" | "workloads" | "hosts" | "ipSets"> {
  const { policies, profiles, workloads, hosts, ipSets } = node;
  return {
    policies: new Map(policies),
    profiles: new Map(profiles),
    workloads: new Map(workloads),
    hosts: new Map(hosts),
    ipSets: new Map(ipSets),
  };
}

/** Plain data in order. */
function dump(node: NodeCalc): unknown {
  const sorted = <T>(map: ReadonlyMap<string, T>) =>
    Object.fromEntries([...map].sort(([x], [y]) => (x < y ? -1 : 1)));
  return {
    policies: sorted(
      new Map([...node.policies.values()].map(({ id, policy: p }) => [policyIdText(id), p])),
    ),
    profiles: sorted(node.profiles),
    workloads: sorted(node.workloads),
    hosts: sorted(node.hosts),
    ipSets: sorted(
      new Map(
        [...node.ipSets].map(([id, { type, members }]) => [
          id,
          { type, members: [...members].sort() },
        ]),
      ),
    ),
  };
}
