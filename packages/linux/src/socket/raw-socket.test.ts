import { Data, IPPROTO_UDP, type IpPacket, parseIp, UdpDatagram } from "@cnilab/net";
import { expect, test } from "vitest";
import { forwarding, Lab, routes, serve, up } from "../../test/lab.ts";
import { Nic } from "../device/nic.ts";
import { Segment } from "../device/segment.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Trace } from "../trace.ts";
import { RawSocket } from "./raw-socket.ts";

/** A client, a router, and a server behind a link of another MTU. */
function behindRouter(mtu: number): { client: NetNamespace; server: NetNamespace } {
  const lab = new Lab();
  const client = lab.host("client", "10.0.0.1/24");
  const router = lab.host("router", "10.0.0.254/24");
  const far = new Segment(lab.network, "far");
  up(new Nic(router, { name: "eth1", segment: far, mtu }), "10.1.0.254/24");
  forwarding(router);
  const server = lab.machine("server")[0];
  up(new Nic(server, { name: "eth0", segment: far, mtu }), "10.1.0.1/24");
  routes(client, "10.1.0.0/16 via 10.0.0.254");
  routes(server, "10.0.0.0/24 via 10.1.0.254");
  return { client, server };
}

function rawSocket(netns: NetNamespace, dontFragment?: boolean): RawSocket {
  return new RawSocket(netns, {
    protocol: IPPROTO_UDP,
    localAddress: parseIp("10.0.0.1"),
    remoteAddress: parseIp("10.1.0.1"),
    owner: "test",
    ...(dontFragment === undefined ? {} : { dontFragment }),
  });
}

/** A datagram in an IP packet of so many bytes. */
function datagram(length: number, port = 7): UdpDatagram {
  return new UdpDatagram(1000, port, new Data(length - 28));
}

test("what must not be cut and is too long for the path does not leave", () => {
  const { client } = behindRouter(1500);
  const socket = rawSocket(client, true);
  const trace = new Trace();
  expect(socket.pathMtu).toBe(1500);
  expect(socket.send(datagram(1501), { trace })?.errno).toBe("EMSGSIZE");
  expect(trace.steps).toEqual([]);
});

test("a router's word on the path makes the next call fail, and its MTU is known then", () => {
  const { client, server } = behindRouter(1400);
  serve(server, 7, IPPROTO_UDP);
  const socket = rawSocket(client, true);
  expect(socket.send(datagram(1500))).toBeUndefined();
  expect(socket.send(datagram(100))?.errno).toBe("EMSGSIZE");
  expect(socket.pathMtu).toBe(1400);
  expect(socket.send(datagram(1400))).toBeUndefined();
  expect(socket.send(datagram(1400))).toBeUndefined();
});

test.each([
  ["nobody listens on the port", 9, "ECONNREFUSED"],
  ["somebody does", 7, undefined],
])("the next call fails where %s: port %i", (_, port, errno) => {
  const { client, server } = behindRouter(1500);
  serve(server, 7, IPPROTO_UDP);
  const socket = rawSocket(client);
  socket.send(datagram(100, port));
  expect(socket.send(datagram(100, 7))?.errno).toBe(errno);
  expect(socket.send(datagram(100, 7))).toBeUndefined();
});

test("a closed socket hears of nothing, and other sockets do not either", () => {
  const { client } = behindRouter(1500);
  const [socket, other] = [rawSocket(client), rawSocket(client)];
  socket.close();
  expect(client.sockets.raw).toEqual([other]);
  other.close();
  expect(client.sockets.raw).toBeUndefined();
});

test.each([
  [true, "DF 3028 bytes"],
  [undefined, "3 fragments"],
  [false, "3 fragments"],
])("the path MTU counts where dontFragment is %s: %s", (dontFragment, expected) => {
  const { client, server } = behindRouter(1500);
  serve(server, 7, IPPROTO_UDP);
  const trace = new Trace();
  const error = rawSocket(client, dontFragment).send(datagram(3028), { trace });
  const cut = trace.steps.find((step) => step.kind === "fragment");
  const frames = trace.steps.flatMap((step) =>
    step.kind === "transmit" ? (step.frame.payload as IpPacket) : [],
  );
  if (expected.startsWith("DF")) {
    expect([error?.errno, frames]).toEqual(["EMSGSIZE", []]);
  } else {
    expect(cut).toMatchObject({ count: 3, mtu: 1500 });
    expect(frames.some(({ dontFragment: df }) => df)).toBe(false);
  }
});

test("what it carries goes on under its own number", () => {
  const { client, server } = behindRouter(1500);
  serve(server, 7, IPPROTO_UDP);
  const trace = new Trace();
  for (let i = 0; i < 5; i++) trace.nextNumber();
  rawSocket(client).send(datagram(100), { trace, carried: 3 });
  const numbers = trace.steps.filter(({ kind }) => kind === "route").map(({ packet }) => packet);
  expect(new Set(numbers.slice(0, 2))).toEqual(new Set([3]));
  expect(trace.steps.find(({ packet, kind }) => kind === "send" && packet === 3)).toBeUndefined();
});
