import { type Cluster, createCluster } from "@cnilab/cluster";
import type { CniModel, CniOptionValues, KubeObject, Labels, Pod, ProxyMode } from "@cnilab/core";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { NetNamespace } from "@cnilab/linux";
import { type IpAddress, parseIp, parsePrefix } from "@cnilab/net";

/** How large a cluster is. */
export interface ClusterSize {
  readonly nodes: number;
  readonly podsPerNode: number;
  readonly services: number;
}

/** How a cluster is networked; Flannel with vxlan unless given. */
export interface Networking {
  readonly cni?: CniModel;
  readonly cniOptions?: CniOptionValues;
  readonly proxyMode?: ProxyMode;
  /** Nobody runs kube-proxy: the CNI serves Services. */
  readonly withoutKubeProxy?: boolean;
  /** Objects beside the pods and Services. */
  readonly more?: readonly KubeObject[];
  /** Labels of a pod beside those that all have. */
  readonly labelsOf?: (node: number, pod: number) => Labels;
}

/** A CNI and kube-proxy; every pod listens on TCP port 8080. */
export function makeCluster(
  { nodes, podsPerNode, services }: ClusterSize,
  {
    cni = flannel,
    cniOptions = {},
    proxyMode = "iptables",
    withoutKubeProxy = false,
    more = [],
    labelsOf = () => ({}),
  }: Networking = {},
): Cluster {
  const cluster = createCluster({
    nodes,
    cni,
    cniOptions,
    // Room for a /24 for each node.
    config: {
      clusterCidrs: [parsePrefix("10.128.0.0/9")],
      nodeCidrMaskSize: { 4: 24, 6: 64 },
      proxyMode,
    },
    ...(!withoutKubeProxy && { register: registerKubeProxy }),
  });
  cluster.apply([...more, ...objects({ nodes, podsPerNode, services }, labelsOf)]);
  cluster.settle();
  return cluster;
}

/** Pods `pod-N-K` on `nodeN`; Service `service-S` has the pods with `K` = 0 of three nodes. */
function objects(
  { nodes, podsPerNode, services }: ClusterSize,
  labelsOf: (node: number, pod: number) => Labels,
): KubeObject[] {
  const list: KubeObject[] = [];
  for (let s = 0; s < services; s++) {
    list.push({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: `service-${s}`, namespace: "default" },
      spec: {
        selector: { group: `g${s % Math.max(1, Math.floor((nodes * podsPerNode) / 3))}` },
        ports: [
          { name: "tcp", port: 80, targetPort: 8080, protocol: "TCP" },
          { name: "udp", port: 80, targetPort: 8080, protocol: "UDP" },
        ],
      },
    } as KubeObject);
  }
  for (let n = 1; n <= nodes; n++) {
    for (let k = 0; k < podsPerNode; k++) {
      // Three neighbours in the list, on three nodes where there are as many, make one group.
      const index = k * nodes + n - 1;
      list.push({
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          name: `pod-${n}-${k}`,
          namespace: "default",
          labels: { app: "bench", group: `g${Math.floor(index / 3)}`, ...labelsOf(n, k) },
        },
        spec: {
          nodeName: `node${n}`,
          containers: [
            {
              name: "main",
              image: "bench",
              ports: [{ containerPort: 8080, protocol: "TCP" }],
            },
          ],
        },
      } as KubeObject);
    }
  }
  return list;
}

/** A pod's network namespace. */
export function netnsOf(cluster: Cluster, name: string): NetNamespace {
  const address = addressOf(cluster, name);
  for (const node of cluster.nodes.values()) {
    for (const netns of node.kernel.namespaces) if (netns.hasAddress(address)) return netns;
  }
  throw new Error(`pod ${name} has no network namespace`);
}

export function addressOf(cluster: Cluster, name: string): IpAddress {
  const pod: Pod | undefined = cluster.api.get("Pod", `default/${name}`);
  const ip = pod?.status?.podIP;
  if (ip === undefined) throw new Error(`pod ${name} has no address`);
  return parseIp(ip);
}

export function clusterIpOf(cluster: Cluster, service: string): IpAddress {
  const ip = cluster.api.get("Service", `default/${service}`)?.spec.clusterIP;
  if (ip === undefined) throw new Error(`Service ${service} has no address`);
  return parseIp(ip);
}
