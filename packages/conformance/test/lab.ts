import type { Cluster, ConnectProtocol } from "@cnilab/cluster";
import type { CniOptionValues, KubeObject, ObjectMeta } from "@cnilab/core";
import { type RouteOptions, routesText } from "@cnilab/inspect";
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

/** Nodes node-a, node-b…, the objects given, and pods a1, b1…. */
export function labObjects({ nodes = NODES, objects = [], pods = 1 }: LabOptions): KubeObject[] {
  const names = nodes.map((_, i) => String.fromCharCode(97 + i));
  return [
    ...nodes.map((address, i) => node(`node-${names[i]}`, address)),
    ...objects,
    ...names.flatMap((name) =>
      Array.from({ length: pods }, (_, i) => pod(`${name}${i + 1}`, `node-${name}`)),
    ),
  ];
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
  metadata: Pick<ObjectMeta, "annotations" | "labels"> = {},
): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", ...metadata },
    spec: {
      nodeName,
      containers: [{ name: "web", image: "web", ports: [{ containerPort: 8080 }] }],
    },
  } as KubeObject;
}

export function hostOf(cluster: Cluster, name: string): NetNamespace {
  const found = cluster.nodes.get(name)?.kernel.initNs;
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}

/** `ip route` of a node, a line each. */
export function routesOf(cluster: Cluster, name: string, options: RouteOptions = {}): string[] {
  const netns = hostOf(cluster, name);
  return routesText(netns, options)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
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
