import { type Ingress, objectKey, type Secret } from "@cnilab/core";
import type {
  ConnectionDecision,
  IncomingConnection,
  RouteBackend,
  RouteDecision,
  RuleMatch,
  RuleSource,
  ServedCertificate,
} from "../routing/decision.ts";
import { HostIndex } from "../routing/host-index.ts";
import { PathIndex } from "../routing/path-index.ts";
import type { ServedPort } from "../routing/proxy-rules.ts";
import type { RequestHead } from "../routing/request-head.ts";
import { RequestParts } from "../routing/request-parts.ts";
import { HTTP_AND_HTTPS, ingressConnection } from "./ingress-connection.ts";
import type {
  IngressControllerOptions,
  IngressFinding,
  IngressInput,
  IngressRules,
} from "./ingress-input.ts";
import { type KnownServices, serviceBackend } from "./service-backend.ts";

interface PathRule {
  readonly backend: RouteBackend;
  readonly rule: RuleSource;
  readonly match: RuleMatch;
  readonly why: string;
}

interface HostRules {
  readonly paths: PathIndex<PathRule>;
  /** By type and path: the Ingress that has it. */
  readonly owners: Map<string, RuleSource>;
}

/**
 * Ingresses as the API's documentation says: Prefix by elements with or without a slash at its end, a default backend for
 * all that no rule takes. ImplementationSpecific is as Prefix; annotations are left alone.
 */
export class KubernetesRules implements IngressRules {
  readonly ports: readonly ServedPort[] = HTTP_AND_HTTPS;
  readonly claimed: readonly Ingress[];
  readonly findings: IngressFinding[] = [];
  readonly #hosts = new HostIndex<HostRules>("one label");
  readonly #certificates = new HostIndex<ServedCertificate>("one label");
  readonly #services: KnownServices;
  readonly #redirect: { readonly code: number } | undefined;
  #default: PathRule | undefined;

  /** @param claimed the oldest first */
  constructor(claimed: readonly Ingress[], input: IngressInput, options: IngressControllerOptions) {
    this.claimed = claimed;
    this.#services = input.services && new Map(input.services.map((s) => [objectKey(s), s]));
    this.#redirect =
      options.sslRedirect === false ? undefined : { code: options.httpRedirectCode ?? 308 };
    for (const ingress of claimed) {
      this.#addDefault(ingress);
      this.#addRules(ingress);
      this.#addCertificates(ingress, input.secrets);
    }
  }

  routeConnection(connection: IncomingConnection): ConnectionDecision {
    return ingressConnection(connection, (name) => this.#certificates.find(name));
  }

  routeRequest(head: RequestHead): RouteDecision {
    const request = new RequestParts(head);
    let found: PathRule | undefined;
    for (const { paths } of this.#hosts.matches(request.host)) {
      found = paths.find(request.path, () => true);
      if (found !== undefined) break;
    }
    found ??= this.#default;
    if (found === undefined) {
      return { action: "answer", status: 404, why: "no rule takes it, and no default backend" };
    }
    const { backend, rule, match, why } = found;
    if (
      this.#redirect !== undefined &&
      head.scheme === "http" &&
      this.#certificates.find(request.host) !== undefined
    ) {
      const location = `https://${head.host.replace(/:[0-9]*$/, "")}${head.path}`;
      const reason = `${request.host} has a certificate, and http is redirected to https`;
      return {
        action: "redirect",
        cause: "ssl-redirect",
        status: this.#redirect.code,
        location,
        rule,
        why: reason,
      };
    }
    return {
      action: "forward",
      match,
      backends: [backend],
      host: head.host,
      path: head.path,
      requestHeaders: [],
      responseHeaders: [],
      mirrors: [],
      rule,
      why,
    };
  }

  #addDefault(ingress: Ingress): void {
    const { defaultBackend } = ingress.spec;
    if (defaultBackend === undefined) return;
    const backend = this.#backend(ingress, defaultBackend, "spec.defaultBackend");
    if (backend === undefined) return;
    const rule = sourceOf(ingress, "spec.defaultBackend");
    if (this.#default === undefined) {
      const match = { host: "", compared: "anything" } as const;
      this.#default = {
        backend,
        rule,
        match,
        why: "no rule takes it, so the default backend does",
      };
    } else {
      this.#taken(ingress, rule.field, "what no rule takes", this.#default.rule);
    }
  }

  #addRules(ingress: Ingress): void {
    (ingress.spec.rules ?? []).forEach(({ host = "", http }, i) => {
      (http?.paths ?? []).forEach(({ path = "/", pathType, backend: given }, k) => {
        const field = `spec.rules[${i}].http.paths[${k}]`;
        const backend = this.#backend(ingress, given, `${field}.backend`);
        if (backend === undefined) return;
        const { paths, owners } = this.#hosts.at(host, () => ({
          paths: new PathIndex(),
          owners: new Map(),
        }));
        const text = path === "" ? "/" : path;
        const exact = pathType === "Exact";
        const key = `${exact ? "Exact" : "Prefix"} ${text}`;
        const owner = owners.get(key);
        if (owner !== undefined) {
          this.#taken(ingress, field, `${key} of ${host || "any host"}`, owner);
          return;
        }
        const rule = sourceOf(ingress, field);
        owners.set(key, rule);
        const why = `${pathType} ${text} of ${host || "any host"} matches`;
        const compared = exact ? "whole" : "elements";
        const made = {
          backend,
          rule,
          match: { host, pathType, path: text, compared },
          why,
        } as const;
        if (exact) paths.addExact(text, made);
        else paths.addPrefix(text, made);
      });
    });
  }

  #addCertificates(ingress: Ingress, secrets: readonly Secret[] | undefined): void {
    (ingress.spec.tls ?? []).forEach(({ hosts = [], secretName }, i) => {
      if (secretName === undefined) return;
      const namespace = ingress.metadata.namespace ?? "default";
      const key = `${namespace}/${secretName}`;
      if (secrets !== undefined && !secrets.some((secret) => objectKey(secret) === key)) {
        this.#find(ingress, `spec.tls[${i}].secretName`, `Secret ${key} is not there`);
        return;
      }
      for (const host of hosts) {
        if (this.#certificates.get(host) !== undefined) continue;
        this.#certificates.set(host, { namespace, name: secretName, hosts });
      }
    });
  }

  #backend(
    ingress: Ingress,
    backend: NonNullable<Ingress["spec"]["defaultBackend"]>,
    field: string,
  ): RouteBackend | undefined {
    const found = serviceBackend(ingress, backend, this.#services);
    if (found === undefined) this.#find(ingress, field, "is no Service, so it is left out");
    else if (found.error !== undefined) this.#find(ingress, field, found.error.why);
    return found;
  }

  #taken(ingress: Ingress, field: string, what: string, by: RuleSource): void {
    const { namespace = "default", name } = ingress.metadata;
    const same = by.namespace === namespace && by.name === name;
    const owner = same
      ? `${by.field} of the same Ingress`
      : `Ingress ${by.namespace}/${by.name} (${by.field}), which is older`;
    this.#find(ingress, field, `gets no requests: ${what} belongs to ${owner}`);
  }

  #find(ingress: Ingress, field: string, message: string): void {
    const { namespace = "default", name } = ingress.metadata;
    this.findings.push({ ingress: { namespace, name }, field, message });
  }
}

function sourceOf(ingress: Ingress, field: string): RuleSource {
  const { namespace = "default", name } = ingress.metadata;
  return { kind: "Ingress", namespace, name, field };
}
