import type {
  BackendRef,
  BackendTLSPolicy,
  Gateway,
  GatewayCondition,
  GRPCRoute,
  HTTPRoute,
  HttpRouteFilter,
  HttpRouteRule,
  ListenerSet,
  ReferenceGrant,
  Secret,
  TCPRoute,
  TLSRoute,
} from "@cnilab/core";
import {
  type GatewayInput,
  type GatewayState,
  gatewayState,
  type RequestHead,
  withTransitionTimes,
} from "@cnilab/gateway";
import { describe, expect, test } from "vitest";
import { fateOf, fateText } from "../src/diff/fate.ts";
import { CONTROLLER, GATEWAY_CLASS, gateway, httpRoute, service } from "./objects.ts";

function state(input: Partial<GatewayInput>, addresses = ["10.0.0.1"]): GatewayState {
  const gateways = input.gateways ?? [gateway("web", [{ name: "http" }])];
  const ofAll = addresses.map((value) => ({ type: "IPAddress", value }));
  return gatewayState(
    { gatewayClasses: [GATEWAY_CLASS], gateways, ...input },
    {
      controllerName: CONTROLLER,
      addresses: new Map(gateways.map(({ metadata }) => [`default/${metadata.name}`, ofAll])),
    },
  );
}

function ask(found: GatewayState, text: string, more: Partial<RequestHead> = {}): string {
  const [, scheme = "http", host = "", path = "/"] = /^(https?):\/\/([^/]*)(.*)$/.exec(text) ?? [];
  const request = { method: "GET", scheme: scheme as "http", host, path: path || "/", ...more };
  const rules = found.gateways.get("default/web");
  return rules === undefined
    ? "no Gateway"
    : fateText(fateOf(rules.routeRequest(request), request));
}

/** Conditions as `Accepted=True Accepted`. */
function conditionsOf(conditions: readonly GatewayCondition[] = []): string[] {
  return conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
}

function routeConditions(found: GatewayState, name: string): string[] {
  const status = found.statuses.get(name) as HTTPRoute["status"];
  return (status?.parents ?? []).flatMap(({ conditions }) => conditionsOf(conditions));
}

function listenerConditions(found: GatewayState, of: string, at = 0): string[] {
  const status = found.statuses.get(of) as Gateway["status"];
  return conditionsOf(status?.listeners?.[at]?.conditions);
}

const to = (name: string, more: object = {}): { readonly backendRefs: readonly BackendRef[] } => ({
  backendRefs: [{ name, port: 80, ...more }],
});

const grant = (
  namespace: string,
  kind = "HTTPRoute",
  toKind = "Service",
  name?: string,
): ReferenceGrant => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "ReferenceGrant",
  metadata: { name: "grant", namespace },
  spec: {
    from: [{ group: "gateway.networking.k8s.io", kind, namespace: "default" }],
    to: [{ group: "", kind: toKind, ...(name !== undefined && { name }) }],
  },
});

