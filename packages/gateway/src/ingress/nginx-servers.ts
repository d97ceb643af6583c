import { type Ingress, type IngressBackend, objectKey, type Secret } from "@cnilab/core";
import type { RuleSource, ServedCertificate } from "../routing/decision.ts";
import { isForHost, type TlsSecretUse, tlsSecretUse } from "../routing/tls-secret-use.ts";
import type { IngressFinding } from "./ingress-input.ts";
import { type NginxSettings, nginxSettings } from "./nginx-annotations.ts";
import type { NginxLocation, NginxServer, Upstream } from "./nginx-server.ts";
import { type KnownServices, serviceBackend } from "./service-backend.ts";

/** An Ingress with what its annotations say. */
interface Annotated {
  readonly ingress: Ingress;
  readonly settings: NginxSettings;
}

const NO_SETTINGS: NginxSettings = nginxSettings({
  apiVersion: "",
  kind: "Ingress",
  metadata: { name: "" },
  spec: {},
}).settings;

/** The server for names that no other has. */
const CATCH_ALL = "";

/**
 * Makes nginx's servers and locations of Ingresses, the oldest first, in the steps of ingress-nginx
 * (internal/ingress/controller/controller.go createServers, getBackendServers, mergeAlternativeBackends).
 */
export class NginxServers {
  readonly servers: Map<string, NginxServer> = new Map<string, NginxServer>();
  readonly findings: IngressFinding[] = [];
  readonly #services: KnownServices;
  readonly #secrets: ReadonlyMap<string, Secret> | undefined;
  readonly #upstreams = new Map<string, Upstream>();

  constructor(
    ingresses: readonly Ingress[],
    services: KnownServices,
    secrets: ReadonlyMap<string, Secret> | undefined,
  ) {
    this.#services = services;
    this.#secrets = secrets;
    const all = ingresses.map((ingress): Annotated => {
      const { settings, findings } = nginxSettings(ingress);
      for (const { annotation, message } of findings) this.#find(ingress, annotation, message);
      return { ingress, settings };
    });
    this.servers.set(CATCH_ALL, {
      host: CATCH_ALL,
      certificate: { secret: undefined },
      aliases: [],
      locations: [rootLocation(undefined, undefined, NO_SETTINGS, "")],
    });
    const primary = all.filter(({ settings }) => settings.canary === undefined);
    for (const each of primary) this.#makeServers(each);
    for (const each of primary) this.#setCertificates(each);
    for (const each of primary) this.#addLocations(each);
    for (const each of all) if (each.settings.canary !== undefined) this.#mergeCanary(each);
  }

