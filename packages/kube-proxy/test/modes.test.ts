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

const MODES: readonly KubeProxyMode[] = ["iptables", "nftables", "ipvs"];
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

/** What an address of a Service is to it. */
type Kind = "clusterIP" | "nodePort" | "externalIP" | "loadBalancer";

/** An address that a Service can be called by. */
interface Destination {
  readonly kind: Kind;
  readonly random: Random;
  readonly dest: string;
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
    const add = (kind: Kind, dest: string) => destinations.push({ kind, random, dest });
    add("clusterIP", `${clusterIP}:80`);
    if (random.nodePort) add("nodePort", `${PRIMARY}:${nodePort}`);
    for (const ip of externalIPs) add("externalIP", `${ip}:80`);
    for (const ip of ingress) add("loadBalancer", `${ip}:80`);
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

/** Clients for whom a mode differs from iptables: see "documented differences". */
type DiffersFor = (destination: Destination, settings: Partial<KubeProxyConfig>) => string[];

function isUsable(endpoint: string): boolean {
  return !endpoint.endsWith("!") && !endpoint.endsWith("%");
}

const nftablesDiffersFor: DiffersFor = ({ kind, random }) => {
  if (random.endpoints.some(isUsable)) return [];
  if (kind === "externalIP") return ["node1"];
  if (kind !== "loadBalancer") return [];
  return random.sourceRanges.length > 0 ? CLIENTS : ["node1"];
};

const ipvsDiffersFor: DiffersFor = (destination, settings) => {
  const { kind, random } = destination;
  const { endpoints, protocol, externalLocal, internalLocal } = random;
  if (!endpoints.some(isUsable)) {
    const others = nftablesDiffersFor(destination, settings);
    return protocol === "UDP" && kind === "nodePort" ? ["node1"] : others;
  }
  if (kind === "clusterIP") {
    // Without anything that tells pods, the node's own calls are masqueraded, or would not come back.
    const own = settings.clusterCIDRs === undefined && !settings.detectLocalMode ? ["node1"] : [];
    const hasLocal = endpoints.some((e) => e.includes("@node1") && isUsable(e));
    return internalLocal && !hasLocal ? CLIENTS : own;
  }
  // Policy Local holds for pods and the node itself as well; the node is not masqueraded then.
  if (externalLocal) return ["node1", "pod-on-node1"];
  return [];
};

/** What clients meet in iptables mode and in another one, where it differs. */
function differences(
  other: KubeProxyMode,
  differsFor: DiffersFor,
  set: readonly Random[],
  settings: Partial<KubeProxyConfig>,
  tried: number,
): string[] {
  const { objects, destinations } = cluster(set);
  const networks = [start("iptables", objects, settings), start(other, objects, settings)];
  return destinations.flatMap((destination) => {
    const skipped = differsFor(destination, settings);
    const { dest, random } = destination;
    return CLIENTS.filter((from) => !skipped.includes(from)).flatMap((from) => {
      const flow = { protocol: random.protocol, dest, from, tried };
      const [one, another] = networks.map((network) => connect(flow, network));
      return one === another ? [] : [`${from} to ${dest}/${random.protocol}: ${one} / ${another}`];
    });
  });
}

const OTHERS: readonly (readonly [KubeProxyMode, DiffersFor])[] = [
  ["nftables", nftablesDiffersFor],
  ["ipvs", ipvsDiffersFor],
];

describe("the modes", () => {
  test.each(OTHERS)(
    "iptables and %s give the same outcomes for any set of Services",
    (mode, differsFor) => {
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
          expect(differences(mode, differsFor, services, config, 60)).toEqual([]);
        }),
        { numRuns: 20 },
      );
    },
  );

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
  const [web, , elsewhere] = pods as [string, string, string];

  describe("documented differences", () => {
    test.each<{
      what: string;
      set: Random;
      settings?: Partial<KubeProxyConfig>;
      from: string;
      dest: string;
      iptables: string;
      nftables: string;
      ipvs: string;
    }>([
      {
        what: "iptables mode looks at a node's own calls to external addresses only to forward them",
        set: lb([], []),
        from: "node1",
        dest: "203.0.113.1:80",
        iptables: "timeout",
        nftables: "refused",
        ipvs: "refused",
      },
      {
        what: "iptables mode has no firewall for a load balancer without endpoints",
        set: lb([], ["10.244.0.0/16"]),
        from: "client",
        dest: "198.18.0.1:80",
        iptables: "refused",
        nftables: "timeout",
        ipvs: "timeout",
      },
      {
        what: "nftables and IPVS modes have no node ports on 127.0.0.1",
        set: lb([web], []),
        from: "node1",
        dest: "127.0.0.1:30000",
        iptables: "ok p1-10 8080 sees 10.244.1.1",
        nftables: "refused",
        ipvs: "refused",
      },
      {
        what: "nftables mode has node ports on the primary address only",
        set: lb([web], []),
        from: "pod-on-node1",
        dest: "10.244.1.1:30000",
        iptables: "ok p1-10 8080 sees 10.244.1.1",
        nftables: "refused",
        ipvs: "ok p1-10 8080 sees 10.244.1.1",
      },
      {
        what: "iptables mode leaves a cluster IP's other ports to the routes",
        set: lb([web], []),
        from: "pod-on-node1",
        dest: "10.96.0.1:81",
        iptables: "timeout",
        nftables: "refused",
        ipvs: "refused",
      },
      {
        what: "IPVS mode refuses other ports of external addresses as well: the node has these",
        set: lb([web], []),
        from: "client",
        dest: "203.0.113.1:81",
        iptables: "timeout",
        nftables: "timeout",
        ipvs: "refused",
      },
      {
        what: "in IPVS mode policy Local holds for pods, too",
        set: { ...lb([web, elsewhere], []), externalLocal: true },
        from: "pod-on-node1",
        dest: "203.0.113.1:80",
        iptables: "ok p1-10 8080 sees 10.244.1.50, ok p2-10 8080 sees 10.244.1.50",
        nftables: "ok p1-10 8080 sees 10.244.1.50, ok p2-10 8080 sees 10.244.1.50",
        ipvs: "ok p1-10 8080 sees 10.244.1.50",
      },
      {
        what: "in IPVS mode policy Local holds for the node, which is not masqueraded",
        set: { ...lb([web, elsewhere], []), externalLocal: true },
        from: "node1",
        dest: "203.0.113.1:80",
        iptables: "ok p1-10 8080 sees 10.244.1.1, ok p2-10 8080 sees 192.168.100.11",
        nftables: "ok p1-10 8080 sees 10.244.1.1, ok p2-10 8080 sees 192.168.100.11",
        ipvs: "ok p1-10 8080 sees 203.0.113.1",
      },
      {
        what: "in IPVS mode internal policy Local without endpoints here means all endpoints",
        set: { ...lb([elsewhere], []), internalLocal: true },
        from: "pod-on-node1",
        dest: "10.96.0.1:80",
        iptables: "timeout",
        nftables: "timeout",
        ipvs: "ok p2-10 8080 sees 10.244.1.50",
      },
      {
        what: "without local detection IPVS mode masquerades the node's own calls",
        set: lb([web], []),
        settings: {},
        from: "node1",
        dest: "10.96.0.1:80",
        iptables: "ok p1-10 8080 sees 192.168.100.11",
        nftables: "ok p1-10 8080 sees 192.168.100.11",
        ipvs: "ok p1-10 8080 sees 10.244.1.1",
      },
      {
        what: "IPVS mode refuses the node's own datagrams before they are sent",
        set: { ...lb([], []), protocol: "UDP" },
        from: "node1",
        dest: `${PRIMARY}:30000`,
        iptables: "refused",
        nftables: "refused",
        ipvs: "Operation not permitted",
      },
    ])("$what", ({ set, settings = LOCAL_PODS, from, dest, ...expected }) => {
      const { objects } = cluster([set]);
      for (const mode of MODES) {
        const flow = { protocol: set.protocol, from, dest, tried: 8 };
        const met = connect(flow, start(mode, objects, settings));
        expect(`${mode}: ${met}`).toBe(`${mode}: ${expected[mode]}`);
      }
    });
  });
});

