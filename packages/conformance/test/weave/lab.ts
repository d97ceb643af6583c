import { type Cluster, createCluster } from "@cnilab/cluster";
import type { CniOptionValues, KubeObject } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { Nic } from "@cnilab/linux";
import { type WeaveKube, weave } from "@cnilab/weave";
import { hostOf } from "../lab.ts";

export interface WeaveLabOptions {
  readonly options?: CniOptionValues;
  /** How many nodes: node1, node2… */
  readonly nodes?: number;
  readonly objects?: readonly KubeObject[];
  readonly seed?: number;
}

/** Nodes on Weave, with kube-proxy. */
export function weaveLab(lab: WeaveLabOptions = {}): Cluster {
  const { nodes = 3, objects = [], options = {}, seed = 1 } = lab;
  const cluster = createCluster({
    cni: weave,
    cniOptions: options,
    nodes,
    seed,
    register: registerKubeProxy,
  });
  cluster.apply(objects);
  cluster.settle();
  return cluster;
}

export function agentOf(cluster: Cluster, node: string): WeaveKube {
  const agent = cluster.nodes.get(node)?.agents.find(({ name }) => name === "weaver");
  if (agent === undefined) throw new Error(`there is no weaver on ${node}`);
  return agent as WeaveKube;
}

export function phase(cluster: Cluster, name: string): string | undefined {
  return cluster.api.get("Pod", `default/${name}`)?.status?.phase;
}

/** By name; pods without an address are left out. */
export function podAddresses(cluster: Cluster): Record<string, string> {
  return Object.fromEntries(
    cluster.api
      .list("Pod")
      .filter(({ status }) => status?.podIP !== undefined)
      .map(({ metadata, status }) => [metadata.name, status?.podIP as string]),
  );
}

/** Neighbours that a node has an established connection to, by their nodes' names. */
export function neighbours(cluster: Cluster, node: string): string[] {
  const connections = agentOf(cluster, node).weaver?.router.connections.values() ?? [];
  return [...connections]
    .filter(({ isEstablished }) => isEstablished)
    .map(({ remote }) => remote.nickname)
    .sort();
}

/** Nothing gets through between two nodes, or all does again. */
export function cut(cluster: Cluster, x: string, y: string, cut = true): void {
  const [from, to] = [x, y].map((node) => hostOf(cluster, node).device("eth0")) as [Nic, Nic];
  const fault = cut ? { cut } : undefined;
  from.segment.setFault(from, to, fault);
  from.segment.setFault(to, from, fault);
}
