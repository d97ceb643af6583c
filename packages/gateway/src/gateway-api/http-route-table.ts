import type { HTTPRoute, HttpRouteMatch } from "@cnilab/core";
import type { PathComparison, RouteDecision } from "../routing/decision.ts";
import { HostIndex } from "../routing/host-index.ts";
import { PathIndex } from "../routing/path-index.ts";
import type { RequestParts } from "../routing/request-parts.ts";
import { byAge } from "./object-order.ts";
import { type RouteRule, routeText } from "./route-rule.ts";
import { type CompiledValue, compileValues, patternOf } from "./value-match.ts";

const COMPARED: Readonly<Record<HttpMatch["pathType"], PathComparison>> = {
  Exact: "whole",
  PathPrefix: "elements",
  RegularExpression: "pattern",
};

const ANY: readonly HttpRouteMatch[] = [{}];

/** One `matches` entry of an HTTPRoute's rule. */
export interface HttpMatch {
  readonly path: string;
  readonly pathType: "Exact" | "PathPrefix" | "RegularExpression";
  /** Of a RegularExpression. */
  readonly pattern: ((path: string) => boolean) | undefined;
  readonly method: string | undefined;
  readonly headers: readonly CompiledValue[];
  readonly parameters: readonly CompiledValue[];
  readonly rule: RouteRule;
  readonly route: HTTPRoute;
  /** Place among the route's matches. */
  readonly order: number;
}

/** All matches of a route. @throws PatternError */
export function compileHttpRoute(route: HTTPRoute, rules: readonly RouteRule[]): HttpMatch[] {
  let order = 0;
  return (route.spec.rules ?? [{}]).flatMap(({ matches = [] }, i) =>
    (matches.length === 0 ? ANY : matches).map((match, k): HttpMatch => {
      const { type = "PathPrefix", value = "/" } = match.path ?? {};
      const field = `spec.rules[${i}].matches[${k}]`;
      return {
        path: value,
        pathType: type,
        pattern: type === "RegularExpression" ? patternOf(value, `${field}.path.value`) : undefined,
        method: match.method,
        headers: compileValues(match.headers, (name) => name.toLowerCase(), `${field}.headers`),
        parameters: compileValues(match.queryParams, (name) => name, `${field}.queryParams`),
        rule: rules[i] as RouteRule,
        route,
        order: order++,
      };
    }),
  );
}

/** Matches of all HTTPRoutes of a listener, by host and path. */
export class HttpRouteTable {
  readonly #hosts = new HostIndex<{
    readonly hostname: string;
    readonly paths: PathIndex<HttpMatch>;
  }>("any labels");

  add(hostname: string, match: HttpMatch): void {
    const { paths } = this.#hosts.at(hostname, () => ({
      hostname,
      paths: new PathIndex<HttpMatch>(),
    }));
    if (match.pathType === "Exact") paths.addExact(match.path, match);
    else if (match.pattern === undefined) paths.addPrefix(match.path, match);
    else paths.addPattern(match.path, match.pattern, match);
  }

  /** Orders what was added. */
  finish(): void {
    for (const { paths } of this.#hosts.values()) paths.sort(byPrecedence);
  }

  /** Hosts first, then paths (apis/v1/httproute_types.go, HTTPRouteSpec.hostnames and HTTPRouteRule.matches). */
  decide(request: RequestParts, port: number): RouteDecision | undefined {
    const admits = (match: HttpMatch): boolean => holds(match, request);
    for (const { hostname, paths } of this.#hosts.matches(request.host)) {
      const found = paths.find(request.path, admits);
      if (found !== undefined) {
        const match = {
          host: hostname,
          pathType: found.pathType,
          path: found.path,
          compared: COMPARED[found.pathType],
        };
        return found.rule.decide(request, found.path, port, whyMatched(found), match);
      }
    }
    return undefined;
  }
}

function holds({ method, headers, parameters }: HttpMatch, request: RequestParts): boolean {
  if (method !== undefined && method !== request.head.method) return false;
  for (const { name, matches } of headers) {
    const value = request.header(name);
    if (value === undefined || !matches(value)) return false;
  }
  for (const { name, matches } of parameters) {
    const value = request.parameter(name);
    if (value === undefined || !matches(value)) return false;
  }
  return true;
}

/** Among matches of one path. */
function byPrecedence(x: HttpMatch, y: HttpMatch): number {
  return (
    y.path.length - x.path.length ||
    Number(y.method !== undefined) - Number(x.method !== undefined) ||
    y.headers.length - x.headers.length ||
    y.parameters.length - x.parameters.length ||
    byAge(x.route, y.route) ||
    x.order - y.order
  );
}

function whyMatched({ pathType, path, method, headers, parameters, route }: HttpMatch): string {
  const parts = [
    `${pathType} ${path}`,
    ...(method === undefined ? [] : [`method ${method}`]),
    ...headers.map(({ name }) => `header ${name}`),
    ...parameters.map(({ name }) => `query ${name}`),
  ];
  return `${parts.join(", ")} of ${routeText(route)} matches`;
}
