import { normalUri } from "../ingress/nginx-uri.ts";
import type {
  Forward,
  RedirectCause,
  RouteDecision,
  RuleMatch,
  RuleSource,
} from "../routing/decision.ts";
import type { ProxyRules } from "../routing/proxy-rules.ts";
import { nginxPattern } from "../routing/regular-expression.ts";
import type { RequestHead } from "../routing/request-head.ts";
import { RequestParts } from "../routing/request-parts.ts";
import { compareFates, type Fate, fateOf } from "./fate.ts";

/** One side's answer, and whom to ask further. */
export interface Answered {
  readonly rules: ProxyRules;
  readonly decision: RouteDecision;
  readonly fate: Fate;
}

/** A request, what became of it on each side, and the hosts that rules of the Ingresses name. */
export interface Disagreement {
  readonly request: RequestHead;
  readonly ingress: Answered;
  readonly routes: Answered;
  readonly ingressHosts: ReadonlySet<string>;
}

/**
 * One sentence on why Ingresses and routes treat a request differently: which rule took it on each side, and how. Where
 * that is a known trap, it is named; but only if the other side sends a request without the trap to the same place.
 */
export function whyDifferent(disagreement: Disagreement): string {
  const { ingress, routes } = disagreement;
  return (
    ofRedirects(ingress, routes) ??
    ofSameBackends(ingress.fate, routes.fate) ??
    ofWildcards(disagreement) ??
    ofCookie(disagreement) ??
    ofLetters(disagreement) ??
    ofSlash(disagreement) ??
    ofRules(ingress, routes)
  );
}

const REDIRECTS: Readonly<Record<RedirectCause, string>> = {
  "missing slash": "a path that ends with a slash makes nginx send clients there (301)",
  "ssl-redirect":
    "ssl-redirect: nginx sends http to https where the host has a certificate; give the HTTP listener a route with RequestRedirect",
  "app-root": "app-root redirects /; add a rule with an Exact match of / and RequestRedirect",
  "from-to-www-redirect":
    "from-to-www-redirect answers for a host of its own; add a route for it with RequestRedirect",
  "permanent-redirect or temporal-redirect":
    "permanent-redirect or temporal-redirect; add RequestRedirect to the rule",
  "rewrite-target":
    "rewrite-target is an address, so nginx redirects; add RequestRedirect to the rule",
};

function ofRedirects(theirs: Answered, ours: Answered): string | undefined {
  const [ingress, routes] = [theirs.decision, ours.decision];
  if (routes.action === "redirect") {
    if (ingress.action === "redirect") return ofTwoRedirects(theirs.fate, ours.fate);
    return `the routes redirect (${sourceText(routes.rule)}), the Ingress does not: ${clauseOf(ingress)}`;
  }
  if (ingress.action !== "redirect") return undefined;
  const text = ingress.cause === undefined ? "the Ingress redirects" : REDIRECTS[ingress.cause];
  return ingress.cause === "missing slash" ? `${text}; of the routes, ${clauseOf(routes)}` : text;
}

function ofTwoRedirects(ingress: Fate, routes: Fate): string {
  if (ingress.status === routes.status) return "both redirect, to different places";
  const places = ingress.location === routes.location ? "" : ", and to different places";
  return `both redirect, with ${ingress.status} and ${routes.status}${places}; clients repeat the method after 307 and 308 alone`;
}

/** Where the same backends are asked, but not alike. */
function ofSameBackends(ingress: Fate, routes: Fate): string | undefined {
  const [theirs, ours] = [ingress.backends, routes.backends];
  if (theirs === undefined || ours === undefined) return undefined;
  const differs = (key: keyof Fate): boolean =>
    JSON.stringify(ingress[key]) !== JSON.stringify(routes[key]);
  // A port that one side names is no reason: nobody knows whether it is the other's.
  if (!compareFates({ backends: theirs }, { backends: ours }).same) {
    if (alike(theirs, ours, PROTOCOL)) {
      return "the backend is spoken to in another protocol: backend-protocol of the Ingress; for routes a BackendTLSPolicy, or appProtocol of the Service's port (give the Service with -f)";
    }
    if (!alike(theirs, ours, OWN)) return undefined;
    return "the same backends, but filters of backendRefs change what goes there or comes back";
  }
  const parts: readonly (readonly [keyof Fate, string])[] = [
    ["path", "the backend is asked for another path (rewrite-target, URLRewrite)"],
    ["host", "the backend gets another Host header (upstream-vhost, URLRewrite)"],
    [
      "session",
      "one of them keeps clients at an endpoint, or by something else (affinity: cookie, sessionPersistence)",
    ],
    ["headers", "the backend gets other headers (RequestHeaderModifier)"],
    ["responseHeaders", "the client gets other headers (ResponseHeaderModifier)"],
    ["cors", "one of them answers CORS requests"],
    ["mirrors", "one of them sends copies to another Service (RequestMirror)"],
  ];
  return parts
    .filter(([key]) => differs(key))
    .map(([, text]) => text)
    .join("; ");
}

const PROTOCOL = / over (TLS|h2c|FastCGI)/;
/** All that a backend's text has between its port and its share. */
const OWN = / (over|at|as|with|answering|copied) .*?(?= [0-9.]+%$|$)/;

function alike(x: readonly string[], y: readonly string[], without: RegExp): boolean {
  const plain = (texts: readonly string[]): Fate => ({
    backends: texts.map((text) => text.replace(without, "")),
  });
  return compareFates(plain(x), plain(y)).same;
}

