import type { ConnectionDecision, IncomingConnection, RouteDecision } from "./decision.ts";
import type { RequestHead } from "./request-head.ts";

/** A port that a proxy listens on. */
export interface ServedPort {
  readonly port: number;
  readonly protocol: "HTTP" | "HTTPS" | "TLS" | "TCP" | "UDP";
}

/** What one proxy serves, compiled: it does not change, a change of objects makes a new one. */
export interface ProxyRules {
  readonly ports: readonly ServedPort[];
  routeConnection(connection: IncomingConnection): ConnectionDecision;
  routeRequest(request: RequestHead): RouteDecision;
}

export function routeRequest(rules: ProxyRules, request: RequestHead): RouteDecision {
  return rules.routeRequest(request);
}

export function routeConnection(
  rules: ProxyRules,
  connection: IncomingConnection,
): ConnectionDecision {
  return rules.routeConnection(connection);
}
