import { IPPROTO_ICMP, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { cable, Lab, up } from "../../test/lab.ts";
import { exchange } from "../index.ts";
import { BpfProgram } from "./bpf-program.ts";
import type { TcContext } from "./tc-context.ts";
import { attachTcx } from "./tc-hook.ts";
import { TC_ACT_OK, XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX } from "./verdict.ts";
import type { XdpContext } from "./xdp-context.ts";
import { attachXdp } from "./xdp-hook.ts";

function world(run: (ctx: XdpContext) => number) {
  const [a, b, c] = new Lab().machine("a", "b", "c");
  const [eth0, eth1] = cable(a, "eth0", b, "eth1");
  const [eth2, eth3] = cable(b, "eth2", c, "eth3");
  up(eth0, "10.0.0.1/24");
  up(eth1, "10.0.0.2/24");
  const program = new BpfProgram(b.kernel, {
    type: "xdp",
    name: "x",
    run: (ctx) => (ctx.isIp ? run(ctx) : XDP_PASS),
  });
  const link = attachXdp(eth1, program);
  const ping = () => exchange(a, { protocol: IPPROTO_ICMP, dst: parseIp("10.0.0.2"), port: 0 });
  return { a, b, c, eth0, eth1, eth2, eth3, link, ping };
}

test.each<[string, number, string, string[]]>([
  ["XDP_PASS", XDP_PASS, "connected", []],
  ["XDP_DROP", XDP_DROP, "timeout", ["XDP"]],
  ["XDP_ABORTED", XDP_ABORTED, "timeout", ["XDP"]],
  ["what it does not know", 17, "timeout", ["XDP"]],
])("%s", (_name, verdict, outcome, reasons) => {
  const { ping, link } = world(() => verdict);
  const { outcome: found, drops } = ping();
  expect([found, drops.map((d) => d.reason)]).toEqual([outcome, reasons]);
  link.detach();
  expect(ping().outcome).toBe("connected");
});

test("XDP_TX: back out, past programs on the way out", () => {
  const { eth1, eth0, b, ping } = world((ctx) => {
    const { ip } = ctx;
    [ctx.dstMac, ctx.srcMac] = [ctx.srcMac, ctx.dstMac];
    [ip.src, ip.dst] = [ip.dst, ip.src];
    return XDP_TX;
  });
  let seen = 0;
  const run = (ctx: TcContext) => {
    if (ctx.isIp) seen++;
    return TC_ACT_OK;
  };
  attachTcx(eth1, "egress", new BpfProgram(b.kernel, { type: "sched_cls", name: "t", run }));
  ping();
  // The question came back to who had asked, and nobody in b has seen it.
  expect([seen, eth0.rxPackets - eth1.txPackets, eth0.rxPackets > 0]).toEqual([0, 0, true]);
});

test("XDP_REDIRECT: out of another device", () => {
  const { eth2, eth3, ping } = world((ctx) => ctx.redirect(3));
  expect(eth2.ifindex).toBe(3);
  const before = eth3.rxPackets;
  ping();
  expect(eth3.rxPackets - before).toBe(1);
});

test("what it leaves before a packet is there for tc", () => {
  const { eth1, b, ping } = world((ctx) => {
    ctx.meta = 42;
    return XDP_PASS;
  });
  const metas: number[] = [];
  const run = (ctx: TcContext) => {
    if (ctx.isIp) metas.push(ctx.xdpMeta);
    return TC_ACT_OK;
  };
  attachTcx(eth1, "ingress", new BpfProgram(b.kernel, { type: "sched_cls", name: "t", run }));
  expect(ping().outcome).toBe("connected");
  expect(metas).toEqual([42]);
});
