import type { HTTPRoute, HttpRouteRule, Ingress } from "@cnilab/core";
import {
  deriveRequests,
  diffRules,
  type Fate,
  gatewayState,
  type IngressDialect,
  ingressRules,
  type ProxyRules,
  type RuleComparison,
  type RuleDifference,
} from "@cnilab/gateway";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CONTROLLER,
  GATEWAY_CLASS,
  gateway,
  type HostPaths,
  httpRoute,
  ingress,
} from "./objects.ts";

function comparison(
  ingresses: readonly Ingress[],
  routes: readonly HTTPRoute[],
  dialect: IngressDialect,
  hosts: readonly string[],
): RuleComparison {
  const doors = ingressRules(
    { ingresses, ingressClasses: [] },
    { watchIngressWithoutClass: true, dialect },
  );
  // A listener for each host: a request that a host's routes do not take goes to no other.
  const listeners = hosts.map((hostname, i) => ({
    name: `l${i}`,
    ...(hostname !== "" && { hostname }),
  }));
  const state = gatewayState(
    { gatewayClasses: [GATEWAY_CLASS], gateways: [gateway("web", listeners)], httpRoutes: routes },
    { controllerName: CONTROLLER },
  );
  const rules = state.gateways.get("default/web") as ProxyRules;
  const tlsHosts = ingresses.flatMap(({ spec }) => (spec.tls ?? []).flatMap((t) => t.hosts ?? []));
  const requests = deriveRequests({ ingresses, routes, hostnames: hosts, tlsHosts });
  return diffRules({ rules: doors, ingresses, dialect }, rules, requests);
}

function differences(...sides: Parameters<typeof comparison>): readonly RuleDifference[] {
  return comparison(...sides).differences;
}

/** What an Ingress without annotations means, as HTTPRoutes: one for each host, on the listener of that host. */
function translation(hosts: HostPaths): HTTPRoute[] {
  return Object.entries(hosts).map(([host, paths], i) =>
    httpRoute(`r${i}`, {
      parentRefs: [{ name: "web", sectionName: `l${i}` }],
      ...(host !== "" && { hostnames: [host] }),
      rules: paths.map((text): HttpRouteRule => {
        const [pathType, value = "/", name = ""] = text.split(" ");
        const type = pathType === "Exact" ? "Exact" : "PathPrefix";
        return { matches: [{ path: { type, value } }], backendRefs: [{ name, port: 80 }] };
      }),
    }),
  );
}

const segment = fc.constantFrom("a", "b", "shop");
const path = fc
  .array(segment, { maxLength: 3 })
  .map((segments) => (segments.length === 0 ? "/" : `/${segments.join("/")}`));
/** Paths that differ in type or path, each with a backend of its own. */
const paths = fc
  .uniqueArray(fc.tuple(fc.constantFrom("Exact", "Prefix"), path), {
    minLength: 1,
    maxLength: 5,
    selector: (pair) => pair.join(" "),
  })
  .map((pairs) => pairs.map(([type, at], i) => `${type} ${at} s${i}`));
const hosts = fc
  .uniqueArray(fc.constantFrom("", "a.example", "b.a.example", "c.example"), {
    minLength: 1,
    maxLength: 3,
  })
  .chain(
    (names) =>
      fc.record(Object.fromEntries(names.map((name) => [name, paths]))) as fc.Arbitrary<HostPaths>,
  );

