import type { GRPCRoute, GrpcRouteMatch } from "@cnilab/core";
import type { RouteDecision } from "../routing/decision.ts";
import { HostIndex } from "../routing/host-index.ts";
import type { RequestParts } from "../routing/request-parts.ts";
import { byAge } from "./object-order.ts";
import { type RouteRule, routeText } from "./route-rule.ts";
import { type CompiledValue, compileValues, patternOf } from "./value-match.ts";

const ANY: readonly GrpcRouteMatch[] = [{}];

/** One `matches` entry of a GRPCRoute's rule. */
export interface GrpcMatch {
  readonly service: string | undefined;
  readonly method: string | undefined;
  /** Of a RegularExpression; both admit what they do not name. */
  readonly pattern: ((service: string, method: string) => boolean) | undefined;
  readonly headers: readonly CompiledValue[];
  readonly rule: RouteRule;
  readonly route: GRPCRoute;
  readonly order: number;
}

/** All matches of a route. @throws PatternError */
export function compileGrpcRoute(route: GRPCRoute, rules: readonly RouteRule[]): GrpcMatch[] {
  let order = 0;
  return (route.spec.rules ?? [{}]).flatMap(({ matches = [] }, i) =>
    (matches.length === 0 ? ANY : matches).map((match, k): GrpcMatch => {
      const { type = "Exact", service, method } = match.method ?? {};
      const field = `spec.rules[${i}].matches[${k}]`;
      return {
        service,
        method,
        pattern: type === "Exact" ? undefined : methodPattern(service, method, `${field}.method`),
        headers: compileValues(match.headers, (name) => name.toLowerCase(), `${field}.headers`),
        rule: rules[i] as RouteRule,
        route,
        order: order++,
      };
    }),
  );
}

function methodPattern(
  service: string | undefined,
  method: string | undefined,
  field: string,
): (service: string, method: string) => boolean {
  const ofService = service === undefined ? undefined : patternOf(service, `${field}.service`);
  const ofMethod = method === undefined ? undefined : patternOf(method, `${field}.method`);
  return (s, m) => (ofService?.(s) ?? true) && (ofMethod?.(m) ?? true);
}

/** What one host has: matches by `service/method`, either of them empty where it is not named. */
interface HostMatches {
  readonly named: Map<string, GrpcMatch[]>;
  readonly patterns: GrpcMatch[];
}

/** Matches of all GRPCRoutes of a listener, by host, service and method. */
export class GrpcRouteTable {
  readonly #hosts = new HostIndex<HostMatches>("any labels");

  add(hostname: string, match: GrpcMatch): void {
    const { named, patterns } = this.#hosts.at(hostname, () => ({
      named: new Map(),
      patterns: [],
    }));
    if (match.pattern !== undefined) {
      patterns.push(match);
      return;
    }
    const key = `${match.service ?? ""}/${match.method ?? ""}`;
    const list = named.get(key);
    if (list === undefined) named.set(key, [match]);
    else list.push(match);
  }

  finish(): void {
    for (const { named, patterns } of this.#hosts.values()) {
      for (const list of named.values()) list.sort(byPrecedence);
      patterns.sort(byPrecedence);
    }
  }

  /** apis/v1/grpcroute_types.go GRPCRouteRule.matches: the longest service, the longest method, most headers. */
  decide(request: RequestParts, port: number): RouteDecision | undefined {
    const [, service = "", method = "", more] = request.path.split("/");
    if (service === "" || method === "" || more !== undefined) return undefined;
    const admits = ({ headers }: GrpcMatch): boolean =>
      headers.every(({ name, matches }) => {
        const value = request.header(name);
        return value !== undefined && matches(value);
      });
    for (const { named, patterns } of this.#hosts.matches(request.host)) {
      const found =
        named.get(`${service}/${method}`)?.find(admits) ??
        named.get(`${service}/`)?.find(admits) ??
        patterns.find((match) => match.pattern?.(service, method) === true && admits(match)) ??
        named.get(`/${method}`)?.find(admits) ??
        named.get("/")?.find(admits);
      if (found === undefined) continue;
      const what = `${found.service ?? "any service"}, ${found.method ?? "any method"}`;
      return found.rule.decide(request, "/", port, `${what} of ${routeText(found.route)} matches`);
    }
    return undefined;
  }
}

function byPrecedence(x: GrpcMatch, y: GrpcMatch): number {
  return (
    (y.service ?? "").length - (x.service ?? "").length ||
    (y.method ?? "").length - (x.method ?? "").length ||
    y.headers.length - x.headers.length ||
    byAge(x.route, y.route) ||
    x.order - y.order
  );
}
