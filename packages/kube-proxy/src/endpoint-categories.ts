import type { ProxyEndpoint } from "./endpoint.ts";
import { type ServicePort, usesClusterEndpoints, usesLocalEndpoints } from "./service-port.ts";

/** What proxying knows of the node it runs on. */
export interface NodeTopology {
  readonly name: string;
  /** Label `topology.kubernetes.io/zone`; empty without it. */
  readonly zone: string;
}

/** Which endpoints of a service port a node uses (pkg/proxy/topology.go `CategorizeEndpoints`). */
export interface EndpointCategories {
  /** For traffic whose policy is Cluster. */
  readonly cluster: readonly ProxyEndpoint[];
  /** For traffic whose policy is Local. */
  readonly local: readonly ProxyEndpoint[];
  /** Those in either list. */
  readonly reachable: readonly ProxyEndpoint[];
  /** Whether there is any usable endpoint in the cluster. */
  readonly any: boolean;
}

export function categorizeEndpoints(
  all: readonly ProxyEndpoint[],
  port: ServicePort,
  node: NodeTopology,
): EndpointCategories {
  const endpoints = asSeenFrom(node, all);
  const usesCluster = usesClusterEndpoints(port);
  const usesLocal = usesLocalEndpoints(port);
  const cluster = usesCluster ? clusterEndpoints(endpoints, node) : [];
  const local = usesLocal ? localEndpoints(endpoints, node) : [];
  return {
    cluster,
    local,
    reachable: union(endpoints, cluster, local),
    any: endpoints.some((e) => e.ready || (e.serving && e.terminating)),
  };
}

/** Whether two nodes can get different categories for these endpoints. */
export function dependsOnNode(port: ServicePort, endpoints: readonly ProxyEndpoint[]): boolean {
  return (
    usesLocalEndpoints(port) ||
    endpoints.some((e) => e.byNode !== undefined) ||
    (usesClusterEndpoints(port) &&
      endpoints.some((e) => e.zoneHints !== undefined || e.nodeHints !== undefined))
  );
}

/** What kube-proxy on a node takes endpoints for, where slices say different things of one. */
export function asSeenFrom(
  node: NodeTopology,
  endpoints: readonly ProxyEndpoint[],
): readonly ProxyEndpoint[] {
  if (!endpoints.some((e) => e.byNode?.has(node.name))) return endpoints;
  return endpoints.map((e) => e.byNode?.get(node.name) ?? e);
}

/** Ready ones that the hints grant this node; failing that, those that still serve while they end (KEP-1669). */
function clusterEndpoints(
  endpoints: readonly ProxyEndpoint[],
  node: NodeTopology,
): ProxyEndpoint[] {
  const ready = endpoints.filter((e) => e.ready);
  if (ready.length > 0) return hinted(ready, node);
  return endpoints.filter((e) => e.serving && e.terminating);
}

function localEndpoints(endpoints: readonly ProxyEndpoint[], node: NodeTopology): ProxyEndpoint[] {
  const here = endpoints.filter((e) => e.nodeName === node.name);
  const ready = here.filter((e) => e.ready);
  return ready.length > 0 ? ready : here.filter((e) => e.serving && e.terminating);
}

/**
 * Hints count only when each endpoint has one and one names this node, or its zone; else all are
 * used (pkg/proxy/topology.go `topologyModeFromHints`, KEP-2433, KEP-3015).
 */
function hinted(ready: ProxyEndpoint[], node: NodeTopology): ProxyEndpoint[] {
  if (ready.every((e) => e.nodeHints !== undefined)) {
    const here = ready.filter((e) => e.nodeHints?.includes(node.name));
    if (here.length > 0) return here;
  }
  if (node.zone !== "" && ready.every((e) => e.zoneHints !== undefined)) {
    const here = ready.filter((e) => e.zoneHints?.includes(node.zone));
    if (here.length > 0) return here;
  }
  return ready;
}

function union(
  endpoints: readonly ProxyEndpoint[],
  cluster: readonly ProxyEndpoint[],
  local: readonly ProxyEndpoint[],
): readonly ProxyEndpoint[] {
  if (local.length === 0) return cluster;
  if (cluster.length === 0) return local;
  const used = new Set([...cluster, ...local]);
  return endpoints.filter((e) => used.has(e));
}
