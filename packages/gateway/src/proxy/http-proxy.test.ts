import { type HttpFailure, type HttpResponse, headerOf } from "@cnilab/linux";
import { formatIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { backend, forward, ProxyLab, rules } from "../../test/proxy-lab.ts";
import type { ProxyRules } from "../routing/proxy-rules.ts";
import { ProxyReport } from "./proxy-report.ts";
import { GATEWAY_SETTINGS } from "./proxy-settings.ts";

/** What an echo server says of the request that it got. */
interface Echoed {
  readonly server: string;
  readonly client: string;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

const echoed = (answer: HttpResponse | HttpFailure) =>
  JSON.parse((answer as HttpResponse).body) as Echoed;
const reportOf = (answer: HttpResponse | HttpFailure) =>
  (answer as HttpResponse).notes.find((n) => n instanceof ProxyReport) as ProxyReport;

function lab(route: ProxyRules["routeRequest"] = forward([backend("web")])): ProxyLab {
  const made = new ProxyLab();
  made.service("web", ["10.0.0.11", "10.0.0.12"]);
  made.serve(rules(route));
  return made;
}

test("a request reaches an endpoint over a connection of the proxy's own", () => {
  const answer = lab().ask({ method: "PUT", host: "shop.example.com", path: "/a", query: "b=1" });
  const { server, client, ...request } = echoed(answer);
  expect(server).toMatch(/^shop\/web-1[12]\/c$/);
  expect(client).toMatch(/^10\.0\.0\.2:/);
  expect(request).toMatchObject({ method: "PUT", host: "shop.example.com", path: "/a?b=1" });
  const { server: own, attempts, why } = reportOf(answer);
  expect(formatIp(own.seenAddress)).toBe("10.0.0.1");
  expect(attempts).toMatchObject([{ failure: undefined, timedOut: false }]);
  expect(why).toBe("");
});

test("endpoints take turns", () => {
  const made = lab();
  const servers = [1, 2, 3, 4].map(() => echoed(made.ask({})).server);
  expect(servers[0]).not.toBe(servers[1]);
  expect(servers.slice(2)).toEqual(servers.slice(0, 2));
});

describe("what endpoints are told of the client", () => {
  test("by ingress-nginx: what the client claims is replaced", () => {
    const { headers } = echoed(
      lab().ask({ host: "a.example", headers: { "x-forwarded-for": "1.2.3.4", Connection: "x" } }),
    );
    expect(headers).toEqual({
      "X-Request-ID": expect.stringMatching(/^[0-9a-f]{32}$/),
      "X-Real-IP": "10.0.0.1",
      "x-forwarded-for": "10.0.0.1",
      "X-Forwarded-Host": "a.example",
      "X-Forwarded-Port": "80",
      "X-Forwarded-Proto": "http",
      "X-Forwarded-Scheme": "http",
      "X-Scheme": "http",
    });
  });

  test("by a Gateway: appended", () => {
    const made = new ProxyLab();
    made.service("web", ["10.0.0.11"]);
    made.serve(rules(forward([backend("web")])), GATEWAY_SETTINGS);
    const { headers } = echoed(made.ask({ headers: { "X-Forwarded-For": "1.2.3.4" } }));
    expect(headers).toEqual({
      "X-Forwarded-For": "1.2.3.4, 10.0.0.1",
      "X-Forwarded-Proto": "http",
      "X-Request-ID": expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/),
    });
  });
});

test("host, path and header fields as the decision has them", () => {
  const made = lab(
    forward([backend("web", { requestHeaders: [{ set: [{ name: "X-B", value: "2" }] }] })], {
      host: "inner.example",
      path: "/new?x=1",
      requestHeaders: [
        { set: [{ name: "X-A", value: "1" }], add: [{ name: "X-C", value: "b" }], remove: ["X-D"] },
      ],
      responseHeaders: [{ add: [{ name: "X-Answer", value: "yes" }] }],
    }),
  );
  const answer = made.ask({ host: "outer.example", headers: { "X-C": "a", "x-d": "gone" } });
  const { host, path, headers } = echoed(answer);
  expect([host, path]).toEqual(["inner.example", "/new?x=1"]);
  expect(headers).toMatchObject({ "X-A": "1", "X-B": "2", "X-C": "a,b" });
  expect(headers).not.toHaveProperty("x-d");
  expect((answer as HttpResponse).headers).toMatchObject({ "X-Answer": "yes" });
});

describe("without an endpoint that answers", () => {
  test.each<[string, string[], number, RegExp, number]>([
    ["none", [], 503, /^Service shop\/x has no endpoints: its selector app=x finds/, 0],
    ["none ready", ["10.0.0.21~"], 503, /^Service shop\/x has 1 endpoint, and none is ready$/, 0],
    ["refused", ["10.0.0.22!"], 502, /^endpoint 10\.0\.0\.22:8080 of Service shop\/x: ECONNREF/, 3],
    ["one refuses, the next answers", ["10.0.0.22!", "10.0.0.23"], 200, /^$/, 2],
  ])("%s", (_, endpoints, status, why, attempts) => {
    const made = lab(forward([backend("x")]));
    made.service("x", endpoints);
    // Either may have the first turn.
    const answers = [made.ask({}), made.ask({})] as HttpResponse[];
    const answer = answers.find((a) => reportOf(a).attempts.length === attempts);
    expect(answer?.status).toBe(status);
    expect(reportOf(answer as HttpResponse).why).toMatch(why);
  });

  test("lost on the way: 504 after three tries of five seconds", () => {
    const made = lab();
    made.proxy
      .iptables(4)
      .restore("*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp --dport 8080 -j DROP\nCOMMIT\n");
    const before = made.clock.now;
    const answer = made.ask({});
    expect((answer as HttpResponse).status).toBe(504);
    expect(made.clock.now - before).toBeGreaterThanOrEqual(15_000);
    expect(reportOf(answer).attempts.map((a) => a.timedOut)).toEqual([true, true, true]);
  });

  test.each([
    ["no such Service", backend("nobody"), 503, "there is no Service shop/nobody"],
    [
      "no such port",
      backend("web", { port: "https" }),
      503,
      "Service shop/web has no port https; it has http",
    ],
    [
      "an error that the rules found",
      backend("web", { error: { status: 500, why: "not allowed" } }),
      500,
      "not allowed",
    ],
  ])("%s", (_, to, status, why) => {
    const answer = lab(forward([to])).ask({});
    expect([(answer as HttpResponse).status, reportOf(answer).why]).toEqual([status, why]);
  });
});

test("a Service of type ExternalName is looked up by the proxy", () => {
  const made = lab(forward([backend("outside")]));
  made.externalName("outside", "web.example.net");
  expect(reportOf(made.ask({})).why).toBe(
    "Service shop/outside stands for web.example.net, which has no address",
  );
  made.names.set("web.example.net", "10.0.0.11");
  expect(echoed(made.ask({})).server).toBe("shop/web-11/c");
});

test("weights divide requests", () => {
  const made = lab(forward([backend("web", { weight: 90 }), backend("canary", { weight: 10 })]));
  made.service("canary", ["10.0.0.13"]);
  const servers = Array.from({ length: 200 }, () => echoed(made.ask({})).server);
  const canary = servers.filter((s) => s.includes("canary")).length;
  expect(canary).toBeGreaterThan(8);
  expect(canary).toBeLessThan(36);
});

test.each(["cookie", "header"] as const)("a session stays where its %s says", (by) => {
  const made = lab(
    forward([backend("web"), backend("other")], { session: { by, name: "STICK", path: "/" } }),
  );
  made.service("other", ["10.0.0.13", "10.0.0.14"]);
  const first = made.ask({});
  const { headers } = first as HttpResponse;
  const given = headerOf(headers, by === "cookie" ? "Set-Cookie" : "STICK") ?? "";
  const sent = by === "cookie" ? { Cookie: `a=b; ${given.split(";")[0]}` } : { stick: given };
  for (let i = 0; i < 8; i++) {
    expect(echoed(made.ask({ headers: sent })).server).toBe(echoed(first).server);
  }
  const others = Array.from({ length: 8 }, () => echoed(made.ask({})).server);
  expect(new Set(others).size).toBeGreaterThan(1);
});

test("a redirect and an answer are the proxy's own", () => {
  const redirect = lab(({ path }) => ({
    action: "redirect",
    status: 308,
    location: `https://a.example${path}`,
    rule: { kind: "Ingress", namespace: "shop", name: "web", field: "spec.tls[0]" },
    why: "TLS",
  })).ask({ path: "/x" }) as HttpResponse;
  expect([redirect.status, redirect.headers["Location"]]).toEqual([308, "https://a.example/x"]);
  const none = lab(() => ({ action: "answer", status: 404, why: "no rule" })).ask({});
  expect([(none as HttpResponse).status, reportOf(none).why]).toEqual([404, "no rule"]);
});

test("a mirror gets a copy, and its answer is nobody's", () => {
  const made = lab(
    forward([backend("web")], { mirrors: [{ backend: backend("copy"), share: 1 }] }),
  );
  made.service("copy", ["10.0.0.31"]);
  expect(echoed(made.ask({})).server).toMatch(/web/);
  expect(made.asked).toContain("shop/copy-31/c");
});

describe("HTTPS to the endpoint", () => {
  test.each<[string, Parameters<typeof backend>[1], number]>([
    ["in the clear to a port of TLS", {}, 400],
    ["by HTTPS", { protocol: "HTTPS" }, 200],
  ])("%s", (_, more, status) => {
    const made = lab(forward([backend("secure", more)]));
    made.service("secure", ["10.0.0.41"], true);
    expect((made.ask({}) as HttpResponse).status).toBe(status);
  });
});

describe("CORS", () => {
  const cors = { allowOrigins: ["https://*.example.com"], allowMethods: ["GET", "PUT"] };
  test.each([
    ["GET", "https://a.example.com", 200, "https://a.example.com"],
    ["GET", "https://example.org", 200, undefined],
    ["OPTIONS", "https://a.example.com", 204, "https://a.example.com"],
  ])("%s from %s", (method, Origin, status, allowed) => {
    const headers = {
      Origin,
      ...(method === "OPTIONS" && { "Access-Control-Request-Method": "PUT" }),
    };
    const answer = lab(forward([backend("web")], { cors })).ask({
      method,
      headers,
    }) as HttpResponse;
    expect(answer.status).toBe(status);
    expect(headerOf(answer.headers, "Access-Control-Allow-Origin")).toBe(allowed);
    const methods = method === "OPTIONS" ? "GET, PUT" : undefined;
    expect(headerOf(answer.headers, "Access-Control-Allow-Methods")).toBe(methods);
  });
});

test("a route's own timeout ends a request with 504", () => {
  const made = lab(forward([backend("web")], { timeouts: { requestMs: 1500 } }));
  made.proxy
    .iptables(4)
    .restore("*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp --dport 8080 -j DROP\nCOMMIT\n");
  const answer = made.ask({});
  expect((answer as HttpResponse).status).toBe(504);
  expect(reportOf(answer).why).toContain("1500 ms");
});

test("each request leaves a line in the log", () => {
  const made = lab();
  made.ask({ host: "shop.example.com", path: "/cart" });
  expect(made.log).toEqual([
    expect.stringMatching(
      /^10\.0\.0\.1 - "GET \/cart HTTP\/1\.1" 200 shop\.example\.com \[shop-web-80\] 10\.0\.0\.1[12]:8080$/,
    ),
  ]);
});