// Facts out of Gateway API v1.6.1: apis/v1 and conformance/tests.
describe("filters", () => {
  const at = (rule: HttpRouteRule, value = "/p"): GatewayState =>
    state({
      httpRoutes: [httpRoute("r", { rules: [{ matches: [{ path: { value } }], ...rule }] })],
    });
  const redirect = (requestRedirect: object): HttpRouteRule => ({
    filters: [{ type: "RequestRedirect", requestRedirect }],
  });
  test.each<[object, string, string]>([
    [{ scheme: "https" }, "http://a.b/p?q", "302 https://a.b/p?q"],
    [{ scheme: "https", port: 8443 }, "http://a.b/p", "302 https://a.b:8443/p"],
    [{ scheme: "https", port: 443, statusCode: 308 }, "http://a.b:80/p", "308 https://a.b/p"],
    [{ hostname: "c.d", statusCode: 301 }, "http://a.b/p", "301 http://c.d/p"],
    [{ port: 8080 }, "http://a.b/p", "302 http://a.b:8080/p"],
    [
      { path: { type: "ReplaceFullPath", replaceFullPath: "/x" } },
      "http://a.b/p/y",
      "302 http://a.b/x",
    ],
    [
      { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/x/" } },
      "http://a.b/p/y",
      "302 http://a.b/x/y",
    ],
  ])("redirect %j of %s: %s", (filter, url, expected) => {
    expect(ask(at(redirect(filter)), url)).toBe(expected);
  });

  test("a redirect keeps a listener's port that is not the scheme's own", () => {
    const found = state({
      gateways: [gateway("web", [{ name: "http", port: 8080 }])],
      httpRoutes: [httpRoute("r", { rules: [redirect({ hostname: "c.d" })] })],
    });
    expect(ask(found, "http://a.b:8080/p", { port: 8080 })).toBe("302 http://c.d:8080/p");
  });

  // The table of apis/v1/httproute_types.go at HTTPPathModifier.replacePrefixMatch.
  test.each([
    ["/foo/bar", "/foo", "/xyz", "/xyz/bar"],
    ["/foo/bar", "/foo", "/xyz/", "/xyz/bar"],
    ["/foo/bar", "/foo/", "/xyz", "/xyz/bar"],
    ["/foo/bar", "/foo/", "/xyz/", "/xyz/bar"],
    ["/foo", "/foo", "/xyz", "/xyz"],
    ["/foo/", "/foo", "/xyz", "/xyz/"],
    ["/foo/bar", "/foo", "", "/bar"],
    ["/foo/", "/foo", "", "/"],
    ["/foo", "/foo", "", "/"],
    ["/foo/", "/foo", "/", "/"],
    ["/foo", "/foo", "/", "/"],
  ])("%s by prefix %s to %s: %s", (path, prefix, replacePrefixMatch, expected) => {
    const urlRewrite = { path: { type: "ReplacePrefixMatch", replacePrefixMatch } } as const;
    const found = at({ ...to("a"), filters: [{ type: "URLRewrite", urlRewrite }] }, prefix);
    expect(ask(found, `http://a.b${path}`)).toBe(`default/a:80 at ${expected}`);
  });

  test("a filter that nothing here runs refuses the route", () => {
    const extensionRef = { group: "x.y", kind: "Filter", name: "f" };
    const found = at({ ...to("a"), filters: [{ type: "ExtensionRef", extensionRef }] });
    expect(routeConditions(found, "HTTPRoute default/r")[0]).toBe(
      "Accepted=False UnsupportedValue",
    );
    expect(ask(found, "http://a.b/p")).toBe("404");
  });
});

describe("precedence", () => {
  const rule = (
    name: string,
    match: NonNullable<HttpRouteRule["matches"]>[number],
  ): HttpRouteRule => ({
    ...to(name),
    matches: [match],
  });
  const found = state({
    httpRoutes: [
      httpRoute("r", {
        rules: [
          rule("prefix", { path: { value: "/a" } }),
          rule("pattern", { path: { type: "RegularExpression", value: "/a/[0-9]+" } }),
          rule("exact", { path: { type: "Exact", value: "/a/1" } }),
          rule("method", { path: { value: "/a" }, method: "POST" }),
          rule("header", { path: { value: "/a" }, headers: [{ name: "X", value: "1" }] }),
          rule("query", { path: { value: "/a" }, queryParams: [{ name: "q", value: "1" }] }),
          rule("long", { path: { value: "/a/b" } }),
        ],
      }),
      httpRoute("young", { rules: [to("young")] }, { creationTimestamp: "2026-02-01T00:00:00Z" }),
      httpRoute("old", { rules: [to("old")] }, { creationTimestamp: "2026-01-01T00:00:00Z" }),
      httpRoute("wild", { hostnames: ["*.b"], rules: [to("wild")] }),
      httpRoute("precise", {
        hostnames: ["x.b"],
        rules: [rule("precise", { path: { value: "/x" } })],
      }),
    ],
  });
  test.each<[string, Partial<RequestHead>, string]>([
    ["http://c/a/1", {}, "exact"],
    ["http://c/a/2", {}, "pattern"],
    ["http://c/a/b", { method: "POST" }, "long"],
    ["http://c/a/x", { method: "POST", headers: { x: "1" } }, "method"],
    ["http://c/a/x?q=1", { headers: { x: "1" } }, "header"],
    ["http://c/a/x?q=1", {}, "query"],
    ["http://c/a/x", {}, "prefix"],
    ["http://c/ab", {}, "old"],
    ["http://y.x.b/a", {}, "wild"],
    ["http://x.b/x", {}, "precise"],
    // Precedence is among the rules that match.
    ["http://x.b/y", {}, "wild"],
  ])("%s %j: %s", (url, more, expected) => {
    expect(ask(found, url, more)).toBe(`default/${expected}:80`);
  });
});

describe("listeners", () => {
  const gateways = [
    gateway("web", [
      { name: "any" },
      { name: "wild", hostname: "*.b" },
      { name: "deeper", hostname: "*.x.b" },
      { name: "precise", hostname: "a.b" },
    ]),
  ];
  const on = (name: string, hostnames?: readonly string[]): HTTPRoute =>
    httpRoute(name, {
      parentRefs: [{ name: "web", sectionName: name }],
      ...(hostnames && { hostnames }),
      rules: [{ ...to(name), matches: [{ path: { value: `/${name}` } }] }],
    });
  const found = state({
    gateways,
    httpRoutes: ["any", "wild", "deeper", "precise"].map((n) => on(n)),
  });
  test.each([
    ["http://c/any", "default/any:80"],
    ["http://a.b/precise", "default/precise:80"],
    // A request belongs to one listener, and to its routes alone.
    ["http://a.b/wild", "404"],
    ["http://a.b/any", "404"],
    ["http://y.b/wild", "default/wild:80"],
    ["http://y.x.b/deeper", "default/deeper:80"],
    ["http://y.x.b/wild", "404"],
    ["http://b/any", "default/any:80"],
  ])("%s: %s", (url, expected) => {
    expect(ask(found, url)).toBe(expected);
  });

  test("attached routes are counted by listener", () => {
    const status = found.statuses.get("Gateway default/web") as Gateway["status"];
    expect(status?.listeners?.map((l) => l.attachedRoutes)).toEqual([1, 1, 1, 1]);
    expect(conditionsOf(status?.conditions)).toEqual([
      "Accepted=True Accepted",
      "Programmed=True Programmed",
    ]);
  });

  test("without an address nothing is programmed", () => {
    const waiting = state({ gateways }, []);
    const status = waiting.statuses.get("Gateway default/web") as Gateway["status"];
    expect(conditionsOf(status?.conditions)[1]).toBe("Programmed=False AddressNotAssigned");
    expect(listenerConditions(waiting, "Gateway default/web").at(-1)).toBe(
      "Programmed=False Pending",
    );
  });

  test.each<[string, Parameters<typeof gateway>[1], number, string[]]>([
    [
      "one port, two protocols",
      [{ name: "a" }, { name: "b", protocol: "TCP" }, { name: "c", port: 81 }],
      0,
      [
        "Accepted=False ProtocolConflict",
        "Conflicted=True ProtocolConflict",
        "ResolvedRefs=True ResolvedRefs",
        "Programmed=False ProtocolConflict",
      ],
    ],
    [
      "one port and one host",
      [
        { name: "a", hostname: "x.y" },
        { name: "b", hostname: "x.y" },
      ],
      1,
      [
        "Accepted=False HostnameConflict",
        "Conflicted=True HostnameConflict",
        "ResolvedRefs=True ResolvedRefs",
        "Programmed=False HostnameConflict",
      ],
    ],
    [
      "UDP and TCP of one number",
      [
        { name: "a", protocol: "TCP" },
        { name: "b", protocol: "UDP" },
      ],
      0,
      [
        "Accepted=True Accepted",
        "Conflicted=False NoConflicts",
        "ResolvedRefs=True ResolvedRefs",
        "Programmed=True Programmed",
      ],
    ],
    [
      "a protocol that is not served",
      [{ name: "a", protocol: "x.y/z" }],
      0,
      [
        "Accepted=False UnsupportedProtocol",
        "Conflicted=False NoConflicts",
        "ResolvedRefs=True ResolvedRefs",
        "Programmed=False Invalid",
      ],
    ],
    [
      "a kind of route that the protocol has not",
      [{ name: "a", allowedRoutes: { kinds: [{ kind: "TCPRoute" }, { kind: "HTTPRoute" }] } }],
      0,
      [
        "Accepted=True Accepted",
        "Conflicted=False NoConflicts",
        "ResolvedRefs=False InvalidRouteKinds",
        "Programmed=True Programmed",
      ],
    ],
    [
      "a Secret that is not there",
      [{ name: "a", protocol: "HTTPS", port: 443, tls: { certificateRefs: [{ name: "no" }] } }],
      0,
      [
        "Accepted=True Accepted",
        "Conflicted=False NoConflicts",
        "ResolvedRefs=False InvalidCertificateRef",
        "Programmed=False Invalid",
      ],
    ],
    [
      "a Secret of another namespace",
      [
        {
          name: "a",
          protocol: "HTTPS",
          port: 443,
          tls: { certificateRefs: [{ name: "no", namespace: "other" }] },
        },
      ],
      0,
      [
        "Accepted=True Accepted",
        "Conflicted=False NoConflicts",
        "ResolvedRefs=False RefNotPermitted",
        "Programmed=False Invalid",
      ],
    ],
  ])("%s", (_, listeners, at, expected) => {
    const one = state({ gateways: [gateway("web", listeners)], secrets: [] as Secret[] });
    expect(listenerConditions(one, "Gateway default/web", at)).toEqual(expected);
  });

  test("no listener that is accepted, no Gateway that is", () => {
    const one = state({ gateways: [gateway("web", [{ name: "a", protocol: "x.y/z" }])] });
    const status = one.statuses.get("Gateway default/web") as Gateway["status"];
    expect(conditionsOf(status?.conditions)).toEqual([
      "Accepted=False ListenersNotValid",
      "Programmed=False Invalid",
    ]);
  });

  test("listeners that share names under TLS say so", () => {
    const tls = { certificateRefs: [{ name: "c" }] };
    const https = (name: string, hostname: string) =>
      ({ name, protocol: "HTTPS", port: 443, hostname, tls }) as const;
    const three = [https("a", "a.b"), https("other", "c.d"), https("wild", "*.b")];
    const found = state({ gateways: [gateway("web", three)] });
    const overlapping = [0, 1, 2].map((at) =>
      listenerConditions(found, "Gateway default/web", at).includes(
        "OverlappingTLSConfig=True OverlappingHostnames",
      ),
    );
    expect(overlapping).toEqual([true, false, true]);
  });

  test("an address that cannot be had is told", () => {
    const asking = gateway("web", [{ name: "a" }], { addresses: [{ value: "10.9.9.9" }] });
    const status = state({ gateways: [asking] }).statuses.get(
      "Gateway default/web",
    ) as Gateway["status"];
    expect(conditionsOf(status?.conditions)[1]).toBe("Programmed=False AddressNotUsable");
  });

  test("ListenerSets add listeners where they are let in; who comes first has a place", () => {
    const set = (name: string, hostname: string): ListenerSet => ({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "ListenerSet",
      metadata: { name, namespace: "default" },
      spec: {
        parentRef: { name: "web" },
        listeners: [{ name: "a", port: 80, protocol: "HTTP", hostname }],
      },
    });
    const listenerSets = [set("one", "one.b"), set("two", "own.b")];
    const route = httpRoute("r", {
      parentRefs: [{ kind: "ListenerSet", name: "one" }],
      rules: [to("a")],
    });
    const own = [{ name: "own", hostname: "own.b" }];
    const closed = state({ gateways: [gateway("web", own)], listenerSets, httpRoutes: [route] });
    expect(
      conditionsOf(
        (closed.statuses.get("ListenerSet default/one") as ListenerSet["status"])?.conditions,
      ),
    ).toEqual(["Accepted=False NotAllowed", "Programmed=False NotAllowed"]);
    const allowedListeners = { namespaces: { from: "Same" } } as const;
    const open = state({
      gateways: [gateway("web", own, { allowedListeners })],
      listenerSets,
      httpRoutes: [route],
    });
    expect(ask(open, "http://one.b/")).toBe("default/a:80");
    expect(ask(open, "http://own.b/")).toBe("404");
    expect(listenerConditions(open, "ListenerSet default/one")[0]).toBe("Accepted=True Accepted");
    expect(listenerConditions(open, "ListenerSet default/two")[1]).toBe(
      "Conflicted=True HostnameConflict",
    );
    const status = open.statuses.get("Gateway default/web") as Gateway["status"];
    expect(status?.attachedListenerSets).toBe(1);
    expect(listenerConditions(open, "Gateway default/web")[0]).toBe("Accepted=True Accepted");
  });
});

describe("parents and references", () => {
  const elsewhere = { namespace: "shop" };
  test.each<[string, Partial<GatewayInput>, HTTPRoute, string[]]>([
    [
      "all is well",
      {},
      httpRoute("r", { rules: [to("a")] }),
      ["Accepted=True Accepted", "ResolvedRefs=True ResolvedRefs"],
    ],
    [
      "another section",
      {},
      httpRoute("r", { parentRefs: [{ name: "web", sectionName: "no" }] }),
      ["Accepted=False NoMatchingParent", "ResolvedRefs=True ResolvedRefs"],
    ],
    [
      "another port",
      {},
      httpRoute("r", { parentRefs: [{ name: "web", port: 81 }] }),
      ["Accepted=False NoMatchingParent", "ResolvedRefs=True ResolvedRefs"],
    ],
    [
      "another namespace than listeners take",
      {},
      httpRoute("r", { parentRefs: [{ name: "web", namespace: "default" }] }, elsewhere),
      ["Accepted=False NotAllowedByListeners", "ResolvedRefs=True ResolvedRefs"],
    ],
    [
      "another host",
      { gateways: [gateway("web", [{ name: "http", hostname: "a.b" }])] },
      httpRoute("r", { hostnames: ["c.d"] }),
      ["Accepted=False NoMatchingListenerHostname", "ResolvedRefs=True ResolvedRefs"],
    ],
    [
      "no such Service",
      { services: [] },
      httpRoute("r", { rules: [to("a")] }),
      ["Accepted=True Accepted", "ResolvedRefs=False BackendNotFound"],
    ],
    [
      "no such port",
      { services: [service("a", [{ port: 81 }])] },
      httpRoute("r", { rules: [to("a")] }),
      ["Accepted=True Accepted", "ResolvedRefs=False BackendNotFound"],
    ],
    [
      "no Service at all",
      {},
      httpRoute("r", { rules: [to("a", { kind: "Bucket", group: "x.y" })] }),
      ["Accepted=True Accepted", "ResolvedRefs=False InvalidKind"],
    ],
    [
      "a Service that no grant opens",
      {},
      httpRoute("r", { rules: [to("a", { namespace: "other" })] }),
      ["Accepted=True Accepted", "ResolvedRefs=False RefNotPermitted"],
    ],
    [
      "a Service that a grant opens",
      { referenceGrants: [grant("other")] },
      httpRoute("r", { rules: [to("a", { namespace: "other" })] }),
      ["Accepted=True Accepted", "ResolvedRefs=True ResolvedRefs"],
    ],
    [
      "a grant to another kind",
      { referenceGrants: [grant("other", "TCPRoute")] },
      httpRoute("r", { rules: [to("a", { namespace: "other" })] }),
      ["Accepted=True Accepted", "ResolvedRefs=False RefNotPermitted"],
    ],
    [
      "a grant of another kind of object",
      { referenceGrants: [grant("other", "HTTPRoute", "Secret")] },
      httpRoute("r", { rules: [to("a", { namespace: "other" })] }),
      ["Accepted=True Accepted", "ResolvedRefs=False RefNotPermitted"],
    ],
    [
      "a grant of another Service",
      { referenceGrants: [grant("other", "HTTPRoute", "Service", "b")] },
      httpRoute("r", { rules: [to("a", { namespace: "other" })] }),
      ["Accepted=True Accepted", "ResolvedRefs=False RefNotPermitted"],
    ],
    [
      "a pattern that RE2 cannot read",
      {},
      httpRoute("r", {
        rules: [{ matches: [{ path: { type: "RegularExpression", value: "/(?=x)" } }] }],
      }),
      ["Accepted=False UnsupportedValue", "ResolvedRefs=True ResolvedRefs"],
    ],
  ])("%s", (_, input, route, expected) => {
    const { namespace } = route.metadata;
    expect(
      routeConditions(state({ ...input, httpRoutes: [route] }), `HTTPRoute ${namespace}/r`),
    ).toEqual(expected);
  });

  test("a Gateway of another controller is left alone", () => {
    const other = { ...GATEWAY_CLASS, spec: { controllerName: "x.y/z" } };
    const found = state({ gatewayClasses: [other], httpRoutes: [httpRoute("r", {})] });
    expect([...found.gateways.keys(), ...found.statuses.keys()]).toEqual([]);
  });

  test("what others wrote into a route's status stays", () => {
    const theirs = { parentRef: { name: "x" }, controllerName: "x.y/z", conditions: [] };
    const route = { ...httpRoute("r", {}), status: { parents: [theirs] } };
    const status = state({ httpRoutes: [route] }).statuses.get(
      "HTTPRoute default/r",
    ) as HTTPRoute["status"];
    expect(status?.parents?.map((p) => p.controllerName)).toEqual(["x.y/z", CONTROLLER]);
  });
});

describe("backends", () => {
  const ofRule = (rule: HttpRouteRule): string =>
    ask(
      state({
        httpRoutes: [httpRoute("r", { rules: [rule] })],
        services: [service("a", [{ port: 80 }]), service("b", [{ port: 80 }])],
      }),
      "http://x/",
    );
  test.each<[string, HttpRouteRule, string]>([
    [
      "by weight",
      {
        backendRefs: [
          { name: "a", port: 80, weight: 3 },
          { name: "b", port: 80 },
        ],
      },
      "default/a:80 75%, default/b:80 25%",
    ],
    [
      "weight 0 is nobody",
      {
        backendRefs: [
          { name: "a", port: 80, weight: 0 },
          { name: "b", port: 80 },
        ],
      },
      "default/b:80",
    ],
    ["all of weight 0", { backendRefs: [{ name: "a", port: 80, weight: 0 }] }, "500"],
    ["none at all", {}, "500"],
    ["one that is not there", { backendRefs: [{ name: "no", port: 80 }] }, "status 500"],
    [
      "a share that is not there",
      {
        backendRefs: [
          { name: "no", port: 80 },
          { name: "b", port: 80 },
        ],
      },
      "default/b:80 50%, status 500 50%",
    ],
  ])("%s", (_, rule, expected) => {
    expect(ofRule(rule)).toBe(expected);
  });

  test.each<[string, HttpRouteFilter, string]>([
    [
      "rewrites the path",
      {
        type: "URLRewrite",
        urlRewrite: { path: { type: "ReplaceFullPath", replaceFullPath: "/x" } },
      },
      "default/a:80 at /x?q, default/b:80",
    ],
    [
      "rewrites the host",
      { type: "URLRewrite", urlRewrite: { hostname: "c.d" } },
      "default/a:80 as c.d, default/b:80",
    ],
    [
      "redirects",
      { type: "RequestRedirect", requestRedirect: { scheme: "https", statusCode: 308 } },
      "308 https://x/p?q, default/b:80",
    ],
  ])("a filter of one backend alone %s", (_, filter, expected) => {
    const refs = [
      { name: "a", port: 80, filters: [filter] },
      { name: "b", port: 80 },
    ];
    const found = state({ httpRoutes: [httpRoute("r", { rules: [{ backendRefs: refs }] })] });
    const halves = expected.split(", ").map((text) => `${text} 50%`);
    expect(ask(found, "http://x/p?q")).toBe(halves.join(", "));
  });

  test("a BackendTLSPolicy makes the backend speak TLS; one that cannot be kept answers 500", () => {
    const policy = (validation: object): BackendTLSPolicy => ({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "BackendTLSPolicy",
      metadata: { name: "p", namespace: "default" },
      spec: {
        targetRefs: [{ group: "", kind: "Service", name: "a" }],
        validation: { hostname: "a.inner", ...validation },
      },
    });
    const ca = [{ group: "", kind: "ConfigMap", name: "ca" }];
    const found = (validation: object): GatewayState =>
      state({
        httpRoutes: [httpRoute("r", { rules: [to("a")] })],
        backendTlsPolicies: [policy(validation)],
        configMaps: [],
      });
    const good = found({ wellKnownCACertificates: "System" }).gateways.get("default/web");
    const request = { method: "GET", scheme: "http", host: "x", path: "/" } as const;
    expect(good?.routeRequest(request)).toMatchObject({
      backends: [{ protocol: "HTTPS", serverName: "a.inner" }],
    });
    const bad = found({ caCertificateRefs: ca });
    expect(ask(bad, "http://x/")).toBe("status 500");
    const status = bad.statuses.get("BackendTLSPolicy default/p") as BackendTLSPolicy["status"];
    expect(conditionsOf(status?.ancestors?.[0]?.conditions)).toEqual([
      "Accepted=False NoValidCACertificate",
      "ResolvedRefs=False InvalidCACertificateRef",
    ]);
  });
});

describe("other kinds of routes", () => {
  const grpc = (name: string, spec: GRPCRoute["spec"], created = ""): GRPCRoute => ({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "GRPCRoute",
    metadata: { name, namespace: "default", creationTimestamp: created },
    spec: { parentRefs: [{ name: "web" }], ...spec },
  });
  const found = state({
    grpcRoutes: [
      grpc("r", {
        rules: [
          { ...to("any") },
          { ...to("method"), matches: [{ method: { method: "Get" } }] },
          { ...to("service"), matches: [{ method: { service: "shop.Cart" } }] },
          { ...to("both"), matches: [{ method: { service: "shop.Cart", method: "Get" } }] },
          {
            ...to("pattern"),
            matches: [{ method: { type: "RegularExpression", service: "log\\..*" } }],
          },
        ],
      }),
    ],
  });
  test.each([
    ["/shop.Cart/Get", "default/both:80 over h2c"],
    ["/shop.Cart/Add", "default/service:80 over h2c"],
    ["/shop.Web/Get", "default/method:80 over h2c"],
    ["/log.V2/Put", "default/pattern:80 over h2c"],
    ["/shop.Web/Put", "default/any:80 over h2c"],
    ["/no-method", "404"],
  ])("gRPC %s: %s", (path, expected) => {
    expect(ask(found, `http://x${path}`, { method: "POST" })).toBe(expected);
  });

  test("an HTTPRoute and a GRPCRoute cannot share a name; the older one has it", () => {
    const clashing = state({
      grpcRoutes: [grpc("g", { hostnames: ["a.b"], rules: [to("g")] }, "2026-02-01T00:00:00Z")],
      httpRoutes: [
        httpRoute(
          "h",
          { hostnames: ["*.b"], rules: [to("h")] },
          { creationTimestamp: "2026-01-01T00:00:00Z" },
        ),
      ],
    });
    expect(routeConditions(clashing, "GRPCRoute default/g")[0]).toBe(
      "Accepted=False HostnameConflict",
    );
    expect(routeConditions(clashing, "HTTPRoute default/h")[0]).toBe("Accepted=True Accepted");
  });

  test("TCPRoutes go by port, the oldest one; TLSRoutes by server name", () => {
    const plain = (
      kind: "TCPRoute" | "TLSRoute",
      name: string,
      sectionName: string,
      more: object,
    ): TCPRoute & TLSRoute =>
      ({
        apiVersion: "gateway.networking.k8s.io/v1",
        kind,
        metadata: { name, namespace: "default" },
        spec: { parentRefs: [{ name: "web", sectionName }], rules: [to(name)], ...more },
      }) as never;
    const streams = state({
      gateways: [
        gateway("web", [
          { name: "tcp", port: 5432, protocol: "TCP" },
          { name: "tls", port: 443, protocol: "TLS", tls: { mode: "Passthrough" } },
        ]),
      ],
      tcpRoutes: [plain("TCPRoute", "b", "tcp", {}), plain("TCPRoute", "a", "tcp", {})],
      tlsRoutes: [
        plain("TLSRoute", "wild", "tls", { hostnames: ["*.b"] }),
        plain("TLSRoute", "precise", "tls", { hostnames: ["a.b"] }),
      ],
    });
    const rules = streams.gateways.get("default/web");
    const backendOf = (port: number, serverName?: string): string => {
      const tls = serverName === undefined ? {} : { tls: { serverName } };
      const decision = rules?.routeConnection({ protocol: "TCP", port, ...tls });
      return decision?.action === "forward"
        ? (decision.backends[0]?.name ?? "")
        : (decision?.action ?? "");
    };
    expect(rules?.ports).toEqual([
      { port: 443, protocol: "TLS" },
      { port: 5432, protocol: "TCP" },
    ]);
    expect([
      backendOf(5432),
      backendOf(443, "a.b"),
      backendOf(443, "x.y.b"),
      backendOf(443, "c"),
    ]).toEqual(["a", "precise", "wild", "reset"]);
    expect(routeConditions(streams, "TCPRoute default/b")[0]).toBe("Accepted=True Accepted");
  });

  test("a request on a connection of another listener is misdirected", () => {
    const https = (name: string): object => ({
      protocol: "HTTPS",
      port: 443,
      hostname: name,
      tls: { certificateRefs: [{ name: "c" }] },
    });
    const found421 = state({
      gateways: [
        gateway("web", [
          { name: "a", ...https("a.b") },
          { name: "c", ...https("c.d") },
        ]),
      ],
      httpRoutes: [httpRoute("r", { rules: [to("x")] })],
    });
    expect(ask(found421, "https://a.b/", { sni: "a.b" })).toBe("default/x:80");
    expect(ask(found421, "https://c.d/", { sni: "a.b" })).toBe("421");
    expect(ask(found421, "http://a.b/", { port: 443 })).toBe("404");
  });
});

test("conditions keep the time since when they have been so", () => {
  const status = (value: string) => ({ conditions: [{ type: "A", status: value, reason: "R" }] });
  const first = withTransitionTimes(status("True"), undefined, "t1");
  expect(first).toEqual({
    conditions: [{ type: "A", status: "True", reason: "R", lastTransitionTime: "t1" }],
  });
  expect(withTransitionTimes(status("True"), first, "t2")).toEqual(first);
  expect(withTransitionTimes(status("False"), first, "t2").conditions[0]).toMatchObject({
    lastTransitionTime: "t2",
  });
});
