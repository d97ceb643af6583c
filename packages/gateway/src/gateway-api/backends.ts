import {
  type BackendRef,
  type BackendTLSPolicy,
  type ConfigMap,
  objectKey,
  type Service,
  type ServicePort,
} from "@cnilab/core";
import type { BackendProtocol, RouteBackend } from "../routing/decision.ts";
import { GATEWAY_GROUP } from "./group.ts";
import { byAge } from "./object-order.ts";
import type { ReferenceGrants } from "./reference-grants.ts";

/** Why a reference of a route leads nowhere, in the words of condition ResolvedRefs. */
export interface UnresolvedRef {
  readonly reason: "InvalidKind" | "RefNotPermitted" | "BackendNotFound";
  readonly message: string;
}

export interface ResolvedBackend {
  readonly backend: RouteBackend;
  readonly unresolved?: UnresolvedRef;
}

/** `appProtocol` of a Service's port (KEP-3726). */
const APP_PROTOCOLS: Readonly<Record<string, BackendProtocol>> = {
  "kubernetes.io/h2c": "H2C",
  "kubernetes.io/ws": "WS",
  "kubernetes.io/wss": "WSS",
};

/** Turns backendRefs into backends. */
export class BackendResolver {
  readonly #services: ReadonlyMap<string, Service> | undefined;
  readonly #grants: ReferenceGrants;
  readonly #tls: TlsPolicies;

  constructor(
    services: ReadonlyMap<string, Service> | undefined,
    grants: ReferenceGrants,
    tls: TlsPolicies,
  ) {
    this.#services = services;
    this.#grants = grants;
    this.#tls = tls;
  }

  /** @param protocol of endpoints whose Service does not say */
  resolve(
    ref: BackendRef,
    route: { readonly kind: string; readonly namespace: string },
    protocol: BackendProtocol,
  ): ResolvedBackend {
    const { group = "", kind = "Service", name, port = 0, weight = 1 } = ref;
    const namespace = ref.namespace ?? route.namespace;
    const backend: RouteBackend = { namespace, name, port, weight, protocol };
    const refuse = (reason: UnresolvedRef["reason"], message: string): ResolvedBackend => ({
      backend: { ...backend, error: { status: 500, why: message } },
      unresolved: { reason, message },
    });
    if (group !== "" || kind !== "Service") {
      return refuse(
        "InvalidKind",
        `${kind}${group === "" ? "" : `.${group}`} ${name} is no Service`,
      );
    }
    const from = { group: GATEWAY_GROUP, kind: route.kind, namespace: route.namespace };
    if (!this.#grants.permits(from, { group, kind, namespace, name })) {
      return refuse(
        "RefNotPermitted",
        `no ReferenceGrant in namespace ${namespace} lets ${route.kind}s of ${route.namespace} use Service ${name}`,
      );
    }
    if (this.#services === undefined) {
      return { backend: this.#tls.applied(backend, undefined) };
    }
    const service = this.#services.get(`${namespace}/${name}`);
    if (service === undefined) {
      return refuse("BackendNotFound", `there is no Service ${namespace}/${name}`);
    }
    const ports = service.spec.ports ?? [];
    const found = ports.find((p) => p.port === port);
    if (found === undefined && service.spec.type !== "ExternalName") {
      const there = ports.map((p) => p.port).join(", ") || "none";
      return refuse(
        "BackendNotFound",
        `Service ${namespace}/${name} has no port ${port}; it has ${there}`,
      );
    }
    const own = protocol === "HTTP" ? APP_PROTOCOLS[found?.appProtocol ?? ""] : undefined;
    return { backend: this.#tls.applied(own ? { ...backend, protocol: own } : backend, found) };
  }
}

/** Why a policy does not count, with the reason of condition Accepted or ResolvedRefs. */
interface PolicyFault {
  readonly reason: "Conflicted" | "InvalidCACertificateRef" | "InvalidKind";
  readonly message: string;
}

/** BackendTLSPolicies by the Service, or the Service's port, that they are for. */
export class TlsPolicies {
  readonly #byTarget = new Map<
    string,
    { readonly policy: BackendTLSPolicy; readonly fault?: string }
  >();
  /** By `namespace/name` of the policy. */
  readonly faults: Map<string, PolicyFault> = new Map<string, PolicyFault>();

  constructor(policies: readonly BackendTLSPolicy[], configMaps: readonly ConfigMap[] | undefined) {
    const maps = configMaps && new Map(configMaps.map((map) => [objectKey(map), map]));
    for (const policy of [...policies].sort(byAge)) {
      const namespace = policy.metadata.namespace ?? "default";
      const wrong = caFault(policy, namespace, maps);
      if (wrong !== undefined) this.faults.set(objectKey(policy), wrong);
      for (const { group, kind, name, sectionName = "" } of policy.spec.targetRefs) {
        if (group !== "" || kind !== "Service") continue;
        const key = `${namespace}/${name} ${sectionName}`;
        const older = this.#byTarget.get(key);
        if (older === undefined) {
          this.#byTarget.set(key, { policy, ...(wrong && { fault: wrong.message }) });
          continue;
        }
        this.faults.set(objectKey(policy), {
          reason: "Conflicted",
          message: `BackendTLSPolicy ${objectKey(older.policy)} is older and has the same target`,
        });
      }
    }
  }

  /** A policy for the port counts before one for the whole Service. */
  applied(backend: RouteBackend, port: ServicePort | undefined): RouteBackend {
    const key = `${backend.namespace}/${backend.name}`;
    const found =
      (port?.name === undefined ? undefined : this.#byTarget.get(`${key} ${port.name}`)) ??
      this.#byTarget.get(`${key} `);
    if (found === undefined) return backend;
    if (found.fault !== undefined) {
      const why = `BackendTLSPolicy ${objectKey(found.policy)}: ${found.fault}`;
      return { ...backend, error: { status: 500, why } };
    }
    const protocol =
      backend.protocol === "GRPC" ? "GRPCS" : backend.protocol === "TCP" ? "TLS" : "HTTPS";
    return { ...backend, protocol, serverName: found.policy.spec.validation.hostname };
  }
}

function caFault(
  { spec }: BackendTLSPolicy,
  namespace: string,
  configMaps: ReadonlyMap<string, ConfigMap> | undefined,
):
  | { readonly reason: "InvalidCACertificateRef" | "InvalidKind"; readonly message: string }
  | undefined {
  for (const { group, kind, name } of spec.validation.caCertificateRefs ?? []) {
    if (group !== "" || kind !== "ConfigMap") {
      return { reason: "InvalidKind", message: `${kind} ${name} is no ConfigMap` };
    }
    if (configMaps === undefined) continue;
    const text = configMaps.get(`${namespace}/${name}`)?.data?.["ca.crt"];
    if (text?.includes("-----BEGIN ") === true) continue;
    const message = `ConfigMap ${namespace}/${name} ${text === undefined ? "has no ca.crt" : "has in ca.crt what is no PEM"}`;
    return { reason: "InvalidCACertificateRef", message };
  }
  return undefined;
}