  #makeServers({ ingress, settings }: Annotated): void {
    const { defaultBackend, rules = [] } = ingress.spec;
    const upstream = this.#upstream(ingress, defaultBackend, settings, "spec.defaultBackend");
    if (upstream !== undefined && rules.length === 0) {
      const [root] = (this.servers.get(CATCH_ALL) as NginxServer).locations;
      if (root?.isDefault) {
        // Redirects and rewrites of such an Ingress do nothing (the same place, "TODO").
        Object.assign(root, {
          ...rootLocation(ingress, upstream, NO_SETTINGS, "spec.defaultBackend"),
          isDefault: false,
        });
      } else if (root !== undefined) {
        this.#taken(ingress, "spec.defaultBackend", "every other host", root);
      }
    }
    rules.forEach(({ host = CATCH_ALL }, i) => {
      if (this.servers.has(host)) return;
      const field = upstream === undefined ? `spec.rules[${i}]` : "spec.defaultBackend";
      this.servers.set(host, {
        host,
        aliases: [],
        locations: [rootLocation(ingress, upstream, settings, field)],
      });
    });
  }

  #setCertificates({ ingress, settings }: Annotated): void {
    for (const { host = CATCH_ALL } of ingress.spec.rules ?? []) {
      const server = this.servers.get(host) as NginxServer;
      if (server.aliases.length === 0) server.aliases = settings.aliases;
      if (server.certificate !== undefined || (ingress.spec.tls ?? []).length === 0) continue;
      server.certificate = { secret: this.#certificate(ingress, host) };
    }
  }

  /** extractTLSSecretName: of the entry that names the host, or whose certificate does; else the controller's own. */
  #certificate(ingress: Ingress, host: string): ServedCertificate | undefined {
    const { tls = [] } = ingress.spec;
    const namespace = ingress.metadata.namespace ?? "default";
    const use = (name: string): TlsSecretUse =>
      tlsSecretUse(this.#secrets?.get(`${namespace}/${name}`));
    let at = tls.findIndex(({ hosts = [] }) => hosts.includes(host));
    if (at < 0 && this.#secrets !== undefined) {
      at = tls.findIndex(({ secretName = "" }) => isForHost(use(secretName), host));
    }
    const name = tls[at]?.secretName ?? "";
    if (name === "") return undefined;
    const found = { namespace, name, hosts: [host] };
    if (this.#secrets === undefined) return found;
    const { fault } = use(name);
    const wrong =
      fault ??
      (isForHost(use(name), host)
        ? undefined
        : `is for ${use(name).names.join(", ") || "no name"}`);
    if (wrong === undefined) return found;
    this.#find(
      ingress,
      `spec.tls[${at}].secretName`,
      `Secret ${namespace}/${name} ${wrong}; ${host || "any host"} gets the controller's own certificate`,
    );
    return undefined;
  }

  #addLocations({ ingress, settings }: Annotated): void {
    (ingress.spec.rules ?? []).forEach(({ host = CATCH_ALL, http }, i) => {
      const server = this.servers.get(host) as NginxServer;
      (http?.paths ?? []).forEach(({ path = "/", pathType, backend }, k) => {
        const field = `spec.rules[${i}].http.paths[${k}]`;
        const upstream = this.#upstream(ingress, backend, settings, `${field}.backend`);
        if (upstream === undefined) {
          this.#find(ingress, `${field}.backend`, "is no Service, so the path is left out");
          return;
        }
        if (settings.affinityCookie !== undefined) {
          const { name, path: cookiePath } = settings.affinityCookie;
          upstream.affinity = { name, path: cookiePath || path };
        }
        if (pathType !== "ImplementationSpecific" && !/^\/[A-Za-z0-9._\-/]*$/.test(path)) {
          this.#find(
            ingress,
            `${field}.path`,
            `ingress-nginx refuses ${path} for pathType ${pathType}; make it ImplementationSpecific`,
          );
        }
        const text = path === "" ? "/" : path;
        const there = server.locations.find((l) => l.path === text && l.pathType === pathType);
        const made: NginxLocation = {
          path: text,
          pathType,
          ingress,
          isDefault: false,
          upstream,
          settings,
          rule: sourceOf(ingress, field),
        };
        if (there === undefined) server.locations.push(made);
        else if (there.isDefault) Object.assign(there, made);
        else this.#taken(ingress, field, `${pathType} ${text} of ${host || "any host"}`, there);
      });
    });
  }

  #mergeCanary({ ingress, settings }: Annotated): void {
    const policy = settings.canary;
    if (policy === undefined) return;
    const { defaultBackend, rules = [] } = ingress.spec;
    const targets = [
      ...(defaultBackend === undefined
        ? []
        : [
            {
              host: CATCH_ALL,
              backend: defaultBackend,
              field: "spec.defaultBackend",
              path: undefined,
            },
          ]),
      ...rules.flatMap(({ host = CATCH_ALL, http }, i) =>
        (http?.paths ?? []).map((path, k) => ({
          host,
          backend: path.backend,
          field: `spec.rules[${i}].http.paths[${k}]`,
          path,
        })),
      ),
    ];
    for (const { host, backend, field, path } of targets) {
      const alternative = this.#upstream(ingress, backend, settings, `${field}.backend`);
      if (alternative === undefined) continue;
      let merged = false;
      for (const location of this.servers.get(host)?.locations ?? []) {
        const { upstream } = location;
        if (upstream === undefined) continue;
        if (upstream === alternative) break;
        if (
          path !== undefined &&
          (location.path !== path.path || location.pathType !== path.pathType)
        ) {
          continue;
        }
        merged = true;
        if (upstream.canaries.some((c) => c.upstream === alternative)) continue;
        upstream.canaries.push({ upstream: alternative, policy, rule: sourceOf(ingress, field) });
        if (upstream.canaries.length > 1) {
          this.#find(
            ingress,
            field,
            "is a second canary of its path, and ingress-nginx uses the first",
          );
        }
      }
      if (!merged) {
        this.#find(ingress, field, "is a canary, and no other Ingress has this host and path");
      }
    }
  }

  /** The one of a Service's port, whoever names it first; its settings count. */
  #upstream(
    ingress: Ingress,
    backend: IngressBackend | undefined,
    settings: NginxSettings,
    field: string,
  ): Upstream | undefined {
    if (backend === undefined) return undefined;
    const found = serviceBackend(ingress, backend, this.#services);
    if (found === undefined) return undefined;
    const key = `${found.namespace}/${found.name} ${found.port}`;
    if (found.error !== undefined) this.#find(ingress, field, found.error.why);
    let upstream = this.#upstreams.get(key);
    if (upstream === undefined) {
      const viaClusterIP = settings.serviceUpstream ? { viaClusterIP: true } : {};
      upstream = { backend: { ...found, ...viaClusterIP }, canaries: [] };
      this.#upstreams.set(key, upstream);
    }
    return upstream;
  }

  #taken(ingress: Ingress, field: string, what: string, by: NginxLocation): void {
    const owner = by.ingress;
    if (owner === undefined) return;
    const who =
      owner === ingress
        ? `${by.rule.field} of the same Ingress`
        : `Ingress ${objectKey(owner)} (${by.rule.field}), which is older`;
    this.#find(ingress, field, `gets no requests: ${what} belongs to ${who}`);
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

function rootLocation(
  ingress: Ingress | undefined,
  upstream: Upstream | undefined,
  settings: NginxSettings,
  field: string,
): NginxLocation {
  const rule =
    ingress === undefined
      ? { kind: "Ingress", namespace: "", name: "", field }
      : sourceOf(ingress, field);
  return { path: "/", pathType: "Prefix", ingress, isDefault: true, upstream, settings, rule };
}
