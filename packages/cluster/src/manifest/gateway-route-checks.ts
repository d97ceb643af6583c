import {
  boolean,
  type Check,
  describe,
  fail,
  integer,
  list,
  matching,
  oneOf,
  port,
  strictObject,
  string,
  unread,
} from "@cnilab/core/validation";
import { gatewayKind } from "./gateway-kind.ts";
import { absolutePath, hostOrWildcard } from "./ingress-checks.ts";
import type { KindChecks } from "./kind-checks.ts";
import {
  backendObject,
  backendReference,
  group,
  kindName,
  objectName,
  parentReference,
  preciseHost,
  sectionName,
} from "./reference-checks.ts";

// Routes as the CustomResourceDefinitions of Gateway API v1.6.1 check them (apis/v1, validation markers and CEL rules).

const METHODS = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "CONNECT",
  "OPTIONS",
  "TRACE",
  "PATCH",
] as const;

/** RFC 9110 §5.6.2, a token. */
const headerName = matching(
  /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/,
  256,
  "a header's name: letters, digits and hyphens",
);
const upTo = (longest: number): Check =>
  matching(/^[\s\S]+$/, longest, `text of 1 to ${longest} characters`);
/** RFC 9110 §5.5: no line ends or other control characters, which would start another header. */
const headerValue: Check = (value, path) => {
  upTo(4096)(value, path);
  if (/[^\t\P{Cc}]/u.test(value as string)) {
    fail(path, `must be one line without control characters, not ${describe(value)}`);
  }
};
const duration = matching(/^([0-9]{1,5}(h|m|s|ms)){1,4}$/, 24, "a duration such as 10s or 1h30m");

/** Milliseconds of a duration (GEP-2257). */
function milliseconds(text: string): number {
  const units: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
  return [...text.matchAll(/([0-9]+)(ms|h|m|s)/g)].reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * (units[unit as string] as number),
    0,
  );
}

const PATH_CHARACTERS = /^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$/;

const pathMatch: Check = (value, path) => {
  strictObject({
    type: oneOf("Exact", "PathPrefix", "RegularExpression"),
    value: matching(/^/, 1024, "at most 1024 characters"),
  })(value, path);
  const { type = "PathPrefix", value: text = "/" } = value as {
    readonly type?: string;
    readonly value?: string;
  };
  if (type === "RegularExpression") return;
  const at = [...path, "value"];
  absolutePath(text, at);
  if (!PATH_CHARACTERS.test(text)) {
    fail(at, `must hold only what a URL's path may hold, not ${describe(text)}`);
  }
};

/** Matches of headers or query parameters: of a name that comes twice the first would count, so it is refused. */
function valueMatches(name: Check, text: Check): Check {
  const check = list(
    strictObject({ type: oneOf("Exact", "RegularExpression"), name, value: text }, [
      "name",
      "value",
    ]),
    0,
    16,
  );
  return (value, path) => {
    check(value, path);
    uniqueNames(value as readonly { readonly name: string }[], path);
  };
}

function uniqueNames(
  items: readonly { readonly name: string }[],
  path: readonly (string | number)[],
): void {
  const seen = new Set<string>();
  items.forEach(({ name }, i) => {
    if (seen.has(name)) fail([...path, i], `is ${describe(name)} a second time`);
    seen.add(name);
  });
}

const httpMatch = strictObject({
  path: pathMatch,
  headers: valueMatches(headerName, headerValue),
  queryParams: valueMatches(headerName, upTo(1024)),
  method: oneOf(...METHODS),
});

const headers: Check = (value, path) => {
  list(
    strictObject({ name: headerName, value: headerValue }, ["name", "value"]),
    0,
    16,
  )(value, path);
  uniqueNames(value as readonly { readonly name: string }[], path);
};
const removed: Check = (value, path) => {
  list(string, 0, 16)(value, path);
  const names = (value as readonly string[]).map((name) => ({ name }));
  uniqueNames(names, path);
};
const headerModifier = strictObject({ set: headers, add: headers, remove: removed });

