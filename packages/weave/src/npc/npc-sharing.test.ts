import type { Labels, Namespace, NetworkPolicy, Pod } from "@cnilab/core";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, type NetNamespace, Network } from "@cnilab/linux";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { NetworkPolicyController, type NpcObject } from "./controller.ts";
import type { NpcEvent } from "./npc-events.ts";
import { NpcSharing } from "./npc-sharing.ts";

const NODES = 3;
const NAMESPACES = ["a", "b"];

/** A node's controller, which may be away. */
interface Agent {
  readonly netns: NetNamespace;
  controller: NetworkPolicyController | undefined;
}

/** What the API has, and who is told of it: nodes that share what they have, or do not. */
class Cluster {
  readonly objects = new Map<string, NpcObject>();
  readonly agents: readonly Agent[];
  readonly #sharing: NpcSharing | undefined;

  constructor(sharing: NpcSharing | undefined) {
    const network = new Network(new VirtualClock(), new SeededRandom(1));
    this.#sharing = sharing;
    this.agents = Array.from({ length: NODES }, (_, i) => {
      const { initNs: netns } = new Kernel(network, `node${i}`);
      for (const chain of ["INPUT", "FORWARD"]) netns.iptables(4).list("filter", chain);
      return { netns, controller: undefined };
    });
  }

  /** @returns what it logs */
  start(agent: Agent): readonly string[] {
    const problems: string[] = [];
    try {
      agent.controller = new NetworkPolicyController(
        agent.netns,
        (name) => this.objects.get(`Namespace ${name}`) as Namespace | undefined,
        this.#sharing,
      );
    } catch (error) {
      return [(error as Error).message];
    }
    for (const kind of ["Namespace", "Pod", "NetworkPolicy"]) {
      for (const object of this.objects.values()) {
        if (object.kind === kind) problems.push(...tell(agent, { op: "add", object }));
      }
    }
    return problems;
  }

  change(key: string, object: NpcObject | undefined): readonly string[] {
    const old = this.objects.get(key);
    if (object === undefined) this.objects.delete(key);
    else this.objects.set(key, object);
    const event: NpcEvent | undefined =
      object !== undefined && old !== undefined
        ? { op: "update", object, old }
        : object !== undefined
          ? { op: "add", object }
          : old && { op: "delete", object: old };
    return event === undefined ? [] : this.agents.flatMap((agent) => tell(agent, event));
  }
}

function tell({ controller }: Agent, { op, object, old }: NpcEvent): readonly string[] {
  try {
    if (op === "update") controller?.update(old, object);
    else controller?.[op](object);
  } catch (error) {
    return [(error as Error).message];
  }
  return [];
}

const labels = fc.constantFrom<Labels>({ app: "x" }, { app: "y" }, {});
const namespace = fc.constantFrom(...NAMESPACES);
const selector = labels.map((matchLabels) => ({ matchLabels }));
const peer = fc.oneof(
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector: selector }),
  fc.record({ podSelector: selector, namespaceSelector: selector }),
  fc.constant({ ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } }),
);
const anObject: fc.Arbitrary<readonly [string, NpcObject | undefined]> = fc.oneof(
  fc.tuple(namespace, fc.option(labels, { nil: undefined })).map(([name, given]) => {
    const metadata = { name, uid: `uid of ${name}`, labels: given ?? {} };
    const object: Namespace = { apiVersion: "v1", kind: "Namespace", metadata };
    return [`Namespace ${name}`, given && object] as const;
  }),
  fc
    .tuple(
      fc.constantFrom("1", "2", "3", "4"),
      namespace,
      labels,
      fc.constantFrom("", "10.0.0.1", "10.0.0.2", "10.0.0.3"),
      fc.boolean(),
    )
    .map(([name, inside, given, podIP, there]) => {
      const metadata = { name, namespace: inside, uid: `${inside}/${name}`, labels: given };
      const spec = { containers: [] };
      const status = { phase: "Running" as const, podIP };
      const object: Pod = { apiVersion: "v1", kind: "Pod", metadata, spec, status };
      return [`Pod ${inside}/${name}`, there ? object : undefined] as const;
    }),
  fc
    .tuple(
      fc.constantFrom("p", "q"),
      namespace,
      fc.option(fc.tuple(selector, fc.array(peer, { maxLength: 2 })), { nil: undefined }),
    )
    .map(([name, inside, given]) => {
      const [podSelector = {}, from = []] = given ?? [];
      const object: NetworkPolicy = {
        apiVersion: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        metadata: { name, namespace: inside, uid: `policy ${inside}/${name}` },
        spec: {
          podSelector,
          policyTypes: ["Ingress", "Egress"],
          ingress: [{ from }],
          egress: [{ to: from }],
        },
      };
      return [`NetworkPolicy ${inside}/${name}`, given && object] as const;
    }),
);
const aNode = fc.nat(NODES - 1);
const aStep = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(fc.constant("change" as const), anObject) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("start" as const), aNode) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("stop" as const), aNode) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("touch" as const), aNode, fc.nat(7), fc.nat(3)) },
);

