import { Data, IPPROTO_ICMP, IPPROTO_UDP, type IpAddress, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { cable, forwarding, Lab, routes, up } from "../../test/lab.ts";
import { exchange, type NetDevice, startEchoServer, Trace, UdpSocket } from "../index.ts";
import { BpfProgram } from "./bpf-program.ts";
import type { TcContext } from "./tc-context.ts";
import { attachTcx } from "./tc-hook.ts";
import { BPF_F_INGRESS, TC_ACT_OK, TC_ACT_UNSPEC } from "./verdict.ts";

/** Two pods on a router whose host ends have no addresses: only programs can bring packets from one to the other. */
function world() {
  const [host, a, b] = new Lab().machine("host", "a", "b");
  const [podA, hostA] = cable(a, "eth0", host, "lxca");
  const [podB, hostB] = cable(b, "eth0", host, "lxcb");
  up(podA, "10.0.0.1/32");
  up(podB, "10.0.0.2/32");
  routes(a, "169.254.1.1 dev eth0 scope 253", "0.0.0.0/0 via 169.254.1.1 dev eth0 onlink");
  routes(b, "169.254.1.1 dev eth0 scope 253", "0.0.0.0/0 via 169.254.1.1 dev eth0 onlink");
  a.neighboursOf(podA).replace(parseIp("169.254.1.1"), hostA.mac);
  b.neighboursOf(podB).replace(parseIp("169.254.1.1"), hostB.mac);
  const order: string[] = [];
  const watch = (dev: NetDevice, direction: "ingress" | "egress") =>
    attachTcx(
      dev,
      direction,
      new BpfProgram(host.kernel, {
        type: "sched_cls",
        name: "watch",
        run: (ctx) => {
          order.push(`${dev.netns.name}/${dev.name} ${direction} mark ${ctx.mark} cb ${ctx.cb[0]}`);
          return TC_ACT_UNSPEC;
        },
      }),
    );
  /** Both ways, each pod's packets go where `to` says. */
  const steer = (to: (ctx: TcContext, out: NetDevice, mac: number) => number) => {
    for (const [from, out, mac] of [
      [hostA, hostB, podB.mac],
      [hostB, hostA, podA.mac],
    ] as const) {
      const run = (ctx: TcContext) => {
        if (!ctx.isIp) return TC_ACT_OK;
        ctx.mark = 7;
        ctx.cb[0] = 5;
        return to(ctx, out, mac);
      };
      attachTcx(
        from,
        "ingress",
        new BpfProgram(host.kernel, { type: "sched_cls", name: "steer", run }),
      );
    }
  };
  const ping = (dst: IpAddress = parseIp("10.0.0.2"), trace?: Trace) =>
    exchange(a, { protocol: IPPROTO_ICMP, dst, port: 0, trace });
  return { host, a, b, podA, podB, hostA, hostB, order, watch, steer, ping };
}

describe("where a redirected packet is seen next", () => {
  test("out of a device: at its way out, with mark and cb; past the router and its TTL", () => {
    const w = world();
    w.watch(w.hostB, "egress");
    w.watch(w.podB, "ingress");
    w.steer((ctx, out, mac) => {
      ctx.dstMac = mac;
      return ctx.redirect(out.ifindex);
    });
    expect(w.ping().outcome).toBe("connected");
    expect(w.order).toEqual(["host/lxcb egress mark 7 cb 5", "b/eth0 ingress mark 0 cb 5"]);
  });

  test("to the peer: at the pod's way in, with the mark, and not at the host end", () => {
    const w = world();
    w.watch(w.hostB, "egress");
    w.watch(w.podB, "ingress");
    w.steer((ctx, out, mac) => {
      ctx.dstMac = mac;
      return ctx.redirectPeer(out.ifindex);
    });
    expect(w.ping().outcome).toBe("connected");
    expect(w.order).toEqual(["b/eth0 ingress mark 7 cb 5"]);
    expect([w.hostB.txPackets, w.podB.rxPackets]).toEqual([0, 1]);
  });

  test("into a device: at its way in, and from there to the stack", () => {
    const w = world();
    forwarding(w.host);
    routes(w.host, "10.0.0.1 dev lxca", "10.0.0.2 dev lxcb");
    const [in0, in1] = cable(w.host, "in0", w.host, "in1");
    w.watch(in0, "ingress");
    w.watch(in1, "ingress");
    w.steer((ctx) => {
      ctx.dstMac = in0.mac;
      return ctx.redirect(in0.ifindex, BPF_F_INGRESS);
    });
    const trace = new Trace();
    expect(w.ping(undefined, trace).outcome).toBe("connected");
    expect(w.order.slice(0, 1)).toEqual(["host/in0 ingress mark 7 cb 5"]);
    expect(trace.steps.filter((s) => s.kind === "forward").map((s) => s.from?.name)).toEqual([
      "in0",
      "in0",
    ]);
  });

  test("to a neighbour: its MAC is asked for, and put in", () => {
    const w = world();
    up(w.hostA, "169.254.1.1/32");
    up(w.hostB, "169.254.1.1/32");
    routes(w.host, "10.0.0.1 dev lxca", "10.0.0.2 dev lxcb");
    w.steer((ctx, out) => ctx.redirectNeigh(out.ifindex));
    expect(w.ping().outcome).toBe("connected");
    expect(w.host.neighboursOf(w.hostB).get(parseIp("10.0.0.2"))?.mac).toBe(w.podB.mac);
  });

  test("to the neighbour that a program names", () => {
    const w = world();
    up(w.hostA, "169.254.1.1/32");
    up(w.hostB, "169.254.1.1/32");
    w.steer((ctx, out) => ctx.redirectNeigh(out.ifindex, ctx.ip.dst));
    expect(w.ping().outcome).toBe("connected");
  });
});

test.each<[string, (ctx: TcContext, out: NetDevice, mac: number) => number, string]>([
  ["no such device", (ctx) => ctx.redirect(99), "redirect to ifindex 99: there is no such device"],
  [
    "a device without a peer",
    (ctx) => ctx.redirectPeer(1),
    "redirect to the peer of lo, which has no other end",
  ],
  [
    "a peer in the same namespace",
    (ctx) => ctx.redirectPeer(4),
    "redirect to the peer of x1, which has its other end in the same namespace",
  ],
  ["a loop", (ctx) => ctx.redirect(4), "recursion limit reached: programs redirect to each other"],
])("%s: the packet is lost", (_name, to, detail) => {
  const w = world();
  const [x0, x1] = cable(w.host, "x0", w.host, "x1");
  expect([x0.ifindex, x1.ifindex]).toEqual([5, 4]);
  for (const [dev, other] of [
    [x0, x1],
    [x1, x0],
  ] as const) {
    const run = (ctx: TcContext) => (ctx.isIp ? ctx.redirect(other.ifindex) : TC_ACT_OK);
    attachTcx(
      dev,
      "egress",
      new BpfProgram(w.host.kernel, { type: "sched_cls", name: "loop", run }),
    );
  }
  w.steer(to);
  const { outcome, drops } = w.ping();
  expect([outcome, drops.map((d) => [d.reason, d.detail])]).toEqual([
    "timeout",
    [["NOT_SPECIFIED", detail]],
  ]);
});

test("on the way out a redirect to the peer is refused", () => {
  const w = world();
  const run = (ctx: TcContext) => (ctx.isIp ? ctx.redirectPeer(1) : TC_ACT_OK);
  attachTcx(w.podA, "egress", new BpfProgram(w.a.kernel, { type: "sched_cls", name: "p", run }));
  expect(w.ping().drops.map((d) => d.reason)).toEqual(["TC_EGRESS"]);
});

test.each([false, true])(
  "what the flow cache repeats counts as what is walked (repeatable %s)",
  (repeatable) => {
    const w = world();
    const programs: BpfProgram<"sched_cls">[] = [];
    for (const [from, out, mac] of [
      [w.hostA, w.hostB, w.podB.mac],
      [w.hostB, w.hostA, w.podA.mac],
    ] as const) {
      const run = (ctx: TcContext) => {
        if (!ctx.isIp) return TC_ACT_OK;
        ctx.dstMac = mac;
        return ctx.redirectPeer(out.ifindex);
      };
      const program = new BpfProgram(w.host.kernel, {
        type: "sched_cls",
        name: "steer",
        run,
        repeatable,
      });
      attachTcx(from, "ingress", program);
      programs.push(program);
    }
    startEchoServer(w.b, { protocol: IPPROTO_UDP, port: 53, owner: "server" });
    let answers = 0;
    const socket = new UdpSocket(w.a, { owner: "client", onReceive: () => answers++ });
    for (let i = 0; i < 10; i++) socket.sendTo(parseIp("10.0.0.2"), 53, new Data(32));
    w.host.network.settleFlows();
    const runs = programs.map((p) => p.runCount);
    expect([answers, w.podB.rxPackets, w.hostA.rxPackets, runs]).toEqual([10, 10, 10, [10, 10]]);
  },
);
