import { calico } from "@cnilab/calico";
import { type Cluster, type ConnectProtocol, createCluster } from "@cnilab/cluster";
import type { KubeObject } from "@cnilab/core";
import type { RouteOptions } from "@cnilab/inspect";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { type LabOptions, labObjects, routesOf } from "../lab.ts";

/** Nodes node-a, node-b… with pods a1, b1…, all on Calico. */
export async function calicoLab(lab: LabOptions = {}): Promise<Cluster> {
  const { ipFamilies, options = {} } = lab;
  const cluster = createCluster({
    cni: calico,
    cniOptions: options,
    ...(ipFamilies !== undefined && { config: { ipFamilies } }),
    register: registerKubeProxy,
  });
  cluster.apply(labObjects(lab));
  await cluster.settled();
  return cluster;
}

export function calicoObject(kind: string, name: string, spec: object): KubeObject {
  return {
    apiVersion: "projectcalico.org/v3",
    kind,
    metadata: { name },
    spec,
  } as unknown as KubeObject;
}

export function pool(cidr: string, spec: object = {}, name = "pool"): KubeObject {
  return calicoObject("IPPool", name, { cidr, ...spec });
}

/** `ip route`, without what the machine itself has and without pods' own. */
export function clusterRoutes(
  cluster: Cluster,
  node: string,
  options: RouteOptions = {},
): string[] {
  return routesOf(cluster, node, options).filter(
    (line) => !/^default|proto kernel|dev eth0 scope link|dev cali[0-9a-f]{11} /.test(line),
  );
}

export function verdict(
  cluster: Cluster,
  from: string,
  to: string,
  protocol: ConnectProtocol = "TCP",
): string {
  const { verdict, reason } = cluster.connect({
    from: cluster.endpoint(from),
    to: cluster.endpoint(to),
    protocol,
    port: 8080,
  });
  return verdict === "allowed" ? verdict : `${verdict}: ${reason}`;
}

export function addressOf(cluster: Cluster, pod: string): string {
  return cluster.api.get("Pod", `default/${pod}`)?.status?.podIP ?? "";
}
