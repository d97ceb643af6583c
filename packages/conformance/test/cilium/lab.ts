import { cilium } from "@cnilab/cilium";
import { type Cluster, type ConnectProtocol, createCluster } from "@cnilab/cluster";
import type { CniOptionValues, KubeObject } from "@cnilab/core";
import { type RouteOptions, routesText } from "@cnilab/inspect";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { NetNamespace } from "@cnilab/linux";
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

/** Nodes node-a, node-b… with pods a1, b1…, all on Cilium; kube-proxy where Cilium does not take its place. */
export function ciliumLab(lab: LabOptions = {}): Cluster {
  const { nodes = NODES, objects = [], ipFamilies, pods = 1, options = {} } = lab;
  const cluster = createCluster({
    cni: cilium,
    cniOptions: options,
    ...(ipFamilies !== undefined && { config: { ipFamilies } }),
    register: (root) => {
      if (options["kubeProxyReplacement"] !== true) registerKubeProxy(root);
    },
  });
  const names = nodes.map((_, i) => String.fromCharCode(97 + i));
  cluster.apply([
    ...nodes.map((address, i) => node(`node-${names[i]}`, address)),
    ...objects,
    ...names.flatMap((name) =>
      Array.from({ length: pods }, (_, i) => pod(`${name}${i + 1}`, `node-${name}`)),
    ),
  ]);
  cluster.settle();
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

/** `ip route` of a node, a line each. */
export function routesOf(cluster: Cluster, name: string, options: RouteOptions = {}): string[] {
  const netns = hostOf(cluster, name);
  return routesText(netns, options)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

export function hostOf(cluster: Cluster, name: string): NetNamespace {
  const found = cluster.nodes.get(name)?.kernel.initNs;
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
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

/** The verdict of a connection to port 8080. */
export function verdict(
  cluster: Cluster,
  from: string,
  to: string,
  protocol: ConnectProtocol = "TCP",
): string {
  const request = { from: cluster.endpoint(from), to: cluster.endpoint(to), port: 8080, protocol };
  return cluster.connect(request).verdict;
}
