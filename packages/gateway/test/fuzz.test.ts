import type { GRPCRoute, HTTPRoute, HttpRouteFilter, HttpRouteMatch, Ingress } from "@cnilab/core";
import { InputError } from "@cnilab/core";
import {
  deriveRequests,
  diffRules,
  fixtureRules,
  gatewayState,
  ingressRules,
  type ProxyRules,
  type RequestHead,
} from "@cnilab/gateway";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CONTROLLER, GATEWAY_CLASS, gateway, httpRoute, service } from "./objects.ts";

const text = fc.oneof(
  fc.constantFrom(
    "",
    "/",
    "a",
    "a.b",
    "*.b",
    "x.a.b",
    "%2f",
    "(",
    "$1",
    "true",
    "1",
    "nginx",
    "GET",
  ),
  fc.string({ maxLength: 12 }),
);
const host = fc.constantFrom("", "a.b", "*.b", "x.a.b", "*.a.b", "c");
const path = fc.oneof(
  fc.constantFrom("/", "/a", "/a/", "/a/b", "/A", "/a(/|$)(.*)", "/[a", "//", "/a/../b", "/%61"),
  fc.string({ maxLength: 8 }).map((rest) => `/${rest}`),
);
const backend = fc.record({
  service: fc.record({
    name: fc.constantFrom("web", "no"),
    port: fc.oneof(fc.record({ number: fc.constantFrom(80, 81) }), fc.record({ name: text })),
  }),
});
const annotations = fc.dictionary(
  fc
    .constantFrom(
      "rewrite-target",
      "use-regex",
      "ssl-redirect",
      "force-ssl-redirect",
      "app-root",
      "permanent-redirect",
      "temporal-redirect",
      "from-to-www-redirect",
      "canary",
      "canary-by-header",
      "canary-by-header-pattern",
      "canary-by-cookie",
      "canary-weight",
      "canary-weight-total",
      "affinity",
      "backend-protocol",
      "server-alias",
      "default-backend",
      "upstream-vhost",
      "unheard-of",
    )
    .map((name) => `nginx.ingress.kubernetes.io/${name}`),
  fc.oneof(text, path, fc.constantFrom("/$2", "https://x/$1$request_uri", "cookie", "GRPC", "30")),
  { maxKeys: 6 },
);
const ingress: fc.Arbitrary<Ingress> = fc.record({
  apiVersion: fc.constant("networking.k8s.io/v1"),
  kind: fc.constant("Ingress" as const),
  metadata: fc.record({
    name: fc.constantFrom("x", "y", "z"),
    namespace: fc.constant("default"),
    annotations,
  }),
  spec: fc.record(
    {
      rules: fc.array(
        fc.record(
          {
            host,
            http: fc.record({
              paths: fc.array(
                fc.record({
                  path,
                  pathType: fc.constantFrom("Exact", "Prefix", "ImplementationSpecific"),
                  backend,
                }),
                { maxLength: 4 },
              ),
            }),
          },
          { requiredKeys: [] },
        ),
        { maxLength: 3 },
      ),
      defaultBackend: backend,
      tls: fc.array(fc.record({ hosts: fc.array(host), secretName: text }, { requiredKeys: [] })),
    },
    { requiredKeys: ["rules"] },
  ),
}) as fc.Arbitrary<Ingress>;

