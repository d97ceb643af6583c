// The shop, the Online Boutique under its own policies, and the database of the guides, together in one cluster: what
// every CNI that enforces policies has to do with them.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Cluster, type ClusterOptions, createCluster, parseManifests } from "@cnilab/cluster";
import { type Kind, type KubeObject, objectKey, type Pod } from "@cnilab/core";
import { registerCoreDns } from "@cnilab/dns";
import { PolicyAnalysis, type PolicyReader, policyEndpoints } from "@cnilab/network-policy";
import { beforeAll, describe, expect, test } from "vitest";
import { hasManifests, MANIFESTS, ROOT } from "./cnilab.ts";

/** Two nodes share a subnet, the third is in another one. */
const NODES: readonly string[] = ["172.18.0.2", "172.18.0.3", "172.19.0.4"];

const BOUTIQUE = join(MANIFESTS, "online-boutique");
const withoutBoutique = hasManifests ? "" : " (the Online Boutique skipped: needs ../shared)";

function read(file: string): readonly KubeObject[] {
  return parseManifests(readFileSync(file, "utf8"), file).objects;
}

function boutique(): readonly KubeObject[] {
  if (!hasManifests) return [];
  const policies = join(BOUTIQUE, "network-policies");
  return [
    join(BOUTIQUE, "kubernetes-manifests.yaml"),
    ...readdirSync(policies).map((name) => join(policies, name)),
  ].flatMap((file) => read(file).map((object) => inNamespace(object, "boutique")));
}

