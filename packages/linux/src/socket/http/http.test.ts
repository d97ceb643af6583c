import type { VirtualClock } from "@cnilab/core";
import { formatIp, IPPROTO_TCP, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { cable, Lab, up } from "../../../test/lab.ts";
import type { NetNamespace } from "../../net-namespace.ts";
import { echoOnAllPorts, startEchoServer } from "../echo-server.ts";
import { exchange } from "../exchange.ts";
import { TcpListener } from "../tcp.ts";
import { headerOf, withHeader, withoutHeader } from "./headers.ts";
import { HttpClientConnection, type HttpConnectOptions, HttpFailure } from "./http-client.ts";
import { EchoedRequest } from "./http-echo.ts";
import { HttpRequest, HttpResponse } from "./http-message.ts";
import { serveHttp, startHttpServer } from "./http-server.ts";

const SERVER = parseIp("10.0.0.2");

function lab(): { client: NetNamespace; server: NetNamespace; clock: VirtualClock } {
  const [client, server] = new Lab().machine("a", "b");
  const [near, far] = cable(client, "eth0", server, "eth0");
  up(near, "10.0.0.1/24");
  up(far, "10.0.0.2/24");
  return { client, server, clock: client.network.clock as VirtualClock };
}

const NAMES = ["shop.example.com", "*.example.org"];

/** Serves TLS on 443 for {@link NAMES}, and refuses whoever asks for another name. */
function servesTls(server: NetNamespace): void {
  new TcpListener(server, {
    port: 443,
    owner: "nginx",
    onAccept: (connection) =>
      serveHttp(connection, {
        certificateFor: (name) =>
          name === "nobody.example" ? undefined : { names: NAMES, source: "Secret default/tls" },
        handle: ({ request, scheme, serverName }, answer) =>
          answer(new HttpResponse(200, {}, `${scheme} ${request.host} ${serverName}`)),
      }),
  });
}

/** Asks one thing; what came of it in words. */
function ask(
  client: NetNamespace,
  request: HttpRequest,
  options: Partial<HttpConnectOptions> = {},
): { said: string; answer: HttpResponse | undefined } {
  let said = "nothing yet";
  let answer: HttpResponse | undefined;
  const where = { dst: SERVER, port: 80, owner: "curl", connectTimeoutMs: 5000 };
  HttpClientConnection.open(client, { ...where, ...options }, (opened) => {
    if (opened instanceof HttpFailure) {
      said = `${opened.stage}: ${opened.message}`;
      return;
    }
    opened.ask(request, 5000, (got) => {
      opened.close();
      said = got instanceof HttpFailure ? `${got.stage}: ${got.message}` : `${got} ${got.body}`;
      if (got instanceof HttpResponse) answer = got;
    });
  });
  (client.network.clock as VirtualClock).settle();
  return { said, answer };
}

const tls = (serverName: string | undefined, verifyHost = serverName) => ({
  port: 443,
  tls: { serverName, verifyHost },
});

describe("TLS", () => {
  test.each([
    ["shop.example.com", "200 OK https shop.example.com shop.example.com"],
    ["SHOP.example.com", "200 OK https SHOP.example.com SHOP.example.com"],
    ["a.example.org", "200 OK https a.example.org a.example.org"],
    ["a.b.example.org", /^tls: the certificate of Secret default\/tls is for .*, not for a\.b/],
    ["example.org", /^tls: the certificate .* not for example\.org$/],
    ["nobody.example", "tls: the server refused the handshake: TLS alert unrecognized_name"],
  ])("to %s: %s", (host, expected) => {
    const { client, server } = lab();
    servesTls(server);
    const { said } = ask(client, new HttpRequest({ host }), tls(host));
    if (typeof expected === "string") expect(said).toBe(expected);
    else expect(said).toMatch(expected);
    for (const netns of [client, server]) {
      expect([...netns.sockets.tcpConnections.all()]).toEqual([]);
    }
  });

  test("who does not look takes any certificate", () => {
    const { client, server } = lab();
    servesTls(server);
    const options = { port: 443, tls: { serverName: "x.example", verifyHost: undefined } };
    const { said } = ask(client, new HttpRequest({ host: "x.example" }), options);
    expect(said).toBe("200 OK https x.example x.example");
  });

  test("plain HTTP to a port of TLS, and the other way round", () => {
    const { client, server } = lab();
    servesTls(server);
    startHttpServer(server, {
      port: 80,
      owner: "httpd",
      respond: () => new HttpResponse(204, {}, ""),
    });
    expect(ask(client, new HttpRequest({}), { port: 443 }).said).toMatch(
      /^400 Bad Request The pla/,
    );
    expect(ask(client, new HttpRequest({}), { ...tls("a"), port: 80 }).said).toMatch(
      /^tls: the server does not speak TLS on this port/,
    );
  });

  test("a server's flight is longer than a segment, and is lost where full-sized packets are", () => {
    const { client, server } = lab();
    servesTls(server);
    server
      .iptables(4)
      .restore(
        "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -m length --length 1400:65535 -j DROP\nCOMMIT\n",
      );
    const { said } = ask(client, new HttpRequest({}), tls("shop.example.com"));
    expect(said).toBe("tls: no answer from 10.0.0.2:443 in time");
  });
});

describe("an echo server", () => {
  test.each([
    ["on a port of its own", 8080, false],
    ["on all ports", 9999, true],
  ])("%s says what it was asked, and a full segment comes back", (_, port, all) => {
    const { client, server } = lab();
    if (all) server.sockets.catchAll = echoOnAllPorts(server, "default/web/c");
    else startEchoServer(server, { protocol: IPPROTO_TCP, port, owner: "default/web/c" });
    const request = new HttpRequest({
      method: "POST",
      host: "web:8080",
      path: "/a",
      query: "b=c",
      headers: { "X-Test": "1" },
    });
    const { answer } = ask(client, request, { port });
    expect(JSON.parse(answer?.body ?? "")).toMatchObject({
      server: "default/web/c",
      address: `10.0.0.2:${port}`,
      client: expect.stringMatching(/^10\.0\.0\.1:/),
      scheme: "http",
      method: "POST",
      host: "web:8080",
      path: "/a?b=c",
      headers: { "X-Test": "1" },
    });
    expect(answer?.wireLength).toBeGreaterThan(1460);
    const [note] = answer?.notes ?? [];
    expect(note).toBeInstanceOf(EchoedRequest);
    expect(formatIp((note as EchoedRequest).report.seenAddress)).toBe("10.0.0.1");
    const plain = exchange(client, { protocol: IPPROTO_TCP, dst: SERVER, port });
    expect([plain.outcome, plain.report?.owner]).toEqual(["connected", "default/web/c"]);
  });

  test.each([
    [443, false, /^400 .*HTTPS port/],
    [443, true, /^200 OK /],
    [8443, true, /^200 OK /],
    [80, true, /^tls: the server does not speak TLS/],
  ])("on port %i, asked by TLS: %s", (port, secure, expected) => {
    const { client, server } = lab();
    startEchoServer(server, { protocol: IPPROTO_TCP, port, owner: "x" });
    const options = secure ? { ...tls("web.example"), port } : { port };
    expect(ask(client, new HttpRequest({}), options).said).toMatch(expected);
  });
});

test("one connection takes several requests, answered in order, also later", () => {
  const { client, server, clock } = lab();
  const heard: string[] = [];
  new TcpListener(server, {
    port: 80,
    owner: "slow",
    onAccept: (connection) =>
      serveHttp(connection, {
        handle: ({ request }, answer) => {
          clock.schedule(request.path === "/slow" ? 100 : 1, () =>
            answer(new HttpResponse(200, {}, request.path)),
          );
        },
      }),
  });
  const where = { dst: SERVER, port: 80, owner: "curl", connectTimeoutMs: 5000 };
  HttpClientConnection.open(client, where, (opened) => {
    const one = opened as HttpClientConnection;
    one.ask(new HttpRequest({ path: "/slow" }), 5000, (first) => {
      heard.push((first as HttpResponse).body);
      expect(one.usable).toBe(true);
      one.ask(new HttpRequest({ path: "/second" }), 5000, (second) => {
        heard.push((second as HttpResponse).body);
        one.close();
      });
    });
  });
  clock.settle();
  expect(heard).toEqual(["/slow", "/second"]);
});

test.each([
  ["nobody listens", 81, /^connect: ECONNREFUSED \(RST\) from 10\.0\.0\.2:81$/],
  ["the server never answers", 80, /^answer: no answer from 10\.0\.0\.2:80 in time$/],
  ["the server hangs up", 82, /^answer: the server closed the connection$/],
])("%s", (_, port, expected) => {
  const { client, server, clock } = lab();
  const listen = (at: number, onData: (close: () => void) => void) =>
    new TcpListener(server, {
      port: at,
      owner: "mute",
      onAccept: (c) => {
        c.onData = () => onData(() => c.close());
      },
    });
  listen(80, () => {});
  listen(82, (close) => clock.schedule(0, close));
  expect(ask(client, new HttpRequest({}), { port }).said).toMatch(expected);
});

test("a request that is longer than a segment is one request", () => {
  const { client, server } = lab();
  const cookie = "x".repeat(5000);
  startHttpServer(server, {
    port: 80,
    owner: "httpd",
    respond: ({ headers }) =>
      new HttpResponse(200, {}, String(headerOf(headers, "cookie")?.length ?? 0)),
  });
  const request = new HttpRequest({ headers: { Cookie: cookie } });
  expect(ask(client, request).said).toBe("200 OK 5000");
});

test("names of header fields compare without case", () => {
  const headers = { "X-Real-IP": "10.0.0.1" };
  expect(headerOf(headers, "x-real-ip")).toBe("10.0.0.1");
  expect(withHeader(headers, "x-REAL-ip", "b")).toEqual({ "X-Real-IP": "b" });
  expect(withHeader(headers, "Other", "c")).toEqual({ "X-Real-IP": "10.0.0.1", Other: "c" });
  expect(withoutHeader(headers, "x-real-ip")).toEqual({});
});
