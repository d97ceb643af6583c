import {
  type GatewayRoute,
  type HeaderModifier,
  type HttpRouteFilter,
  type HttpRouteRule,
  objectKey,
  type SessionPersistence,
} from "@cnilab/core";
import type {
  BackendProtocol,
  Forward,
  Mirror,
  RouteBackend,
  RouteDecision,
  RuleMatch,
  RuleSource,
  SessionPolicy,
} from "../routing/decision.ts";
import type { RequestParts } from "../routing/request-parts.ts";
import type { BackendResolver, UnresolvedRef } from "./backends.ts";
import { milliseconds } from "./durations.ts";
import { modifiedPath } from "./path-modifier.ts";

const PORTS: Readonly<Record<string, number>> = { http: 80, https: 443 };

/** A rule of an HTTPRoute or a GRPCRoute, ready to be applied to a request that it matches. */
export class RouteRule {
  readonly source: RuleSource;
  /** References that lead nowhere. */
  readonly unresolved: readonly UnresolvedRef[];
  /** What no model of a data plane is there for; the route is not accepted. */
  readonly unsupported: string | undefined;
  /** Those with a weight. */
  readonly backends: readonly RouteBackend[];
  /** Why none is left. */
  readonly #unbacked: string;
  /** Filters of single backends, whose outcome depends on the request. */
  readonly #ofBackends = new Map<RouteBackend, Pick<AddressFilters, "redirect" | "rewrite">>();
  readonly #requestHeaders: readonly HeaderModifier[];
  readonly #responseHeaders: readonly HeaderModifier[];
  readonly #redirect: HttpRouteFilter["requestRedirect"];
  readonly #rewrite: HttpRouteFilter["urlRewrite"];
  readonly #cors: HttpRouteFilter["cors"];
  readonly #mirrors: readonly Mirror[];
  readonly #more: Pick<Forward, "session" | "timeouts" | "retry">;

