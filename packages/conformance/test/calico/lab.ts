import { calico } from "@cnilab/calico";
import { type Cluster, type ConnectProtocol, createCluster } from "@cnilab/cluster";
import type { CniOptionValues, KubeObject } from "@cnilab/core";
import { type RouteOptions, routesText } from "@cnilab/inspect";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { IpFamily } from "@cnilab/net";

export interface LabOptions {
  readonly options?: CniOptionValues;
  readonly ipFamilies?: readonly IpFamily[];
  /** Addresses of the nodes, node-a first; all in 172.18.0.0/16 unless given. */
  readonly nodes?: readonly string[];
  readonly objects?: readonly KubeObject[];
  /** Pods on each node. */
  readonly pods?: number;
}

const NODES = ["172.18.0.2", "172.18.0.3", "172.18.0.4"];

/** Nodes node-a, node-b… with pods a1, b1…, all on Calico. */
export async function calicoLab(lab: LabOptions = {}): Promise<Cluster> {
  const { nodes = NODES, objects = [], ipFamilies, pods = 1, options = {} } = lab;
  const cluster = createCluster({
    cni: calico,
    cniOptions: options,
    ...(ipFamilies !== undefined && { config: { ipFamilies } }),
    register: registerKubeProxy,
  });
  const names = nodes.map((_, i) => String.fromCharCode(97 + i));
  cluster.apply([
    ...nodes.map((address, i) => node(`node-${names[i]}`, address)),
    ...objects,
    ...names.flatMap((name) =>
      Array.from({ length: pods }, (_, i) => pod(`${name}${i + 1}`, `node-${name}`)),
    ),
  ]);
  await cluster.settled();
  return cluster;
}

/** @param address one, or several with a comma between */
export function node(name: string, address: string): KubeObject {
  const addresses = address.split(",").map((a) => ({ type: "InternalIP", address: a }));
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name } },
    status: { addresses },
  } as KubeObject;
}

export function pod(
  name: string,
  nodeName: string,
  annotations: Readonly<Record<string, string>> = {},
): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", annotations },
    spec: {
      nodeName,
      containers: [{ name: "web", image: "web", ports: [{ containerPort: 8080 }] }],
    },
  } as KubeObject;
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
  const netns = cluster.nodes.get(node)?.kernel.initNs;
  if (netns === undefined) return [];
  return routesText(netns, options)
    .split("\n")
    .map((line) => line.trim())
    .filter(
      (line) =>
        line !== "" &&
        !/^default|proto kernel|dev eth0 scope link|dev cali[0-9a-f]{11} /.test(line),
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
