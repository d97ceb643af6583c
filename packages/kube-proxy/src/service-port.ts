import type { Origin, Service, ServiceSpec } from "@cnilab/core";
import { familyOf, formatIp, type IpFamily, tryParseIp, tryParsePrefix } from "@cnilab/net";

/** One port of a Service in one address family, as proxying needs it (pkg/proxy/serviceport.go). */
export interface ServicePort {
  /** `namespace/service`, and `:port` where the port has a name. */
  readonly spn: string;
  /** Name of the port; may be empty. */
  readonly portName: string;
  readonly clusterIP: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp" | "sctp";
  /** 0 without one. */
  readonly nodePort: number;
  readonly externalIPs: readonly string[];
  readonly loadBalancerIPs: readonly string[];
  /** In CIDR notation; empty when anybody may come. */
  readonly sourceRanges: readonly string[];
  readonly internalPolicyLocal: boolean;
  readonly externalPolicyLocal: boolean;
  /** Seconds that a client keeps its endpoint; 0 without session affinity. */
  readonly affinitySeconds: number;
  /** 0 without one. */
  readonly healthCheckNodePort: number;
  readonly origin: Origin;
}

/** Whether it can be reached by other ways than its cluster IP. */
export function isExternallyAccessible(port: ServicePort): boolean {
  return port.nodePort !== 0 || port.loadBalancerIPs.length > 0 || port.externalIPs.length > 0;
}

/** Whether traffic to it may go to endpoints of other nodes. */
export function usesClusterEndpoints(port: ServicePort): boolean {
  return !port.internalPolicyLocal || isExternallyAccessible(port);
}

/** Whether traffic of some kind goes to this node's endpoints only. */
export function usesLocalEndpoints(port: ServicePort): boolean {
  return port.internalPolicyLocal || (port.externalPolicyLocal && isExternallyAccessible(port));
}

/** Label of what another proxy than kube-proxy takes care of. */
export const SERVICE_PROXY_NAME = "service.kubernetes.io/service-proxy-name";
/** Three hours: the API server's default (`DefaultClientIPServiceAffinitySeconds`). */
const DEFAULT_AFFINITY_SECONDS = 10_800;

/** The ports of a Service that kube-proxy programs in a family; none for those it leaves alone. */
export function servicePorts(service: Service, family: IpFamily): readonly ServicePort[] {
  const { spec, metadata } = service;
  if (spec.type === "ExternalName") return [];
  if (metadata.labels?.[SERVICE_PROXY_NAME] !== undefined) return [];
  const clusterIPs = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  const clusterIP = ofFamily(clusterIPs, family)[0];
  if (clusterIP === undefined) return [];

  const affinity = spec.sessionAffinity === "ClientIP";
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  const externalPolicyLocal = hasExternalPolicyLocal(spec);
  const shared = {
    clusterIP,
    externalIPs: ofFamily(spec.externalIPs ?? [], family),
    loadBalancerIPs: ofFamily(
      ingress.flatMap((i) => (i.ip === undefined || i.ipMode === "Proxy" ? [] : [i.ip])),
      family,
    ),
    sourceRanges: sourceRanges(spec.loadBalancerSourceRanges ?? [], family),
    internalPolicyLocal: spec.internalTrafficPolicy === "Local",
    externalPolicyLocal,
    affinitySeconds: affinity
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
      : 0,
    healthCheckNodePort:
      spec.type === "LoadBalancer" && externalPolicyLocal ? (spec.healthCheckNodePort ?? 0) : 0,
  };
  const namespace = metadata.namespace ?? "default";
  return (spec.ports ?? []).map((port) => {
    const portName = port.name ?? "";
    const service = `${namespace}/${metadata.name}`;
    return {
      ...shared,
      spn: portName === "" ? service : `${service}:${portName}`,
      portName,
      port: port.port,
      protocol: (port.protocol ?? "TCP").toLowerCase() as ServicePort["protocol"],
      nodePort: port.nodePort ?? 0,
      origin: {
        kind: "Service",
        namespace,
        name: metadata.name,
        ...(portName === "" ? {} : { detail: `port ${portName}` }),
      },
    };
  });
}

/** The policy counts only where something leads in from outside (pkg/api/v1/service/util.go `ExternalPolicyLocal`). */
function hasExternalPolicyLocal({
  type,
  externalIPs,
  externalTrafficPolicy,
}: ServiceSpec): boolean {
  if (externalTrafficPolicy !== "Local") return false;
  return type === "LoadBalancer" || type === "NodePort" || (externalIPs ?? []).length > 0;
}

/** Those of the family, in the usual spelling. */
function ofFamily(addresses: readonly string[], family: IpFamily): string[] {
  return addresses.flatMap((text) => {
    const address = tryParseIp(text);
    return address === undefined || familyOf(address) !== family ? [] : [formatIp(address)];
  });
}

/** Those of the family; a range of all addresses is as none. */
function sourceRanges(texts: readonly string[], family: IpFamily): string[] {
  const ranges = texts.flatMap((text) => tryParsePrefix(text.trim()) ?? []);
  const own = ranges.filter((range) => range.family === family);
  return own.some(({ length }) => length === 0) ? [] : own.map(String);
}