const pathModifier: Check = (value, path) => {
  const text = matching(/^/, 1024, "at most 1024 characters");
  strictObject(
    {
      type: oneOf("ReplaceFullPath", "ReplacePrefixMatch"),
      replaceFullPath: text,
      replacePrefixMatch: text,
    },
    ["type"],
  )(value, path);
  const { type, ...given } = value as { readonly type: string };
  const wanted = type === "ReplaceFullPath" ? "replaceFullPath" : "replacePrefixMatch";
  if (!(wanted in given)) fail([...path, wanted], `is required for type ${type}`);
  const other = Object.keys(given).find((field) => field !== wanted);
  if (other !== undefined) fail([...path, other], `must be left out for type ${type}`);
};

const requestMirror: Check = (value, path) => {
  strictObject(
    {
      backendRef: backendObject,
      percent: integer(0, 100),
      fraction: strictObject({ numerator: integer(0), denominator: integer(1) }, ["numerator"]),
    },
    ["backendRef"],
  )(value, path);
  const { percent, fraction } = value as {
    readonly percent?: number;
    readonly fraction?: { readonly numerator: number; readonly denominator?: number };
  };
  if (fraction === undefined) return;
  if (percent !== undefined) fail([...path, "fraction"], "cannot stand beside percent");
  if (fraction.numerator > (fraction.denominator ?? 100)) {
    fail([...path, "fraction", "numerator"], "must not be more than the denominator");
  }
};

const requestRedirect = strictObject({
  scheme: oneOf("http", "https"),
  hostname: preciseHost,
  path: pathModifier,
  port,
  statusCode: (value, path) => {
    if ([301, 302, 303, 307, 308].includes(value as number)) return;
    fail(path, `must be 301, 302, 303, 307 or 308, not ${describe(value)}`);
  },
});

function orAlone(item: Check, most: number): Check {
  return (value, path) => {
    list(item, 0, most)(value, path);
    const items = value as readonly string[];
    if (items.length > 1 && items.includes("*")) fail(path, 'must have "*" alone, or others');
  };
}

