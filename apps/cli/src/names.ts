import { objectKey } from "@cnilab/core";
import type { Walkable } from "./walkable.ts";

/** Names for the addresses of a cluster: pods, Services, nodes. */
export function nameOf(cluster: Walkable): (ip: string) => string | undefined {
  const names = new Map<string, string>();
  for (const node of cluster.api.list("Node")) {
    for (const { address } of node.status?.addresses ?? []) names.set(address, node.metadata.name);
  }
  for (const service of cluster.api.list("Service")) {
    const ingress = service.status?.loadBalancer?.ingress ?? [];
    const { clusterIPs = [], externalIPs = [] } = service.spec;
    for (const ip of [...clusterIPs, ...externalIPs, ...ingress.map((i) => i.ip ?? "")]) {
      if (!names.has(ip)) names.set(ip, `svc ${objectKey(service)}`);
    }
  }
  for (const pod of cluster.api.list("Pod")) {
    if (pod.spec.hostNetwork === true) continue;
    for (const { ip } of pod.status?.podIPs ?? []) names.set(ip, objectKey(pod));
  }
  return (ip) => names.get(ip);
}
