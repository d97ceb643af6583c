import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Cluster, createCluster, parseManifests } from "@cnilab/cluster";
import type { ClusterConfig, CniOptionValues } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { weave } from "@cnilab/weave";

const MANIFESTS = [
  fileURLToPath(import.meta.resolve("@cnilab/examples/shop")),
  fileURLToPath(new URL("services.yaml", import.meta.url)),
];

export const POLICIES: string = fileURLToPath(new URL("policies.yaml", import.meta.url));
export const WEAVE_POLICIES: string = fileURLToPath(
  new URL("weave-policies.yaml", import.meta.url),
);

export interface WeaveShop {
  readonly nodes: number;
  readonly options: CniOptionValues;
  readonly config: Partial<ClusterConfig>;
  /** Manifests beside the shop's. */
  readonly files?: readonly string[];
}

/** The shop, with Services that it has no need of. */
export async function bringUpShop(shop: WeaveShop): Promise<Cluster> {
  const { nodes, options, config, files = [] } = shop;
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
