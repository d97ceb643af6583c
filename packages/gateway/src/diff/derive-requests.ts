import type { HTTPRoute, HttpRouteMatch, Ingress, ValueMatch } from "@cnilab/core";
import { nginxSettings } from "../ingress/nginx-annotations.ts";
import { hostMatches } from "../routing/host-index.ts";
import type { RequestHead } from "../routing/request-head.ts";
import { patternSamples } from "./sample-text.ts";

/** What a request is to find out. */
export type Aspect =
  | "path"
  | "trailing slash"
  | "below"
  | "sibling"
  | "letter case"
  | "wildcard depth"
  | "other host"
  | "no match"
  | "header"
  | "query"
  | "method"
  | "cookie"
  | "given";

export interface DerivedRequest {
  readonly request: RequestHead;
  readonly aspect: Aspect;
}

/** Rule sets that requests are derived from. */
export interface RuleSets {
  readonly ingresses: readonly Ingress[];
  readonly routes: readonly HTTPRoute[];
  /** Host names of listeners. */
  readonly hostnames: readonly string[];
  /** Host names, or wildcards, that are asked by https as well. */
  readonly tlsHosts: readonly string[];
}

/** Requests that are derived at most. */
export const MOST_DERIVED = 50_000;
const NOBODY = "unnamed.invalid";

/** A path that some rule names for a host. */
interface NamedPath {
  readonly host: string;
  readonly path: string;
  readonly isPattern: boolean;
  /** What a request needs beside the path. */
  readonly match?: HttpRouteMatch;
}

/**
 * Requests by which rule sets can be told apart: for every host and path that one of them names the path itself, with and
 * without a slash at its end, below it, beside it, in other letters; hosts that wildcards may or may not stand for; what
 * no rule names; headers, queries, methods and cookies that rules look at, and the same without each of them.
 */
export function deriveRequests(sets: RuleSets): readonly DerivedRequest[] {
  const named = [...sets.ingresses.flatMap(pathsOfIngress), ...sets.routes.flatMap(pathsOfRoute)];
  const patterns = new Set([...named.map(({ host }) => host), ...sets.hostnames]);
  const found = new Map<string, DerivedRequest>();
  const crumbs = [...new Set(sets.ingresses.flatMap(canaryCrumbs).map((c) => JSON.stringify(c)))];
  for (const { host, aspect: hostAspect } of hostsOf(patterns)) {
    const ofHost = named.filter(
      ({ host: pattern }) => pattern === "" || hostMatches(pattern, host, "any labels"),
    );
    const schemes = sets.tlsHosts.some((p) => p === "" || hostMatches(p, host, "any labels"))
      ? (["http", "https"] as const)
      : (["http"] as const);
    const add = (aspect: Aspect, rest: Partial<RequestHead>): void => {
      for (const scheme of schemes) {
        const sni = scheme === "https" ? { sni: host } : {};
        const request = { method: "GET", scheme, host, path: "/", ...sni, ...rest };
        const key = JSON.stringify(request);
        if (found.size < MOST_DERIVED && !found.has(key)) {
          found.set(key, { request, aspect: hostAspect ?? aspect });
        }
      }
    };
    add("no match", { path: "/" });
    add("no match", { path: "/no-rule-has-this" });
    for (const each of ofHost) {
      for (const { path, aspect } of variantsOf(each)) {
        add(aspect, { path });
        if (aspect !== "path" && aspect !== "below") continue;
        for (const crumb of crumbs) {
          const headers = JSON.parse(crumb) as Record<string, string>;
          add("cookie" in headers ? "cookie" : "header", { path, headers });
        }
        if (each.match !== undefined) addMatch(each.match, path, add);
      }
    }
  }
  return [...found.values()];
}

function pathsOfIngress({ spec }: Ingress): NamedPath[] {
  return (spec.rules ?? []).flatMap(({ host = "", http }) => [
    { host, path: "/", isPattern: false },
    ...(http?.paths ?? []).map(({ path = "/" }) => ({
      host,
      path: path === "" ? "/" : path,
      isPattern: /[\\^$*+?()[\]{}|]/.test(path),
    })),
  ]);
}

function pathsOfRoute({ spec }: HTTPRoute): NamedPath[] {
  const hosts = spec.hostnames === undefined || spec.hostnames.length === 0 ? [""] : spec.hostnames;
  return hosts.flatMap((host) =>
    (spec.rules ?? []).flatMap(({ matches = [] }) =>
      (matches.length === 0 ? [{}] : matches).map((match: HttpRouteMatch) => ({
        host,
        path: match.path?.value ?? "/",
        isPattern: match.path?.type === "RegularExpression",
        match,
      })),
    ),
  );
}

