import type { Gateway, GatewayClass, HTTPRoute, Ingress, Listener, Service } from "@cnilab/core";

export const CONTROLLER = "cnilab.dev/test";

const NGINX = "nginx.ingress.kubernetes.io/";

/** Paths of a host as `Prefix /a backend`. */
export type HostPaths = Readonly<Record<string, readonly string[]>>;

/** An Ingress in short form. */
export function ingress(
  name: string,
  hosts: HostPaths,
  more: {
    readonly annotations?: Readonly<Record<string, string>>;
    readonly tls?: Ingress["spec"]["tls"];
    readonly defaultBackend?: string;
    readonly ingressClassName?: string;
    readonly created?: string;
  } = {},
): Ingress {
  const annotations = Object.fromEntries(
    Object.entries(more.annotations ?? {}).map(([key, value]) => [
      key.includes("/") ? key : NGINX + key,
      value,
    ]),
  );
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: {
      name,
      namespace: "default",
      annotations,
      ...(more.created !== undefined && { creationTimestamp: more.created }),
    },
    spec: {
      ...(more.ingressClassName !== undefined && { ingressClassName: more.ingressClassName }),
      ...(more.tls && { tls: more.tls }),
      ...(more.defaultBackend !== undefined && { defaultBackend: backend(more.defaultBackend) }),
      rules: Object.entries(hosts).map(([host, paths]) => ({
        ...(host !== "" && { host }),
        http: {
          paths: paths.map((text) => {
            const [pathType = "Prefix", path = "/", service = "web"] = text.split(" ");
            return { pathType: pathType as "Prefix", path, backend: backend(service) };
          }),
        },
      })),
    },
  };
}

function backend(name: string): NonNullable<Ingress["spec"]["defaultBackend"]> {
  return { service: { name, port: { number: 80 } } };
}

export function service(
  name: string,
  ports: NonNullable<Service["spec"]["ports"]>,
  namespace = "default",
): Service {
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace }, spec: { ports } };
}

export const GATEWAY_CLASS: GatewayClass = {
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "GatewayClass",
  metadata: { name: "test" },
  spec: { controllerName: CONTROLLER },
};

export function gateway(
  name: string,
  listeners: readonly (Partial<Listener> & { readonly name: string })[],
  more: Partial<Gateway["spec"]> = {},
): Gateway {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name, namespace: "default" },
    spec: {
      gatewayClassName: "test",
      listeners: listeners.map((listener) => ({ port: 80, protocol: "HTTP", ...listener })),
      ...more,
    },
  };
}

export function httpRoute(
  name: string,
  spec: HTTPRoute["spec"],
  metadata: { readonly namespace?: string; readonly creationTimestamp?: string } = {},
): HTTPRoute {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name, namespace: "default", ...metadata },
    spec: { parentRefs: [{ name: "web" }], ...spec },
  };
}
