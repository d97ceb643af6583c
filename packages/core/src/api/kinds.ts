import type { AdminNetworkPolicy, BaselineAdminNetworkPolicy } from "./admin-network-policy.ts";
import type { ClusterNetworkPolicy } from "./cluster-network-policy.ts";
import type { Event } from "./event.ts";
import type { NetworkPolicy } from "./network-policy.ts";
import type { Namespace, Node } from "./node.ts";
import type { Pod } from "./pod.ts";
import type { EndpointSlice, Endpoints, Service } from "./service.ts";
import type { DaemonSet, Deployment, Job, ReplicaSet, StatefulSet } from "./workloads.ts";

/**
 * The kinds that the API store knows. A package with kinds of its own adds them by declaration
 * merging: `declare module "@cnilab/core" { interface Kinds { IPPool: IPPool } }`.
 */
export interface Kinds {
  AdminNetworkPolicy: AdminNetworkPolicy;
  BaselineAdminNetworkPolicy: BaselineAdminNetworkPolicy;
  ClusterNetworkPolicy: ClusterNetworkPolicy;
  DaemonSet: DaemonSet;
  Deployment: Deployment;
  Endpoints: Endpoints;
  EndpointSlice: EndpointSlice;
  Event: Event;
  Job: Job;
  Namespace: Namespace;
  NetworkPolicy: NetworkPolicy;
  Node: Node;
  Pod: Pod;
  ReplicaSet: ReplicaSet;
  Service: Service;
  StatefulSet: StatefulSet;
}

export type Kind = keyof Kinds;
