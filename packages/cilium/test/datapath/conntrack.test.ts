import { attachTcx, BpfProgram, Skb, TC_ACT_UNSPEC, UdpSocket } from "@cnilab/linux";
import {
  Data,
  ICMP_DEST_UNREACH,
  ICMP_PORT_UNREACH,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IpPacket,
  QuotedPacket,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  TcpSegment,
} from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ctKeyText } from "../../src/datapath/maps/conntrack-map.ts";
import {
  allow,
  connect,
  datagram,
  dropsOf,
  isolate,
  type LabNode,
  type LabOptions,
  type LabPod,
  outcome,
  ping,
  serve,
  twoNodes,
} from "./datapath-lab.ts";

function world(options: LabOptions = {}) {
  const made = twoNodes(options);
  const { a, b, c } = made;
  for (const { netns } of [a, b, c]) {
    serve(netns, 80);
    serve(netns, 53, IPPROTO_UDP);
  }
  return made;
}

function connections({ maps }: LabNode, related = false): string[] {
  return [maps.ct4, maps.ctAny4]
    .flatMap((map) => map.entries().map(([key]) => ctKeyText(key)))
    .filter((text) => related || !text.endsWith("related"))
    .sort();
}

test("a connection within a node has an entry of each end; between nodes each has its own", () => {
  const { one, two, a, b, c } = world();
  datagram(a.netns, b.address, 53, { srcPort: 4000 });
  expect(connections(one)).toEqual([
    "UDP IN 10.0.1.10:4000 -> 10.0.1.11:53",
    "UDP OUT 10.0.1.10:4000 -> 10.0.1.11:53",
  ]);
  connect(a.netns, c.address, 80, { srcPort: 5000 });
  expect(connections(one).filter((text) => text.startsWith("TCP"))).toEqual([
    "TCP OUT 10.0.1.10:5000 -> 10.0.2.10:80",
  ]);
  expect(connections(two, true)).toEqual([
    "ICMP IN 10.0.1.10:0 -> 10.0.2.10:0 related",
    "TCP IN 10.0.1.10:5000 -> 10.0.2.10:80",
  ]);
});

/** One TCP segment as a pod sends it. */
function sendTcp(from: LabPod, to: LabPod, flags: number, ports: readonly [number, number]) {
  const segment = new TcpSegment(ports[0], ports[1], flags);
  sendRaw(from, new IpPacket(from.address, to.address, IPPROTO_TCP, segment));
}

/** A packet that a pod makes by itself. */
function sendRaw(from: LabPod, ip: IpPacket): void {
  const skb = Skb.ofIp(ip, undefined);
  skb.srcMac = from.eth0.mac;
  skb.dstMac = from.lxc.mac;
  from.eth0.queueTransmit(skb);
  from.node.lab.network.run();
}

describe("TCP", () => {
  /** Segments by who sends them, one second after another, and how long each leaves the entry of the way out to live. */
  const STORIES: readonly (readonly [string, readonly (readonly ["a" | "b", number, number])[]])[] =
    [
      [
        "a SYN alone lives a minute, a connection 8,000 seconds",
        [
          ["a", TCP_SYN, 60],
          ["b", TCP_SYN | TCP_ACK, 60],
          ["a", TCP_ACK, 8000],
          ["b", TCP_ACK, 8000],
        ],
      ],
      [
        "closed by both it lives 10 seconds more",
        [
          ["a", TCP_SYN, 60],
          ["b", TCP_SYN | TCP_ACK, 60],
          ["a", TCP_ACK, 8000],
          ["a", TCP_FIN | TCP_ACK, 8000],
          ["b", TCP_ACK, 8000],
          ["b", TCP_FIN | TCP_ACK, 10],
        ],
      ],
      [
        "a RST before both SYNs closes both ways, after them one",
        [
          ["a", TCP_SYN, 60],
          ["b", TCP_RST | TCP_ACK, 10],
        ],
      ],
      [
        "a RST of a connection closes one way",
        [
          ["a", TCP_SYN, 60],
          ["b", TCP_SYN | TCP_ACK, 60],
          ["a", TCP_ACK, 8000],
          ["b", TCP_RST, 8000],
        ],
      ],
      [
        "a SYN where one is closing begins anew",
        [
          ["a", TCP_SYN, 60],
          ["b", TCP_RST | TCP_ACK, 10],
          ["a", TCP_SYN, 60],
          ["b", TCP_SYN | TCP_ACK, 60],
          ["a", TCP_ACK, 8000],
        ],
      ],
    ];

  test.each(STORIES)("%s", (_name, story) => {
    const { lab, one, a, b } = world();
    // Raw segments: the stacks of the pods are to say nothing.
    for (const { eth0 } of [a, b]) {
      const mute = new BpfProgram(eth0.netns.kernel, {
        type: "sched_cls",
        name: "mute",
        run: () => 2,
      });
      attachTcx(eth0, "ingress", mute);
    }
    const lives: number[] = [];
    for (const [who, flags] of story) {
      lab.clock.runUntil(lab.clock.now + 1000);
      if (who === "a") sendTcp(a, b, flags, [4000, 80]);
      else sendTcp(b, a, flags, [80, 4000]);
      const out = one.maps.ct4.entries().find(([key]) => ctKeyText(key).startsWith("TCP OUT"));
      lives.push((out?.[1].lifetime ?? 0) - lab.clock.now / 1000);
    }
    expect(lives).toEqual(story.map(([, , life]) => life));
  });
});

