import type { LoadBalancerIngress, Service, ServiceSpec } from "@cnilab/core";

/** Three hours (`DefaultClientIPServiceAffinitySeconds`). */
const AFFINITY_SECONDS = 10_800;

/** Whether something leads in from outside (pkg/api/v1/service/util.go `ExternallyAccessible`). */
export function isExternallyAccessible({ type, externalIPs }: ServiceSpec): boolean {
  if (type === "LoadBalancer" || type === "NodePort") return true;
  return type === "ClusterIP" && (externalIPs ?? []).length > 0;
}

/** What the API server fills in where nobody says (pkg/apis/core/v1/defaults.go `SetDefaults_Service`). */
export function withDefaults(spec: ServiceSpec): ServiceSpec {
  const type = spec.type ?? "ClusterIP";
  const { clusterIP, sessionAffinityConfig, ...rest } = spec;
  const affinity = spec.sessionAffinity ?? "None";
  const timeoutSeconds = sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_SECONDS;
  return {
    ...rest,
    ...(clusterIP === undefined || clusterIP === "" ? {} : { clusterIP }),
    type,
    sessionAffinity: affinity,
    ...(affinity === "ClientIP" ? { sessionAffinityConfig: { clientIP: { timeoutSeconds } } } : {}),
    ...(type === "ExternalName"
      ? {}
      : { internalTrafficPolicy: spec.internalTrafficPolicy ?? "Cluster" }),
    ...(isExternallyAccessible({ ...spec, type })
      ? { externalTrafficPolicy: spec.externalTrafficPolicy ?? "Cluster" }
      : {}),
    ...(type === "LoadBalancer"
      ? { allocateLoadBalancerNodePorts: spec.allocateLoadBalancerNodePorts ?? true }
      : {}),
    ...(spec.ports === undefined
      ? {}
      : {
          ports: spec.ports.map((p) => ({
            ...p,
            protocol: p.protocol ?? "TCP",
            targetPort: p.targetPort ?? p.port,
          })),
        }),
  };
}

/** The status as it may stand: only a load balancer has addresses, and the mode of each is known. */
export function withStatusOf(service: Service): Service {
  const ingress = service.status?.loadBalancer?.ingress;
  if (ingress === undefined) return service;
  if (service.spec.type !== "LoadBalancer") {
    return { ...service, status: { ...service.status, loadBalancer: {} } };
  }
  if (ingress.every((i) => i.ip === undefined || i.ipMode !== undefined)) return service;
  const moded = ingress.map(
    (i): LoadBalancerIngress => (i.ip === undefined ? i : { ...i, ipMode: i.ipMode ?? "VIP" }),
  );
  return { ...service, status: { ...service.status, loadBalancer: { ingress: moded } } };
}