  constructor(
    route: GatewayRoute,
    index: number,
    rule: HttpRouteRule,
    resolver: BackendResolver,
    protocol: BackendProtocol,
  ) {
    const { namespace = "default", name } = route.metadata;
    this.source = { kind: route.kind, namespace, name, field: `spec.rules[${index}]` };
    const from = { kind: route.kind, namespace };
    const filters = rule.filters ?? [];
    const unresolved: UnresolvedRef[] = [];
    let unsupported = unsupportedFilter(filters, `spec.rules[${index}].filters`);
    const mirrorsOf = (own: readonly HttpRouteFilter[]): Mirror[] =>
      own.flatMap(({ requestMirror }) => {
        if (requestMirror === undefined) return [];
        const { backendRef, percent = 100, fraction } = requestMirror;
        const { backend, unresolved: lost } = resolver.resolve(backendRef, from, protocol);
        if (lost !== undefined) {
          unresolved.push(lost);
          return [];
        }
        const { numerator, denominator = 100 } = fraction ?? { numerator: percent };
        return [{ backend, share: numerator / denominator }];
      });
    this.#requestHeaders = filters.flatMap((filter) => filter.requestHeaderModifier ?? []);
    this.#responseHeaders = filters.flatMap((filter) => filter.responseHeaderModifier ?? []);
    this.#redirect = filterOf(filters, "requestRedirect");
    this.#rewrite = filterOf(filters, "urlRewrite");
    this.#cors = filterOf(filters, "cors");
    this.#mirrors = mirrorsOf(filters);
    this.backends = (rule.backendRefs ?? []).flatMap((ref, k) => {
      const { backend, unresolved: lost } = resolver.resolve(ref, from, protocol);
      if (lost !== undefined) unresolved.push(lost);
      const own = ref.filters ?? [];
      unsupported ??= unsupportedFilter(
        own,
        `spec.rules[${index}].backendRefs[${k}].filters`,
        "CORS",
      );
      if (backend.weight === 0) return [];
      const request = own.flatMap((f) => f.requestHeaderModifier ?? []);
      const response = own.flatMap((f) => f.responseHeaderModifier ?? []);
      const mirrors = mirrorsOf(own);
      const made: RouteBackend = {
        ...backend,
        ...(request.length > 0 && { requestHeaders: request }),
        ...(response.length > 0 && { responseHeaders: response }),
        ...(mirrors.length > 0 && { mirrors }),
      };
      const redirect = filterOf(own, "requestRedirect");
      const rewrite = filterOf(own, "urlRewrite");
      if (redirect !== undefined || rewrite !== undefined) {
        this.#ofBackends.set(made, { redirect, rewrite });
      }
      return [made];
    });
    this.#unbacked =
      (rule.backendRefs ?? []).length === 0
        ? "the rule names no backend"
        : "no backend of the rule has a weight above 0";
    this.unresolved = unresolved;
    this.unsupported = unsupported;
    this.#more = {
      ...(rule.sessionPersistence && { session: session(rule.sessionPersistence, name) }),
      ...(rule.timeouts && { timeouts: timeouts(rule.timeouts) }),
      ...(rule.retry && {
        retry: {
          codes: rule.retry.codes ?? [],
          attempts: rule.retry.attempts ?? 1,
          backoffMs: milliseconds(rule.retry.backoff ?? "0s"),
        },
      }),
    };
  }

  /** @param prefix of the path match, for filters that replace it */
  decide(
    request: RequestParts,
    prefix: string,
    port: number,
    why: string,
    match?: RuleMatch,
  ): RouteDecision {
    const rule = this.source;
    if (this.#redirect !== undefined) {
      return {
        action: "redirect",
        ...(match && { match }),
        status: this.#redirect.statusCode ?? 302,
        location: redirectLocation(this.#redirect, request, prefix, port),
        rule,
        why,
      };
    }
    if (this.backends.length === 0) {
      return { action: "answer", status: 500, rule, why: this.#unbacked };
    }
    return {
      action: "forward",
      ...(match && { match }),
      backends: this.#backendsFor(request, prefix, port),
      host: this.#rewrite?.hostname ?? request.head.host,
      path: rewrittenPath(this.#rewrite, request, prefix) ?? request.head.path,
      requestHeaders: this.#requestHeaders,
      responseHeaders: this.#responseHeaders,
      mirrors: this.#mirrors,
      ...this.#more,
      ...(this.#cors && { cors: this.#cors }),
      rule,
      why,
    };
  }

  #backendsFor(request: RequestParts, prefix: string, port: number): readonly RouteBackend[] {
    if (this.#ofBackends.size === 0) return this.backends;
    return this.backends.map((backend) => {
      const { redirect, rewrite } = this.#ofBackends.get(backend) ?? {};
      if (redirect !== undefined) {
        const location = redirectLocation(redirect, request, prefix, port);
        return { ...backend, redirect: { status: redirect.statusCode ?? 302, location } };
      }
      const path = rewrittenPath(rewrite, request, prefix);
      return {
        ...backend,
        ...(path !== undefined && { path }),
        ...(rewrite?.hostname !== undefined && { host: rewrite.hostname }),
      };
    });
  }
}

/** Filters that change where a request goes. */
interface AddressFilters {
  readonly redirect: HttpRouteFilter["requestRedirect"];
  readonly rewrite: HttpRouteFilter["urlRewrite"];
}

function filterOf<K extends keyof HttpRouteFilter>(
  filters: readonly HttpRouteFilter[],
  key: K,
): HttpRouteFilter[K] | undefined {
  return filters.find((filter) => filter[key] !== undefined)?.[key];
}

function rewrittenPath(
  rewrite: HttpRouteFilter["urlRewrite"],
  request: RequestParts,
  prefix: string,
): string | undefined {
  if (rewrite?.path === undefined) return undefined;
  return `${modifiedPath(rewrite.path, request.path, prefix)}${request.query}`;
}

/** The address in a redirect (apis/v1/httproute_types.go HTTPRequestRedirectFilter). */
function redirectLocation(
  redirect: NonNullable<HttpRouteFilter["requestRedirect"]>,
  request: RequestParts,
  prefix: string,
  listenerPort: number,
): string {
  const scheme = redirect.scheme ?? request.head.scheme;
  const host = redirect.hostname ?? request.head.host.replace(/:[0-9]*$/, "");
  const port =
    redirect.port ?? (redirect.scheme === undefined ? listenerPort : (PORTS[scheme] as number));
  const shown = port === PORTS[scheme] ? "" : `:${port}`;
  const path = modifiedPath(redirect.path, request.path, prefix);
  return `${scheme}://${host}${shown}${path}${request.query}`;
}

function unsupportedFilter(
  filters: readonly HttpRouteFilter[],
  field: string,
  ...more: readonly string[]
): string | undefined {
  const types = ["ExtensionRef", "ExternalAuth", ...more];
  const at = filters.findIndex(({ type }) => types.includes(type));
  const found = filters[at];
  if (found === undefined) return undefined;
  const what =
    found.extensionRef === undefined
      ? found.type
      : `${found.extensionRef.kind}.${found.extensionRef.group} ${found.extensionRef.name}`;
  return `${field}[${at}]: filter ${what} is not simulated${more.includes(found.type) ? " at a backend" : ""}`;
}

function session(given: SessionPersistence, route: string): SessionPolicy {
  const by = given.type === "Header" ? "header" : "cookie";
  const named = by === "header" ? given.header?.name : (given.cookie?.name ?? given.sessionName);
  return {
    by,
    name: named ?? `${route}-session`,
    ...(given.cookie?.path && { path: given.cookie.path }),
    ...(given.absoluteTimeout && { absoluteTimeoutMs: milliseconds(given.absoluteTimeout) }),
  };
}

/** Zero is no limit. */
function timeouts(given: NonNullable<HttpRouteRule["timeouts"]>): NonNullable<Forward["timeouts"]> {
  const request = milliseconds(given.request ?? "0s");
  const backendRequest = milliseconds(given.backendRequest ?? "0s");
  return {
    ...(request > 0 && { requestMs: request }),
    ...(backendRequest > 0 && { backendRequestMs: backendRequest }),
  };
}

export function routeText(route: GatewayRoute): string {
  return `${route.kind} ${objectKey(route)}`;
}
