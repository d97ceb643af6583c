import type { AdminNetworkPolicy, BaselineAdminNetworkPolicy } from "./admin-network-policy.ts";
import type { ClusterNetworkPolicy } from "./cluster-network-policy.ts";
import type { ConfigMap } from "./config-map.ts";
import type { Event } from "./event.ts";
import type {
  BackendTLSPolicy,
  Gateway,
  GatewayClass,
  ListenerSet,
  ReferenceGrant,
} from "./gateway.ts";
import type { GRPCRoute, HTTPRoute, TCPRoute, TLSRoute, UDPRoute } from "./gateway-routes.ts";
import type { Ingress, IngressClass } from "./ingress.ts";
import type { KubeObject } from "./meta.ts";
import type { NetworkPolicy } from "./network-policy.ts";
import type { Namespace, Node } from "./node.ts";
import type { Pod } from "./pod.ts";
import type { Secret } from "./secret.ts";
import type { EndpointSlice, Endpoints, Service } from "./service.ts";
import type { ServiceAccount } from "./service-account.ts";
import type { DaemonSet, Deployment, Job, ReplicaSet, StatefulSet } from "./workloads.ts";

/**
 * The kinds that the API store knows. A package with kinds of its own adds them by declaration
 * merging: `declare module "@cnilab/core" { interface Kinds { "IPPool.projectcalico.org": IPPool } }`.
 */
export interface Kinds {
  AdminNetworkPolicy: AdminNetworkPolicy;
  BackendTLSPolicy: BackendTLSPolicy;
  BaselineAdminNetworkPolicy: BaselineAdminNetworkPolicy;
  ClusterNetworkPolicy: ClusterNetworkPolicy;
  ConfigMap: ConfigMap;
  DaemonSet: DaemonSet;
  Deployment: Deployment;
  Endpoints: Endpoints;
  EndpointSlice: EndpointSlice;
  Event: Event;
  Gateway: Gateway;
  GatewayClass: GatewayClass;
  GRPCRoute: GRPCRoute;
  HTTPRoute: HTTPRoute;
  Ingress: Ingress;
  IngressClass: IngressClass;
  Job: Job;
  ListenerSet: ListenerSet;
  Namespace: Namespace;
  NetworkPolicy: NetworkPolicy;
  Node: Node;
  Pod: Pod;
  ReferenceGrant: ReferenceGrant;
  ReplicaSet: ReplicaSet;
  Secret: Secret;
  Service: Service;
  ServiceAccount: ServiceAccount;
  StatefulSet: StatefulSet;
  TCPRoute: TCPRoute;
  TLSRoute: TLSRoute;
  UDPRoute: UDPRoute;
}

export type Kind = keyof Kinds;

/**
 * What the API store calls an object's kind: its name alone in the groups of the Kubernetes project, and `Kind.group` in all others,
 * as apimachinery's GroupKind prints it. So several groups may have a NetworkPolicy or a Tier.
 */
export function kindOf({ apiVersion, kind }: Pick<KubeObject, "apiVersion" | "kind">): Kind {
  const slash = apiVersion.indexOf("/");
  if (slash < 0) return kind as Kind;
  const group = apiVersion.slice(0, slash);
  // Groups under k8s.io and x-k8s.io are the project's own (KEP-2337), and its oldest have no dot.
  const projects = !group.includes(".") || group.endsWith(".k8s.io") || group.endsWith(".x-k8s.io");
  return (projects ? kind : `${kind}.${group}`) as Kind;
}

/** Kinds of policies are all called so: `GlobalNetworkPolicy.projectcalico.org`. */
export function isPolicyKind(kind: string): boolean {
  return /NetworkPolicy(?:$|\.)/.test(kind);
}
