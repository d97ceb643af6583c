import type { Ingress } from "@cnilab/core";
import { type IngressRules, ingressRules, type RequestHead } from "@cnilab/gateway";
import { describe, expect, test } from "vitest";
import { fateOf, fateText } from "../src/diff/fate.ts";
import { ingress, service } from "./objects.ts";

const rules = (...ingresses: readonly Ingress[]): IngressRules =>
  ingressRules({ ingresses, ingressClasses: [] }, { watchIngressWithoutClass: true });

/** `[METHOD] URL [header: value]`, and what becomes of it in short. */
function ask(served: IngressRules, text: string): string {
  const [url = "", ...headers] = text.split(" | ");
  const [, scheme = "http", host = "", path = "/"] = /^(https?):\/\/([^/]*)(.*)$/.exec(url) ?? [];
  const request: RequestHead = {
    method: "GET",
    scheme: scheme as "http",
    host,
    path: path === "" ? "/" : path,
    headers: Object.fromEntries(headers.map((h) => h.split(": ") as [string, string])),
  };
  return fateText(fateOf(served.routeRequest(request), request));
}

// Behaviour out of ingress-nginx' sources (controller v1.15, internal/ingress/controller, rootfs/etc/nginx) and nginx'
// own, at the places that src/ingress names.
describe("paths", () => {
  const plain = rules(
    ingress("a", {
      "a.b": [
        "Prefix /foo foo",
        "Exact /foo exact",
        "ImplementationSpecific /impl impl",
        "Prefix /dir/ dir",
      ],
    }),
    ingress("default", {}, { defaultBackend: "rest" }),
  );
  test.each([
    ["http://a.b/foo", "default/exact:80"],
    ["http://a.b/foo/", "default/foo:80"],
    ["http://a.b/foo/x?y=1", "default/foo:80"],
    ["http://a.b/foobar", "404"],
    ["http://a.b/FOO", "404"],
    ["http://A.B:8080/foo", "default/exact:80"],
    // Compared letter by letter.
    ["http://a.b/impl", "default/impl:80"],
    ["http://a.b/implicit", "default/impl:80"],
    ["http://a.b/dir/x", "default/dir:80"],
    ["http://a.b/dir?x=1", "301 http://a.b/dir/?x=1"],
    // As nginx takes paths apart.
    ["http://a.b//foo///bar", "default/foo:80"],
    ["http://a.b/x/../foo/y", "default/foo:80"],
    ["http://a.b/%66oo/y", "default/foo:80"],
    ["http://a.b/../foo", "400"],
    ["http://a.b/%zz", "400"],
    // The default backend of an Ingress without rules is for hosts that no other has.
    ["http://other/x", "default/rest:80"],
  ])("%s: %s", (url, expected) => {
    expect(ask(plain, url)).toBe(expected);
  });

  test("a host's default backend is the one of the Ingress that names the host first", () => {
    const served = rules(ingress("a", { "a.b": ["Prefix /foo foo"] }, { defaultBackend: "rest" }));
    expect(ask(served, "http://a.b/x")).toBe("default/rest:80");
    expect(ask(served, "http://c.d/x")).toBe("404");
  });

  test("a wildcard is one label, and a precise host goes first, without falling back", () => {
    const served = rules(
      ingress("a", { "*.b.c": ["Prefix / wild"], "a.b.c": ["Prefix /a exact"] }),
    );
    expect(ask(served, "http://x.b.c/")).toBe("default/wild:80");
    expect(ask(served, "http://x.y.b.c/")).toBe("404");
    expect(ask(served, "http://b.c/")).toBe("404");
    expect(ask(served, "http://a.b.c/a")).toBe("default/exact:80");
    expect(ask(served, "http://a.b.c/b")).toBe("404");
  });
});

describe("patterns and rewrites", () => {
  const served = rules(
    ingress(
      "a",
      { "a.b": ["ImplementationSpecific /api(/|$)(.*) api"] },
      {
        annotations: { "rewrite-target": "/$2", "use-regex": "true", "x-forwarded-prefix": "/api" },
      },
    ),
    // Another Ingress of the same host: its paths become patterns as well.
    ingress("b", { "a.b": ["Exact /only only"] }),
  );
  test.each([
    ["http://a.b/api/v1/x?q=1", "default/api:80 at /v1/x?q=1 with x-forwarded-prefix: /api"],
    ["http://a.b/api", "default/api:80 at / with x-forwarded-prefix: /api"],
    ["http://a.b/API/v1", "default/api:80 at /v1 with x-forwarded-prefix: /api"],
    ["http://a.b/only", "default/only:80"],
    ["http://a.b/Only/this/not", "default/only:80"],
    ["http://a.b/apis", "404"],
  ])("%s: %s", (url, expected) => {
    expect(ask(served, url)).toBe(expected);
  });

  test.each([
    ["/new", "http://a.b/old/x?q=1", "default/web:80 at /new?q=1"],
    ["/new?own=1", "http://a.b/old?q=1", "default/web:80 at /new?own=1&q=1"],
    ["/new?", "http://a.b/old?q=1", "default/web:80 at /new"],
    ["https://other/$1", "http://a.b/old/x", "302 https://other/"],
    ["/old", "http://a.b/old", "default/web:80"],
  ])("rewrite-target %s of %s: %s", (target, url, expected) => {
    const one = rules(
      ingress("a", { "a.b": ["Prefix /old web"] }, { annotations: { "rewrite-target": target } }),
    );
    expect(ask(one, url)).toBe(expected);
  });

  test("a pattern that cannot be read is told, and left out", () => {
    const broken = rules(
      ingress(
        "a",
        { "a.b": ["ImplementationSpecific /(a web"] },
        { annotations: { "use-regex": "true" } },
      ),
    );
    expect(ask(broken, "http://a.b/a")).toBe("404");
    expect(broken.findings[0]?.message).toContain("/(a is no regular expression");
  });
});

