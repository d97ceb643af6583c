import type { HeaderModifier, Ingress, Secret } from "@cnilab/core";
import { objectKey } from "@cnilab/core";
import type {
  BackendProtocol,
  ConnectionDecision,
  Forward,
  IncomingConnection,
  OwnAnswer,
  Redirect,
  RedirectCause,
  RouteBackend,
  RouteDecision,
  RuleMatch,
  RuleSource,
  ServedCertificate,
} from "../routing/decision.ts";
import { HostIndex } from "../routing/host-index.ts";
import type { ServedPort } from "../routing/proxy-rules.ts";
import { nginxPattern, type PatternSearch } from "../routing/regular-expression.ts";
import type { RequestHead } from "../routing/request-head.ts";
import { RequestParts } from "../routing/request-parts.ts";
import { HTTP_AND_HTTPS, ingressConnection } from "./ingress-connection.ts";
import type {
  IngressControllerOptions,
  IngressFinding,
  IngressInput,
  IngressRules,
} from "./ingress-input.ts";
import {
  type Canary,
  CompiledLocations,
  type LocationBlock,
  type NginxServer,
  type Upstream,
} from "./nginx-server.ts";
import { NginxServers } from "./nginx-servers.ts";
import { escapedUri, normalUri } from "./nginx-uri.ts";
import { type KnownServices, serviceBackend } from "./service-backend.ts";

/** One server, ready to be asked. */
interface CompiledServer {
  readonly server: NginxServer;
  readonly locations: CompiledLocations;
  /** Of its first location that has one: nginx looks at it before it looks for a location. */
  readonly appRoot: { readonly path: string; readonly rule: RuleSource } | undefined;
}

