import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CALICO_RESOURCES, calico } from "@cnilab/calico";
import { type Cluster, createCluster, parseManifests } from "@cnilab/cluster";
import type { ClusterConfig, CniOptionValues } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { inBothFamilies } from "./both-families.ts";

const MANIFESTS = [
  fileURLToPath(import.meta.resolve("@cnilab/examples/shop")),
  fileURLToPath(new URL("services.yaml", import.meta.url)),
];

export const POLICIES: string = fileURLToPath(new URL("policies.yaml", import.meta.url));
export const CALICO_POLICIES: string = fileURLToPath(
  new URL("calico-policies.yaml", import.meta.url),
);

export interface CalicoShop {
  readonly name: string;
  readonly options: CniOptionValues;
  readonly config: Partial<ClusterConfig>;
  /** Manifests beside the shop's. */
  readonly files?: readonly string[];
}

/** The shop, with Services that it has no need of. */
export async function bringUpShop({ options, config, files = [] }: CalicoShop): Promise<Cluster> {
  const cluster = createCluster({
    cni: calico,
    cniOptions: options,
    config,
    register: (root) => registerKubeProxy(root),
  });
  const objects = [...MANIFESTS, ...files].flatMap(
    (file) =>
      parseManifests(readFileSync(file, "utf8"), file, { resources: CALICO_RESOURCES }).objects,
  );
  cluster.apply(config.ipFamilies === undefined ? objects : objects.map(inBothFamilies));
  await cluster.settled();
  return cluster;
}
