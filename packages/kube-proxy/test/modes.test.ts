import type { KubeObject, Node } from "@cnilab/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  DEFAULT_CONFIG,
  type KubeProxyConfig,
  type KubeProxyMode,
  StandAloneKubeProxy,
} from "../src/index.ts";
import { service, slice } from "./objects.ts";
import { connect } from "./vectors/packets.ts";
import { RecordingNetwork } from "./vectors/recording-network.ts";

const MODES: readonly KubeProxyMode[] = ["iptables", "nftables"];
const CLIENTS = ["node1", "client", "client2", "pod-on-node1"];
const LOCAL_PODS: Partial<KubeProxyConfig> = { clusterCIDRs: ["10.244.0.0/16"] };
const PRIMARY = "192.168.100.11";
const NODE: Node = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "node1" },
  spec: {},
  status: { addresses: [{ type: "InternalIP", address: PRIMARY }] },
};

/** One Service of a random set, and its endpoints. */
interface Random {
  readonly protocol: "TCP" | "UDP";
  readonly endpoints: readonly string[];
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  readonly nodePort: boolean;
  readonly externalIp: boolean;
  readonly loadBalancer: boolean;
  readonly sourceRanges: readonly string[];
}

const pods = ["10.244.1.10@node1", "10.244.1.11@node1", "10.244.2.10@node2"];
const endpoint = fc
  .tuple(fc.constantFrom(...pods), fc.constantFrom("", "", "", "!", "~", "%"))
  .map(([pod, state]) => `${pod}${state}`);
const randomService: fc.Arbitrary<Random> = fc.record({
  protocol: fc.constantFrom("TCP" as const, "UDP" as const),
  endpoints: fc.uniqueArray(endpoint, { selector: (e) => e.slice(0, 17), maxLength: 3 }),
  internalLocal: fc.boolean(),
  externalLocal: fc.boolean(),
  nodePort: fc.boolean(),
  externalIp: fc.boolean(),
  loadBalancer: fc.boolean(),
  sourceRanges: fc.subarray(["192.168.100.50/32", "10.244.0.0/16", "192.168.0.0/16"]),
});

/** An address that a Service can be called by. */
interface Destination {
  readonly protocol: "TCP" | "UDP";
  readonly dest: string;
  /** Clients for whom the modes differ: see "documented differences". */
  readonly differsFor: readonly string[];
}

/** The objects of a random set, and all addresses that they can be called by. */
function cluster(set: readonly Random[]) {
  const objects: KubeObject[] = [NODE];
  const destinations: Destination[] = [];
  set.forEach((random, i) => {
    const { protocol, endpoints } = random;
    const clusterIP = `10.96.0.${i + 1}`;
    const externalIPs = random.externalIp ? [`203.0.113.${i + 1}`] : [];
    const ingress = random.loadBalancer ? [`198.18.0.${i + 1}`] : [];
    const nodePort = 30_000 + i;
    objects.push(
      service(
        `s${i}`,
        {
          type: random.loadBalancer ? "LoadBalancer" : random.nodePort ? "NodePort" : "ClusterIP",
          clusterIP,
          externalIPs,
          ports: [{ port: 80, protocol, ...(random.nodePort ? { nodePort } : {}) }],
          internalTrafficPolicy: random.internalLocal ? "Local" : "Cluster",
          externalTrafficPolicy: random.externalLocal ? "Local" : "Cluster",
          loadBalancerSourceRanges: random.sourceRanges,
        },
        { ingress },
      ),
      slice(`s${i}`, [{ port: 8080 + i, protocol }], endpoints),
    );
    const add = (dest: string, differsFor: readonly string[]) =>
      destinations.push({ protocol, dest, differsFor });
    const unusable = endpoints.every((e) => e.endsWith("!") || e.endsWith("%"));
    add(`${clusterIP}:80`, []);
    if (random.nodePort) add(`${PRIMARY}:${nodePort}`, []);
    for (const ip of externalIPs) add(`${ip}:80`, unusable ? ["node1"] : []);
    for (const ip of ingress) {
      const all = random.sourceRanges.length > 0 ? CLIENTS : ["node1"];
      add(`${ip}:80`, unusable ? all : []);
    }
  });
  return { objects, destinations };
}

function start(
  mode: KubeProxyMode,
  objects: readonly KubeObject[],
  settings: Partial<KubeProxyConfig> = LOCAL_PODS,
): RecordingNetwork {
  const network = new RecordingNetwork(objects, 1, 1);
  const config = { ...DEFAULT_CONFIG, ...settings, mode };
  new StandAloneKubeProxy(network.node1, "node1", config).apply(objects);
  return network;
}

