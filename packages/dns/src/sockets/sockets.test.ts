import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  exchange,
  Kernel,
  type NetNamespace,
  Network,
  type TcpConnection,
  Trace,
  Veth,
} from "@cnilab/linux";
import { IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { type DnsMessage, queryOf, type ResourceRecord, replyTo } from "../message/message.ts";
import type { DnsFailure, DnsProtocol } from "../transport.ts";
import { DnsServer } from "./serve-dns.ts";
import { SocketTransport } from "./socket-transport.ts";

/** Two namespaces on a cable; the second answers every question with so many records, `delayMs` later. */
function served(options: { records?: number; delayMs?: number; mtu?: number } = {}) {
  const clock = new VirtualClock();
  const kernel = new Kernel(new Network(clock, new SeededRandom(1)), "machine");
  const [client, server] = [kernel.addNamespace("client"), kernel.addNamespace("server")];
  const devices = Veth.pair(client, { name: "eth0" }, server, { name: "eth0" });
  devices.forEach((dev, i) => {
    if (options.mtu !== undefined) dev.setMtu(options.mtu);
    dev.setUp();
    dev.addAddress(parseIp(`10.0.0.${i + 1}`), 24);
    dev.addAddress(parseIp(`fd00::${i + 1}`), 64);
  });
  const seen: string[] = [];
  const answer: ResourceRecord[] = Array.from({ length: options.records ?? 1 }, (_, i) => ({
    name: "web.example.",
    ttl: 5,
    type: "A",
    data: `10.9.0.${i}`,
  }));
  const dns = new DnsServer(server, {
    port: 53,
    owner: "dnsd",
    handle: (query, client, done) => {
      seen.push(`${client.protocol} ${query.question[0]?.name} ${query.question[0]?.type}`);
      const reply = () => done({ ...replyTo(query), answer });
      if (options.delayMs === undefined) reply();
      else clock.schedule(options.delayMs, reply);
    },
  });
  return { clock, client, server, dns, seen };
}

function ask(
  client: NetNamespace,
  address: string,
  protocol: DnsProtocol,
  port = 53,
): (DnsMessage | DnsFailure)[] {
  const heard: (DnsMessage | DnsFailure)[] = [];
  const transport = new SocketTransport(client, "resolver");
  const socket = transport.open({ address: parseIp(address), port, protocol }, (result) => {
    heard.push(result);
    socket.close();
  });
  socket.send(queryOf(7, "web.example.", "A"));
  return heard;
}

test.each([
  ["10.0.0.2", "udp"],
  ["10.0.0.2", "tcp"],
  ["fd00::2", "udp"],
  ["fd00::2", "tcp"],
] as const)("an answer comes from %s over %s, and nothing is left behind", (address, protocol) => {
  const { clock, client, server, seen } = served();
  const [answer] = ask(client, address, protocol);
  expect(answer).toMatchObject({ id: 7, rcode: "NOERROR", answer: [{ data: "10.9.0.0" }] });
  expect(seen).toEqual([`${protocol} web.example. A`]);
  clock.settle();
  expect([...client.sockets.all()]).toEqual([]);
  expect([...server.sockets.all()].map((s) => `${s.state} ${s.localPort}`)).toEqual([
    "UNCONN 53",
    "LISTEN 53",
  ]);
});

test("an answer may come later, after the next question of the same socket", () => {
  const { clock, client, seen } = served({ delayMs: 3 });
  const heard: string[] = [];
  const socket = new SocketTransport(client, "resolver").open(
    { address: parseIp("10.0.0.2"), port: 53, protocol: "tcp" },
    (result) => heard.push(typeof result === "string" ? result : String(result.id)),
  );
  for (const id of [1, 2]) socket.send(queryOf(id, "web.example.", id === 1 ? "A" : "AAAA"));
  expect(heard).toEqual([]);
  clock.advance(3);
  expect(heard).toEqual(["1", "2"]);
  expect(seen).toEqual(["tcp web.example. A", "tcp web.example. AAAA"]);
});

test.each([
  ["udp", "10.0.0.2", 54, ["refused"]],
  ["tcp", "10.0.0.2", 54, ["refused"]],
  ["udp", "192.0.2.1", 53, ["unreachable"]],
  ["tcp", "192.0.2.1", 53, ["unreachable"]],
] as const)("over %s, %s:%i is %j", (protocol, address, port, expected) => {
  const { clock, client } = served();
  const heard = ask(client, address, protocol, port);
  clock.settle();
  expect(heard).toEqual(expected);
  expect([...client.sockets.all()]).toEqual([]);
});

test.each([
  ["udp", "10.0.0.2"],
  ["udp", "fd00::2"],
  ["tcp", "10.0.0.2"],
] as const)(
  "an answer longer than the path comes in pieces, over %s from %s",
  (protocol, address) => {
    const { clock, client } = served({ records: 100, mtu: 1280 });
    const [answer] = ask(client, address, protocol);
    expect(answer).toMatchObject({ answer: { length: 100 } });
    clock.settle();
  },
);

test("a trace has the packets of question and answer", () => {
  const { client } = served();
  const trace = new Trace();
  const socket = new SocketTransport(client, "resolver", trace).open(
    { address: parseIp("10.0.0.2"), port: 53, protocol: "udp" },
    () => {},
  );
  socket.send(queryOf(1, "web.example.", "A"));
  const kinds = trace.steps.map(({ kind }) => kind);
  expect(kinds.filter((k) => k === "send")).toHaveLength(2);
  expect(kinds.filter((k) => k === "deliver")).toHaveLength(2);
});

test.each([
  ["udp", IPPROTO_UDP],
  ["tcp", IPPROTO_TCP],
])("who speaks no DNS over %s learns who answered", (_, protocol) => {
  const { client } = served();
  const { outcome, report } = exchange(client, { protocol, dst: parseIp("10.0.0.2"), port: 53 });
  expect({ outcome, owner: report?.owner }).toEqual({ outcome: "connected", owner: "dnsd" });
});

test("a server that was stopped answers no more, and hangs up on nobody", () => {
  const { clock, client, dns, seen } = served({ delayMs: 5 });
  const heard = ask(client, "10.0.0.2", "udp");
  dns.close();
  clock.advance(10);
  expect(heard).toEqual([]);
  expect(ask(client, "10.0.0.2", "udp")).toEqual(["refused"]);
  expect(seen).toHaveLength(1);
});

test("a connection whose server goes away is refused", () => {
  const { clock, client, server } = served({ delayMs: 5 });
  const heard = ask(client, "10.0.0.2", "tcp");
  for (const connection of [...server.sockets.tcpConnections.all()] as TcpConnection[]) {
    connection.close();
  }
  clock.advance(10);
  expect(heard).toEqual(["refused"]);
});