/** Somebody's own `ipset` on a node. */
function touch({ netns: { ipsets } }: Agent, which: number, how: number): void {
  const set = ipsets.all[which % Math.max(1, ipsets.all.length)];
  if (set === undefined) return;
  const { name } = set;
  const lines = [
    [`flush ${name}`],
    [`add ${name} 10.0.0.1`],
    [`del ${name} 10.0.0.2`],
    [`create other hash:ip counters comment`, `swap ${name} other`, "flush other", "destroy other"],
  ];
  for (const line of lines[how] ?? []) {
    try {
      ipsets.run(line);
    } catch {
      // The kernel says no to both.
    }
  }
}

test("random events: each node has what it would have without the others", () => {
  fc.assert(
    fc.property(fc.array(aStep, { minLength: 20, maxLength: 120 }), (steps) => {
      const clusters = [new Cluster(new NpcSharing()), new Cluster(undefined)] as const;
      const both = (what: (cluster: Cluster) => unknown) => {
        const [shared, alone] = clusters.map(what);
        expect(shared).toEqual(alone);
      };
      const at = (cluster: Cluster, node: number) => cluster.agents[node] as Agent;
      both((cluster) => cluster.agents.slice(1).map((agent) => cluster.start(agent)));
      for (const step of steps) {
        if (step[0] === "change") both((cluster) => cluster.change(...step[1]));
        else if (step[0] === "start") both((cluster) => cluster.start(at(cluster, step[1])));
        else if (step[0] === "stop") {
          for (const cluster of clusters) at(cluster, step[1]).controller = undefined;
        } else {
          for (const cluster of clusters) touch(at(cluster, step[1]), step[2], step[3]);
        }
        both(({ agents }) => agents.map(({ netns }) => netns.ipsets.save()));
        both(({ agents }) => agents.map(({ netns }) => netns.iptables(4).save()));
      }
    }),
    { numRuns: 60 },
  );
});

test("nodes that see the same have the same elements, and one that was touched its own", () => {
  const cluster = new Cluster(new NpcSharing());
  for (const agent of cluster.agents) cluster.start(agent);
  const pod = (name: string, podIP: string): Pod => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "a", uid: name },
    spec: { containers: [] },
    status: { phase: "Running", podIP },
  });
  const of: Namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "a", uid: "a" } };
  cluster.change("Namespace a", of);
  cluster.change("Pod a/1", pod("1", "10.0.0.1"));
  const elements = (node: number) =>
    cluster.agents[node]?.netns.ipsets.all.map((set) => set.share()) ?? [];
  const same = (x: number, y: number) => elements(x).map((each, i) => each === elements(y)[i]);
  expect(elements(0)).toHaveLength(3);
  expect(same(0, 2)).toEqual([true, true, true]);

  const touched = cluster.agents[1]?.netns.ipsets;
  touched?.run(`flush ${touched.all[0]?.name}`);
  cluster.change("Pod a/2", pod("2", "10.0.0.2"));
  expect(same(0, 2)).toEqual([true, true, true]);
  expect(same(0, 1)).toEqual([false, true, true]);
  expect(touched?.all[0]?.elements()).toHaveLength(1);
});