function ofWildcards({ request, ingress, routes, ingressHosts }: Disagreement): string | undefined {
  const { match } = matchedBy(routes.decision);
  if (match?.host.startsWith("*.") !== true || !ingressHosts.has(match.host)) return undefined;
  const labels = new RequestParts(request).host.slice(0, -match.host.length + 1);
  if (!labels.includes(".")) return undefined;
  if (matchedBy(ingress.decision).match?.host === match.host) return undefined;
  return "a wildcard stands for exactly one label in an Ingress, for one or more in a route";
}

/** A cookie that names the canary, where the routes do what the Ingress does without it. */
function ofCookie({ request, ingress, routes }: Disagreement): string | undefined {
  if (ingress.decision.action !== "forward" || ingress.decision.canaryBy !== "cookie") return;
  const { cookie: _, ...headers } = request.headers ?? {};
  if (!sameBackends(asked(ingress, { ...request, headers }), routes.fate)) return undefined;
  return "canary-by-cookie has nothing like it in an HTTPRoute but a match of the Cookie header as RegularExpression";
}

/** Paths that nginx takes though they are neither the rule's nor below it. */
function ofLetters({ request, ingress, routes }: Disagreement): string | undefined {
  const { match } = matchedBy(ingress.decision);
  const uri = normalUri(new RequestParts(request).path);
  if (match?.path === undefined || uri === undefined) return undefined;
  const { path } = match;
  const agrees = (other: string): boolean =>
    sameBackends(asked(routes, { ...request, path: other }), ingress.fate);
  const isPattern = match.compared === "pattern in any case";
  if (isPattern && nginxPattern(`^${path}`, false)?.(uri) === undefined) {
    if (!agrees(uri.toLowerCase()) && !agrees(path)) return undefined;
    return "use-regex or rewrite-target makes nginx compare all paths of the host without regard to case; routes do not";
  }
  if (!isPattern && match.compared !== "letters") return undefined;
  if (uri === path || uri.startsWith(path.endsWith("/") ? path : `${path}/`)) return undefined;
  if (!agrees(path)) return undefined;
  return isPattern
    ? "use-regex or rewrite-target makes nginx compare all paths of the host as patterns that need not end at a slash; a PathPrefix goes by elements"
    : "ImplementationSpecific: nginx compares letter by letter; a PathPrefix goes by elements";
}

/** An Exact path on one side that would do as the other side does, but for the slash at the end. */
function ofSlash({ request, ingress, routes }: Disagreement): string | undefined {
  const { path, query } = new RequestParts(request);
  const toggled = path.endsWith("/") ? path.slice(0, -1) : `${path}/`;
  if (toggled === "") return undefined;
  const other = { ...request, path: toggled + query };
  const sides = [
    [ingress, routes],
    [routes, ingress],
  ] as const;
  for (const [strict, loose] of sides) {
    const [exact, taken] = [strict.rules.routeRequest(other), loose.decision];
    if (exact.action !== "forward" || exact.match?.compared !== "whole") continue;
    if (taken.action !== "forward" || taken.match?.compared === "anything") continue;
    if (!sameBackends(fateOf(exact, other), loose.fate)) continue;
    return `a slash at the end: ${clauseOf(exact)} and counts it; ${clauseOf(taken)}`;
  }
  return undefined;
}

function ofRules(ingress: Answered, routes: Answered): string {
  const [theirs, ours] = [clauseOf(ingress.decision), clauseOf(routes.decision)];
  const [x, y] = [ingress.fate.backends, routes.fate.backends];
  if (x !== undefined && y === undefined) {
    return `only the Ingress has a backend for it: ${theirs}; of the routes, ${ours}${restHint(ingress.decision)}`;
  }
  if (x === undefined && y !== undefined)
    return `only the routes have a backend for it: ${ours}; of the Ingress, ${theirs}`;
  if (x === undefined) return `both refuse it, with different answers: ${theirs}; ${ours}`;
  return `other backends: ${theirs}; ${ours}`;
}

function restHint(decision: RouteDecision): string {
  const { match } = matchedBy(decision);
  if (match?.compared !== "anything") return "";
  const where = match.host === "" ? "a route without hostnames" : `a route of ${match.host}`;
  return `; add a rule without matches to ${where}`;
}

/** Which rule took a request, and how. */
function clauseOf(decision: RouteDecision): string {
  const { match, rule } = matchedBy(decision);
  if (match === undefined || rule === undefined || rule.kind !== "Ingress") return decision.why;
  if (match.compared === "anything") {
    const others = match.host === "" ? "rule of an Ingress" : `path of ${match.host}`;
    return `the default backend of Ingress ${rule.namespace}/${rule.name} takes what no ${others} does`;
  }
  const how =
    match.compared === "letters"
      ? ", letter by letter,"
      : match.compared === "pattern in any case"
        ? ", as a pattern in any case,"
        : "";
  const canary =
    decision.action === "forward" && decision.canaryBy ? `, canary by ${decision.canaryBy}` : "";
  return `${match.pathType} ${match.path}${how} of ${match.host || "any host"} matches (Ingress ${rule.namespace}/${rule.name}${canary})`;
}

function matchedBy(decision: RouteDecision): {
  readonly match?: RuleMatch | undefined;
  readonly rule?: RuleSource | undefined;
} {
  if (decision.action === "answer") return { rule: decision.rule };
  return { match: decision.match, rule: decision.rule };
}

function sourceText({ kind, namespace, name, field }: Forward["rule"]): string {
  return `${kind} ${namespace}/${name} ${field}`;
}

function asked({ rules }: Answered, request: RequestHead): Fate {
  return fateOf(rules.routeRequest(request), request);
}

/** The backends alone: what a rewrite makes of another path is another path. */
function sameBackends(x: Fate, y: Fate): boolean {
  if (x.backends === undefined || y.backends === undefined) return false;
  return alike(x.backends, y.backends, OWN);
}
