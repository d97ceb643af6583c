import { parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { cable, connect, Lab, outcome, serve } from "../../../test/lab.ts";
import { Bridge } from "../../bridge/bridge.ts";
import { Trace } from "../../trace.ts";

/** Two namespaces on a bridge of one machine, whose br_netfilter shows bridged packets to iptables. */
function bridged() {
  const lab = new Lab();
  const host = lab.host("host");
  const [a, b] = ["a", "b"].map((name) => {
    const netns = host.kernel.addNamespace(name);
    netns.loopback.setUp();
    return netns;
  }) as [typeof host, typeof host];
  const bridge = new Bridge(host, { name: "br0" });
  bridge.setUp();
  bridge.addAddress(parseIp("10.0.0.254"), 24);
  for (const [netns, address] of [
    [a, "10.0.0.1"],
    [b, "10.0.0.2"],
  ] as const) {
    const [end, port] = cable(netns, "eth0", host, `veth-${netns.name}`);
    port.setMaster(bridge);
    end.addAddress(parseIp(address), 24);
    serve(netns, 80);
  }
  serve(host, 80);
  return { host, a, b };
}

describe("physdev sees the ports of a bridged packet", () => {
  test.each<[match: string, to: string, hit: boolean]>([
    ["--physdev-is-bridged", "10.0.0.2", true],
    ["! --physdev-is-bridged", "10.0.0.2", false],
    ["--physdev-in veth-a", "10.0.0.2", true],
    ["--physdev-in veth-b", "10.0.0.2", false],
    ["! --physdev-in veth-b", "10.0.0.2", true],
    ["--physdev-in veth-a --physdev-out veth-b", "10.0.0.2", true],
    ["--physdev-in veth+ --physdev-out veth-a", "10.0.0.2", false],
    ["--physdev-out veth-+ --physdev-is-bridged", "10.0.0.2", true],
    ["--physdev-is-in --physdev-is-out", "10.0.0.2", true],
    ["! --physdev-is-out", "10.0.0.2", false],
  ])("FORWARD %s, to %s: %s", (match, to, hit) => {
    const { host, a } = bridged();
    host.iptables(4).append("filter", "FORWARD", `-p tcp --dport 80 -m physdev ${match} -j REJECT`);
    expect(outcome(connect(a, to, 80)) !== "connected").toBe(hit);
  });

  test.each<[match: string, hit: boolean]>([
    ["--physdev-in veth-a", true],
    ["--physdev-in veth-b", false],
    ["--physdev-is-in", true],
    // It goes no further, so no port is known to send it.
    ["--physdev-is-bridged", false],
    ["! --physdev-is-bridged", true],
  ])("INPUT %s: %s", (match, hit) => {
    const { host, a } = bridged();
    host.iptables(4).append("filter", "INPUT", `-p tcp --dport 80 -m physdev ${match} -j REJECT`);
    expect(outcome(connect(a, "10.0.0.254", 80)) !== "connected").toBe(hit);
  });

  test("the bridge is the device of the hook, the ports are those of the match", () => {
    const { host, a } = bridged();
    const rule = "-i br0 -o br0 -m physdev --physdev-in veth-a --physdev-out veth-b";
    host.iptables(4).append("filter", "FORWARD", rule);
    const trace = new Trace();
    connect(a, "10.0.0.2", 80, { trace });
    const seen = trace.steps.filter((s) => s.kind === "rule" && s.effect === "continue");
    expect(seen.length).toBeGreaterThan(0);
  });
});