test("errors about a connection pass as related, though policy allows nobody", () => {
  const { one, two, a, c } = world();
  isolate(a.policy, false);
  const messages = one.listen();
  // No socket: the server's stack says that the port is unreachable.
  expect(datagram(a.netns, c.address, 54).error?.errno).toBe("ECONNREFUSED");
  expect(dropsOf(messages)).toEqual([]);
  // Without a connection it is nobody's error.
  isolate(c.policy, true);
  const quoted = new IpPacket(a.address, c.address, IPPROTO_UDP, new Data(8));
  const error = new IcmpMessage(
    ICMP_DEST_UNREACH,
    ICMP_PORT_UNREACH,
    0,
    new QuotedPacket(quoted, 28),
  );
  sendRaw(c, new IpPacket(c.address, one.router, IPPROTO_ICMP, error));
  const dropped = two.maps.metrics.find({ reason: 133, direction: 2 });
  expect(dropped?.count).toBe(1);
});

test("an entry stays past its time until somebody takes it out", () => {
  const { lab, one, a, b } = world();
  const before = () => connections(one).length;
  datagram(a.netns, b.address, 53, { srcPort: 4000 });
  lab.clock.runUntil(lab.clock.now + 3_600_000);
  expect(before()).toBe(2);
  const [key] = one.maps.ctAny4.entries()[0] ?? [];
  if (key !== undefined) one.maps.ctAny4.delete(key);
  expect(connections(one, true).length).toBe(3);
});

test("a full map loses connections that nobody has asked for lately, and none is refused", () => {
  const sizes = { ctTcp: 4, ctAny: 4 };
  const { one, a, b } = world({ sizes });
  for (let port = 4000; port < 4010; port++) {
    expect(outcome(connect(a.netns, b.address, 80, { srcPort: port }))).toBe("connected");
  }
  expect(one.maps.ct4.size).toBe(4);
  expect(one.maps.ct4.evictions).toBe(16);
  expect(connections(one).at(-1)).toBe("TCP OUT 10.0.1.10:4009 -> 10.0.1.11:80");
});

test("an evicted connection is a new one: its answers meet policy", () => {
  const { lab, one, a, c } = world();
  isolate(a.policy, false);
  let answers = 0;
  const client = new UdpSocket(a.netns, { owner: "client", onReceive: () => answers++ });
  client.sendTo(c.address, 53, new Data(8));
  lab.network.run();
  expect(answers).toBe(1);
  const server = new UdpSocket(c.netns, { owner: "server", localPort: 5353 });
  server.sendTo(a.address, client.localPort, new Data(8));
  lab.network.run();
  for (const [key] of one.maps.ctAny4.entries()) one.maps.ctAny4.delete(key);
  const messages = one.listen();
  const reply = new UdpSocket(c.netns, { owner: "server", localPort: 5354 });
  reply.sendTo(a.address, client.localPort, new Data(8));
  lab.network.run();
  expect(answers).toBe(1);
  expect(dropsOf(messages)).toEqual([133]);
});

