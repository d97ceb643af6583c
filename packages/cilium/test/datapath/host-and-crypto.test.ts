import { attachTcx, BpfProgram, type NetDevice, TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { parsePrefix, UdpDatagram } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import type { TraceMessage } from "../../src/hubble/monitor-message.ts";
import { TRACE_POINTS } from "../../src/hubble/monitor-messages.ts";
import {
  allow,
  connect,
  dropsOf,
  HOST_ENDPOINT,
  isolate,
  type LabNode,
  type LabOptions,
  outcome,
  ping,
  serve,
  twoNodes,
} from "./datapath-lab.ts";

function world(options: LabOptions = {}) {
  const made = twoNodes(options);
  const { one, two, a, b, c } = made;
  for (const { netns } of [a, b, c, one, two]) serve(netns, 80);
  return made;
}

/** Where a node's programs told of packets. */
function points(messages: ReturnType<LabNode["listen"]>): string[] {
  return messages
    .filter((m): m is TraceMessage => m.type === 4)
    .map(({ obsPoint }) => TRACE_POINTS[obsPoint] ?? "");
}

describe.each([
  ["with the node's own routes", {}],
  ["with endpoint routes", { endpointRoutes: true }],
  ["through VXLAN", { tunnel: "vxlan" }],
] as const)("the host's firewall %s", (_name, { tunnel, ...config }: LabOptions & object) => {
  function firewalled() {
    const w = world({
      ...(tunnel !== undefined && { tunnel }),
      config: { hostFirewall: true, ...config },
    });
    for (const node of [w.one, w.two]) node.markOwnPackets();
    for (const { maps } of [w.one, w.two]) {
      for (const egress of [true, false]) allow(maps.lxcPolicy(HOST_ENDPOINT), { egress });
    }
    return w;
  }

  test("lets pass what is allowed", () => {
    const { lab, one, two, a, c } = firewalled();
    expect(outcome(connect(a.netns, one.address, 80))).toBe("connected");
    expect(outcome(connect(c.netns, one.address, 80))).toBe("connected");
    expect(outcome(connect(lab.outside(), one.address, 80))).toBe("connected");
    expect(outcome(connect(one.netns, two.address, 80))).toBe("connected");
    expect(outcome(connect(one.netns, a.address, 80))).toBe("connected");
  });

  test("is asked about pods of the node, of others, and machines outside", () => {
    const { lab, one, a, b, c } = firewalled();
    const policy = one.maps.lxcPolicy(HOST_ENDPOINT);
    isolate(policy, false);
    allow(policy, { egress: false, identity: 1002 });
    expect(outcome(connect(a.netns, one.address, 80))).toBe("Policy denied at node1");
    expect(outcome(connect(c.netns, one.address, 80))).toBe("Policy denied at node1");
    expect(outcome(connect(lab.outside(), one.address, 80))).toBe("Policy denied at node1");
    expect(outcome(connect(b.netns, one.address, 80))).toBe("connected");
    // Pods have policies of their own; what a tunnel's packets carry comes to the host first.
    allow(policy, { egress: false, identity: 6, protocol: 17, port: 8472 });
    expect(outcome(connect(c.netns, a.address, 80))).toBe("connected");
  });

  test("is asked about what the host sends, and not about answers to it", () => {
    const { one, two, a } = firewalled();
    const policy = one.maps.lxcPolicy(HOST_ENDPOINT);
    isolate(policy, true);
    isolate(policy, false);
    const messages = one.listen();
    expect(outcome(connect(one.netns, two.address, 80))).toBe("Policy denied at node1");
    expect(outcome(connect(one.netns, a.address, 80))).toBe("Policy denied at node1");
    allow(policy, { egress: true, identity: 6 });
    allow(policy, { egress: true, identity: 1001 });
    messages.length = 0;
    expect(outcome(connect(one.netns, two.address, 80))).toBe("connected");
    expect(outcome(connect(one.netns, a.address, 80))).toBe("connected");
    expect(dropsOf(messages)).toEqual([]);
  });
});

describe("aggregation of messages", () => {
  const cases = [
    ["none", ["from-endpoint", "to-overlay", "from-overlay", "to-endpoint"]],
    ["low", ["to-overlay", "to-endpoint"]],
    ["medium", ["to-overlay", "to-endpoint"]],
  ] as const;
  test.each(cases)("%s", (monitorAggregation, expected) => {
    const { one, a, c } = world({ tunnel: "vxlan", config: { monitorAggregation } });
    ping(a.netns, c.address);
    const messages = one.listen();
    ping(a.netns, c.address);
    const told = points(messages).filter((point) => !point.endsWith("network"));
    expect(told).toEqual(expected);
  });

  test("at medium a known connection is told of every five seconds, and at a new TCP flag", () => {
    const { lab, one, a, b } = world();
    const send = () => ping(a.netns, b.address);
    send();
    const messages = one.listen();
    connect(a.netns, b.address, 80);
    // SYN, SYN-ACK, ACK, data both ways, FIN both ways: each flag once a way, and each FIN.
    expect(points(messages).length).toBeGreaterThanOrEqual(6);
    expect(points(messages).length).toBeLessThan(12);
    lab.clock.runUntil(lab.clock.now + 6000);
    messages.length = 0;
    send();
    expect(points(messages)).toEqual(["to-endpoint", "to-endpoint"]);
  });

  test("nothing is made for nobody, and each packet counts", () => {
    const { one, a, b } = world();
    ping(a.netns, b.address);
    const forwarded = one.maps.metrics.find({ reason: 0, direction: 1 });
    expect(forwarded).toEqual({ count: 2, bytes: 196 });
  });
});

describe("to a proxy", () => {
  /** Marks of packets that a program lets pass to the stack. */
  function marksAfter(dev: NetDevice): string[] {
    const marks: string[] = [];
    for (const link of dev.tc?.ingressHook?.links ?? []) {
      const { program } = link;
      const run = (ctx: TcContext): number => {
        const verdict = program.run(ctx);
        if (verdict === TC_ACT_OK && ctx.isIp) marks.push(`0x${ctx.mark.toString(16)}`);
        return verdict;
      };
      const { name } = program;
      link.update(new BpfProgram(dev.netns.kernel, { type: "sched_cls", name, run }));
    }
    return marks;
  }

  test("what a pod sends is passed to the stack with the proxy's port in the mark, as on the wire", () => {
    const { one, a, c } = world();
    isolate(a.policy, true);
    allow(a.policy, { egress: true, protocol: 6, port: 80, proxyPort: 0x1234 });
    const messages = one.listen();
    const marks = marksAfter(a.lxc);
    connect(a.netns, c.address, 80);
    expect(marks[0]).toBe("0x34120200");
    expect(points(messages)[0]).toBe("to-proxy");
    expect(messages).toContainEqual(expect.objectContaining({ type: 5, verdict: 0x1234 }));
    const entries = one.maps.ct4.entries().filter(([{ nexthdr }]) => nexthdr === 6);
    expect(entries.map(([, { proxyRedirect }]) => proxyRedirect)).toEqual([true]);
  });

  test("what a pod gets from another of the node is passed to the stack by the sender's device", () => {
    const { a, b } = world();
    isolate(b.policy, false);
    allow(b.policy, { egress: false, protocol: 6, port: 80, proxyPort: 10_000 });
    const marks = marksAfter(a.lxc);
    connect(a.netns, b.address, 80);
    expect(marks[0]).toBe("0x10270200");
  });

  test("what comes from the proxy by cilium_host has the client's identity, and does not go there again", () => {
    const { one, b } = world();
    isolate(b.policy, false);
    allow(b.policy, { egress: false, identity: 1001, protocol: 6, port: 80, proxyPort: 10_000 });
    // As the proxy marks its own connection: ingress, identity 1001.
    const run = (ctx: TcContext): number => {
      ctx.mark = 0x03e90a00;
      return -1;
    };
    const options = { type: "sched_cls", name: "mark", run } as const;
    attachTcx(one.host, "egress", new BpfProgram(one.netns.kernel, options), { first: true });
    const messages = one.listen();
    expect(outcome(connect(one.netns, b.address, 80))).toBe("connected");
    expect(dropsOf(messages)).toEqual([]);
    expect(points(messages)).not.toContain("to-proxy");
    const entry = one.maps.ct4.entries().find(([key]) => key.flags === 1);
    expect(entry?.[1].srcSecId).toBe(1001);
  });
});

describe.each([
  ["native routing", {}],
  ["BPF host routing", { config: { hostRouting: true } }],
  ["VXLAN", { tunnel: "vxlan" }],
] as const)("WireGuard with %s", (_name, options: LabOptions) => {
  /** Outer packets as they leave a node: 51871 is WireGuard's port, 8472 VXLAN's. */
  function watch(node: LabNode): number[] {
    const ports: number[] = [];
    const run = (ctx: TcContext): number => {
      const { payload } = ctx.isIp ? ctx.ip : { payload: undefined };
      ports.push(payload instanceof UdpDatagram ? payload.dstPort : 0);
      return -1;
    };
    const program = { type: "sched_cls", name: "watch", run } as const;
    attachTcx(node.eth0, "egress", new BpfProgram(node.netns.kernel, program), { first: true });
    return ports;
  }

  test("pods of two nodes talk by it alone, and are told of as encrypted", () => {
    const { one, two, a, c } = world({ ...options, wireguard: true });
    ping(a.netns, c.address);
    const marks = watch(one);
    const messages = two.listen();
    expect(outcome(connect(a.netns, c.address, 80))).toBe("connected");
    expect(outcome(ping(c.netns, a.address))).toBe("connected");
    expect(messages.find(({ type }) => type === 5)).toMatchObject({ remoteLabel: 1001 });
    // What programs redirect is seen here first, and then as WireGuard sends it.
    expect(marks.filter((port) => port === 51_871).length).toBeGreaterThan(5);
    expect(one.maps.metrics.find({ reason: 13, direction: 2 })?.count).toBeGreaterThan(5);
    expect(two.maps.metrics.find({ reason: 12, direction: 1 })?.count).toBeGreaterThan(5);
  });

  test("what the node itself sends is left alone, unless nodes are to be hidden", () => {
    const { one, two } = world({ ...options, wireguard: true });
    const encrypted = () => one.maps.metrics.find({ reason: 13, direction: 2 })?.count ?? 0;
    expect(outcome(ping(one.netns, two.address))).toBe("connected");
    expect(encrypted()).toBe(0);
  });
});

test("in strict mode packets of pods do not leave in plain", () => {
  const cidr = parsePrefix("10.0.0.0/16");
  const encryptionStrict = { cidr, allowRemoteNodeIdentities: false };
  const { lab, one, a, c } = world({ wireguard: true, config: { encryptionStrict } });
  one.tell("10.0.2.10", { identity: 1003 });
  const messages = one.listen();
  expect(outcome(ping(a.netns, c.address))).toBe("Traffic is unencrypted at node1");
  expect(dropsOf(messages)).toEqual([195]);
  lab.outside();
  expect(outcome(ping(a.netns, lab.nodeAddress(99)))).toBe("connected");
});
