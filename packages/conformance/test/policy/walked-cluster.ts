import { type Cluster, createCluster } from "@cnilab/cluster";
import type { KubeObject } from "@cnilab/core";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { IpFamily } from "@cnilab/net";
import { registerPolicyAgent } from "@cnilab/network-policy";

/** A cluster of these objects on Flannel, with the agent; everybody listens on every port. */
export async function walkedCluster(
  objects: readonly KubeObject[],
  family: IpFamily = 4,
): Promise<Cluster> {
  const cluster = createCluster({
    cni: flannel,
    listen: "all",
    config: { ipFamilies: [family] },
    register: (root) => {
      registerKubeProxy(root);
      registerPolicyAgent(root);
    },
  });
  cluster.apply(objects);
  await cluster.settled();
  return cluster;
}