const value = fc.record(
  {
    type: fc.constantFrom("Exact" as const, "RegularExpression" as const),
    name: text,
    value: text,
  },
  { requiredKeys: ["name", "value"] },
);
const match: fc.Arbitrary<HttpRouteMatch> = fc.record(
  {
    path: fc.record({
      type: fc.constantFrom("Exact" as const, "PathPrefix" as const, "RegularExpression" as const),
      value: path,
    }),
    headers: fc.array(value, { maxLength: 2 }),
    queryParams: fc.array(value, { maxLength: 2 }),
    method: fc.constantFrom("GET", "POST"),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<HttpRouteMatch>;
const modifier = fc.oneof(
  fc.record({ type: fc.constant("ReplaceFullPath" as const), replaceFullPath: path }),
  fc.record({ type: fc.constant("ReplacePrefixMatch" as const), replacePrefixMatch: text }),
);
const filter: fc.Arbitrary<HttpRouteFilter> = fc.oneof(
  fc.record({
    type: fc.constant("RequestRedirect" as const),
    requestRedirect: fc.record(
      { path: modifier, hostname: host, port: fc.nat(65_535) },
      { requiredKeys: [] },
    ),
  }),
  fc.record({
    type: fc.constant("URLRewrite" as const),
    urlRewrite: fc.record({ path: modifier, hostname: host }, { requiredKeys: [] }),
  }),
  fc.record({
    type: fc.constant("RequestMirror" as const),
    requestMirror: fc.record({ backendRef: fc.record({ name: text, port: fc.constant(80) }) }),
  }),
) as fc.Arbitrary<HttpRouteFilter>;
const rule = fc.record(
  {
    matches: fc.array(match, { maxLength: 3 }),
    filters: fc.array(filter, { maxLength: 2 }),
    backendRefs: fc.array(
      fc.record(
        {
          name: fc.constantFrom("web", "no"),
          port: fc.constant(80),
          weight: fc.nat(3),
          namespace: text,
        },
        { requiredKeys: ["name", "port"] },
      ),
      { maxLength: 2 },
    ),
  },
  { requiredKeys: [] },
);
const route = fc
  .record({
    name: fc.constantFrom("r", "s"),
    kind: fc.constantFrom("HTTPRoute", "GRPCRoute"),
    sectionName: fc.constantFrom(undefined, "a", "b", "no"),
    spec: fc.record(
      {
        hostnames: fc.array(host.filter((h) => h !== "")),
        rules: fc.array(rule, { maxLength: 3 }),
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ name, kind, sectionName, spec }) => {
    const parent = { name: "web", ...(sectionName !== undefined && { sectionName }) };
    const made = httpRoute(name, { ...spec, parentRefs: [parent] } as HTTPRoute["spec"]);
    if (kind === "HTTPRoute") return made;
    const rules = made.spec.rules?.map(({ matches = [], ...rest }) => ({
      ...rest,
      matches: matches.map(({ headers }) => ({ ...(headers && { headers }) })),
    }));
    return { ...made, kind: "GRPCRoute", spec: { ...made.spec, ...(rules && { rules }) } };
  }) as fc.Arbitrary<HTTPRoute | GRPCRoute>;
const listeners = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom("a", "b", "c"),
    hostname: host,
    port: fc.constantFrom(80, 443),
    protocol: fc.constantFrom("HTTP", "HTTPS", "TLS", "TCP", "UDP", "x.y/z"),
    tls: fc.record({
      mode: fc.constantFrom("Terminate" as const, "Passthrough" as const),
      certificateRefs: fc.constant([{ name: "c" }]),
    }),
  }),
  { minLength: 1, maxLength: 3, selector: ({ name }) => name },
);

const request: fc.Arbitrary<RequestHead> = fc.record(
  {
    scheme: fc.constantFrom("http" as const, "https" as const),
    method: text,
    host: fc.oneof(host, text, fc.constantFrom("A.B:80", "[::1]:80", "www.a.b")),
    path: fc.oneof(path, text, fc.constantFrom("*", "/a?x=1&y", "/a?%", "/a#b", "/a/b/../..")),
    headers: fc.dictionary(text, fc.oneof(text, fc.array(text, { maxLength: 2 })), { maxKeys: 3 }),
    sni: host,
    port: fc.constantFrom(80, 443, 1),
  },
  { requiredKeys: ["scheme", "method", "host", "path"] },
) as fc.Arbitrary<RequestHead>;

/** Whatever is asked, there is an answer that a proxy can give. */
function expectAnswer(rules: ProxyRules, head: RequestHead): void {
  const decision = rules.routeRequest(head);
  expect(decision.why).not.toBe("");
  switch (decision.action) {
    case "forward": {
      expect(decision.backends.length).toBeGreaterThan(0);
      for (const { weight } of decision.backends) expect(weight).toBeGreaterThan(0);
      break;
    }
    case "redirect":
      expect(decision.status).toBeGreaterThanOrEqual(300);
      expect(decision.status).toBeLessThan(400);
      break;
    case "answer":
      expect(decision.status).toBeGreaterThanOrEqual(400);
      expect(decision.status).toBeLessThan(600);
  }
  const { sni } = head;
  const tls = head.scheme === "https" ? { tls: sni === undefined ? {} : { serverName: sni } } : {};
  const connection = { protocol: "TCP", port: head.port ?? 80, ...tls } as const;
  expect(rules.routeConnection(connection).why).not.toBe("");
}