describe("an Ingress and its faithful translation", () => {
  test("treat all requests alike, as ingress-nginx reads it", () => {
    fc.assert(
      fc.property(hosts, (given) => {
        const found = differences(
          [ingress("i", given)],
          translation(given),
          "ingress-nginx",
          Object.keys(given),
        );
        expect(found).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  test("and a change of one rule is found", () => {
    const change = fc.record({
      at: fc.nat(),
      kind: fc.constantFrom("backend", "type", "removed", "header", "host"),
    });
    fc.assert(
      fc.property(hosts, change, (given, { at, kind }) => {
        const routes = translation(given);
        const index = at % routes.length;
        const route = routes[index] as HTTPRoute;
        const rules = [...(route.spec.rules ?? [])];
        const which = at % rules.length;
        const rule = rules[which] as HttpRouteRule;
        const [match] = rule.matches ?? [];
        const type = match?.path?.type === "Exact" ? "PathPrefix" : "Exact";
        switch (kind) {
          case "backend":
            rules[which] = { ...rule, backendRefs: [{ name: "planted", port: 80 }] };
            break;
          case "type":
            rules[which] = { ...rule, matches: [{ path: { ...match?.path, type } }] };
            break;
          case "removed":
            rules.splice(which, 1);
            break;
          case "header":
            rules[which] = {
              ...rule,
              matches: [{ ...match, headers: [{ name: "planted", value: "1" }] }],
            };
            break;
          case "host":
            if (route.spec.hostnames === undefined) return;
            break;
        }
        const { hostnames, ...spec } = route.spec;
        const planted = kind === "host" ? ["planted.example"] : hostnames;
        routes[index] = httpRoute(route.metadata.name, {
          ...spec,
          ...(planted && { hostnames: planted }),
          ...(rules.length > 0
            ? { rules }
            : { rules: [{ matches: [{ path: { value: "/planted" } }] }] }),
        });
        const found = differences(
          [ingress("i", given)],
          routes,
          "ingress-nginx",
          Object.keys(given),
        );
        expect(found.length, JSON.stringify({ given, kind, index, which })).toBeGreaterThan(0);
      }),
      { numRuns: 300 },
    );
  });

  test("a default backend is a rule for everything, as the API's documentation reads it", () => {
    fc.assert(
      fc.property(paths, (given) => {
        const one = ingress("i", { "": given }, { defaultBackend: "rest" });
        const [route] = translation({ "": given }) as [HTTPRoute];
        const rest = { backendRefs: [{ name: "rest", port: 80 }] };
        const whole = {
          ...route,
          spec: { ...route.spec, rules: [...(route.spec.rules ?? []), rest] },
        };
        expect(differences([one], [whole], "kubernetes", [""])).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });
});

test("a port that only one side names is no difference, but said: nobody knows it without the Service", () => {
  const one = ingress("i", { "a.b": ["Prefix / web"] });
  const named = JSON.parse(JSON.stringify(one).replace('"number":80', '"name":"http"')) as Ingress;
  const [route] = translation({ "a.b": ["Prefix / web"] }) as [HTTPRoute];
  const { differences: none, notCompared } = comparison([named], [route], "ingress-nginx", ["a.b"]);
  expect(none).toEqual([]);
  expect(notCompared).toEqual([
    {
      what: "port",
      object: "Service default/web",
      field: "port http",
      why: "nobody knows whether it is 80, as the other side has it: give the Service with -f",
    },
  ]);
  const rewrite = { type: "URLRewrite", urlRewrite: { hostname: "c.d" } } as const;
  const [rule] = route.spec.rules as [HttpRouteRule];
  const renamed = { ...route, spec: { ...route.spec, rules: [{ ...rule, filters: [rewrite] }] } };
  const [first] = differences([named], [renamed], "ingress-nginx", ["a.b"]);
  expect(first?.why).toBe("the backend gets another Host header (upstream-vhost, URLRewrite)");
  const [other] = translation({ "a.b": ["Prefix / other"] }) as [HTTPRoute];
  expect(differences([named], [other], "ingress-nginx", ["a.b"])).not.toEqual([]);
});

describe("what becomes of a request beside its backend is compared", () => {
  const web = { name: "web", port: 80 };
  test.each<[string, Record<string, string>, HttpRouteRule, Partial<Fate>, string]>([
    [
      "backend-protocol against plain HTTP",
      { "backend-protocol": "HTTPS" },
      { backendRefs: [web] },
      { backends: ["default/web:80"] },
      "another protocol",
    ],
    [
      "RequestMirror",
      {},
      {
        filters: [{ type: "RequestMirror", requestMirror: { backendRef: web, percent: 10 } }],
        backendRefs: [web],
      },
      { mirrors: ["default/web:80 10%"] },
      "copies to another Service",
    ],
    [
      "ResponseHeaderModifier",
      {},
      {
        filters: [
          {
            type: "ResponseHeaderModifier",
            responseHeaderModifier: { set: [{ name: "X", value: "y" }] },
          },
        ],
        backendRefs: [web],
      },
      { responseHeaders: ["x: y"] },
      "the client gets other headers",
    ],
    [
      "CORS",
      {},
      { filters: [{ type: "CORS", cors: { allowOrigins: ["https://a.b"] } }], backendRefs: [web] },
      { cors: { allowOrigins: ["https://a.b"] } },
      "CORS",
    ],
    [
      "a filter of a single backend",
      {},
      {
        backendRefs: [
          {
            ...web,
            filters: [
              {
                type: "RequestHeaderModifier",
                requestHeaderModifier: { set: [{ name: "X-Own", value: "z" }] },
              },
            ],
          },
        ],
      },
      { backends: ["default/web:80 with x-own: z"] },
      "filters of backendRefs",
    ],
  ])("%s", (_, annotations, rule, routes, why) => {
    const one = ingress("i", { "a.b": ["Prefix / web"] }, { annotations });
    const route = httpRoute("r", { hostnames: ["a.b"], rules: [rule] });
    const found = differences([one], [route], "ingress-nginx", [""]);
    const at = found.find(({ request }) => request.host === "a.b" && request.path === "/");
    expect(at?.routes).toMatchObject(routes);
    expect(at?.why).toContain(why);
  });
});

describe("what cannot be compared is said", () => {
  const compared = (
    annotations: Readonly<Record<string, string>>,
    rule: HttpRouteRule = {},
    dialect: IngressDialect = "ingress-nginx",
  ): RuleComparison => {
    const one = ingress("i", { "a.b": ["Prefix / web"] }, { annotations });
    const rules = [{ ...rule, backendRefs: [{ name: "web", port: 80 }] }];
    return comparison([one], [httpRoute("r", { hostnames: ["a.b"], rules })], dialect, [""]);
  };

  test.each<[Record<string, string>, string[], string]>([
    [{ "auth-url": "http://x/" }, ["auth-url"], "who is let in"],
    [{ "whitelist-source-range": "10.0.0.0/8" }, ["whitelist-source-range"], "who is let in"],
    [{ "limit-rps": "5" }, ["limit-rps"], "who is let in"],
    [{ "server-snippet": "return 403;" }, ["server-snippet"], "nginx's own configuration"],
    [{ "enable-cors": "true" }, ["enable-cors"], "CORS"],
    [{ "enable-cors": "false" }, [], ""],
    [{ "proxy-read-timeout": "5" }, ["proxy-read-timeout"], "timeouts"],
    [{ "default-backend": "rest" }, ["default-backend"], "no endpoints"],
    [{ "unheard-of": "x" }, ["unheard-of"], "is not simulated"],
    [{ "enable-access-log": "true", "proxy-buffer-size": "8k" }, [], ""],
    [{ "ssl-redirect": "false" }, [], ""],
  ])("annotations %j: %j", (annotations, what, why) => {
    const { differences: none, notCompared } = compared(annotations);
    expect(none).toEqual([]);
    expect(notCompared.map((each) => each.what)).toEqual(what);
    for (const each of notCompared) {
      expect(each).toMatchObject({ object: "Ingress default/i" });
      expect(each.why).toContain(why);
    }
  });

  test("timeouts and retry of a route", () => {
    const rule = { timeouts: { request: "1ms" }, retry: { codes: [503], attempts: 2 } };
    const { differences: none, notCompared } = compared({}, rule);
    expect(none).toEqual([]);
    expect(notCompared).toMatchObject([
      { object: "HTTPRoute default/r", field: "spec.rules[0].timeouts" },
      { object: "HTTPRoute default/r", field: "spec.rules[0].retry" },
    ]);
  });

  test("every controller's annotations, as the API's documentation reads an Ingress", () => {
    const annotations = {
      "rewrite-target": "/x",
      "traefik.ingress.kubernetes.io/router.middlewares": "auth",
    };
    const { notCompared } = compared(annotations, {}, "kubernetes");
    expect(notCompared.map(({ what }) => what)).toEqual(["rewrite-target", "router.middlewares"]);
  });

  test("and a CORS filter is no difference where the Ingress has CORS that nobody reads", () => {
    const cors: HttpRouteRule = { filters: [{ type: "CORS", cors: { allowOrigins: ["*"] } }] };
    expect(compared({ "enable-cors": "true" }, cors).differences).toEqual([]);
    expect(compared({ "limit-rps": "5" }, cors).differences).not.toEqual([]);
  });
});

describe("differences have a reason that a person can act on", () => {
  const route = (rules: readonly HttpRouteRule[], hostnames = ["a.b"]): HTTPRoute[] => [
    httpRoute("r", { hostnames, rules }),
  ];
  const to = (value: string, more: object = {}): HttpRouteRule => ({
    matches: [{ path: { value } }],
    backendRefs: [{ name: "web", port: 80 }],
    ...more,
  });
  const exact = (value: string): HttpRouteRule => ({
    matches: [{ path: { type: "Exact", value } }],
    backendRefs: [{ name: "web", port: 80 }],
  });
  test.each<[string, Ingress, HTTPRoute[], string[], string, string]>([
    [
      "wildcards",
      ingress("i", { "*.b": ["Prefix / web"] }),
      route([to("/")], ["*.b"]),
      [""],
      "http://two.one.b/",
      "a wildcard stands for exactly one label in an Ingress",
    ],
    [
      "patterns that go by letters",
      ingress(
        "i",
        { "a.b": ["ImplementationSpecific /api web"] },
        { annotations: { "use-regex": "true" } },
      ),
      route([to("/api")]),
      [""],
      "http://a.b/apibeside",
      "as patterns that need not end at a slash",
    ],
    [
      "patterns without regard to case",
      ingress(
        "i",
        { "a.b": ["ImplementationSpecific /api web"] },
        { annotations: { "use-regex": "true" } },
      ),
      route([to("/api")]),
      [""],
      "http://a.b/API",
      "without regard to case",
    ],
    [
      "ImplementationSpecific",
      ingress("i", { "a.b": ["ImplementationSpecific /api web"] }),
      route([to("/api")]),
      [""],
      "http://a.b/apibeside",
      "ImplementationSpecific: nginx compares letter by letter",
    ],
    [
      "a slash at the end",
      ingress("i", { "a.b": ["Prefix /api/ web"] }),
      route([to("/api/")]),
      [""],
      "http://a.b/api",
      "nginx send clients there (301)",
    ],
    [
      "http to https",
      ingress("i", { "a.b": ["Prefix / web"] }, { tls: [{ hosts: ["a.b"], secretName: "c" }] }),
      route([to("/")]),
      [""],
      "http://a.b/",
      "ssl-redirect",
    ],
    [
      "redirects to the same place with another status",
      ingress("i", { "a.b": ["Prefix / web"] }, { tls: [{ hosts: ["a.b"], secretName: "c" }] }),
      route([
        {
          filters: [
            { type: "RequestRedirect", requestRedirect: { scheme: "https", statusCode: 301 } },
          ],
        },
      ]),
      [""],
      "http://a.b/",
      "both redirect, with 308 and 301; clients repeat",
    ],
    [
      "rewrites",
      ingress("i", { "a.b": ["Prefix / web"] }, { annotations: { "rewrite-target": "/x" } }),
      route([to("/")]),
      [""],
      "http://a.b/below",
      "asked for another path",
    ],
    [
      "default backends",
      ingress("i", {}, { defaultBackend: "web" }),
      route([to("/")]),
      [""],
      "http://unnamed.invalid/",
      "the default backend of Ingress default/i takes what no rule of an Ingress does; of the routes, no route of listener l0 of Gateway default/web matches; add a rule without matches to a route without hostnames",
    ],
    [
      "the default backend beside an Exact path, which both sides have",
      ingress("i", { "a.b": ["Exact /x web"] }, { defaultBackend: "rest" }),
      route([exact("/x")]),
      [""],
      "http://a.b/xbeside",
      "the default backend of Ingress default/i takes what no path of a.b does",
    ],
    [
      "the default backend below a slash that Exact counts on both sides",
      ingress("i", { "a.b": ["Exact /x web"] }, { defaultBackend: "rest" }),
      route([exact("/x")]),
      [""],
      "http://a.b/x/",
      "the default backend of Ingress default/i takes what no path of a.b does",
    ],
    [
      "an Exact path of the Ingress, which counts a slash",
      ingress("i", { "a.b": ["Exact /x web"] }),
      route([to("/x")]),
      [""],
      "http://a.b/x/",
      "a slash at the end: Exact /x of a.b matches (Ingress default/i) and counts it; PathPrefix /x of HTTPRoute default/r matches",
    ],
    [
      "an Exact path of a route, which counts a slash",
      ingress("i", { "a.b": ["Prefix /x web"] }),
      route([exact("/x")]),
      [""],
      "http://a.b/x/",
      "a slash at the end: Exact /x of HTTPRoute default/r matches and counts it; Prefix /x of a.b matches",
    ],
    [
      "letters are no reason where the routes go elsewhere with the path itself",
      ingress("i", { "a.b": ["ImplementationSpecific /api web"] }),
      route([{ ...to("/api"), backendRefs: [{ name: "other", port: 80 }] }]),
      [""],
      "http://a.b/apibeside",
      "only the Ingress has a backend for it: ImplementationSpecific /api, letter by letter, of a.b matches (Ingress default/i)",
    ],
    [
      "app-root is the redirect, not a path of that name",
      ingress(
        "i",
        { "a.b": ["Prefix /app-root web"] },
        { annotations: { "permanent-redirect": "https://c.d" } },
      ),
      route([to("/app-root")]),
      [""],
      "http://a.b/app-root",
      "permanent-redirect or temporal-redirect",
    ],
    [
      "canaries by cookie are asked for",
      ingress("i", { "a.b": ["Prefix / web"] }, { annotations: { affinity: "cookie" } }),
      route([to("/")]),
      [""],
      "http://a.b/",
      "keeps clients at an endpoint",
    ],
  ])("%s", (_, one, routes, listeners, url, why) => {
    const found = differences([one], routes, "ingress-nginx", listeners);
    const at = found.find(({ request: r }) => `${r.scheme}://${r.host}${r.path}` === url);
    expect(at?.why).toContain(why);
  });

  test("a default backend takes the bare name of a wildcard that both sides have", () => {
    const ingresses = [
      ingress("i", { "*.q.com": ["Prefix / web"] }),
      ingress("d", {}, { defaultBackend: "rest" }),
    ];
    const found = differences(ingresses, route([to("/")], ["*.q.com"]), "ingress-nginx", [""]);
    const whyOf = (host: string): string | undefined =>
      found.find(({ request }) => request.host === host)?.why;
    expect(whyOf("q.com")).toContain("the default backend of Ingress default/d");
    expect(whyOf("two.one.q.com")).toContain("a wildcard stands for exactly one label");
    expect(whyOf("one.q.com")).toBeUndefined();
  });

  test.each([
    ["where the routes do as the Ingress does without it", "web", "canary-by-cookie has nothing"],
    ["where they go elsewhere anyway", "third", "other backends: Prefix / of a.b"],
  ])("a cookie is the reason %s: %s", (_, backend, why) => {
    const annotations = { canary: "true", "canary-by-cookie": "try" };
    const ingresses = [
      ingress("i", { "a.b": ["Prefix / web"] }),
      ingress("c", { "a.b": ["Prefix / next"] }, { annotations }),
    ];
    const rules = [{ ...to("/"), backendRefs: [{ name: backend, port: 80 }] }];
    const found = differences(ingresses, route(rules), "ingress-nginx", [""]);
    const at = found.find(({ request }) => request.headers?.["cookie"] === "try=always");
    expect(at?.why).toContain(why);
  });
});
