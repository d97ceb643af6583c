import type { ServiceSpec } from "@cnilab/core";
import { ApiError } from "../api/api-error.ts";
import { isExternallyAccessible } from "./service-defaults.ts";

const ONLY_LOAD_BALANCERS = [
  "loadBalancerSourceRanges",
  "allocateLoadBalancerNodePorts",
  "loadBalancerClass",
] as const;

/**
 * Refuses fields that a Service's type does not have, in the API server's words (pkg/apis/core/validation `ValidateService`).
 * What the Service had before under another type was taken out by then.
 * @param spec with its defaults
 * @throws ApiError Invalid
 */
export function validateService(spec: ServiceSpec): void {
  const { type, clusterIP, clusterIPs, externalTrafficPolicy } = spec;
  const isLoadBalancer = type === "LoadBalancer";
  const hasNodePorts = isLoadBalancer || type === "NodePort";
  if (hasNodePorts && (clusterIP === "None" || clusterIPs?.[0] === "None")) {
    refuse("clusterIPs[0]", `Invalid value: "None": may not be set to 'None' for ${type} services`);
  }
  for (const field of ONLY_LOAD_BALANCERS) {
    if (spec[field] === undefined || isLoadBalancer) continue;
    refuse(field, "Forbidden: may only be used when `type` is 'LoadBalancer'");
  }
  if (externalTrafficPolicy !== undefined && !isExternallyAccessible(spec)) {
    const value = `Invalid value: "${externalTrafficPolicy}"`;
    refuse(
      "externalTrafficPolicy",
      `${value}: may only be set for externally-accessible services (types NodePort and LoadBalancer, or with externalIPs)`,
    );
  }
  if (spec.healthCheckNodePort && !(isLoadBalancer && externalTrafficPolicy === "Local")) {
    refuse(
      "healthCheckNodePort",
      `Invalid value: ${spec.healthCheckNodePort}: may only be set when \`type\` is 'LoadBalancer' and \`externalTrafficPolicy\` is 'Local'`,
    );
  }
  const seen = new Set<string>();
  (spec.ports ?? []).forEach(({ nodePort, protocol = "TCP" }, i) => {
    if (nodePort === undefined) return;
    const field = `ports[${i}].nodePort`;
    if (!hasNodePorts) refuse(field, `Forbidden: may not be used when \`type\` is '${type}'`);
    const number = `${protocol} ${nodePort}`;
    if (seen.has(number)) refuse(field, `Duplicate value: ${nodePort}`);
    seen.add(number);
  });
}

function refuse(field: string, why: string): never {
  throw new ApiError("Invalid", `spec.${field}: ${why}`);
}
