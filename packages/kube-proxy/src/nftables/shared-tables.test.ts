import {
  type EndpointSlice,
  type KubeObject,
  objectKey,
  SeededRandom,
  type Service,
  VirtualClock,
} from "@cnilab/core";
import { Kernel, Network, type NftTableLayer } from "@cnilab/linux";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { service, slice } from "../../test/objects.ts";
import { DEFAULT_CONFIG } from "../config.ts";
import { type ServiceState, ServiceStates } from "../service-state.ts";
import type { NftNodeFacts } from "./ruleset.ts";
import { SharedTables, type SyncedTable } from "./shared-tables.ts";

const PORTS = [{ port: 8080, protocol: "TCP" }] as const;
const A = service("a", { clusterIP: "10.96.0.1", ports: [{ port: 80 }] });
const LOCAL = service("local", {
  clusterIP: "10.96.0.2",
  internalTrafficPolicy: "Local",
  sessionAffinity: "ClientIP",
  ports: [{ port: 80 }],
});
const LB = service(
  "lb",
  {
    type: "LoadBalancer",
    clusterIP: "10.96.0.3",
    loadBalancerSourceRanges: ["192.168.100.0/24"],
    ports: [{ port: 80 }],
  },
  { ingress: ["203.0.113.10"] },
);
const SLICE_A = slice("a", PORTS, ["10.244.1.10@n1", "10.244.2.10@n2"]);
const FEWER_A = slice("a", PORTS, ["10.244.2.10@n2"]);
const SLICE_LOCAL = slice("local", PORTS, ["10.244.1.30@n1", "10.244.2.30@n2"]);
const SLICE_LB = slice("lb", PORTS, ["10.244.1.40@n1"]);

/** States one after the other, from objects of which unchanged ones are the same. */
function states(...inputs: readonly (readonly KubeObject[])[]): ServiceState[] {
  const maker = new ServiceStates(4);
  return inputs.map((objects, version) => {
    const of = <T extends KubeObject>(kind: T["kind"]) => ({
      version,
      objects: new Map(
        objects.filter((o): o is T => o.kind === kind).map((o) => [objectKey(o), o] as const),
      ),
    });
    return maker.of(of<Service>("Service"), of<EndpointSlice>("EndpointSlice"));
  });
}

function node(name: string, facts: Partial<NftNodeFacts> = {}): NftNodeFacts {
  return {
    topology: { name, zone: "" },
    localTraffic: undefined,
    allNodePortIps: false,
    nodeIsIn: () => false,
    ...facts,
  };
}

function sharedTables(): SharedTables {
  return new SharedTables(4, DEFAULT_CONFIG, ["10.96.0.0/16"]);
}

/** The chains, sets and maps of a table, each as text. */
function blocks(layer: NftTableLayer): string[] {
  const { initNs } = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "node");
  initNs.nftables.setLayer(layer);
  return initNs.nftables
    .list()
    .replace(/}\n$/, "")
    .split(/\n?(?=^\t(?:chain|set|map) )/m)
    .sort();
}

/** Chains of endpoints and Services, as `chain NAME: number of rules`. */
function serviceChains({ layer }: SyncedTable): string[] {
  return blocks(layer).flatMap((block) => {
    const [, name] = /^\tchain (\S+\/\S*) {/.exec(block) ?? [];
    return name === undefined
      ? []
      : [`${name.replace(/-\w{8}-/, " ")}: ${block.split("\n").length - 3}`];
  });
}

describe("two nodes share a table", () => {
  test.each<[string, KubeObject[], NftNodeFacts, NftNodeFacts, boolean]>([
    ["where nothing tells them apart", [A, SLICE_A], node("n1"), node("n2"), true],
    ["unless a policy looks at the node", [LOCAL, SLICE_LOCAL], node("n1"), node("n2"), false],
    ["that have no local endpoint", [LOCAL, SLICE_LOCAL], node("n3"), node("n4"), true],
    [
      "unless source ranges hold one of them",
      [LB, SLICE_LB],
      node("n1", { nodeIsIn: () => true }),
      node("n2"),
      false,
    ],
  ])("%s", (_, objects, one, other, shared) => {
    const tables = sharedTables();
    const [state] = states(objects) as [ServiceState];
    const [x, y] = [one, other].map((facts) => tables.next(state, facts, undefined, false).layer);
    expect(x === y).toBe(shared);
  });

  test("again, when they come from different ones", () => {
    const tables = sharedTables();
    const [first, second] = states([A, SLICE_A], [A, FEWER_A]) as [ServiceState, ServiceState];
    const before = tables.next(first, node("n1"), undefined, false);
    const fresh = tables.next(second, node("n2"), undefined, false);
    const withStale = tables.next(second, node("n1"), before, false);
    expect(withStale).not.toBe(fresh);
    expect(tables.next(second, node("n3"), before, false)).toBe(withStale);
    const [third] = states([A, SLICE_A, LOCAL, SLICE_LOCAL]) as [ServiceState];
    const [x, y] = [withStale, fresh].map((table) => tables.next(third, node("n9"), table, true));
    expect(x).toBe(y);
  });
});

test("a stale chain is empty at once, and gone with a sync that may delete it", () => {
  const tables = sharedTables();
  const [both, fewer, same] = states([A, SLICE_A], [A, FEWER_A], [A, FEWER_A, LOCAL]) as [
    ServiceState,
    ServiceState,
    ServiceState,
  ];
  const first = tables.next(both, node("n1"), undefined, false);
  const kept = tables.next(fewer, node("n1"), first, false);
  expect(serviceChains(kept)).toEqual([
    "endpoint default/a/tcp/__10.244.1.10/8080: 0",
    "endpoint default/a/tcp/__10.244.2.10/8080: 2",
    "service default/a/tcp/: 1",
  ]);
  const keptLonger = tables.next(same, node("n1"), kept, false);
  expect(serviceChains(keptLonger)).toContain("endpoint default/a/tcp/__10.244.1.10/8080: 0");
  const deleted = tables.next(same, node("n1"), kept, true);
  expect(serviceChains(deleted)).toEqual([
    "endpoint default/a/tcp/__10.244.2.10/8080: 2",
    "service default/a/tcp/: 1",
  ]);
});

test("however a table came about, it is what a new proxy would write, and stale chains", () => {
  const objects = fc
    .subarray([A, LOCAL, LB, SLICE_LOCAL, SLICE_LB])
    .chain((some) =>
      fc.constantFrom<KubeObject[]>([], [SLICE_A], [FEWER_A]).map((more) => [...some, ...more]),
    );
  const step = fc.record({ objects, node: fc.constantFrom("n1", "n2"), deleteOld: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { minLength: 2, maxLength: 8 }), (steps) => {
      const tables = sharedTables();
      const synced = new Map<string, SyncedTable>();
      const all = states(...steps.map((s) => s.objects));
      steps.forEach(({ node: name, deleteOld }, i) => {
        const state = all[i] as ServiceState;
        const table = tables.next(state, node(name), synced.get(name), deleteOld);
        synced.set(name, table);
        const fresh = sharedTables().next(state, node(name), undefined, false);
        const stale = [...table.stale].map((chain) => `\tchain ${chain} {\n\t}\n`);
        expect(blocks(table.layer)).toEqual([...blocks(fresh.layer), ...stale].sort());
      });
    }),
    { numRuns: 60 },
  );
});
