import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  echoOnAllPorts,
  HttpClientConnection,
  HttpRequest,
  HttpResponse,
  Kernel,
  type NetNamespace,
  Network,
  Nic,
  Segment,
  serveHttp,
  startEchoServer,
  TcpListener,
  Trace,
  UdpSocket,
} from "@cnilab/linux";
import { Data, formatIp, IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { tracePackets } from "./hops.ts";
import { traceLegs } from "./legs.ts";

/** A client, a proxy and a server on one wire. */
function wire(): { client: NetNamespace; proxy: NetNamespace; server: NetNamespace } {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const segment = new Segment(network, "lan", 1500);
  const host = (name: string, address: string) => {
    const { initNs } = new Kernel(network, name);
    initNs.loopback.setUp();
    const nic = new Nic(initNs, { name: "eth0", segment });
    nic.setUp();
    nic.addAddress(parseIp(address), 24);
    return initNs;
  };
  return {
    client: host("client", "10.0.0.1"),
    proxy: host("proxy", "10.0.0.2"),
    server: host("server", "10.0.0.3"),
  };
}

function ask(netns: NetNamespace, ip: string, trace: Trace | undefined, done: () => void): void {
  const where = { dst: parseIp(ip), port: 80, owner: "program", connectTimeoutMs: 1000, trace };
  HttpClientConnection.open(netns, where, (opened) => {
    if (!(opened instanceof HttpClientConnection)) throw new Error(opened.message);
    opened.ask(new HttpRequest({ path: `/from-${netns.kernel.hostname}` }), 1000, () => {
      opened.close();
      done();
    });
  });
}

test("a name is looked up, a proxy is asked, and asks a server: three legs", () => {
  const { client, proxy, server } = wire();
  startEchoServer(server, { protocol: IPPROTO_TCP, port: 80, owner: "echo" });
  startEchoServer(server, { protocol: IPPROTO_UDP, port: 53, owner: "names" });
  new TcpListener(proxy, {
    port: 80,
    owner: "proxy",
    onAccept: (connection) =>
      serveHttp(connection, {
        handle: (_, answer) =>
          ask(proxy, "10.0.0.3", connection.trace, () => answer(new HttpResponse(204, {}, ""))),
      }),
  });
  const trace = new Trace();
  const names = parseIp("10.0.0.3");
  const socket = new UdpSocket(client, { remoteAddress: names, remotePort: 53, owner: "client" });
  socket.sendTo(names, 53, new Data(30), { trace });
  let answered = false;
  ask(client, "10.0.0.2", trace, () => {
    answered = true;
  });
  (client.network.clock as VirtualClock).settle();
  expect(answered).toBe(true);
  const legs = traceLegs(trace).map(({ places, socket: { remoteAddress }, said, heard }) => [
    places.map((netns) => netns.kernel.hostname).join(" to "),
    formatIp(remoteAddress ?? 0),
    said,
    heard,
  ]);
  expect(legs).toEqual([
    ["client to server", "10.0.0.3", [], []],
    ["client to proxy", "10.0.0.2", ["GET /from-client"], ["204 No Content"]],
    ["proxy to server", "10.0.0.3", ["GET /from-proxy"], ["200 OK"]],
  ]);
  // What the proxy sends to the server is no answer to the client.
  for (const { leg, direction, summary } of tracePackets(trace)) {
    if (leg === undefined) expect(direction).toBe("neighbour");
    const clients = ["10.0.0.1", "10.0.0.1", "10.0.0.2"];
    if (leg !== undefined) {
      expect(direction).toBe(summary?.src === clients[leg - 1] ? "there" : "back");
    }
  }
});

test("one conversation alone has no number", () => {
  const { client, server } = wire();
  startEchoServer(server, { protocol: IPPROTO_TCP, port: 80, owner: "echo" });
  const trace = new Trace();
  ask(client, "10.0.0.3", trace, () => {});
  (client.network.clock as VirtualClock).settle();
  expect(traceLegs(trace)).toHaveLength(1);
  expect(tracePackets(trace).every(({ leg }) => leg === undefined)).toBe(true);
});

test("packets that are lost belong to the leg whose client sent them", () => {
  const { client } = wire();
  const trace = new Trace();
  const where = {
    dst: parseIp("10.0.0.9"),
    port: 80,
    owner: "curl",
    connectTimeoutMs: 5000,
    trace,
  };
  HttpClientConnection.open(client, where, () => {});
  (client.network.clock as VirtualClock).settle();
  const [leg, ...more] = traceLegs(trace);
  expect(more).toEqual([]);
  expect([leg?.server, leg?.places.length]).toEqual([undefined, 1]);
});

test("whoever takes connections on every port is the server of a leg", () => {
  const { client, server } = wire();
  server.sockets.catchAll = echoOnAllPorts(server, "everything");
  const trace = new Trace();
  ask(client, "10.0.0.3", trace, () => {});
  (client.network.clock as VirtualClock).settle();
  const [leg] = traceLegs(trace);
  expect([leg?.server?.owner, leg?.arrived?.dst, leg?.heard]).toEqual([
    "everything",
    "10.0.0.3",
    ["200 OK"],
  ]);
});