describe("redirects", () => {
  const tls = [{ hosts: ["a.b"], secretName: "cert" }];
  test.each<[Record<string, string>, string, string]>([
    [{}, "http://a.b/x/", "308 https://a.b/x"],
    [{ "preserve-trailing-slash": "true" }, "http://a.b/x/", "308 https://a.b/x/"],
    [{}, "https://a.b/x", "default/web:80"],
    [{ "ssl-redirect": "false" }, "http://a.b/x", "default/web:80"],
    [{ "app-root": "/shop" }, "https://a.b/", "302 https://a.b/shop"],
    [{ "app-root": "/shop" }, "https://a.b/x", "default/web:80"],
    [{ "permanent-redirect": "https://c.d$request_uri" }, "http://a.b/x?y", "301 https://c.d/x?y"],
    [
      { "permanent-redirect": "https://c.d", "permanent-redirect-code": "308" },
      "http://a.b/",
      "308 https://c.d/",
    ],
    [{ "temporal-redirect": "https://c.d/t" }, "http://a.b/", "302 https://c.d/t"],
    [{ "from-to-www-redirect": "true" }, "https://www.a.b/x", "308 https://a.b:443/x"],
    [{ "server-alias": "c.d" }, "https://c.d/x", "default/web:80"],
    [{ "upstream-vhost": "inner" }, "https://a.b/x", "default/web:80 as inner"],
  ])("%j: %s: %s", (annotations, url, expected) => {
    const served = rules(ingress("a", { "a.b": ["Prefix / web"] }, { annotations, tls }));
    expect(ask(served, url)).toBe(expected);
  });

  test("force-ssl-redirect needs no certificate", () => {
    const annotations = { "force-ssl-redirect": "true" };
    const served = rules(ingress("a", { "a.b": ["Prefix / web"] }, { annotations }));
    expect(ask(served, "http://a.b/x")).toBe("308 https://a.b/x");
  });
});

describe("canaries", () => {
  const main = ingress("main", { "a.b": ["Prefix / web"] });
  const canary = (annotations: Record<string, string>): IngressRules =>
    rules(
      main,
      ingress(
        "canary",
        { "a.b": ["Prefix / new"] },
        { annotations: { canary: "true", ...annotations } },
      ),
    );
  test.each<[Record<string, string>, string, string]>([
    [{ "canary-by-header": "X-New" }, "http://a.b/ | x-new: always", "default/new:80"],
    [{ "canary-by-header": "X-New" }, "http://a.b/ | x-new: never", "default/web:80"],
    [{ "canary-by-header": "X-New" }, "http://a.b/", "default/web:80"],
    [
      { "canary-by-header": "X-New", "canary-by-header-value": "1" },
      "http://a.b/ | X-New: 1",
      "default/new:80",
    ],
    [
      { "canary-by-header": "X-New", "canary-by-header-pattern": "^b+$" },
      "http://a.b/ | X-New: bb",
      "default/new:80",
    ],
    [{ "canary-by-cookie": "new" }, "http://a.b/ | Cookie: a=b; new=always", "default/new:80"],
    [{ "canary-weight": "30" }, "http://a.b/", "default/new:80 30%, default/web:80 70%"],
    [
      { "canary-weight": "3", "canary-weight-total": "1000" },
      "http://a.b/",
      "default/new:80 0.3%, default/web:80 99.7%",
    ],
    [
      { "canary-by-header": "X-New", "canary-weight": "100" },
      "http://a.b/ | X-New: never",
      "default/web:80",
    ],
  ])("%j: %s: %s", (annotations, url, expected) => {
    expect(ask(canary(annotations), url)).toBe(expected);
  });

  test.each([
    [{ "canary-weight": "30" }, "new", "canary", "canary by weight 30 of 100"],
    [
      { "canary-weight": "30" },
      "web",
      "main",
      'location "/" matches; canary Ingress default/canary has weight 30 of 100',
    ],
    [{ "canary-weight": "100" }, "new", "canary", "canary by weight 100 of 100"],
    [{ "canary-weight": "0" }, "web", "main", 'location "/" matches'],
  ])("%j: the share of %s is that of Ingress %s, by %s", (annotations, backend, owner, why) => {
    const head = { scheme: "http", method: "GET", host: "a.b", path: "/" } as const;
    const decision = canary(annotations).routeRequest(head);
    if (decision.action !== "forward") throw new Error(decision.why);
    const { by = decision } =
      decision.backends.find(({ name }) => name === backend) ?? expect.fail(backend);
    expect([by.rule.name, by.rule.field, by.why]).toEqual([
      owner,
      "spec.rules[0].http.paths[0]",
      why,
    ]);
  });

  test("a canary without an Ingress of its host and path is told", () => {
    const served = rules(
      ingress("canary", { "a.b": ["Prefix / new"] }, { annotations: { canary: "true" } }),
    );
    expect(ask(served, "http://a.b/")).toBe("404");
    expect(served.findings[0]?.message).toContain("no other Ingress has this host and path");
  });
});

