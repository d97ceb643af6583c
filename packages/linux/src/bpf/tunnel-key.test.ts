import { IPPROTO_ICMP, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { Lab, routes, up } from "../../test/lab.ts";
import { exchange, Geneve, type NetNamespace, Trace, Vxlan } from "../index.ts";
import { BpfProgram } from "./bpf-program.ts";
import type { TunnelKey } from "./skb-bpf.ts";
import type { TcContext } from "./tc-context.ts";
import { attachTcx } from "./tc-hook.ts";
import { TC_ACT_OK } from "./verdict.ts";

const OPTION = { optionClass: 0x0129, type: 1, data: Uint8Array.of(10, 96, 0, 1, 0, 80, 0, 0) };

/** Two machines, each with a tunnel device whose programs say where to, and write down what comes. */
function world(kind: "vxlan" | "geneve", key: (remote: number) => TunnelKey | undefined) {
  const lab = new Lab();
  const received: (TunnelKey | undefined)[] = [];
  const machine = (name: string, address: string, inner: string, remote: string): NetNamespace => {
    const netns = lab.host(name, `${address}/24`);
    const options = { name: "tun0", vni: 0, external: true, mtu: 1400 };
    const dev =
      kind === "vxlan" ? new Vxlan(netns, options) : new Geneve(netns, { ...options, remote: 0 });
    up(dev, `${inner}/32`);
    routes(netns, "10.9.0.0/16 dev tun0");
    const program = (run: (ctx: TcContext) => number) =>
      new BpfProgram(netns.kernel, { type: "sched_cls", name: "p", run });
    attachTcx(
      dev,
      "egress",
      program((ctx) => {
        const said = key(parseIp(remote) as number);
        if (said !== undefined) ctx.setTunnelKey(said);
        return TC_ACT_OK;
      }),
    );
    attachTcx(
      dev,
      "ingress",
      program((ctx) => {
        if (ctx.isIp) received.push(ctx.tunnelKey);
        return TC_ACT_OK;
      }),
    );
    return netns;
  };
  const a = machine("a", "10.0.0.1", "10.9.0.1", "10.0.0.2");
  const b = machine("b", "10.0.0.2", "10.9.0.2", "10.0.0.1");
  const ping = (trace?: Trace) =>
    exchange(a, { protocol: IPPROTO_ICMP, dst: parseIp("10.9.0.2"), port: 0, trace });
  return { a, b, ping, received };
}

describe.each(["vxlan", "geneve"] as const)("%s external", (kind) => {
  test("goes where the program says, and tells where it came from", () => {
    const { ping, received } = world(kind, (remote) => ({ tunnelId: 4242, remote, tos: 0x10 }));
    expect(ping().outcome).toBe("connected");
    expect(received[0]).toMatchObject({
      tunnelId: 4242,
      remote: parseIp("10.0.0.1"),
      local: parseIp("10.0.0.2"),
      ttl: 64,
      tos: 0x10,
    });
  });

  test("nobody says where to", () => {
    const { ping } = world(kind, () => undefined);
    const { drops } = ping();
    expect(drops.map((d) => d.reason)).toEqual([]);
    expect(ping().outcome).not.toBe("connected");
  });

  test("the outer header is as the key says", () => {
    const { ping } = world(kind, (remote) => ({ tunnelId: 1, remote, ttl: 9, dontFragment: true }));
    const trace = new Trace();
    ping(trace);
    const step = trace.steps.find((s) => s.kind === "encapsulate" && s.packet === 0);
    expect(step).toMatchObject({ outer: { ttl: 9, dontFragment: true } });
  });
});

test("Geneve options go along", () => {
  const { ping, received } = world("geneve", (remote) => ({
    tunnelId: 7,
    remote,
    options: [OPTION],
  }));
  expect(ping().outcome).toBe("connected");
  expect(received[0]?.options).toEqual([OPTION]);
});

test("one external device has the port for itself", () => {
  const netns = new Lab().host("a", "10.0.0.1/24");
  new Vxlan(netns, { name: "v0", vni: 0, external: true }).setUp();
  expect(() => new Vxlan(netns, { name: "v1", vni: 0, external: true })).toThrow("EEXIST");
  const other = new Vxlan(netns, { name: "v2", vni: 5 });
  expect(() => other.setUp()).toThrow("EADDRINUSE");
  new Geneve(netns, { name: "g0", vni: 0, remote: 0, external: true });
  expect(() => new Geneve(netns, { name: "g1", vni: 9, remote: parseIp("10.0.0.2") })).toThrow(
    "EBUSY",
  );
});
