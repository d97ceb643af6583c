import { cilium } from "@cnilab/cilium";
import { type Cluster, createCluster } from "@cnilab/cluster";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { NetNamespace } from "@cnilab/linux";
import { type LabOptions, labObjects } from "../lab.ts";

/** Nodes node-a, node-b… with pods a1, b1…, all on Cilium; kube-proxy where Cilium does not take its place. */
export function ciliumLab(lab: LabOptions = {}): Cluster {
  const { ipFamilies, options = {} } = lab;
  const cluster = createCluster({
    cni: cilium,
    cniOptions: options,
    ...(ipFamilies !== undefined && { config: { ipFamilies } }),
    register: (root) => {
      if (options["kubeProxyReplacement"] !== true) registerKubeProxy(root);
    },
  });
  cluster.apply(labObjects(lab));
  cluster.settle();
  return cluster;
}

export function sandboxOf(cluster: Cluster, name: string): NetNamespace {
  const { metadata, spec } = cluster.api.get("Pod", `default/${name}`) as {
    metadata: { uid: string };
    spec: { nodeName: string };
  };
  const found = cluster.nodes.get(spec.nodeName)?.kubelet.sandboxOf(metadata.uid);
  if (found === undefined) throw new Error(`${name} has no network`);
  return found;
}

export function addressesOf(cluster: Cluster, name: string): string[] {
  return (cluster.api.get("Pod", `default/${name}`)?.status?.podIPs ?? []).map(({ ip }) => ip);
}
