// The shop on Weave, realised in namespaces of this machine: everybody asks everybody.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Cluster, createCluster, parseManifests } from "@cnilab/cluster";
import type { ClusterConfig, CniOptionValues } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { whyNotHere } from "@cnilab/realize";
import { weave } from "@cnilab/weave";
import { describe, test } from "vitest";
import { expectAgreement } from "./systems/agreement.ts";

const missing = whyNotHere();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

const MANIFESTS = [
  fileURLToPath(import.meta.resolve("@cnilab/examples/shop")),
  fileURLToPath(new URL("systems/services.yaml", import.meta.url)),
];
const POLICIES = fileURLToPath(new URL("systems/policies.yaml", import.meta.url));
const WEAVE_POLICIES = fileURLToPath(new URL("systems/weave-policies.yaml", import.meta.url));

interface Shop {
  readonly name: string;
  readonly nodes: number;
  readonly options: CniOptionValues;
  readonly config: Partial<ClusterConfig>;
  readonly files?: readonly string[];
}

const CLUSTERS: readonly Shop[] = [
  {
    name: "one node, kube-proxy with iptables, and policies",
    nodes: 1,
    options: { fastdp: false },
    config: { proxyMode: "iptables" },
    files: [POLICIES],
  },
  {
    name: "one node, kube-proxy with nftables, and other policies",
    nodes: 1,
    options: { fastdp: false, "no-masq-local": false },
    config: { proxyMode: "nftables" },
    files: [WEAVE_POLICIES],
  },
  {
    name: "one node without weave-npc",
    nodes: 1,
    options: { fastdp: false, "expect-npc": false },
    config: { proxyMode: "iptables" },
    files: [POLICIES],
  },
];

describe.skipIf(missing !== undefined)(`the shop on Weave in real namespaces${why}`, () => {
  // One after the other: all namespaces of a machine share room for 1,024 neighbours (neigh/default/gc_thresh3), and on Weave
  // each pod is a neighbour of all others.
  test.each(CLUSTERS)("with $name does what probe says", async (shop) => {
    const cluster = await bringUp(shop);
    await expectAgreement(cluster, `weave${process.pid}-${CLUSTERS.indexOf(shop)}`, 100);
  });
});

async function bringUp({ nodes, options, config, files = [] }: Shop): Promise<Cluster> {
  const cluster = createCluster({
    cni: weave,
    cniOptions: options,
    config,
    nodes,
    register: (root) => registerKubeProxy(root),
  });
  const objects = [...MANIFESTS, ...files].flatMap(
    (file) => parseManifests(readFileSync(file, "utf8"), file).objects,
  );
  cluster.apply(objects);
  await cluster.settled();
  return cluster;
}
