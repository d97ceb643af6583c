import type { Ingress } from "@cnilab/core";
import type {
  PathComparison,
  RouteBackend,
  RuleMatch,
  RuleSource,
  ServedCertificate,
} from "../routing/decision.ts";
import { nginxPattern, type PatternSearch } from "../routing/regular-expression.ts";
import type { CanaryPolicy, NginxSettings } from "./nginx-annotations.ts";

/** A Service's port as nginx knows it: all paths that lead there share its canary and its session cookie. */
export interface Upstream {
  readonly backend: RouteBackend;
  /** Only the first one counts. */
  readonly canaries: Canary[];
  affinity?: { readonly name: string; readonly path: string };
}

export interface Canary {
  readonly upstream: Upstream;
  readonly policy: CanaryPolicy;
  readonly rule: RuleSource;
}

/** A `location` that an Ingress asks for. */
export interface NginxLocation {
  path: string;
  pathType: "Exact" | "Prefix" | "ImplementationSpecific";
  ingress: Ingress | undefined;
  /** Nothing but the root of a host that some other path made known: answers as the default backend does. */
  isDefault: boolean;
  /** `undefined`: the controller's own default backend, a 404. */
  upstream: Upstream | undefined;
  settings: NginxSettings;
  rule: RuleSource;
}

/** A `server`: all that is asked of one host name. */
export interface NginxServer {
  /** Empty for the one that takes every other name. */
  readonly host: string;
  readonly locations: NginxLocation[];
  /** Absent where no TLS was asked for; without a Secret it is the controller's own certificate. */
  certificate?: { readonly secret: ServedCertificate | undefined };
  aliases: readonly string[];
}

/** What a request's path is compared with, in nginx's order. */
export interface LocationBlock {
  readonly location: NginxLocation;
  /** As the Ingress has it. */
  readonly match: Omit<RuleMatch, "host">;
  /** As nginx.conf has it: `= "/foo"`, `"/foo/"`, `~* "^/foo"`. */
  readonly text: string;
}

/** The locations of one server, as nginx looks them up (ngx_http_core_find_location). */
export class CompiledLocations {
  readonly #exact = new Map<string, LocationBlock>();
  readonly #prefixes = new Map<string, LocationBlock>();
  readonly #patterns: (LocationBlock & { readonly pattern: PatternSearch })[] = [];
  /** Lengths of the prefixes, the longest first. */
  readonly #lengths: readonly number[];
  /** Paths that are no regular expressions, where they have to be. */
  readonly unreadable: NginxLocation[] = [];

  constructor(locations: readonly NginxLocation[]) {
    // internal/ingress/controller/template/template.go enforceRegexModifier: one such path, and all of the host are.
    const byPattern = locations.some((l) => needsRewrite(l) || l.settings.useRegex);
    for (const { location, declared } of withExactTwins(ordered(locations))) {
      const { path } = location;
      const match = matchOf(declared, byPattern);
      if (byPattern) {
        const pattern = nginxPattern(`^${path}`, true);
        if (pattern === undefined) this.unreadable.push(location);
        else this.#patterns.push({ location, match, text: `~* "^${path}"`, pattern });
      } else if (location.pathType === "Exact") {
        setOnce(this.#exact, path, { location, match, text: `= "${path}"` });
      } else {
        setOnce(this.#prefixes, path, { location, match, text: `"${path}"` });
      }
    }
    this.#lengths = [...new Set([...this.#prefixes.keys()].map((p) => p.length))].sort(
      (x, y) => y - x,
    );
  }

  get byPattern(): boolean {
    return this.#patterns.length > 0;
  }

  /** The location of a path; `addSlash` where nginx sends the client to the same path with a slash at its end. */
  find(uri: string): { readonly block: LocationBlock; readonly addSlash?: boolean } | undefined {
    const exact = this.#exact.get(uri);
    if (exact !== undefined) return { block: exact };
    // Prefixes are compared without regard to elements: "/foo" is a beginning of "/foobar".
    for (const length of this.#lengths) {
      if (length === uri.length + 1) {
        // ngx_http_proxy_pass sets auto_redirect for a location whose name ends with a slash.
        const block = this.#prefixes.get(`${uri}/`);
        if (block !== undefined) return { block, addSlash: true };
      }
      const block = length <= uri.length ? this.#prefixes.get(uri.slice(0, length)) : undefined;
      if (block !== undefined) return { block };
    }
    const found = this.#patterns.find(({ pattern }) => pattern(uri) !== undefined);
    return found === undefined ? undefined : { block: found };
  }
}

function needsRewrite({ settings, path }: NginxLocation): boolean {
  return settings.rewriteTarget !== "" && settings.rewriteTarget !== path;
}

/** internal/ingress/controller/controller.go getBackendServers: the longest first, then in the order of letters from the end. */
function ordered(locations: readonly NginxLocation[]): NginxLocation[] {
  return [...locations].sort(
    (x, y) => y.path.length - x.path.length || (x.path > y.path ? -1 : x.path < y.path ? 1 : 0),
  );
}

/**
 * internal/ingress/controller/location.go updateServerLocations: a Prefix `/foo` becomes the prefix `/foo/` and the exact
 * path `/foo`, unless it is a pattern or an Exact path is there.
 */
function withExactTwins(
  locations: readonly NginxLocation[],
): { readonly location: NginxLocation; readonly declared: NginxLocation }[] {
  const exact = new Set(locations.filter((l) => l.pathType === "Exact").map((l) => l.path));
  return locations.flatMap((declared) => {
    const { path, pathType } = declared;
    const itself = { location: declared, declared };
    if (path === "/" || pathType !== "Prefix") return [itself];
    if (needsRewrite(declared) || declared.settings.useRegex) return [itself];
    const prefix = { ...declared, path: path.endsWith("/") ? path : `${path}/` };
    const twins = [prefix, { ...declared, pathType: "Exact" as const }];
    return (exact.has(path) ? [prefix] : twins).map((location) => ({ location, declared }));
  });
}

const COMPARED: Readonly<Record<NginxLocation["pathType"], PathComparison>> = {
  Exact: "whole",
  Prefix: "elements",
  ImplementationSpecific: "letters",
};

function matchOf(
  { isDefault, path, pathType, rule }: NginxLocation,
  byPattern: boolean,
): LocationBlock["match"] {
  if (isDefault || rule.field === "spec.defaultBackend") return { compared: "anything" };
  return { path, pathType, compared: byPattern ? "pattern in any case" : COMPARED[pathType] };
}

function setOnce<T>(map: Map<string, T>, key: string, value: T): void {
  if (!map.has(key)) map.set(key, value);
}
