import { exchange, HttpFailure, type HttpResponse } from "@cnilab/linux";
import { formatIp, IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { base64, utf8 } from "@scure/base";
import { describe, expect, test } from "vitest";
import { SHOP_PEM } from "../../test/certificates.ts";
import { backend, forward, ProxyLab, rules } from "../../test/proxy-lab.ts";
import type { ConnectionDecision, RouteBackend } from "../routing/decision.ts";
import type { ServedPort } from "../routing/proxy-rules.ts";
import { GATEWAY_SETTINGS } from "./proxy-settings.ts";

const RULE = { kind: "TCPRoute", namespace: "shop", name: "db", field: "spec.rules[0]" };
const to = (...backends: RouteBackend[]): ConnectionDecision => ({
  action: "forward",
  backends,
  rule: RULE,
  why: "the listener's only route",
});

function lab(
  protocol: ServedPort["protocol"],
  decide: (serverName: string | undefined) => ConnectionDecision,
): ProxyLab {
  const made = new ProxyLab();
  made.service("db", ["10.0.0.11", "10.0.0.12"]);
  made.service("secure", ["10.0.0.13"], true);
  made.secret("tls", { "tls.crt": base64.encode(utf8.decode(SHOP_PEM)) });
  const http = forward([backend("db")]);
  made.serve(
    rules(http, {
      ports: [{ port: 9000, protocol }],
      routeConnection: ({ tls }) => decide(tls?.serverName),
    }),
    GATEWAY_SETTINGS,
  );
  return made;
}

function talk(made: ProxyLab, protocol: number): string[] {
  const dst = parseIp("10.0.0.2");
  const done = exchange(made.client, { protocol, dst, port: 9000, waitMs: 4000 });
  made.clock.settle();
  const { report } = done;
  if (report === undefined) return [done.outcome];
  return [done.outcome, report.owner.replace(/\d+\/c$/, ""), formatIp(report.seenAddress)];
}

describe.each([
  ["TCP", IPPROTO_TCP],
  ["UDP", IPPROTO_UDP],
] as const)("%s", (protocol, number) => {
  test("goes to an endpoint, which sees the proxy", () => {
    const made = lab(protocol, () => to(backend("db")));
    for (let i = 0; i < 3; i++) {
      expect(talk(made, number)).toEqual(["connected", "shop/db-", "10.0.0.2"]);
    }
    expect(new Set(made.asked).size).toBe(2);
  });

  test("without an endpoint: no answer, and the log says why", () => {
    const made = lab(protocol, () => to(backend("nobody")));
    expect(talk(made, number)).not.toContain("connected");
    expect(made.log[0]).toMatch(/^10\.0\.0\.1:\d+: there is no Service shop\/nobody$/);
  });
});

test("an endpoint that refuses ends the client's connection", () => {
  const made = new ProxyLab();
  made.service("db", ["10.0.0.22!"]);
  made.serve(
    rules(forward([]), {
      ports: [{ port: 9000, protocol: "TCP" }],
      routeConnection: () => to(backend("db")),
    }),
  );
  expect(talk(made, IPPROTO_TCP)).not.toContain("connected");
  for (const netns of [made.client, made.proxy]) {
    expect([...netns.sockets.tcpConnections.all()]).toEqual([]);
  }
});

describe("TLS", () => {
  const secret = { namespace: "shop", name: "tls", hosts: [] };
  const terminate = (name = "tls"): ConnectionDecision => ({
    action: "terminate",
    certificate: { ...secret, name },
    why: "the listener's certificate",
  });
  const ask = (made: ProxyLab, tls: string | undefined) => {
    const answer = made.ask({ host: tls ?? "" }, { port: 9000, ...(tls && { tls }) });
    if (answer instanceof HttpFailure) return `${answer.stage}: ${answer.message}`;
    return `${answer.status} ${(JSON.parse(answer.body) as { server: string }).server}`;
  };

  test.each<[string, ConnectionDecision, string, RegExp]>([
    ["is passed on unread", to(backend("secure")), "x.example", /^200 shop\/secure-13\/c$/],
    ["ends at the proxy", terminate(), "shop.example.com", /^200 shop\/db-1[12]\/c$/],
    [
      "ends at the proxy, whose certificate is for another host",
      terminate(),
      "x.example",
      /^tls: the certificate of Secret shop\/tls is for shop\.example\.com, .*, not for x\.example$/,
    ],
    [
      "ends at a proxy that misses the Secret",
      terminate("missing"),
      "shop.example.com",
      /^tls: the certificate of .*Fake Certificate \(there is no Secret shop\/missing\) is for ingress\.local/,
    ],
    [
      "ends at the proxy, and what was inside goes on",
      { ...terminate(), backends: [backend("db")] } as ConnectionDecision,
      "shop.example.com",
      /^200 shop\/db-1[12]\/c$/,
    ],
    ["is not taken", { action: "reset", why: "no listener" }, "x.example", /^tls: the server clo/],
  ])("%s", (_, decision, name, expected) => {
    expect(
      ask(
        lab("TLS", () => decision),
        name,
      ),
    ).toMatch(expected);
  });

  test("the name in the hello decides", () => {
    const made = lab("HTTPS", (name) =>
      name === "shop.example.com" ? terminate() : to(backend("secure")),
    );
    expect(ask(made, "shop.example.com")).toMatch(/^200 shop\/db/);
    expect(ask(made, "other.example")).toMatch(/^200 shop\/secure/);
  });

  test("plain HTTP on the port is told so", () => {
    const answer = lab("HTTPS", () => terminate()).ask({}, { port: 9000 }) as HttpResponse;
    expect([answer.status, answer.body]).toEqual([
      400,
      "The plain HTTP request was sent to HTTPS port\n",
    ]);
  });
});

test("ports open and close with the rules", () => {
  const made = new ProxyLab();
  const server = made.serve(rules(forward([])));
  const listening = () => made.proxy.sockets.listening(IPPROTO_TCP, 80).length;
  expect(listening()).toBe(1);
  server.serve([]);
  expect(listening()).toBe(0);
});
