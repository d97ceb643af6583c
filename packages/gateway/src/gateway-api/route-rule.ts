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
  readonly #requestHeaders: readonly HeaderModifier[] = [];
  readonly #responseHeaders: readonly HeaderModifier[] = [];
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
    const requestHeaders: HeaderModifier[] = [];
    const responseHeaders: HeaderModifier[] = [];
    const mirrors: Mirror[] = [];
    for (const filter of filters) {
      if (filter.requestHeaderModifier !== undefined)
        requestHeaders.push(filter.requestHeaderModifier);
      if (filter.responseHeaderModifier !== undefined)
        responseHeaders.push(filter.responseHeaderModifier);
      if (filter.requestMirror === undefined) continue;
      const { backendRef, percent, fraction } = filter.requestMirror;
      const { backend, unresolved: lost } = resolver.resolve(backendRef, from, protocol);
      if (lost !== undefined) unresolved.push(lost);
      else {
        const share =
          fraction === undefined
            ? (percent ?? 100) / 100
            : fraction.numerator / (fraction.denominator ?? 100);
        mirrors.push({ backend, share });
      }
    }
    const find = <K extends keyof HttpRouteFilter>(key: K): HttpRouteFilter[K] | undefined =>
      filters.find((filter) => filter[key] !== undefined)?.[key];
    this.#redirect = find("requestRedirect");
    this.#rewrite = find("urlRewrite");
    this.#cors = find("cors");
    this.#requestHeaders = requestHeaders;
    this.#responseHeaders = responseHeaders;
    this.#mirrors = mirrors;
    this.backends = (rule.backendRefs ?? []).flatMap((ref, k) => {
      const { backend, unresolved: lost } = resolver.resolve(ref, from, protocol);
      if (lost !== undefined) unresolved.push(lost);
      const own = ref.filters ?? [];
      unsupported ??= backendFilterFault(own, `spec.rules[${index}].backendRefs[${k}].filters`);
      if (backend.weight === 0) return [];
      const request = own.flatMap((f) => f.requestHeaderModifier ?? []);
      const response = own.flatMap((f) => f.responseHeaderModifier ?? []);
      return [
        {
          ...backend,
          ...(request.length > 0 && { requestHeaders: request }),
          ...(response.length > 0 && { responseHeaders: response }),
        },
      ];
    });
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
  decide(request: RequestParts, prefix: string, port: number, why: string): RouteDecision {
    const rule = this.source;
    if (this.#redirect !== undefined) {
      return {
        action: "redirect",
        status: this.#redirect.statusCode ?? 302,
        location: redirectLocation(this.#redirect, request, prefix, port),
        rule,
        why,
      };
    }
    if (this.backends.length === 0) {
      const reason = `${rule.kind} ${rule.namespace}/${rule.name} ${rule.field} has no backend`;
      return { action: "answer", status: 500, rule, why: reason };
    }
    const rewrite = this.#rewrite;
    const path =
      rewrite?.path === undefined
        ? request.head.path
        : `${modifiedPath(rewrite.path, request.path, prefix)}${request.query}`;
    return {
      action: "forward",
      backends: this.backends,
      host: rewrite?.hostname ?? request.head.host,
      path,
      requestHeaders: this.#requestHeaders,
      responseHeaders: this.#responseHeaders,
      mirrors: this.#mirrors,
      ...this.#more,
      ...(this.#cors && { cors: this.#cors }),
      rule,
      why,
    };
  }
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

function unsupportedFilter(filters: readonly HttpRouteFilter[], field: string): string | undefined {
  const at = filters.findIndex(({ type }) => type === "ExtensionRef" || type === "ExternalAuth");
  const found = filters[at];
  if (found === undefined) return undefined;
  const what =
    found.extensionRef === undefined
      ? found.type
      : `${found.extensionRef.kind}.${found.extensionRef.group} ${found.extensionRef.name}`;
  return `${field}[${at}]: filter ${what} is not simulated`;
}

function backendFilterFault(
  filters: readonly HttpRouteFilter[],
  field: string,
): string | undefined {
  const at = filters.findIndex(
    ({ type }) => type !== "RequestHeaderModifier" && type !== "ResponseHeaderModifier",
  );
  const found = filters[at];
  return found && `${field}[${at}]: filter ${found.type} is not simulated at a backend`;
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
