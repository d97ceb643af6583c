import type { CorsFilter, HeaderModifier, IntOrString } from "@cnilab/core";

/** Where in the manifests a decision comes from. */
export interface RuleSource {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Of the object, as `spec.rules[0].http.paths[1]`. */
  readonly field: string;
}

/** One of the backends of a rule: a Service, or why its share of the requests gets an error. */
export interface RouteBackend {
  readonly namespace: string;
  /** Of the Service. */
  readonly name: string;
  /** Number or name of the Service's port. */
  readonly port: IntOrString;
  /** More than 0: this part of the sum of all backends' weights. */
  readonly weight: number;
  /** What speaks at the endpoint; `TLS` stands for bytes that nobody reads. */
  readonly protocol: BackendProtocol;
  /** In place of the decision's: what of several rules gives this backend its share. */
  readonly by?: { readonly rule: RuleSource; readonly why: string };
  /** In place of an answer of the backend: it does not exist, or may not be used. */
  readonly error?: { readonly status: number; readonly why: string };
  /** Gets the request where this one has no ready endpoint (annotation `default-backend`). */
  readonly fallback?: RouteBackend;
  /** To the Service's cluster address, not to an endpoint that the proxy chooses (annotation `service-upstream`). */
  readonly viaClusterIP?: boolean;
  /** Names that the endpoint's certificate must have one of (BackendTLSPolicy). */
  readonly serverName?: string;
  /** Filters of this backend alone, after those of the rule. */
  readonly requestHeaders?: readonly HeaderModifier[];
  readonly responseHeaders?: readonly HeaderModifier[];
  readonly mirrors?: readonly Mirror[];
  /** In place of the decision's: what this backend alone gets. */
  readonly host?: string;
  readonly path?: string;
  /** In place of an answer of the backend. */
  readonly redirect?: { readonly status: number; readonly location: string };
}

export type BackendProtocol =
  | "HTTP"
  | "HTTPS"
  | "GRPC"
  | "GRPCS"
  | "H2C"
  | "WS"
  | "WSS"
  | "TLS"
  | "TCP"
  | "UDP"
  | "FCGI";

/** How a client is kept at the endpoint that it had first. */
export interface SessionPolicy {
  readonly by: "cookie" | "header";
  readonly name: string;
  /** Of the cookie. */
  readonly path?: string;
  readonly absoluteTimeoutMs?: number;
}

/** A copy of the request goes there, and its answer is not waited for. */
export interface Mirror {
  readonly backend: RouteBackend;
  /** Of the requests: between 0 and 1. */
  readonly share: number;
}

/**
 * How a path of an object is held against a request's: as a whole, as a beginning of its elements or of its letters, or as
 * a pattern; `anything` for what takes whatever no path takes.
 */
export type PathComparison =
  | "whole"
  | "elements"
  | "letters"
  | "pattern"
  | "pattern in any case"
  | "anything";

/** What of the objects a request was found to be for. */
export interface RuleMatch {
  /** The name or the wildcard that the request's host was found under; empty for any host. */
  readonly host: string;
  /** As the object writes it. */
  readonly pathType?: string;
  readonly path?: string;
  readonly compared: PathComparison;
}

/** To one of the backends, by weight. */
export interface Forward {
  readonly action: "forward";
  readonly match?: RuleMatch;
  /** By what a canary was chosen, or left out. */
  readonly canaryBy?: "header" | "cookie" | "weight";
  readonly backends: readonly RouteBackend[];
  /** Host header that the backend gets. */
  readonly host: string;
  /** Path and query that the backend gets. */
  readonly path: string;
  readonly requestHeaders: readonly HeaderModifier[];
  readonly responseHeaders: readonly HeaderModifier[];
  readonly mirrors: readonly Mirror[];
  readonly session?: SessionPolicy;
  readonly timeouts?: { readonly requestMs?: number; readonly backendRequestMs?: number };
  readonly retry?: {
    readonly codes: readonly number[];
    readonly attempts: number;
    readonly backoffMs: number;
  };
  readonly cors?: CorsFilter;
  readonly rule: RuleSource;
  /** One line for people. */
  readonly why: string;
}

/** What of ingress-nginx redirects. */
export type RedirectCause =
  | "missing slash"
  | "ssl-redirect"
  | "app-root"
  | "from-to-www-redirect"
  | "permanent-redirect or temporal-redirect"
  | "rewrite-target";

export interface Redirect {
  readonly action: "redirect";
  readonly match?: RuleMatch;
  readonly cause?: RedirectCause;
  readonly status: number;
  readonly location: string;
  readonly rule: RuleSource;
  readonly why: string;
}

/** The proxy's own answer: 404 where nothing matches, 500 where no backend can be had, and so on. */
export interface OwnAnswer {
  readonly action: "answer";
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly rule?: RuleSource;
  readonly why: string;
}

export type RouteDecision = Forward | Redirect | OwnAnswer;

/** A connection, before anything of HTTP is read. */
export interface IncomingConnection {
  readonly protocol: "TCP" | "UDP";
  readonly port: number;
  /** Whether the client starts with a TLS hello, and the name in it. */
  readonly tls?: { readonly serverName?: string };
}

/** A Secret of type kubernetes.io/tls; `undefined` stands for the proxy's own certificate. */
export interface ServedCertificate {
  readonly namespace: string;
  readonly name: string;
  /** The listener's or the Ingress's host names that it is given for. */
  readonly hosts: readonly string[];
}

export type ConnectionDecision =
  /** Requests are read from it. */
  | { readonly action: "http"; readonly why: string }
  /** TLS ends here; then requests are read, or the bytes go to `backends`. */
  | {
      readonly action: "terminate";
      readonly certificate: ServedCertificate | undefined;
      readonly backends?: readonly RouteBackend[];
      readonly rule?: RuleSource;
      readonly why: string;
    }
  /** The bytes go there as they are. */
  | {
      readonly action: "forward";
      readonly backends: readonly RouteBackend[];
      readonly rule: RuleSource;
      readonly why: string;
    }
  | { readonly action: "reset"; readonly why: string };
