import { Data, formatEndpoint, IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { Lab } from "../../test/lab.ts";
import {
  exchange,
  type ReceivedDatagram,
  startEchoServer,
  TcpConnection,
  TcpListener,
  Trace,
  UdpSocket,
} from "../index.ts";
import { BpfProgram } from "./bpf-program.ts";
import type { SockAddrContext } from "./sock-addr-context.ts";
import type { SockContext } from "./sock-context.ts";

const VIRTUAL = { 4: parseIp("10.96.0.1"), 6: parseIp("fd96::1") } as const;
const SERVER = { 4: parseIp("10.0.0.2"), 6: parseIp("fd00::2") } as const;

/** A client's machine whose programs put `SERVER:8080` in place of `VIRTUAL:80`, and back. */
function world() {
  const lab = new Lab();
  const a = lab.host("a", "10.0.0.1/24", "fd00::1/64");
  const b = lab.host("b", "10.0.0.2/24", "fd00::2/64");
  for (const protocol of [IPPROTO_TCP, IPPROTO_UDP]) {
    startEchoServer(b, { protocol, port: 8080, owner: "server" });
  }
  const { cgroup } = a.kernel.bpf;
  const seen: string[] = [];
  const program = (name: string, run: (ctx: SockAddrContext) => number) =>
    new BpfProgram(a.kernel, { type: "cgroup_sock_addr", name, run });
  for (const family of [4, 6] as const) {
    const there = program("there", (ctx) => {
      seen.push(ctx.hook);
      if (ctx.userIp === VIRTUAL[family] && ctx.userPort === 80) {
        ctx.userIp = SERVER[family];
        ctx.userPort = 8080;
      }
      return 1;
    });
    const back = program("back", (ctx) => {
      seen.push(ctx.hook);
      if (ctx.userIp === SERVER[family] && ctx.userPort === 8080) {
        ctx.userIp = VIRTUAL[family];
        ctx.userPort = 80;
      }
      return 1;
    });
    cgroup.attach(`connect${family}`, there);
    cgroup.attach(`sendmsg${family}`, there);
    cgroup.attach(`recvmsg${family}`, back);
    cgroup.attach(`getpeername${family}`, back);
  }
  return { lab, a, b, cgroup, seen, program };
}

describe.each([4, 6] as const)("IPv%i", (family) => {
  test.each([
    ["TCP", IPPROTO_TCP],
    ["UDP", IPPROTO_UDP],
  ])("connect of %s goes on with the address that a program gives", (_name, protocol) => {
    const { a } = world();
    const trace = new Trace();
    const { outcome, report } = exchange(a, { protocol, dst: VIRTUAL[family], port: 80, trace });
    expect([outcome, report?.owner]).toEqual(["connected", "server"]);
    expect(trace.steps[0]).toMatchObject({
      kind: "bpf",
      hook: `cgroup/connect${family}`,
      program: "there",
      verdict: `allow, ${formatEndpoint(VIRTUAL[family], 80)} becomes ${formatEndpoint(SERVER[family], 8080)}`,
    });
    expect(trace.steps.some((s) => s.kind === "nat")).toBe(false);
  });

  test("the program above is told the address that it asked for", () => {
    const { a } = world();
    const tcp = TcpConnection.connect(a, { dst: VIRTUAL[family], port: 80, owner: "client" });
    if (!(tcp instanceof TcpConnection)) throw new Error(tcp.message);
    expect([tcp.remoteAddress, tcp.remotePort]).toEqual([SERVER[family], 8080]);
    expect(tcp.peerName).toMatchObject({ address: VIRTUAL[family], port: 80 });
    tcp.close();
  });

  test("unconnected UDP: each datagram out and in, from the flow cache, too", () => {
    const { a, seen } = world();
    const from: (readonly [unknown, number])[] = [];
    const onReceive = ({ src, srcPort }: ReceivedDatagram) => from.push([src, srcPort]);
    const socket = new UdpSocket(a, { owner: "client", onReceive });
    for (let i = 0; i < 5; i++) socket.sendTo(VIRTUAL[family], 80, new Data(8));
    socket.close();
    expect(from).toEqual(Array(5).fill([VIRTUAL[family], 80]));
    const out = `sendmsg${family}`;
    const back = `recvmsg${family}`;
    expect(seen).toEqual(Array(5).fill([out, back]).flat());
  });
});

test("a refusal is the call's error, and no packet leaves", () => {
  const { a, cgroup, program } = world();
  cgroup.attach(
    "connect4",
    program("nobody", (ctx) => {
      ctx.setRetval("EHOSTUNREACH");
      return 0;
    }),
  );
  for (const protocol of [IPPROTO_TCP, IPPROTO_UDP]) {
    const { outcome, error } = exchange(a, { protocol, dst: VIRTUAL[4], port: 80 });
    expect([outcome, error?.errno]).toEqual(["unreachable", "EHOSTUNREACH"]);
  }
  expect(a.device("eth0").txPackets).toBe(0);
});

test("a program that says no without a reason: EPERM", () => {
  const { a, cgroup, program } = world();
  cgroup.attach(
    "connect4",
    program("no", () => 0),
  );
  expect(exchange(a, { protocol: IPPROTO_TCP, dst: SERVER[4], port: 8080 }).error?.errno).toBe(
    "EPERM",
  );
});

test("programs of a group come before those of the one above it", () => {
  const { a, cgroup } = world();
  const order: string[] = [];
  const program = (name: string) =>
    new BpfProgram(a.kernel, {
      type: "cgroup_sock_addr",
      name,
      run: () => {
        order.push(name);
        return 1;
      },
    });
  a.cgroup = a.kernel.bpf.addCgroup("/kubepods");
  cgroup.attach("connect4", program("root"));
  a.cgroup.attach("connect4", program("pods"));
  const link = a.cgroup.attach("connect4", program("gone"));
  link.detach();
  exchange(a, { protocol: IPPROTO_TCP, dst: SERVER[4], port: 8080 });
  expect(order).toEqual(["pods", "root"]);
});

test("a port that a program keeps from others cannot be bound", () => {
  const { a, cgroup } = world();
  const guard = new BpfProgram(a.kernel, {
    type: "cgroup_sock",
    name: "guard",
    run: ({ localPort }: SockContext) => (localPort === 30080 ? 0 : 1),
  });
  cgroup.attach("post_bind4", guard);
  expect(() => new TcpListener(a, { port: 30080, owner: "x" })).toThrow("EPERM");
  expect(() => new UdpSocket(a, { localPort: 30080, owner: "x" })).toThrow("EPERM");
  expect([...a.sockets.listening(IPPROTO_TCP, 30080)]).toEqual([]);
  new TcpListener(a, { port: 30081, owner: "x" }).close();
});

test("a program chooses where a socket is bound", () => {
  const { a, cgroup, program } = world();
  cgroup.attach(
    "bind4",
    program("elsewhere", (ctx) => {
      if (ctx.userPort === 81) return 0;
      if (ctx.userPort === 80) ctx.userPort = 8080;
      if (ctx.userIp === 0) ctx.userIp = parseIp("10.0.0.1");
      return 1;
    }),
  );
  const tcp = new TcpListener(a, { port: 80, owner: "x" });
  expect([tcp.localAddress, tcp.localPort]).toEqual([parseIp("10.0.0.1"), 8080]);
  const udp = new UdpSocket(a, { localPort: 80, owner: "x" });
  expect([udp.localAddress, udp.localPort]).toEqual([parseIp("10.0.0.1"), 8080]);
  expect(() => new TcpListener(a, { port: 80, owner: "y" })).toThrow("EADDRINUSE");
  expect(() => new TcpListener(a, { port: 81, owner: "y" })).toThrow("EPERM");
});

test("who was connected is told when a socket ends", () => {
  const { a, cgroup } = world();
  const ends: unknown[] = [];
  const run = ({ remoteAddress, remotePort }: SockContext) => {
    ends.push([remoteAddress, remotePort]);
    return 1;
  };
  cgroup.attach("sock_release", new BpfProgram(a.kernel, { type: "cgroup_sock", name: "n", run }));
  exchange(a, { protocol: IPPROTO_TCP, dst: VIRTUAL[4], port: 80 });
  exchange(a, { protocol: IPPROTO_UDP, dst: VIRTUAL[6], port: 80 });
  expect(ends).toEqual([
    [SERVER[4], 8080],
    [SERVER[6], 8080],
  ]);
});

test("a socket keeps its cookie from connect to its end", () => {
  const { a, cgroup } = world();
  const cookies: number[] = [];
  const note = (ctx: SockAddrContext | SockContext) => {
    cookies.push(ctx.socketCookie);
    return 1;
  };
  cgroup.attach(
    "connect4",
    new BpfProgram(a.kernel, { type: "cgroup_sock_addr", name: "n", run: note }),
  );
  cgroup.attach(
    "sock_release",
    new BpfProgram(a.kernel, { type: "cgroup_sock", name: "n", run: note }),
  );
  exchange(a, { protocol: IPPROTO_TCP, dst: SERVER[4], port: 8080 });
  exchange(a, { protocol: IPPROTO_UDP, dst: SERVER[4], port: 8080 });
  const [tcp, released, udp, releasedUdp] = cookies as [number, number, number, number];
  expect([released, releasedUdp]).toEqual([tcp, udp]);
  expect(udp).not.toBe(tcp);
});
