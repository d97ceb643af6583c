import {
  type ApiClient,
  type ClusterConfig,
  type DependencyContainer,
  type EndpointSlice,
  type KubeObject,
  type Node,
  type NodeContext,
  objectKey,
  type PerNodeProvider,
  PROXY,
  type ProxyEngine,
  SeededRandom,
  VirtualClock,
} from "@cnilab/core";
import { ChainLayer, Kernel, Network } from "@cnilab/linux";
import { parseIp, parsePrefix } from "@cnilab/net";
import { BehaviorSubject } from "rxjs";
import { afterEach, expect, test, vi } from "vitest";
import { service, slice } from "../test/objects.ts";
import type { KubeProxyConfig } from "./config.ts";
import { registerKubeProxy } from "./register.ts";

afterEach(() => vi.restoreAllMocks());

const CONFIG: ClusterConfig = {
  clusterCidrs: [parsePrefix("10.244.0.0/16")],
  nodeCidrMaskSize: { 4: 24, 6: 64 },
  serviceCidrs: [parsePrefix("10.96.0.0/16")],
  ipFamilies: [4],
  proxyMode: "iptables",
  clusterDomain: "cluster.local",
};
const WEB = service("web", { clusterIP: "10.96.0.10", ports: [{ port: 80 }] });
const ENDPOINTS = slice("web", [{ port: 8080 }], ["10.244.1.10@n1", "10.244.2.10@n2"]);
const HINTED: EndpointSlice = {
  ...ENDPOINTS,
  endpoints: ["z1", "z2"].map((zone, i) => ({
    addresses: [`10.244.${i + 1}.10`],
    hints: { forZones: [{ name: zone }] },
  })),
};

/** Nodes n1, n2, … in zones z1, z2, …, each with a container of its own. */
class Nodes {
  readonly clock = new VirtualClock();
  readonly #network = new Network(this.clock, new SeededRandom(1));
  readonly #api: ApiClient;
  readonly #containers = new Map<string, DependencyContainer>();
  readonly #kernels = new Map<string, Kernel>();
  #provider: PerNodeProvider<ProxyEngine> | undefined;

  readonly #config: ClusterConfig;

  constructor(
    objects: readonly KubeObject[],
    settings: Partial<KubeProxyConfig> = {},
    config: ClusterConfig = CONFIG,
  ) {
    this.#config = config;
    const snapshots = new Map(
      ["Service", "EndpointSlice"].map((kind) => {
        const all = objects.filter((o) => o.kind === kind).map((o) => [objectKey(o), o] as const);
        return [kind, new BehaviorSubject({ version: 1, objects: new Map(all) })];
      }),
    );
    this.#api = {
      snapshots: (kind: string) => snapshots.get(kind),
      get: (_kind: string, name: string): Node => ({
        apiVersion: "v1",
        kind: "Node",
        metadata: { name, labels: { "topology.kubernetes.io/zone": name.replace("n", "z") } },
      }),
    } as unknown as ApiClient;
    const register = (token: unknown, provider: unknown) => {
      if (token === PROXY) this.#provider = provider as PerNodeProvider<ProxyEngine>;
    };
    registerKubeProxy({ register } as unknown as DependencyContainer, settings);
  }

  proxy(name: string): ProxyEngine {
    const container = this.#containers.get(name) ?? this.#add(name);
    if (this.#provider === undefined) throw new Error("nothing is registered under PROXY");
    return this.#provider.useFactory(container);
  }

  #add(name: string): DependencyContainer {
    const machine = new Kernel(this.#network, name);
    const context: NodeContext<Kernel> = {
      name,
      machine,
      api: this.#api,
      clock: this.clock,
      random: machine.random,
      config: this.#config,
      addresses: [parseIp("192.168.100.11")],
      podCidrs: () => [],
    };
    const container = { resolve: () => context } as unknown as DependencyContainer;
    this.#kernels.set(name, machine);
    this.#containers.set(name, container);
    return container;
  }

  /** Starts kube-proxy on these nodes. */
  start(...names: string[]): this {
    for (const name of names) this.proxy(name).start();
    this.clock.runUntil(0);
    return this;
  }

  virtualServers(name: string): string {
    return this.#kernels.get(name)?.initNs.findIpvs()?.save() ?? "";
  }

  nat(name: string): string {
    return this.#kernels.get(name)?.initNs.iptables(4).save("nat") ?? "";
  }
}

test("each node has one kube-proxy", () => {
  const nodes = new Nodes([]);
  expect(nodes.proxy("n1").name).toBe("kube-proxy");
  expect(nodes.proxy("n1")).toBe(nodes.proxy("n1"));
  expect(nodes.proxy("n1")).not.toBe(nodes.proxy("n2"));
});

test.each<[string, Partial<KubeProxyConfig>, string]>([
  ["the cluster's pod range", {}, "! -s 10.244.0.0/16 -d 10.96.0.10/32"],
  ["another range", { clusterCIDRs: ["10.99.0.0/16"] }, "! -s 10.99.0.0/16 -d 10.96.0.10/32"],
  ["another mark", { masqueradeBit: 3 }, "MARK --set-xmark 0x8/0x8"],
])("it is set up with %s", (_name, settings, rule) => {
  expect(new Nodes([WEB, ENDPOINTS], settings).start("n1").nat("n1")).toContain(rule);
});

test("in IPVS mode each node has virtual servers", () => {
  const config = { ...CONFIG, proxyMode: "ipvs" } as const;
  const nodes = new Nodes([WEB, ENDPOINTS], { ipvsScheduler: "lc" }, config).start("n1", "n2");
  expect(nodes.virtualServers("n2")).toBe(`-A -t 10.96.0.10:80 -s lc
-a -t 10.96.0.10:80 -r 10.244.1.10:8080 -m -w 1
-a -t 10.96.0.10:80 -r 10.244.2.10:8080 -m -w 1
`);
  expect(nodes.virtualServers("n1")).toBe(nodes.virtualServers("n2"));
});

test("the rules of nodes that are alike are read once a family", () => {
  const parse = vi.spyOn(ChainLayer, "parse");
  const nodes = new Nodes([WEB, ENDPOINTS]).start("n1", "n2", "n3");
  expect(parse.mock.calls.map(([family]) => family).sort()).toEqual([4, 6]);
  expect(nodes.nat("n3")).toBe(nodes.nat("n1"));
});

test.each([
  ["n1", ["10.244.1.10:8080"]],
  ["n2", ["10.244.2.10:8080"]],
  ["n3", ["10.244.1.10:8080", "10.244.2.10:8080"]],
])("node %s sends to the endpoints that are meant for its zone", (name, expected) => {
  const rules = new Nodes([WEB, HINTED]).start("n1", "n2", "n3").nat(name);
  expect([...rules.matchAll(/--to-destination (\S+)/g)].map(([, to]) => to).sort()).toEqual(
    expected,
  );
});
