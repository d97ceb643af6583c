import type { Cluster, Connection } from "@cnilab/cluster";
import { objectKey, type Pod, type Service } from "@cnilab/core";

/** How one Service answered, from end to end. */
export interface ServiceCheck {
  readonly service: Service;
  /** Endpoints that should answer. */
  readonly ready: number;
  /** Ports that did not answer, and why. */
  readonly failures: readonly { readonly port: string; readonly connection: Connection }[];
}

/** Connects to every port of every Service that has an address, from `client`. */
export function checkServices(cluster: Cluster, client: Pod | undefined): ServiceCheck[] {
  const from = client === undefined ? undefined : cluster.endpoint(objectKey(client));
  return cluster.api.list("Service").map((service) => {
    const ready = readyEndpoints(cluster, service);
    if (from === undefined || ready === 0 || service.spec.type === "ExternalName") {
      return { service, ready, failures: [] };
    }
    const to = cluster.endpoint(`svc/${service.metadata.name}`, {
      namespace: service.metadata.namespace ?? "default",
    });
    const failures = (service.spec.ports ?? []).flatMap((port) => {
      const protocol = port.protocol ?? "TCP";
      const connection = cluster.connect({ from, to, port: port.port, protocol });
      if (connection.verdict === "allowed") return [];
      return [{ port: `${port.port}/${protocol}`, connection }];
    });
    return { service, ready, failures };
  });
}

/** The pod that asks: the first by name that has an address of its own. */
export function clientOf(cluster: Cluster): Pod | undefined {
  return cluster.api
    .list("Pod")
    .filter((p) => p.spec.hostNetwork !== true && p.status?.podIP !== undefined)
    .filter((p) => p.status?.phase === "Running")
    .sort((x, y) => (objectKey(x) < objectKey(y) ? -1 : 1))[0];
}

function readyEndpoints(cluster: Cluster, service: Service): number {
  let ready = 0;
  for (const slice of cluster.api.list("EndpointSlice", service.metadata.namespace)) {
    if (slice.metadata.labels?.["kubernetes.io/service-name"] !== service.metadata.name) continue;
    if (slice.addressType === "FQDN") continue;
    ready += slice.endpoints.filter((e) => e.conditions?.ready !== false).length;
  }
  return ready;
}
