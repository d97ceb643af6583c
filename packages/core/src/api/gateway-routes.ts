import type { GatewayCondition, ObjectReference, ParentReference } from "./gateway.ts";
import type { KubeObject } from "./meta.ts";

// Routes of gateway.networking.k8s.io, Gateway API v1.6.1 (apis/v1).

/** A Service where no kind is given. */
export interface BackendRef extends ObjectReference {
  readonly port?: number;
  /** 1 where it is absent. */
  readonly weight?: number;
}

export interface RouteParentStatus {
  readonly parentRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly GatewayCondition[];
}

export interface GatewayRouteRule {
  readonly name?: string;
  readonly backendRefs?: readonly BackendRef[];
}

/** What all kinds of routes share. */
export interface GatewayRoute<Rule extends GatewayRouteRule = GatewayRouteRule> extends KubeObject {
  readonly spec: {
    readonly parentRefs?: readonly ParentReference[];
    /** Which default Gateways it attaches to; none is default here. */
    readonly useDefaultGateways?: string;
    readonly hostnames?: readonly string[];
    readonly rules?: readonly Rule[];
  };
  readonly status?: { readonly parents?: readonly RouteParentStatus[] };
}

/** `Exact` where no type is given. */
export interface ValueMatch {
  readonly type?: "Exact" | "RegularExpression";
  readonly name: string;
  readonly value: string;
}

export interface HttpRouteMatch {
  /** `PathPrefix` of `/` where it is absent. */
  readonly path?: {
    readonly type?: "Exact" | "PathPrefix" | "RegularExpression";
    readonly value?: string;
  };
  readonly headers?: readonly ValueMatch[];
  readonly queryParams?: readonly ValueMatch[];
  readonly method?: string;
}

export interface HttpHeader {
  readonly name: string;
  readonly value: string;
}

export interface HeaderModifier {
  readonly set?: readonly HttpHeader[];
  readonly add?: readonly HttpHeader[];
  readonly remove?: readonly string[];
}

export type PathModifier =
  | { readonly type: "ReplaceFullPath"; readonly replaceFullPath: string }
  | { readonly type: "ReplacePrefixMatch"; readonly replacePrefixMatch: string };

export interface RequestMirror {
  readonly backendRef: BackendRef;
  readonly percent?: number;
  readonly fraction?: { readonly numerator: number; readonly denominator?: number };
}

export interface CorsFilter {
  readonly allowOrigins?: readonly string[];
  readonly allowCredentials?: boolean;
  readonly allowMethods?: readonly string[];
  readonly allowHeaders?: readonly string[];
  readonly exposeHeaders?: readonly string[];
  readonly maxAge?: number;
}

/** The field after the type's name is there. */
export interface HttpRouteFilter {
  readonly type:
    | "RequestHeaderModifier"
    | "ResponseHeaderModifier"
    | "RequestMirror"
    | "RequestRedirect"
    | "URLRewrite"
    | "CORS"
    | "ExternalAuth"
    | "ExtensionRef";
  readonly requestHeaderModifier?: HeaderModifier;
  readonly responseHeaderModifier?: HeaderModifier;
  readonly requestMirror?: RequestMirror;
  readonly requestRedirect?: {
    readonly scheme?: string;
    readonly hostname?: string;
    readonly path?: PathModifier;
    readonly port?: number;
    /** 302 where it is absent. */
    readonly statusCode?: number;
  };
  readonly urlRewrite?: { readonly hostname?: string; readonly path?: PathModifier };
  readonly cors?: CorsFilter;
  readonly externalAuth?: unknown;
  readonly extensionRef?: {
    readonly group: string;
    readonly kind: string;
    readonly name: string;
  };
}

export interface HttpBackendRef extends BackendRef {
  readonly filters?: readonly HttpRouteFilter[];
}

/** Durations are text as `10s`, `1h30m` (GEP-2257). */
export interface SessionPersistence {
  readonly sessionName?: string;
  readonly absoluteTimeout?: string;
  readonly idleTimeout?: string;
  /** `Cookie` where it is absent. */
  readonly type?: "Cookie" | "Header";
  readonly cookie?: {
    readonly name?: string;
    readonly path?: string;
    readonly lifetimeType?: "Session" | "Permanent";
  };
  readonly header?: { readonly name: string };
}

export interface HttpRouteRule {
  readonly name?: string;
  readonly matches?: readonly HttpRouteMatch[];
  readonly filters?: readonly HttpRouteFilter[];
  readonly backendRefs?: readonly HttpBackendRef[];
  readonly timeouts?: { readonly request?: string; readonly backendRequest?: string };
  readonly retry?: {
    readonly codes?: readonly number[];
    readonly attempts?: number;
    readonly backoff?: string;
  };
  readonly sessionPersistence?: SessionPersistence;
}

export interface HTTPRoute extends GatewayRoute<HttpRouteRule> {
  readonly kind: "HTTPRoute";
}

export interface GrpcRouteMatch {
  readonly method?: {
    readonly type?: "Exact" | "RegularExpression";
    readonly service?: string;
    readonly method?: string;
  };
  readonly headers?: readonly ValueMatch[];
}

export interface GrpcRouteRule {
  readonly name?: string;
  readonly matches?: readonly GrpcRouteMatch[];
  readonly filters?: readonly HttpRouteFilter[];
  readonly backendRefs?: readonly HttpBackendRef[];
  readonly sessionPersistence?: SessionPersistence;
}

export interface GRPCRoute extends GatewayRoute<GrpcRouteRule> {
  readonly kind: "GRPCRoute";
}

/** By the server name of the client's hello alone. */
export interface TLSRoute extends GatewayRoute {
  readonly kind: "TLSRoute";
}

/** By the listener's port alone. */
export interface TCPRoute extends GatewayRoute {
  readonly kind: "TCPRoute";
}

/** By the listener's port alone. */
export interface UDPRoute extends GatewayRoute {
  readonly kind: "UDPRoute";
}