test("fragments have the ports of the first one; without tracking they are dropped", () => {
  const { a, c, two } = world();
  isolate(c.policy, false);
  allow(c.policy, { egress: false, protocol: IPPROTO_UDP, port: 53 });
  const whole = datagram(a.netns, c.address, 53, { length: 4000 });
  expect(outcome(whole)).toBe("connected");
  expect(two.maps.fragments4.size).toBeGreaterThan(0);
  const without = world({ config: { fragmentsTracking: false } });
  expect(outcome(datagram(without.a.netns, without.c.address, 53, { length: 4000 }))).toBe(
    "IP fragmentation not supported at node1",
  );
});

/** What a walk of each packet, and one of the first alone, leave behind. */
function repeated(tunnel: LabOptions["tunnel"], walkAll: boolean, actions: readonly Action[]) {
  const { lab, one, two, a, b, c } = world({ ...(tunnel !== undefined && { tunnel }) });
  if (walkAll) {
    const options = { type: "sched_cls", name: "walk", run: () => TC_ACT_UNSPEC } as const;
    attachTcx(a.lxc, "ingress", new BpfProgram(a.netns.kernel, options), { first: true });
  }
  let got = 0;
  for (const { netns } of [b, c]) {
    new UdpSocket(netns, { localPort: 1053, owner: "server", onReceive: () => got++ });
  }
  const client = new UdpSocket(a.netns, { localPort: 4000, owner: "client" });
  return actions.map(({ kind, times }) => {
    const to = times % 2 === 0 ? b : c;
    if (kind === "send") {
      for (let i = 0; i < times; i++) client.sendTo(to.address, 1053, new Data(8));
      lab.network.run();
    } else if (kind === "wait") lab.clock.runUntil(lab.clock.now + times * 1700);
    else if (kind === "deny") isolateOnce(to);
    else if (kind === "allow") allow(to.policy, { egress: false });
    else if (kind === "forget") {
      for (const [key] of one.maps.ctAny4.entries()) one.maps.ctAny4.delete(key);
    } else if (kind === "move") one.knowPod({ ...to, identity: 2000 + times });
    return [
      got,
      ...[one, two].flatMap(({ maps }) => [
        maps.ctAny4.entries().map(([key, entry]) => [ctKeyText(key), { ...entry }]),
        maps.metrics.entries().map(([key, value]) => [key, { ...value }]),
        maps.policyStats.entries().map(([key, value]) => [key, { ...value }]),
        maps.kernel.bpf.lookups,
      ]),
    ];
  });
}

function isolateOnce({ policy }: LabPod): void {
  const all = { secLabel: 0, egress: false, protocol: 0, dport: 0, lpmPrefixLength: 0 };
  if (policy.exact(all) !== undefined) policy.delete(all);
}

interface Action {
  readonly kind: "send" | "wait" | "deny" | "allow" | "forget" | "move";
  readonly times: number;
}

const action: fc.Arbitrary<Action> = fc.record({
  kind: fc.oneof(
    { arbitrary: fc.constant("send" as const), weight: 4 },
    fc.constantFrom("wait" as const, "deny" as const, "allow" as const),
    fc.constantFrom("forget" as const, "move" as const),
  ),
  times: fc.integer({ min: 1, max: 5 }),
});

test.each([undefined, "vxlan"] as const)(
  "packets that the flow cache lets by leave what walks would (tunnel: %s)",
  (tunnel) => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 20 }), (actions) => {
        expect(repeated(tunnel, false, actions)).toEqual(repeated(tunnel, true, actions));
      }),
      { numRuns: 40 },
    );
  },
);

test("repeated packets of a connection skip the programs", () => {
  const { lab, a, c } = world();
  const client = new UdpSocket(a.netns, { localPort: 4000, owner: "client" });
  new UdpSocket(c.netns, { localPort: 1053, owner: "server" });
  let walked = 0;
  const run = (): number => {
    walked++;
    return TC_ACT_UNSPEC;
  };
  const options = { type: "sched_cls", name: "count", run, repeatable: true } as const;
  attachTcx(a.lxc, "ingress", new BpfProgram(a.netns.kernel, options), { first: true });
  for (let i = 0; i < 20; i++) client.sendTo(c.address, 1053, new Data(8));
  lab.network.run();
  expect(walked).toBeLessThan(6);
});

test("a ping is known by its identifier", () => {
  const { one, a, b } = world();
  ping(a.netns, b.address);
  expect(connections(one).map((text) => text.replace(/:\d+ /, ":ID "))).toEqual([
    "ICMP IN 10.0.1.10:ID -> 10.0.1.11:0",
    "ICMP OUT 10.0.1.10:ID -> 10.0.1.11:0",
  ]);
});
