import { type CloudOptions, registerCloud } from "@cnilab/cloud";
import { type Cluster, createCluster, parseManifests } from "@cnilab/cluster";
import type { ProxyMode } from "@cnilab/core";
import { registerCoreDns } from "@cnilab/dns";
import { flannel } from "@cnilab/flannel";
import { registerGateway, registerIngress } from "@cnilab/gateway";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { registerPolicyAgent } from "@cnilab/network-policy";

export interface RunningOptions {
  readonly proxyMode?: ProxyMode;
  readonly cloud?: Partial<CloudOptions>;
  readonly policy?: boolean;
}

/** A cluster as the command line brings it up, in this process. */
export function running(yaml: string, options: RunningOptions = {}): Cluster {
  const cluster = createCluster({
    cni: flannel,
    ...(options.proxyMode && { config: { proxyMode: options.proxyMode } }),
    register: (root) => {
      registerCoreDns(root);
      registerKubeProxy(root);
      registerCloud(root, options.cloud);
      registerIngress(root);
      registerGateway(root);
      if (options.policy === true) registerPolicyAgent(root);
    },
  });
  cluster.apply(parseManifests(yaml, "test").objects);
  cluster.settle();
  return cluster;
}
