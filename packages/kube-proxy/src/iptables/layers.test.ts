import {
  type EndpointSlice,
  type KubeObject,
  objectKey,
  SeededRandom,
  type Service,
  VirtualClock,
} from "@cnilab/core";
import { ChainLayer, Kernel, Network } from "@cnilab/linux";
import { afterEach, describe, expect, test, vi } from "vitest";
import { service, slice } from "../../test/objects.ts";
import { DEFAULT_CONFIG } from "../config.ts";
import { endpointChain, serviceChains } from "../names.ts";
import { type ServiceState, ServiceStates } from "../service-state.ts";
import { canonicalIptables } from "./canonical.ts";
import { Layers, restoreText } from "./layers.ts";
import { type NodeFacts, RulesetRenderer } from "./ruleset.ts";

afterEach(() => vi.restoreAllMocks());

const COUNTERS = ["ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"];
const PORTS = [{ port: 8080, protocol: "TCP" }] as const;
const A = service("a", { clusterIP: "10.96.0.1", ports: [{ port: 80 }] });
const B = service("b", { clusterIP: "10.96.0.2", ports: [{ port: 80 }] });
const LOCAL = service("local", {
  clusterIP: "10.96.0.3",
  internalTrafficPolicy: "Local",
  ports: [{ port: 80 }],
});
const LB = service(
  "lb",
  {
    type: "LoadBalancer",
    clusterIP: "10.96.0.4",
    loadBalancerSourceRanges: ["192.168.100.0/24"],
    ports: [{ port: 80 }],
  },
  { ingress: ["203.0.113.10"] },
);
const SLICE_A = slice("a", PORTS, ["10.244.1.10@n1", "10.244.2.10@n2"]);
const SLICE_B = slice("b", PORTS, ["10.244.1.20@n1"]);
const SLICE_LOCAL = slice("local", PORTS, ["10.244.1.30@n1", "10.244.2.30@n2"]);
const SLICE_LB = slice("lb", PORTS, ["10.244.1.40@n1"]);

/** States one after the other, from objects of which unchanged ones are the same. */
function states(...inputs: KubeObject[][]): ServiceState[] {
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

function node(name: string, facts: Partial<NodeFacts> = {}): NodeFacts {
  return {
    topology: { name, zone: "" },
    localTraffic: undefined,
    localhostNodePorts: true,
    conntrackTcpLiberal: false,
    nodePortIps: undefined,
    nodeIsIn: () => false,
    ...facts,
  };
}

function layers(): Layers {
  return new Layers(4, new RulesetRenderer(DEFAULT_CONFIG));
}

describe("two nodes share a layer", () => {
  test.each<[string, KubeObject[], NodeFacts, NodeFacts, boolean]>([
    ["where nothing tells them apart", [A, SLICE_A], node("n1"), node("n2"), true],
    ["unless a policy looks at the node", [LOCAL, SLICE_LOCAL], node("n1"), node("n2"), false],
    ["that have no local endpoint", [LOCAL, SLICE_LOCAL], node("n3"), node("n4"), true],
    [
      "unless node ports have addresses of theirs",
      [A, SLICE_A],
      node("n1", { nodePortIps: ["192.168.100.11"] }),
      node("n2", { nodePortIps: ["192.168.100.12"] }),
      false,
    ],
    [
      "unless source ranges hold one of them",
      [LB, SLICE_LB],
      node("n1", { nodeIsIn: () => true }),
      node("n2"),
      false,
    ],
    [
      "whose own addresses no source range asks for",
      [A, SLICE_A],
      node("n1", { nodeIsIn: () => true }),
      node("n2"),
      true,
    ],
  ])("%s", (_name, objects, x, y, shared) => {
    const [state] = states(objects) as [ServiceState];
    const made = layers();
    expect(made.of(state, x) === made.of(state, y)).toBe(shared);
    expect(made.of(state, x)).toBe(made.of(state, x));
  });
});

/** What a namespace with this layer shows. */
function saved(layer: ChainLayer): string {
  const { initNs } = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "n1");
  for (const name of COUNTERS) initNs.nfacct.add(name);
  initNs.iptables(4).setLayer("kube-proxy", layer);
  return canonicalIptables(initNs.iptables(4).save());
}

