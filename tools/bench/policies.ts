// All pairs of a generated cluster under generated policies: `node policies.ts PODS POLICIES`, one line of JSON.
import { type KubeObject, type Random, SeededRandom } from "@cnilab/core";
import { PolicyAnalysis, policyEndpoints, readPolicies } from "@cnilab/network-policy";
import { cpuSeconds } from "./measure.ts";

export interface PolicyBench {
  readonly pods: number;
  readonly policies: number;
  /** Pods that no policy tells apart are one class. */
  readonly classes: number;
  readonly portClasses: number;
  /** Reading the objects and sorting pods and ports into classes. */
  readonly sortCpuSeconds: number;
  /** All pairs on the ports of one class: counted one by one, so many classes of ports. */
  readonly measuredPortClasses: number;
  readonly pairsCpuSeconds: number;
  readonly allowedPairs: number;
  readonly bytes: number;
}

/** Beyond this many pods, all pairs are counted on so many classes of ports only. */
const SMALL = 10_000;
const FEW = 3;

const [pods = 1000, policies = 500] = process.argv.slice(2).map(Number);
console.log(JSON.stringify(measure(pods, policies)));

function measure(podCount: number, policyCount: number): PolicyBench {
  const random = new SeededRandom(1);
  const objects = cluster(podCount, random);
  const policyObjects = generatePolicies(policyCount, podCount, random);
  globalThis.gc?.();
  const before = process.memoryUsage();
  let analysis: PolicyAnalysis | undefined;
  const sortCpuSeconds = cpuSeconds(() => {
    analysis = new PolicyAnalysis(readPolicies(policyObjects), policyEndpoints(objects));
  });
  const found = analysis as unknown as PolicyAnalysis;
  const portClasses = found.portClasses.length;
  const measured = podCount < SMALL ? portClasses : FEW;
  let allowedPairs = 0;
  const pairsCpuSeconds = cpuSeconds(() => {
    for (let i = 0; i < measured; i++) allowedPairs += found.matrix(i).countPairs();
  });
  const after = process.memoryUsage();
  return {
    pods: podCount,
    policies: policyCount,
    classes: found.classes.classes.length,
    portClasses,
    sortCpuSeconds,
    measuredPortClasses: measured,
    pairsCpuSeconds,
    allowedPairs,
    bytes: after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers,
  };
}

function pick<T>(random: Random, all: readonly T[]): T {
  return all[random.below(all.length)] as T;
}

/** A namespace for a hundred pods, five at least; every pod has a label and an address of its own. */
function cluster(count: number, random: Random): KubeObject[] {
  const names = namespaces(count);
  const objects = names.map((name, i) => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: {
      name,
      labels: {
        "kubernetes.io/metadata.name": name,
        env: pick(random, ["prod", "dev", "test"]),
        team: `t${i % 20}`,
      },
    },
  })) as KubeObject[];
  for (let i = 0; i < count; i++) {
    objects.push({
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: `p${i}`,
        namespace: pick(random, names),
        labels: {
          app: `app${random.below(50)}`,
          tier: pick(random, ["front", "back", "db"]),
          "pod-template-hash": `h${random.below(count)}`,
        },
      },
      spec: {
        containers: [
          { name: "c", ports: [{ name: "http", containerPort: pick(random, [80, 8080]) }] },
        ],
      },
      status: { podIP: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}` },
    } as KubeObject);
  }
  return objects;
}

function namespaces(pods: number): string[] {
  return Array.from({ length: Math.max(5, Math.floor(pods / 100)) }, (_, i) => `ns${i}`);
}

/** All that a NetworkPolicy can say: selectors of every kind, address ranges, ports, names and ranges of ports. */
function generatePolicies(count: number, pods: number, random: Random): KubeObject[] {
  const names = namespaces(pods);
  const selector = () =>
    pick<() => object>(random, [
      () => ({}),
      () => ({ matchLabels: { app: `app${random.below(50)}` } }),
      () => ({
        matchLabels: { app: `app${random.below(50)}`, tier: pick(random, ["front", "back"]) },
      }),
      () => ({
        matchExpressions: [
          {
            key: "tier",
            operator: pick(random, ["In", "NotIn"]),
            values: [pick(random, ["front", "back", "db"])],
          },
        ],
      }),
      () => ({ matchExpressions: [{ key: "app", operator: "Exists" }] }),
    ])();
  const namespaceSelector = () =>
    pick<() => object>(random, [
      () => ({}),
      () => ({ matchLabels: { env: pick(random, ["prod", "dev", "test"]) } }),
      () => ({ matchLabels: { team: `t${random.below(20)}` } }),
    ])();
  const peer = () =>
    pick<() => object>(random, [
      () => ({ podSelector: selector() }),
      () => ({ namespaceSelector: namespaceSelector() }),
      () => ({ namespaceSelector: namespaceSelector(), podSelector: selector() }),
      () => ({
        ipBlock: {
          cidr: `10.${random.below(2)}.${random.below(256)}.0/${pick(random, [16, 20, 24])}`,
        },
      }),
    ])();
  const port = () =>
    pick<() => object>(random, [
      () => ({ port: pick(random, [80, 443, 5432, 6379, 8080, 9090]) }),
      () => ({ port: "http" }),
      () => ({ protocol: "UDP", port: 53 }),
      () => ({ port: 1000 + random.below(500) * 10, endPort: 9000 }),
    ])();
  return Array.from({ length: count }, (_, i) => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: `np${i}`, namespace: pick(random, names) },
    spec: {
      podSelector: selector(),
      policyTypes: pick(random, [["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
      ingress: [{ from: [peer(), peer()], ports: [port(), port()] }],
      egress: [{ to: [peer(), peer()], ports: [port()] }],
    },
  })) as unknown as KubeObject[];
}