/** Ingresses as ingress-nginx v1.15 serves them. */
export class NginxRules implements IngressRules {
  readonly ports: readonly ServedPort[] = HTTP_AND_HTTPS;
  readonly claimed: readonly Ingress[];
  readonly findings: readonly IngressFinding[];
  readonly #servers = new HostIndex<CompiledServer>("one label");
  readonly #certificates = new HostIndex<{ readonly secret: ServedCertificate | undefined }>(
    "one label",
  );
  /** By the name that is redirected: the one it is redirected to. */
  readonly #wwwRedirects = new Map<string, { readonly to: string; readonly rule: RuleSource }>();
  readonly #services: KnownServices;
  readonly #searches = new Map<string, PatternSearch | undefined>();
  readonly #sslRedirect: boolean;
  readonly #redirectCode: number;

  /** @param claimed the oldest first */
  constructor(claimed: readonly Ingress[], input: IngressInput, options: IngressControllerOptions) {
    this.claimed = claimed;
    this.#sslRedirect = options.sslRedirect ?? true;
    this.#redirectCode = options.httpRedirectCode ?? 308;
    this.#services = byKey(input.services);
    const made = new NginxServers(claimed, this.#services, byKey<Secret>(input.secrets));
    const findings = [...made.findings];
    for (const server of made.servers.values()) {
      const compiled = compile(server);
      this.#servers.set(server.host, compiled);
      for (const { ingress, path, rule } of compiled.locations.unreadable) {
        if (ingress === undefined) continue;
        const { namespace = "default", name } = ingress.metadata;
        const message = `${path} is no regular expression, which all paths of ${server.host || "any host"} have to be`;
        findings.push({ ingress: { namespace, name }, field: rule.field, message });
      }
      if (server.certificate !== undefined && server.host !== "") {
        this.#certificates.set(server.host, server.certificate);
      }
    }
    this.findings = findings;
    for (const { server } of [...this.#servers.values()]) {
      this.#addAliases(server);
      this.#addWwwRedirect(server);
    }
  }

  routeConnection(connection: IncomingConnection): ConnectionDecision {
    return ingressConnection(connection, (name) => this.#certificates.find(name)?.secret);
  }

  routeRequest(head: RequestHead): RouteDecision {
    const request = new RequestParts(head);
    const www = this.#wwwRedirects.get(request.host);
    if (www !== undefined) return wwwRedirect(request, www, this.#redirectCode);
    const uri = normalUri(request.path);
    if (uri === undefined) return answer(400, `nginx cannot read the path ${request.path}`);
    const compiled = this.#servers.find(request.host) as CompiledServer;
    const { appRoot } = compiled;
    if (appRoot !== undefined && uri === "/") {
      const location = `${head.scheme}://${head.host}${appRoot.path}`;
      return redirect(
        "app-root",
        302,
        location,
        appRoot.rule,
        `app-root sends / to ${appRoot.path}`,
      );
    }
    const found = compiled.locations.find(uri);
    if (found === undefined) return answer(404, noPath(compiled.server));
    if (found.addSlash === true) {
      const location = `${head.scheme}://${hostPart(head.host)}${escapedUri(uri)}/${request.query}`;
      const why = `nginx adds the slash that location ${found.block.text} ends with`;
      return redirect("missing slash", 301, location, found.block.location.rule, why);
    }
    return this.#serve(request, uri, compiled, found.block);
  }

  #serve(
    request: RequestParts,
    uri: string,
    { server }: CompiledServer,
    block: LocationBlock,
  ): RouteDecision {
    const { location } = block;
    const { settings, rule, upstream } = location;
    const to = settings.redirect;
    if (to !== undefined) {
      const why = `location ${block.text} redirects everything`;
      return redirect(
        "permanent-redirect or temporal-redirect",
        to.code,
        variables(to.url, request),
        rule,
        why,
      );
    }
    if (this.#redirectsToHttps(request, settings.sslRedirect, settings.forceSslRedirect)) {
      const target = request.head.path;
      const kept =
        settings.preserveTrailingSlash || !target.endsWith("/") ? target : target.slice(0, -1);
      const url = `https://${hostPart(request.head.host)}${kept}`;
      const why = `${nameOf(server)} has a certificate, and http is redirected to https`;
      return redirect("ssl-redirect", this.#redirectCode, url, rule, why);
    }
    if (upstream === undefined) {
      const why = location.isDefault
        ? `${noPath(server)}, and there is no default backend`
        : `location ${block.text} has no backend`;
      return answer(404, why);
    }
    const rewritten = this.#rewritten(request, uri, block);
    if (rewritten?.redirect !== undefined) {
      const why = `rewrite-target of location ${block.text}`;
      return redirect("rewrite-target", 302, rewritten.redirect, rule, why);
    }
    const target = rewritten?.path ?? request.head.path;
    return this.#forward(request, { host: server.host, ...block.match }, block, upstream, target);
  }

  #redirectsToHttps(request: RequestParts, wanted: boolean | undefined, forced: boolean): boolean {
    if (request.head.scheme !== "http") return false;
    if (forced) return true;
    // lua/certificate.lua configured_for_current_request: the controller's own certificate counts as well.
    return (wanted ?? this.#sslRedirect) && this.#certificates.find(request.host) !== undefined;
  }

  /** ngx_http_rewrite_module's `rewrite "(?i)PATH" TARGET break`. */
  #rewritten(
    request: RequestParts,
    uri: string,
    { location: { path, settings } }: LocationBlock,
  ): { readonly path?: string; readonly redirect?: string } | undefined {
    const { rewriteTarget: target } = settings;
    if (target === "" || target === path) return undefined;
    const groups = this.#search(path)?.(uri);
    if (groups === undefined) return undefined;
    const filled = target.replace(/\$([0-9])/g, (_, digit) => groups[Number(digit)] ?? "");
    const text = variables(filled, request);
    if (/^(https?:\/\/|\$scheme)/.test(target)) return { redirect: text };
    const mark = text.indexOf("?");
    const newPath = escapedUri(mark < 0 ? text : text.slice(0, mark));
    // A question mark at the end drops the client's query; otherwise that comes after the target's own.
    const own = mark < 0 ? "" : text.slice(mark + 1);
    const theirs = mark >= 0 && own === "" ? "" : request.query.slice(1);
    const query = [own, theirs].filter((part) => part !== "").join("&");
    return { path: query === "" ? newPath : `${newPath}?${query}` };
  }

  #forward(
    request: RequestParts,
    match: RuleMatch,
    block: LocationBlock,
    upstream: Upstream,
    path: string,
  ): Forward {
    const { settings, ingress, rule } = block.location;
    const matched = { rule, why: `location ${block.text} matches` };
    const chosen = chooseUpstream(request, upstream, matched);
    const protocol: BackendProtocol =
      settings.backendProtocol === "AUTO_HTTP"
        ? request.head.scheme === "https"
          ? "HTTPS"
          : "HTTP"
        : settings.backendProtocol;
    const fallback =
      settings.defaultBackend === "" || ingress === undefined
        ? undefined
        : this.#fallback(ingress, settings.defaultBackend);
    const backends = chosen.backends.map(
      (backend): RouteBackend => ({ ...backend, protocol, ...(fallback && { fallback }) }),
    );
    const requestHeaders: HeaderModifier[] =
      settings.forwardedPrefix === "" || settings.rewriteTarget === ""
        ? []
        : [{ set: [{ name: "X-Forwarded-Prefix", value: settings.forwardedPrefix }] }];
    const session = upstream.affinity;
    return {
      action: "forward",
      match,
      ...(chosen.canaryBy && { canaryBy: chosen.canaryBy }),
      backends,
      host: settings.upstreamVhost || request.head.host,
      path,
      requestHeaders,
      responseHeaders: [],
      mirrors: [],
      ...(session && { session: { by: "cookie", ...session } }),
      rule: chosen.rule ?? matched.rule,
      why: chosen.why ?? matched.why,
    };
  }

  /** A location's path as a pattern, read once. */
  #search(path: string): PatternSearch | undefined {
    if (!this.#searches.has(path)) this.#searches.set(path, nginxPattern(path, true));
    return this.#searches.get(path);
  }

  #fallback(ingress: Ingress, name: string): RouteBackend | undefined {
    const namespace = ingress.metadata.namespace ?? "default";
    const port = this.#services?.get(`${namespace}/${name}`)?.spec.ports?.[0]?.port;
    if (port === undefined) return undefined;
    return serviceBackend(ingress, { service: { name, port: { number: port } } }, this.#services);
  }

  #addAliases(server: NginxServer): void {
    const compiled = this.#servers.get(server.host);
    if (compiled === undefined) return;
    for (const alias of server.aliases) {
      if (this.#servers.get(alias) !== undefined) continue;
      this.#servers.set(alias, compiled);
      if (server.certificate !== undefined) this.#certificates.set(alias, server.certificate);
    }
  }

  /** internal/ingress/controller/nginx.go OnUpdate: to the name with `www.`, or to the one without. */
  #addWwwRedirect({ host, locations }: NginxServer): void {
    const asking = locations.find(({ settings }) => settings.fromToWww);
    if (asking === undefined || host === "" || host.startsWith("*.")) return;
    const from = host.startsWith("www.") ? host.slice("www.".length) : `www.${host}`;
    if (this.#servers.get(from) !== undefined) return;
    this.#wwwRedirects.set(from, { to: host, rule: asking.rule });
  }
}

function compile(server: NginxServer): CompiledServer {
  const locations = new CompiledLocations(server.locations);
  const asking = server.locations.find(({ settings }) => settings.appRoot !== "");
  const appRoot = asking && { path: asking.settings.appRoot, rule: asking.rule };
  return { server, locations, appRoot };
}

/** The canary or the others, by header and cookie; by weight where these say nothing. */
function chooseUpstream(
  request: RequestParts,
  upstream: Upstream,
  matched: { readonly rule: RuleSource; readonly why: string },
): {
  readonly backends: readonly RouteBackend[];
  readonly rule?: RuleSource;
  readonly why?: string;
  readonly canaryBy?: Forward["canaryBy"];
} {
  const [canary] = upstream.canaries;
  if (canary === undefined) return { backends: [upstream.backend] };
  const asked = askedForCanary(request, canary);
  if (asked !== undefined) {
    return asked.wanted
      ? {
          backends: [canary.upstream.backend],
          rule: canary.rule,
          why: asked.why,
          canaryBy: asked.by,
        }
      : { backends: [upstream.backend], why: asked.why, canaryBy: asked.by };
  }
  const { weight, weightTotal } = canary.policy;
  const share = Math.min(weight, weightTotal);
  if (share === 0) return { backends: [upstream.backend] };
  const { rule } = canary;
  const whose = `weight ${share} of ${weightTotal}`;
  const others = `${matched.why}; canary Ingress ${rule.namespace}/${rule.name} has ${whose}`;
  const ofCanary = { rule, why: `canary by ${whose}` };
  const canaryPart = { ...canary.upstream.backend, weight: share, by: ofCanary };
  if (share === weightTotal) return { backends: [canaryPart], ...ofCanary, canaryBy: "weight" };
  const rest = weightTotal - share;
  const part = { ...upstream.backend, weight: rest, by: { rule: matched.rule, why: others } };
  return { backends: [part, canaryPart], canaryBy: "weight" };
}

function askedForCanary(
  request: RequestParts,
  { policy }: Canary,
):
  | { readonly wanted: boolean; readonly why: string; readonly by: "header" | "cookie" }
  | undefined {
  const { header, headerValue, headerPattern, cookie } = policy;
  const value = header === undefined ? undefined : request.header(header);
  const why = `canary by header ${header}: ${value}`;
  const by = "header";
  if (value !== undefined) {
    if (headerValue !== undefined) {
      if (value === headerValue) return { wanted: true, why, by };
    } else if (headerPattern !== undefined) {
      if (nginxPattern(headerPattern, false)?.(value) !== undefined) {
        return { wanted: true, why, by };
      }
    } else if (value === "always" || value === "never") {
      return { wanted: value === "always", why, by };
    }
  }
  const crumb = cookie === undefined ? undefined : request.cookie(cookie);
  if (crumb !== "always" && crumb !== "never") return undefined;
  const reason = `canary by cookie ${cookie}=${crumb}`;
  return { wanted: crumb === "always", why: reason, by: "cookie" };
}

/** lua/nginx/ngx_srv_redirect.lua. */
function wwwRedirect(
  { head }: RequestParts,
  { to, rule }: { readonly to: string; readonly rule: RuleSource },
  code: number,
): Redirect {
  const target = head.path.endsWith("/") ? head.path.slice(0, -1) : head.path;
  const port = head.port ?? (head.scheme === "https" ? 443 : 80);
  const location = `${head.scheme}://${to}:${port}${target}`;
  const why = `from-to-www-redirect sends ${head.host} to ${to}`;
  return redirect("from-to-www-redirect", code, location, rule, why);
}

/** The variables that redirects use, out of nginx's. */
function variables(text: string, { head, host, path, query }: RequestParts): string {
  const values: Readonly<Record<string, string>> = {
    scheme: head.scheme,
    host,
    http_host: head.host,
    request_uri: head.path,
    uri: path,
    args: query.slice(1),
    query_string: query.slice(1),
    is_args: query === "" ? "" : "?",
    request_method: head.method,
  };
  return text.replace(/\$\{?([a-z_]+)\}?/g, (whole, name) => values[name] ?? whole);
}

/** As nginx writes it into redirects: the name alone. */
function hostPart(header: string): string {
  return header.replace(/:[0-9]*$/, "");
}

function nameOf(server: NginxServer): string {
  return server.host === "" ? "any host" : server.host;
}

/** With the Ingresses to add one to. */
function noPath(server: NginxServer): string {
  const ingresses = server.locations.flatMap(({ ingress }) =>
    ingress === undefined ? [] : [objectKey(ingress)],
  );
  const of = [...new Set(ingresses)].map((key) => `Ingress ${key}`).join(", ");
  return `no path of ${nameOf(server)} matches${of === "" ? "" : ` (${of})`}`;
}

function redirect(
  cause: RedirectCause,
  status: number,
  location: string,
  rule: RuleSource,
  why: string,
): Redirect {
  return { action: "redirect", cause, status, location, rule, why };
}

function answer(status: number, why: string): OwnAnswer {
  return { action: "answer", status, why };
}

function byKey<T extends Parameters<typeof objectKey>[0]>(
  objects: readonly T[] | undefined,
): ReadonlyMap<string, T> | undefined {
  return objects && new Map(objects.map((object) => [objectKey(object), object]));
}
