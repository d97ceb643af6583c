import type { Endpoint, EndpointPort, EndpointSlice, Service, ServiceSpec } from "@cnilab/core";

/** A Service in namespace default. */
export function service(
  name: string,
  spec: ServiceSpec,
  rest: { readonly labels?: Record<string, string>; readonly ingress?: readonly string[] } = {},
): Service {
  const { labels, ingress } = rest;
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default", ...(labels === undefined ? {} : { labels }) },
    spec,
    ...(ingress === undefined
      ? {}
      : { status: { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } } }),
  };
}

/**
 * A slice of a Service in namespace default. Endpoints are written `ADDRESS`, `ADDRESS@NODE`, and with
 * `!` not ready, `~` terminating but serving, `%` terminating and not serving at the end.
 */
export function slice(
  serviceName: string,
  ports: readonly EndpointPort[],
  endpoints: readonly string[],
  labels: Record<string, string> = {},
): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${serviceName}-1`,
      namespace: "default",
      labels: { "kubernetes.io/service-name": serviceName, ...labels },
    },
    addressType: endpoints[0]?.includes("::") ? "IPv6" : "IPv4",
    ports,
    endpoints: endpoints.map(endpoint),
  };
}

function endpoint(text: string): Endpoint {
  const [, address = "", nodeName, state] = /^([^@!~%]+)(?:@(\w+))?([!~%]?)$/.exec(text) ?? [];
  return {
    addresses: [address],
    conditions: {
      ready: state === "",
      serving: state === "" || state === "~",
      terminating: state === "~" || state === "%",
    },
    ...(nodeName === undefined ? {} : { nodeName }),
  };
}
