import type { VirtualClock } from "@cnilab/core";
import { IPPROTO_TCP, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { cable, Lab, up } from "../../../test/lab.ts";
import type { NetNamespace } from "../../net-namespace.ts";
import { exchange } from "../exchange.ts";
import { httpGet } from "./http-get.ts";
import { HttpResponse } from "./http-message.ts";
import { startHttpServer } from "./http-server.ts";

/** Two machines on one cable; the second serves its paths on port 80. */
function served(): { client: NetNamespace; server: NetNamespace; clock: VirtualClock } {
  const [client, server] = new Lab().machine("a", "b");
  const [near, far] = cable(client, "eth0", server, "eth0");
  up(near, "10.0.0.1/24", "fd00::1/64");
  up(far, "10.0.0.2/24", "fd00::2/64");
  startHttpServer(server, {
    port: 80,
    owner: "httpd",
    respond: ({ path }) =>
      path === "/healthz"
        ? new HttpResponse(200, { "Content-Type": "text/plain" }, "ok")
        : new HttpResponse(404, {}, "404 page not found"),
  });
  return { client, server, clock: client.network.clock as VirtualClock };
}

function get(client: NetNamespace, dst: string, port: number, path: string): string {
  let told = "nothing yet";
  const options = { dst: parseIp(dst), port, path, owner: "curl", timeoutMs: 1000 };
  httpGet(client, options, (response) => {
    told = response === undefined ? "no answer" : `${response.status} ${response.body}`;
  });
  return told;
}

test.each([
  ["10.0.0.2", 80, "/healthz", "200 ok"],
  ["10.0.0.2", 80, "/", "404 404 page not found"],
  ["fd00::2", 80, "/healthz", "200 ok"],
  ["10.0.0.2", 81, "/healthz", "no answer"],
  ["10.0.1.2", 80, "/healthz", "no answer"],
])("GET from %s:%i %s: %s", (dst, port, path, expected) => {
  const { client, server, clock } = served();
  expect(get(client, dst, port, path)).toBe(expected);
  clock.settle();
  expect(client.network.takeDrops().filter((d) => d.reason === "NO_SOCKET").length).toBe(
    port === 81 ? 1 : 0,
  );
  for (const netns of [client, server]) expect([...netns.sockets.tcpConnections.all()]).toEqual([]);
});

test("an answer that takes too long is none", () => {
  const { client, server, clock } = served();
  server.device("eth0").setDown();
  const answers: (HttpResponse | undefined)[] = [];
  const options = { dst: parseIp("10.0.0.2"), port: 80, path: "/", owner: "curl", timeoutMs: 1000 };
  httpGet(client, options, (response) => answers.push(response));
  clock.advance(999);
  expect(answers).toEqual([]);
  clock.advance(1);
  expect(answers).toEqual([undefined]);
  expect([...client.sockets.tcpConnections.all()]).toEqual([]);
});

test("who sends something else learns who answered", () => {
  const { client } = served();
  const done = exchange(client, { protocol: IPPROTO_TCP, dst: parseIp("10.0.0.2"), port: 80 });
  expect([done.outcome, done.report?.owner]).toEqual(["connected", "httpd"]);
});