test("Ingresses of any kind answer any request", () => {
  fc.assert(
    fc.property(
      fc.array(ingress, { maxLength: 3 }),
      fc.constantFrom("ingress-nginx" as const, "kubernetes" as const),
      fc.boolean(),
      fc.array(request, { minLength: 1, maxLength: 10 }),
      (ingresses, dialect, knowsServices, requests) => {
        const rules = ingressRules(
          {
            ingresses,
            ingressClasses: [],
            ...(knowsServices && { services: [service("web", [{ port: 80 }])], secrets: [] }),
          },
          { dialect, watchIngressWithoutClass: true },
        );
        for (const head of requests) expectAnswer(rules, head);
      },
    ),
    { numRuns: 400 },
  );
});

test("routes of any kind answer any request, and every one of them gets a status", () => {
  fc.assert(
    fc.property(
      listeners,
      fc.array(route, { maxLength: 4 }),
      fc.boolean(),
      fc.array(request, { minLength: 1, maxLength: 10 }),
      (given, routes, knowsServices, requests) => {
        const named = [...new Map(routes.map((r) => [`${r.kind} ${r.metadata.name}`, r])).values()];
        const state = gatewayState(
          {
            gatewayClasses: [GATEWAY_CLASS],
            gateways: [gateway("web", given)],
            httpRoutes: named.filter((r): r is HTTPRoute => r.kind === "HTTPRoute"),
            grpcRoutes: named.filter((r): r is GRPCRoute => r.kind === "GRPCRoute"),
            ...(knowsServices && { services: [service("web", [{ port: 80 }])], secrets: [] }),
          },
          { controllerName: CONTROLLER },
        );
        const rules = state.gateways.get("default/web") as ProxyRules;
        for (const head of requests) expectAnswer(rules, head);
        for (const { kind, metadata } of named) {
          expect(state.statuses.has(`${kind} default/${metadata.name}`)).toBe(true);
        }
      },
    ),
    { numRuns: 400 },
  );
});

test("Ingresses and routes of any kind are compared, and each difference has a reason", () => {
  fc.assert(
    fc.property(
      fc.array(ingress, { minLength: 1, maxLength: 3 }),
      fc.constantFrom("ingress-nginx" as const, "kubernetes" as const),
      listeners,
      fc.array(route, { maxLength: 4 }),
      fc.array(request, { maxLength: 5 }),
      (ingresses, dialect, given, routes, requests) => {
        const httpRoutes = routes.filter((r): r is HTTPRoute => r.kind === "HTTPRoute");
        const gateways = [gateway("web", given)];
        const state = gatewayState(
          { gatewayClasses: [GATEWAY_CLASS], gateways, httpRoutes },
          { controllerName: CONTROLLER },
        );
        const rules = ingressRules(
          { ingresses, ingressClasses: [] },
          { dialect, watchIngressWithoutClass: true },
        );
        const derived = deriveRequests({
          ingresses,
          routes: httpRoutes,
          hostnames: [],
          tlsHosts: ["a.b"],
        });
        const asked = requests.map((head) => ({ request: head, aspect: "given" as const }));
        const { differences, notCompared } = diffRules(
          { rules, ingresses, dialect },
          state.gateways.get("default/web") as ProxyRules,
          [...asked, ...derived.slice(0, 200)],
        );
        for (const { why, ingress: theirs, routes: ours } of differences) {
          expect(why).not.toBe("");
          expect(theirs).not.toEqual(ours);
        }
        for (const { what, why } of notCompared) expect([what, why]).not.toContain("");
      },
    ),
    { numRuns: 200 },
  );
});

test("a fixture is understood, or refused by its name", () => {
  const part = fc.anything({ maxDepth: 4, withBigInt: false });
  const fixture = fc.oneof(
    part,
    fc.record(
      {
        kind: fc.constantFrom("Ingress", "HTTPRoutes"),
        rules: part,
        routes: part,
        listeners: part,
        defaultBackend: part,
      },
      { requiredKeys: ["kind"] },
    ),
  );
  fc.assert(
    fc.property(fixture, request, (given, head) => {
      let rules: ProxyRules;
      try {
        rules = fixtureRules("planted", given);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
        expect((error as InputError).message).toMatch(/^planted: /);
        return;
      }
      expectAnswer(rules, head);
    }),
    { numRuns: 500 },
  );
});