/** What clients meet in each mode, where it differs. */
function differences(
  set: readonly Random[],
  settings: Partial<KubeProxyConfig>,
  tried: number,
): string[] {
  const { objects, destinations } = cluster(set);
  const iptables = start("iptables", objects, settings);
  const nftables = start("nftables", objects, settings);
  return destinations.flatMap(({ protocol, dest, differsFor }) =>
    CLIENTS.filter((from) => !differsFor.includes(from)).flatMap((from) => {
      const flow = { protocol, dest, from, tried };
      const [one, other] = [connect(flow, iptables), connect(flow, nftables)];
      return one === other ? [] : [`${from} to ${dest}/${protocol}: ${one} / ${other}`];
    }),
  );
}

describe("iptables and nftables modes", () => {
  test("give the same outcomes for any set of Services", () => {
    const set = fc.array(randomService, { minLength: 1, maxLength: 3 });
    const settings = fc.constantFrom<Partial<KubeProxyConfig>>(
      LOCAL_PODS,
      {},
      { ...LOCAL_PODS, masqueradeAll: true },
      { detectLocalMode: "BridgeInterface", bridgeInterface: "cni0" },
      { detectLocalMode: "InterfaceNamePrefix", interfaceNamePrefix: "cni" },
    );
    fc.assert(
      fc.property(set, settings, (services, config) => {
        // Chance misses one of three endpoints in 60 connections once in ten thousand million times.
        expect(differences(services, config, 60)).toEqual([]);
      }),
      { numRuns: 20 },
    );
  });

  const lb = (endpoints: readonly string[], sourceRanges: readonly string[]): Random => ({
    protocol: "TCP",
    endpoints,
    internalLocal: false,
    externalLocal: false,
    nodePort: true,
    externalIp: true,
    loadBalancer: true,
    sourceRanges,
  });
  const [web] = pods as [string];

  describe("documented differences", () => {
    test.each<{
      what: string;
      set: Random;
      from: string;
      dest: string;
      iptables: string;
      nftables: string;
    }>([
      {
        what: "iptables mode looks at a node's own calls to external addresses only to forward them",
        set: lb([], []),
        from: "node1",
        dest: "203.0.113.1:80",
        iptables: "timeout",
        nftables: "refused",
      },
      {
        what: "iptables mode has no firewall for a load balancer without endpoints",
        set: lb([], ["10.244.0.0/16"]),
        from: "client",
        dest: "198.18.0.1:80",
        iptables: "refused",
        nftables: "timeout",
      },
      {
        what: "nftables mode has no node ports on 127.0.0.1",
        set: lb([web], []),
        from: "node1",
        dest: "127.0.0.1:30000",
        iptables: "ok p1-10 8080 sees 10.244.1.1",
        nftables: "refused",
      },
      {
        what: "nftables mode has node ports on the primary address only",
        set: lb([web], []),
        from: "pod-on-node1",
        dest: "10.244.1.1:30000",
        iptables: "ok p1-10 8080 sees 10.244.1.1",
        nftables: "refused",
      },
      {
        what: "iptables mode leaves a cluster IP's other ports to the routes",
        set: lb([web], []),
        from: "pod-on-node1",
        dest: "10.96.0.1:81",
        iptables: "timeout",
        nftables: "refused",
      },
    ])("$what", ({ set, from, dest, iptables, nftables }) => {
      const { objects } = cluster([set]);
      const flow = { protocol: "TCP", from, dest, tried: 4 } as const;
      expect(connect(flow, start("iptables", objects))).toBe(iptables);
      expect(connect(flow, start("nftables", objects))).toBe(nftables);
    });
  });
});

const WEB = { clusterIP: "10.96.0.1", ports: [{ port: 80, protocol: "TCP" }] } as const;
const TO_WEB = { protocol: "TCP", dest: "10.96.0.1:80", from: "pod-on-node1" } as const;

describe.each(MODES)("in %s mode", (mode) => {
  const backends = pods.map((pod) => pod.slice(0, pod.indexOf("@")));

  test("each endpoint gets its share", () => {
    const objects = [NODE, service("web", WEB), slice("web", [{ port: 8080 }], backends)];
    const network = start(mode, objects);
    const counts = new Map<string, number>();
    for (let i = 0; i < 3000; i++) {
      const outcome = connect({ ...TO_WEB, tried: 1 }, network);
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    }
    expect(counts.size).toBe(3);
    const chiSquare = [...counts.values()].reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
    // 2 degrees of freedom: chance exceeds it once in a thousand times.
    expect(chiSquare).toBeLessThan(13.8);
  });

  test("a client stays with its endpoint until the timeout after its last connection", () => {
    const affinity = {
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 10 } },
    } as const;
    const objects = [
      NODE,
      service("web", { ...WEB, ...affinity }),
      slice("web", [{ port: 8080 }], backends),
    ];
    const network = start(mode, objects);
    const after = (ms: number, times: number) => {
      const met = new Set<string>();
      for (let i = 0; i < times; i++) {
        network.clock.advance(ms);
        met.add(connect({ ...TO_WEB, tried: 1 }, network));
      }
      return met;
    };
    expect(after(9000, 30).size).toBe(1);
    expect(after(11_000, 60).size).toBe(3);
  });
});