function* hostsOf(
  patterns: ReadonlySet<string>,
): Generator<{ readonly host: string; readonly aspect?: Aspect }, void, undefined> {
  yield { host: NOBODY, aspect: "other host" };
  const precise = [...patterns].filter((p) => p !== "" && !p.startsWith("*."));
  for (const host of precise) {
    yield { host };
    if (!patterns.has(`*.${host}`)) yield { host: `below.${host}`, aspect: "other host" };
  }
  for (const pattern of patterns) {
    if (!pattern.startsWith("*.")) continue;
    const bare = pattern.slice(2);
    const [one, two] = [`one.${bare}`, `two.one.${bare}`];
    if (!patterns.has(one)) yield { host: one };
    if (!patterns.has(two)) yield { host: two, aspect: "wildcard depth" };
    if (!patterns.has(bare)) yield { host: bare, aspect: "wildcard depth" };
  }
}

function* variantsOf({
  path,
  isPattern,
}: NamedPath): Generator<{ readonly path: string; readonly aspect: Aspect }, void, undefined> {
  for (const sample of isPattern ? patternSamples(path) : [path]) {
    const at = sample.startsWith("/") ? sample : `/${sample}`;
    const bare = at.endsWith("/") ? at.slice(0, -1) : at;
    yield { path: at, aspect: "path" };
    if (bare !== "") yield { path: at === bare ? `${bare}/` : bare, aspect: "trailing slash" };
    yield { path: `${bare}/below`, aspect: "below" };
    yield { path: `${bare}/below/it?page=2`, aspect: "below" };
    if (bare === "") continue;
    yield { path: `${bare}beside`, aspect: "sibling" };
    yield { path: `${bare}/below/`, aspect: "trailing slash" };
    const other = at.toUpperCase();
    yield { path: other === at ? at.toLowerCase() : other, aspect: "letter case" };
  }
}

function addMatch(
  { headers = [], queryParams = [], method }: HttpRouteMatch,
  path: string,
  add: (aspect: Aspect, rest: Partial<RequestHead>) => void,
): void {
  if (headers.length === 0 && queryParams.length === 0 && method === undefined) return;
  const whole = { headers, queryParams, ...(method !== undefined && { method }) };
  const variants: [Aspect, typeof whole][] = [["path", whole]];
  headers.forEach((_, i) => {
    variants.push(["header", { ...whole, headers: headers.filter((_h, k) => k !== i) }]);
  });
  queryParams.forEach((_, i) => {
    variants.push(["query", { ...whole, queryParams: queryParams.filter((_q, k) => k !== i) }]);
  });
  if (method !== undefined) {
    variants.push(["method", { ...whole, method: method === "GET" ? "POST" : "GET" }]);
  }
  for (const [aspect, variant] of variants) {
    const query = variant.queryParams.map((q) => `${q.name}=${encodeURIComponent(sampleOf(q))}`);
    const joint = path.includes("?") ? "&" : "?";
    add(aspect, {
      path: query.length === 0 ? path : `${path}${joint}${query.join("&")}`,
      ...(variant.method !== undefined && { method: variant.method }),
      ...(variant.headers.length > 0 && {
        headers: Object.fromEntries(variant.headers.map((h) => [h.name, sampleOf(h)])),
      }),
    });
  }
}

function sampleOf({ type = "Exact", value }: ValueMatch): string {
  return type === "Exact" ? value : (patternSamples(value).at(-1) ?? "");
}

/** Headers and cookies that a canary looks at. */
function canaryCrumbs(ingress: Ingress): Readonly<Record<string, string>>[] {
  const { canary } = nginxSettings(ingress).settings;
  if (canary === undefined) return [];
  const { header, headerValue, headerPattern, cookie } = canary;
  const values =
    headerValue !== undefined
      ? [headerValue, "other"]
      : headerPattern !== undefined
        ? [...patternSamples(headerPattern), "other"]
        : ["always", "never", "other"];
  return [
    ...(header === undefined ? [] : values.map((value) => ({ [header]: value }))),
    ...(cookie === undefined
      ? []
      : ["always", "never"].map((value) => ({ cookie: `${cookie}=${value}` }))),
  ];
}