const WEB = { clusterIP: "10.96.0.1", ports: [{ port: 80, protocol: "TCP" }] } as const;
const TO_WEB = { protocol: "TCP", dest: "10.96.0.1:80", from: "pod-on-node1" } as const;

const BACKENDS = pods.map((pod) => pod.slice(0, pod.indexOf("@")));

/** How often each outcome comes in 3000 connections. */
function shares(mode: KubeProxyMode, settings: Partial<KubeProxyConfig> = {}): Map<string, number> {
  const objects = [NODE, service("web", WEB), slice("web", [{ port: 8080 }], BACKENDS)];
  const network = start(mode, objects, { ...LOCAL_PODS, ...settings });
  const counts = new Map<string, number>();
  for (let i = 0; i < 3000; i++) {
    const outcome = connect({ ...TO_WEB, tried: 1 }, network);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  return counts;
}

describe.each<[KubeProxyMode, idleMs: number]>([
  ["iptables", 11_000],
  ["nftables", 11_000],
  // As long as IPVS remembers a connection (two minutes after its end), and up to a minute longer.
  ["ipvs", 181_000],
])("in %s mode", (mode, idleMs) => {
  test("each endpoint gets its share", () => {
    const counts = shares(mode);
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
      slice("web", [{ port: 8080 }], BACKENDS),
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
    expect(after(idleMs, 60).size).toBe(3);
  });
});

describe("IPVS mode's schedulers", () => {
  test("rr is exact", () => {
    expect([...shares("ipvs").values()]).toEqual([1000, 1000, 1000]);
  });

  test("sh sends a client to one endpoint", () => {
    expect([...shares("ipvs", { ipvsScheduler: "sh" }).values()]).toEqual([3000]);
  });

  test("mh spreads the ports of one client", () => {
    expect(shares("ipvs", { ipvsScheduler: "mh" }).size).toBe(3);
  });
});