/** Chains of table nat that the step from one state to the next reads. */
function readAgain(before: KubeObject[], after: KubeObject[]): string[] {
  const [first, second] = states(before, after) as [ServiceState, ServiceState];
  const made = layers();
  made.of(first, node("n1"));
  const read = vi.spyOn(ChainLayer.prototype, "with");
  made.of(second, node("n1"));
  expect(read).toHaveBeenCalledTimes(1);
  return Object.keys(read.mock.calls[0]?.[0]["nat"] ?? {}).sort();
}

describe("from one state to the next", () => {
  const svc = serviceChains("default/a", "tcp").cluster;
  const sep = (ip: string) => endpointChain("default/a", "tcp", `${ip}:8080`);
  const moved = slice("a", PORTS, ["10.244.1.10@n1", "10.244.2.99@n2"]);
  const everything = [A, B, SLICE_A, SLICE_B];

  test.each<[string, KubeObject[], string[]]>([
    ["an endpoint", [A, B, moved, SLICE_B], [svc, sep("10.244.2.10"), sep("10.244.2.99")]],
    [
      "a Service that goes",
      [B, SLICE_B],
      ["KUBE-SERVICES", svc, sep("10.244.1.10"), sep("10.244.2.10")],
    ],
  ])("only what changes is read again: %s", (_name, after, expected) => {
    expect(readAgain(everything, after)).toEqual(expected.sort());
  });

  test("where nothing changes, the layer stays", () => {
    const [before, after] = states(everything, [...everything]) as [ServiceState, ServiceState];
    const made = layers();
    expect(made.of(after, node("n1"))).toBe(made.of(before, node("n1")));
  });

  test("Services that did not change keep their rules", () => {
    const [before, after] = states(everything, [A, B, moved, SLICE_B]) as [
      ServiceState,
      ServiceState,
    ];
    const renderer = new RulesetRenderer(DEFAULT_CONFIG);
    const chains = (state: ServiceState) =>
      new Map(renderer.render(state, node("n1")).tables.nat.map((c) => [c.name, c]));
    const old = chains(before);
    const kept = [...chains(after)].filter(([name, chain]) => old.get(name) === chain);
    const ofB = [serviceChains("default/b", "tcp").cluster];
    ofB.push(endpointChain("default/b", "tcp", "10.244.1.20:8080"));
    expect(kept.map(([name]) => name).filter((n) => /^KUBE-S(VC|EP)-/.test(n))).toEqual(ofB);
  });

  test("a derived layer is the one that is made at once", () => {
    const after = [A, B, moved, SLICE_B];
    const [first, second] = states(everything, after) as [ServiceState, ServiceState];
    const derived = layers();
    derived.of(first, node("n1"));
    const renderer = new RulesetRenderer(DEFAULT_CONFIG);
    const whole = ChainLayer.parse(4, restoreText(renderer.render(second, node("n1"))));
    expect(saved(derived.of(second, node("n1")))).toBe(saved(whole));
  });
});

test.each<[string, string, string | undefined]>([
  ["nat", serviceChains("default/a", "tcp").cluster, "a"],
  ["nat", endpointChain("default/b", "tcp", "10.244.1.20:8080"), "b"],
  ["nat", "KUBE-MARK-MASQ", undefined],
])("%s %s comes from Service %s", (_table, chain, name) => {
  const [state] = states([A, B, SLICE_A, SLICE_B]) as [ServiceState];
  const { origin } = new RulesetRenderer(DEFAULT_CONFIG).render(state, node("n1"));
  expect(origin(chain, "")?.name).toBe(name);
});