const cors = strictObject({
  allowOrigins: orAlone(
    matching(
      /^\*$|^https?:\/\/((\*\.)?([a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+|\*)(:[0-9]{1,5})?$/,
      253,
      "an origin such as https://shop.example.com, or *",
    ),
    64,
  ),
  allowCredentials: boolean,
  allowMethods: orAlone(oneOf(...METHODS, "*"), 9),
  allowHeaders: orAlone(headerName, 64),
  exposeHeaders: list(headerName, 0, 64),
  maxAge: integer(1),
});

const externalAuth = strictObject(
  {
    protocol: oneOf("HTTP", "GRPC"),
    backendRef: backendObject,
    grpc: unread,
    http: unread,
    forwardBody: unread,
  },
  ["protocol", "backendRef"],
);

const FILTER_FIELDS = {
  requestHeaderModifier: headerModifier,
  responseHeaderModifier: headerModifier,
  requestMirror,
  requestRedirect,
  urlRewrite: strictObject({ hostname: preciseHost, path: pathModifier }),
  cors,
  externalAuth,
  extensionRef: strictObject({ group, kind: kindName, name: objectName }, [
    "group",
    "kind",
    "name",
  ]),
};

/** The field that belongs to each type of filter. */
const FIELD_OF: Readonly<Record<string, keyof typeof FILTER_FIELDS>> = {
  RequestHeaderModifier: "requestHeaderModifier",
  ResponseHeaderModifier: "responseHeaderModifier",
  RequestMirror: "requestMirror",
  RequestRedirect: "requestRedirect",
  URLRewrite: "urlRewrite",
  CORS: "cors",
  ExternalAuth: "externalAuth",
  ExtensionRef: "extensionRef",
};
/** Filters that a rule may have several of. */
const REPEATABLE = ["RequestMirror", "ExtensionRef", "ExternalAuth"];

interface FilterShape {
  readonly type: string;
  readonly requestRedirect?: { readonly path?: { readonly type: string } };
  readonly urlRewrite?: { readonly path?: { readonly type: string } };
}

function filter(types: readonly string[]): Check {
  const fields = Object.fromEntries(
    types.map((type) => {
      const field = FIELD_OF[type] as keyof typeof FILTER_FIELDS;
      return [field, FILTER_FIELDS[field]];
    }),
  );
  const check = strictObject({ type: oneOf(...types), ...fields }, ["type"]);
  return (value, path) => {
    check(value, path);
    const { type, ...given } = value as FilterShape;
    const wanted = FIELD_OF[type] as string;
    if (!(wanted in given)) fail([...path, wanted], `is required for type ${type}`);
    const other = Object.keys(given).find((field) => field !== wanted);
    if (other !== undefined) fail([...path, other], `must be left out for type ${type}`);
  };
}

function filters(types: readonly string[]): Check {
  const check = list(filter(types), 0, 16);
  return (value, path) => {
    check(value, path);
    const seen = new Set<string>();
    (value as readonly FilterShape[]).forEach(({ type }, i) => {
      if (seen.has(type) && !REPEATABLE.includes(type)) {
        fail([...path, i, "type"], `is ${type} a second time`);
      }
      seen.add(type);
    });
    if (seen.has("RequestRedirect") && seen.has("URLRewrite")) {
      fail(path, "cannot have both RequestRedirect and URLRewrite");
    }
  };
}

const httpFilters = filters(Object.keys(FIELD_OF));
const grpcFilters = filters([
  "RequestHeaderModifier",
  "ResponseHeaderModifier",
  "RequestMirror",
  "ExtensionRef",
]);

const timeouts: Check = (value, path) => {
  strictObject({ request: duration, backendRequest: duration })(value, path);
  const { request, backendRequest } = value as Readonly<Record<string, string | undefined>>;
  if (request === undefined || backendRequest === undefined) return;
  const whole = milliseconds(request);
  if (whole !== 0 && milliseconds(backendRequest) > whole) {
    fail([...path, "backendRequest"], `must not be longer than request, ${request}`);
  }
};

const retry = strictObject({
  codes: list(integer(400, 599)),
  attempts: integer(1),
  backoff: duration,
});

const sessionPersistence: Check = (value, path) => {
  strictObject({
    sessionName: upTo(128),
    absoluteTimeout: duration,
    idleTimeout: duration,
    type: oneOf("Cookie", "Header"),
    cookie: strictObject({
      name: upTo(128),
      path: upTo(1024),
      lifetimeType: oneOf("Session", "Permanent"),
    }),
    header: strictObject({ name: headerName }, ["name"]),
  })(value, path);
  const { type = "Cookie", ...given } = value as {
    readonly type?: string;
    readonly cookie?: { readonly lifetimeType?: string };
    readonly header?: unknown;
    readonly absoluteTimeout?: string;
  };
  if (type === "Header" && given.cookie !== undefined) {
    fail([...path, "cookie"], "must be left out for type Header");
  }
  if (type === "Cookie" && given.header !== undefined) {
    fail([...path, "header"], "must be left out for type Cookie");
  }
  if (given.cookie?.lifetimeType === "Permanent" && given.absoluteTimeout === undefined) {
    fail([...path, "absoluteTimeout"], "is required for a cookie of lifetimeType Permanent");
  }
};

interface HttpRuleShape {
  readonly matches?: readonly { readonly path?: { readonly type?: string } }[];
  readonly filters?: readonly FilterShape[];
  readonly backendRefs?: readonly { readonly filters?: readonly FilterShape[] }[];
}

const httpRuleFields = strictObject({
  name: sectionName,
  matches: list(httpMatch, 0, 64),
  filters: httpFilters,
  backendRefs: list(backendReference({ filters: httpFilters }), 0, 16),
  timeouts,
  retry,
  sessionPersistence,
});

const httpRule: Check = (value, path) => {
  httpRuleFields(value, path);
  const rule = value as HttpRuleShape;
  const redirect = rule.filters?.findIndex(({ type }) => type === "RequestRedirect") ?? -1;
  if (redirect >= 0 && (rule.backendRefs ?? []).length > 0) {
    fail([...path, "filters", redirect], "redirects, so the rule must have no backendRefs");
  }
  const prefixes = (rule.matches ?? [{}]).every(
    (match) => (match.path?.type ?? "PathPrefix") === "PathPrefix",
  );
  if (prefixes && (rule.matches ?? [{}]).length < 2) return;
  const all = [rule.filters ?? [], ...(rule.backendRefs ?? []).map((b) => b.filters ?? [])].flat();
  const replaces = all.some(
    ({ requestRedirect: to, urlRewrite }) =>
      (to ?? urlRewrite)?.path?.type === "ReplacePrefixMatch",
  );
  if (replaces) {
    fail(
      [...path, "matches"],
      "must be exactly one, of type PathPrefix, where a filter replaces its prefix",
    );
  }
};

const hostnames = list(hostOrWildcard, 0, 16);
const parents = {
  parentRefs: list(parentReference, 0, 32),
  useDefaultGateways: oneOf("All", "None"),
};

/** Rules, few enough and of different names. */
function rules(rule: Check, least: number): Check {
  const check = list(rule, least, 16);
  return (value, path) => {
    check(value, path);
    const found = value as readonly {
      readonly name?: string;
      readonly matches?: readonly unknown[];
    }[];
    const names = new Set<string>();
    found.forEach(({ name }, i) => {
      if (name !== undefined && names.has(name)) {
        fail([...path, i, "name"], `is ${describe(name)} a second time`);
      }
      if (name !== undefined) names.add(name);
    });
    const matches = found.reduce((sum, each) => sum + (each.matches ?? []).length, 0);
    if (matches > 128) fail(path, `must have at most 128 matches in all, not ${matches}`);
  };
}

/** Two parents of one name must differ in what they name of it. */
function differentParents(spec: Check): Check {
  return (value, path) => {
    spec(value, path);
    const { parentRefs = [] } = value as {
      readonly parentRefs?: readonly Readonly<Record<string, unknown>>[];
    };
    const seen = new Map<string, string>();
    parentRefs.forEach((ref, i) => {
      const object = [ref["group"], ref["kind"], ref["namespace"], ref["name"]].join(" ");
      const part = [ref["sectionName"], ref["port"]].join(" ");
      const before = seen.get(object);
      seen.set(object, part);
      if (before === undefined || (before !== part && before !== " " && part !== " ")) return;
      fail(
        [...path, "parentRefs", i],
        "names a parent a second time; give each its own sectionName",
      );
    });
  };
}

const httpRouteSpec = differentParents(
  strictObject({ ...parents, hostnames, rules: rules(httpRule, 1) }),
);

const GRPC_SERVICE = /^\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$/i;
const GRPC_METHOD = /^[A-Za-z_][A-Za-z_0-9]*$/;

const grpcMethod: Check = (value, path) => {
  const text = matching(/^/, 1024, "at most 1024 characters");
  strictObject({ type: oneOf("Exact", "RegularExpression"), service: text, method: text })(
    value,
    path,
  );
  const { type = "Exact", service, method } = value as Readonly<Record<string, string | undefined>>;
  if (service === undefined && method === undefined) fail(path, "must have a service or a method");
  if (type !== "Exact") return;
  if (service !== undefined && !GRPC_SERVICE.test(service)) {
    fail([...path, "service"], `must be a service such as shop.v1.Cart, not ${describe(service)}`);
  }
  if (method !== undefined && !GRPC_METHOD.test(method)) {
    fail([...path, "method"], `must be a method such as AddItem, not ${describe(method)}`);
  }
};

const grpcRouteSpec = differentParents(
  strictObject({
    ...parents,
    hostnames,
    rules: rules(
      strictObject({
        name: sectionName,
        matches: list(
          strictObject({ method: grpcMethod, headers: valueMatches(headerName, headerValue) }),
          0,
          64,
        ),
        filters: grpcFilters,
        backendRefs: list(backendReference({ filters: grpcFilters }), 0, 16),
        sessionPersistence,
      }),
      0,
    ),
  }),
);

/** Of routes that look at no request. */
const plainRules = rules(
  strictObject({ name: sectionName, backendRefs: list(backendReference(), 0, 16) }),
  1,
);
const plainRouteSpec = differentParents(strictObject({ ...parents, rules: plainRules }, ["rules"]));

export const GATEWAY_ROUTE_CHECKS: Readonly<Record<string, KindChecks>> = {
  HTTPRoute: gatewayKind(httpRouteSpec, "v1beta1", "v1alpha2"),
  GRPCRoute: gatewayKind(grpcRouteSpec, "v1alpha2"),
  TLSRoute: gatewayKind(
    differentParents(strictObject({ ...parents, hostnames, rules: plainRules }, ["rules"])),
    "v1alpha3",
    "v1alpha2",
  ),
  TCPRoute: gatewayKind(plainRouteSpec, "v1alpha2"),
  UDPRoute: gatewayKind(plainRouteSpec, "v1alpha2"),
};
