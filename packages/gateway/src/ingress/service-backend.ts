import type { Ingress, IngressBackend, Service } from "@cnilab/core";
import type { RouteBackend } from "../routing/decision.ts";

/** Services by `namespace/name`; `undefined` where nobody knows them. */
export type KnownServices = ReadonlyMap<string, Service> | undefined;

/** The backend that an Ingress names; one without endpoints to be had answers 503. */
export function serviceBackend(
  ingress: Ingress,
  backend: IngressBackend,
  services: KnownServices,
): RouteBackend | undefined {
  const { service } = backend;
  if (service === undefined) return undefined;
  const namespace = ingress.metadata.namespace ?? "default";
  const wanted = service.port?.number ?? service.port?.name ?? 0;
  const found = { namespace, name: service.name, weight: 1, protocol: "HTTP" } as const;
  if (services === undefined) return { ...found, port: wanted };
  const known = services.get(`${namespace}/${service.name}`);
  const refuse = (why: string): RouteBackend => ({
    ...found,
    port: wanted,
    error: { status: 503, why },
  });
  if (known === undefined) return refuse(`there is no Service ${namespace}/${service.name}`);
  const ports = known.spec.ports ?? [];
  // A port of an ExternalName Service needs no entry (externalNamePorts).
  if (known.spec.type === "ExternalName" && ports.length === 0) return { ...found, port: wanted };
  // internal/ingress/controller/controller.go serviceEndpoints takes the target port's name as well.
  const port = ports.find((p) => p.port === wanted || p.name === wanted || p.targetPort === wanted);
  if (port !== undefined) return { ...found, port: port.port };
  const names = ports.map((p) => (p.name === undefined ? `${p.port}` : `${p.name} (${p.port})`));
  return refuse(
    `Service ${namespace}/${service.name} has no port ${wanted}; it has ${names.join(", ") || "none"}`,
  );
}