/** The example of every beginner's guide, as the page about policies has it. */
function database(): readonly KubeObject[] {
  const page = readFileSync(join(ROOT, "docs/network-policy.md"), "utf8");
  const text = /```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
  return parseManifests(text, "db.yaml").objects.map((object) => inNamespace(object, "guide"));
}

function inNamespace(object: KubeObject, namespace: string): KubeObject {
  return { ...object, metadata: { ...object.metadata, namespace } };
}

function namespace(name: string): KubeObject {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name } };
}

function node(address: string, i: number): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: `node-${"abc"[i]}` },
    status: { addresses: [{ type: "InternalIP", address }] },
  } as KubeObject;
}

async function bringUp(nodes: readonly string[], options: ClusterOptions): Promise<Cluster> {
  const cluster = createCluster({
    ...options,
    register: (root) => {
      options.register?.(root);
      registerCoreDns(root);
    },
  });
  cluster.apply([
    ...nodes.map(node),
    ...["boutique", "guide"].map(namespace),
    ...read(fileURLToPath(import.meta.resolve("@cnilab/examples/shop"))),
    ...boutique(),
    ...database(),
  ]);
  await cluster.settled();
  return cluster;
}

/** Pods of the three, each with an address of its own. */
function pods(cluster: Cluster): readonly Pod[] {
  return cluster.api.list("Pod").filter(({ metadata }) => metadata.namespace !== "kube-system");
}

/** TCP ports on which somebody listens. */
function portsOf(pod: Pod): readonly number[] {
  return pod.spec.containers.flatMap(({ ports = [] }) =>
    ports.flatMap(({ containerPort, protocol = "TCP" }) =>
      protocol === "TCP" ? [containerPort] : [],
    ),
  );
}

interface Walked {
  readonly from: string;
  readonly to: string;
  readonly verdict: string;
}

/** Every pod asks every other one on each of its ports; `problems` is where packets and analysis are not of one mind. */
function everyPair(
  cluster: Cluster,
  reader: PolicyReader,
): { readonly walked: Walked[]; readonly problems: string[] } {
  const objects = reader.kinds.flatMap((kind: Kind) => [...cluster.api.list(kind)]);
  const { policies, endpoint, settings } = reader.read(objects);
  const endpoints = policyEndpoints(objects).map(endpoint);
  const analysis = new PolicyAnalysis(policies, endpoints, settings);
  const index = new Map(endpoints.map(({ name }, i) => [name, i]));
  const walked: Walked[] = [];
  const problems: string[] = [];
  const all = pods(cluster).map((pod) => ({ pod, name: objectKey(pod), ports: portsOf(pod) }));
  for (const { pod, name: from } of all) {
    const own = (pod.status?.podIPs ?? []).map(({ ip }) => ip);
    for (const { name: to, ports } of all) {
      if (from === to) continue;
      for (const port of ports) {
        const request = { from: cluster.endpoint(from), to: cluster.endpoint(to), port };
        const { verdict, reason, seenAs, ...sides } = cluster.connect({
          ...request,
          protocol: "TCP",
        });
        walked.push({ from, to: `${to}:${port}`, verdict });
        const [s, d] = [index.get(from), index.get(to)];
        const wanted = analysis.verdict(s as number, d as number, "TCP", port);
        const asWanted = sides.egress === wanted.egress && sides.ingress === wanted.ingress;
        const hoped = wanted.egress && wanted.ingress ? "allowed" : "blocked";
        if (!asWanted || verdict !== hoped) {
          problems.push(`${from} to ${to}:${port}: ${verdict}, ${reason}; by policies ${hoped}`);
        } else if (verdict === "allowed" && !own.includes(seenAs ?? "")) {
          problems.push(`${from} to ${to}:${port}: the server saw ${seenAs}`);
        }
      }
    }
  }
  return { walked, problems };
}

/** Who may ask `to`, without the replicas' endings. */
function allowed(walked: readonly Walked[], to: RegExp): readonly string[] {
  const names = walked
    .filter((pair) => pair.verdict === "allowed" && to.test(pair.to))
    .map(({ from }) => from.replace(/-[a-z0-9]+-[a-z0-9]{5}$/, ""));
  return [...new Set(names)].toSorted();
}

export interface ApplicationLimits {
  /** Whether policies with ports' names count; the shop's cache is let in by one. They do. */
  readonly namedPorts?: boolean;
}

/**
 * The three on a cluster: everything runs, packets between all pairs of pods go as `reader` understands the policies, sources are kept, and
 * Services lead there.
 */
export function applicationTests(
  name: string,
  options: ClusterOptions,
  reader: PolicyReader,
  nodes: readonly string[] = NODES,
  { namedPorts = true }: ApplicationLimits = {},
): void {
  describe(`${name}${withoutBoutique}`, () => {
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await bringUp(nodes, options);
    });
    const ask = (from: string, to: string, port: number, verdict: string): void => {
      const request = { from: cluster.endpoint(from), to: cluster.endpoint(to), port };
      expect(cluster.connect({ ...request, protocol: "TCP" }).verdict).toBe(verdict);
    };

    test("all run, with addresses of their own", () => {
      expect(pods(cluster).filter(({ status }) => status?.phase !== "Running")).toEqual([]);
      const addresses = pods(cluster).map(({ status }) => status?.podIP);
      expect(addresses).not.toContain(undefined);
      expect(new Set(addresses).size).toBe(addresses.length);
      expect(new Set(pods(cluster).map(({ spec }) => spec.nodeName)).size).toBe(nodes.length);
    });

    test("packets between all pods go as the policies say, and nobody's address changes on the way", () => {
      const { walked, problems } = everyPair(cluster, reader);
      expect(problems).toEqual([]);
      expect(allowed(walked, /^guide\/db:/)).toEqual(["guide/api"]);
      const toCache = allowed(walked, /^shop-data\/cache-/);
      if (namedPorts) expect(toCache).toEqual(["shop/cart"]);
      else expect(toCache).toContain("shop/frontend");
      if (!hasManifests) return;
      expect(allowed(walked, /^boutique\/redis-cart-/)).toEqual(["boutique/cartservice"]);
      expect(allowed(walked, /^boutique\/paymentservice-/)).toEqual(["boutique/checkoutservice"]);
    });

    test.skipIf(!hasManifests).each([
      ["boutique/deploy/checkoutservice", "paymentservice.boutique", 50051, "allowed"],
      ["boutique/deploy/frontend", "paymentservice.boutique", 50051, "blocked"],
      ["boutique/deploy/loadgenerator", "frontend.boutique", 80, "allowed"],
    ] as const)("%s asks Service %s on %i: %s", ask);

    test.each([
      ["guide/api", "db.guide", 5432, "allowed"],
      ["guide/web", "db.guide", 5432, "blocked"],
      ["shop/deploy/cart", "cache.shop-data", 6379, "allowed"],
      ["shop/deploy/frontend", "cache.shop-data", 6379, namedPorts ? "blocked" : "allowed"],
    ] as const)("%s asks Service %s on %i: %s", ask);
  });
}