describe("what a person should know", () => {
  test("the oldest Ingress has a path that several name", () => {
    const served = rules(
      ingress("young", { "a.b": ["Prefix / new"] }, { created: "2026-02-01T00:00:00Z" }),
      ingress("old", { "a.b": ["Prefix / web"] }, { created: "2026-01-01T00:00:00Z" }),
    );
    expect(ask(served, "http://a.b/")).toBe("default/web:80");
    expect(served.findings).toEqual([
      {
        ingress: { namespace: "default", name: "young" },
        field: "spec.rules[0].http.paths[0]",
        message:
          "gets no requests: Prefix / of a.b belongs to Ingress default/old (spec.rules[0].http.paths[0]), which is older",
      },
    ]);
  });

  test("Services and ports that are not there answer 503", () => {
    const served = ingressRules(
      {
        ingresses: [ingress("a", { "a.b": ["Prefix /no no", "Prefix /port web"] })],
        ingressClasses: [],
        services: [service("web", [{ name: "http", port: 8080 }])],
        secrets: [],
      },
      { watchIngressWithoutClass: true },
    );
    expect(ask(served, "http://a.b/no")).toBe("status 503");
    expect(served.findings.map(({ field, message }) => `${field} ${message}`)).toEqual([
      "spec.rules[0].http.paths[0].backend there is no Service default/no",
      "spec.rules[0].http.paths[1].backend Service default/web has no port 80; it has http (8080)",
    ]);
  });

  test("annotations that change nothing are named in one finding, and wrong values as well", () => {
    const annotations = { "proxy-body-size": "8m", "auth-url": "http://x", "use-regex": "yes" };
    const { findings } = rules(ingress("a", { "": ["Prefix / web"] }, { annotations }));
    expect(findings.map(({ field, message }) => `${field} ${message}`)).toEqual([
      "nginx.ingress.kubernetes.io/use-regex must be true or false, and is left out as ingress-nginx leaves it out",
      "nginx.ingress.kubernetes.io/auth-url changes nothing here, and so does proxy-body-size",
    ]);
  });

  test.each<[string | undefined, string | undefined, boolean]>([
    ["nginx", undefined, true],
    ["other", undefined, false],
    ["missing", undefined, false],
    [undefined, "nginx", true],
    [undefined, "other", false],
    [undefined, undefined, false],
  ])("class %s, annotation %s: served %s", (ingressClassName, annotation, expected) => {
    const each = ingress(
      "a",
      { "": ["Prefix / web"] },
      {
        ...(ingressClassName !== undefined && { ingressClassName }),
        ...(annotation !== undefined && {
          annotations: { "kubernetes.io/ingress.class": annotation },
        }),
      },
    );
    const ofClass = (name: string, controller: string) =>
      ({
        apiVersion: "networking.k8s.io/v1",
        kind: "IngressClass",
        metadata: { name },
        spec: { controller },
      }) as const;
    const { claimed } = ingressRules({
      ingresses: [each],
      ingressClasses: [ofClass("nginx", "k8s.io/ingress-nginx"), ofClass("other", "traefik.io/x")],
    });
    expect(claimed).toEqual(expected ? [each] : []);
  });

  test("certificates are chosen by server name", () => {
    const served = rules(
      ingress(
        "a",
        { "a.b": [], "*.c.d": [] },
        { tls: [{ hosts: ["a.b", "*.c.d"], secretName: "cert" }] },
      ),
    );
    const certificateFor = (serverName: string): string => {
      const decision = served.routeConnection({ protocol: "TCP", port: 443, tls: { serverName } });
      return decision.action === "terminate" ? (decision.certificate?.name ?? "own") : "none";
    };
    expect(["a.b", "x.c.d", "x.y.c.d", "e.f"].map(certificateFor)).toEqual([
      "cert",
      "cert",
      "own",
      "own",
    ]);
    expect(served.routeConnection({ protocol: "TCP", port: 80 }).action).toBe("http");
    expect(served.routeConnection({ protocol: "TCP", port: 81 }).action).toBe("reset");
  });
});
