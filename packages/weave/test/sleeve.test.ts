import { type DeviceStep, Trace, UdpSocket } from "@cnilab/linux";
import {
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  type IcmpMessage,
  IPPROTO_ICMP,
  type IpPacket,
  type Ipv4Address,
  parseIp,
  SleevePacket,
  type UdpDatagram,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { peerNumber } from "./golden/rings.ts";
import { type Arrived, SleeveLab } from "./sleeve-lab.ts";

/** IPv4 packets as they left by `eth0`. */
function underlay(trace: Trace): IpPacket[] {
  return trace.steps
    .filter((step): step is DeviceStep => step.kind === "transmit" && step.dev.name === "eth0")
    .flatMap(({ frame }) => (frame.etherType === 0x0800 ? [frame.payload as IpPacket] : []));
}

test("two peers: heartbeats establish the connection, and what the link takes is known", () => {
  const lab = new SleeveLab();
  lab.start(1, [2]);
  lab.start(2, []);
  lab.clock.settle();
  expect(lab.mesh.neighbours()).toEqual({ 1: [2], 2: [1] });
  for (const [from, to] of [
    [1, 2],
    [2, 1],
  ] as const) {
    expect(lab.connection(from, to)).toMatchObject({
      name: "sleeve",
      mtu: 1500 - 62,
      stackFragments: true,
    });
    lab.send(from, to, 1438, { dontFragment: true });
    expect(lab.lengths(to)).toEqual([1438]);
  }
});

test.each([
  [1500, undefined, 1438],
  [1400, undefined, 1338],
  [9000, undefined, 8938],
  [1500, "secret", 1414],
  [9000, "secret", 8914],
  // Less than every path is taken to carry, but the link's own word counts.
  [600, undefined, 538],
])("a link of MTU %i, password %s, takes packets of %i bytes", (mtu, password, expected) => {
  const lab = new SleeveLab();
  for (const host of [1, 2]) lab.machine(host).device("eth0").setMtu(mtu);
  lab.start(1, [2], password === undefined ? {} : { password });
  lab.start(2, [], password === undefined ? {} : { password });
  lab.clock.settle();
  expect(lab.connection(1, 2)?.mtu).toBe(expected);
  const trace = new Trace();
  lab.send(1, 2, expected, { dontFragment: true, trace });
  const outer = underlay(trace);
  expect(outer.map(({ length, dontFragment }) => [length, dontFragment])).toEqual([[mtu, true]]);
  expect(lab.lengths(2)).toEqual([expected]);
});

test.each([
  [1400, 1338],
  [1000, 938],
  // Nothing is known of the far link, so it is found by halves; and 552 is taken for granted.
  [500, 552],
])("a path of MTU %i behind larger links, and nobody says so", (segment, expected) => {
  const lab = new SleeveLab();
  lab.mesh.setSegmentMtu(segment);
  lab.start(1, [2]);
  lab.start(2, []);
  lab.clock.advance(59_000);
  expect(lab.connection(1, 2)?.mtu).toBe(expected);
});

test("a packet that must not be cut and is too long: the container is told, as by the one that it was for", () => {
  const lab = new SleeveLab();
  lab.start(1, [2]);
  lab.start(2, []);
  lab.clock.settle();
  const trace = new Trace();
  lab.send(1, 2, 1439, { dontFragment: true, trace });
  expect(lab.lengths(2)).toEqual([]);
  const [told] = lab.arrived.get(1) ?? [];
  expect(told?.key).toMatchObject({ srcPeer: peerNumber(2), dstPeer: peerNumber(1) });
  const { ip, srcMac, dstMac } = (told as Arrived).frame;
  expect([ip.src, ip.dst, ip.protocol, srcMac, dstMac]).toEqual([
    parseIp("10.32.0.2"),
    parseIp("10.32.0.1"),
    IPPROTO_ICMP,
    0x0200_0000_0002,
    0x0200_0000_0001,
  ]);
  const { type, code, rest, payload } = ip.payload as IcmpMessage;
  expect([type, code, rest, payload.length]).toEqual([
    ICMP_DEST_UNREACH,
    ICMP_FRAG_NEEDED,
    1438,
    28,
  ]);
  const drop = trace.steps.find(({ kind }) => kind === "drop");
  expect(drop).toMatchObject({ reason: "PKT_TOO_BIG" });
  // A broadcast is no reason to tell somebody.
  lab.arrived.get(1)?.splice(0);
  lab.send(1, 2, 1439, { dontFragment: true, broadcast: true });
  expect([lab.lengths(1), lab.lengths(2)]).toEqual([[], []]);
});

test("a packet that may be cut leaves the kernel to cut it, where the pieces arrive", () => {
  const lab = new SleeveLab();
  lab.start(1, [2]);
  lab.start(2, []);
  lab.clock.settle();
  const trace = new Trace();
  lab.send(1, 2, 4000, { trace });
  expect(lab.lengths(2)).toEqual([4000]);
  expect(underlay(trace).map(({ length, isFragment }) => [length, isFragment])).toEqual([
    [1500, true],
    [1500, true],
    [1102, true],
  ]);
});

test("where they do not, sleeve cuts the packet itself", () => {
  const lab = new SleeveLab();
  for (const host of [1, 2]) {
    // As a firewall does that lets only what has ports pass.
    const netns = lab.machine(host);
    netns.iptables(4).append("raw", "PREROUTING", "-f -j DROP");
  }
  lab.start(1, [2]);
  lab.start(2, []);
  lab.clock.settle();
  expect(lab.connection(1, 2)).toMatchObject({ mtu: 1438, stackFragments: false });
  const trace = new Trace();
  lab.send(1, 2, 3000, { trace });
  const pieces = lab.arrived.get(2)?.splice(0) ?? [];
  expect(
    pieces.map(({ frame: { ip } }) => [ip.length, ip.fragmentOffset, ip.moreFragments]),
  ).toEqual([
    [1436, 0, true],
    [1436, 1416, true],
    [168, 2832, false],
  ]);
  expect(underlay(trace).map(({ dontFragment, isFragment }) => [dontFragment, isFragment])).toEqual(
    [
      [true, false],
      [true, false],
      [true, false],
    ],
  );
  // What is short enough must not be cut either.
  lab.send(1, 2, 1438);
  expect(lab.lengths(2)).toEqual([1438]);
});

test("frames of one moment share packets, as far as the path takes them", () => {
  const lab = new SleeveLab();
  lab.start(1, [2]);
  lab.start(2, []);
  lab.clock.settle();
  const trace = new Trace();
  for (let i = 0; i < 5; i++) lab.send(1, 2, 500, { dontFragment: true, trace, wait: i < 4 });
  expect(lab.lengths(2)).toEqual([500, 500, 500, 500, 500]);
  const outer = underlay(trace);
  // 28 + 6 + n * (14 + 14 + 500)
  expect(outer.map(({ length }) => length)).toEqual([34 + 2 * 528, 34 + 2 * 528, 34 + 528]);
  const frames = outer.map(({ payload }) => {
    const packet = (payload as UdpDatagram).payload as SleevePacket;
    return packet.frames.map(({ number }) => number);
  });
  expect(frames).toEqual([[0, 1], [2, 3], [4]]);
  for (const kind of ["encapsulate", "decapsulate"]) {
    const numbers = trace.steps.filter((step) => step.kind === kind).map(({ packet }) => packet);
    expect(numbers).toEqual([0, 1, 2, 3, 4]);
  }
});

test("a chain of three: the one in the middle passes on what is for the last", () => {
  const lab = new SleeveLab();
  lab.start(1, [2], { discovery: false });
  lab.start(2, [3], { discovery: false });
  lab.start(3, [], { discovery: false });
  lab.clock.settle();
  expect(lab.mesh.neighbours()).toEqual({ 1: [2], 2: [1, 3], 3: [2] });
  const trace = new Trace();
  lab.send(1, 3, 1000, { trace });
  const [{ key } = {}] = lab.arrived.get(3) ?? [];
  expect(key).toMatchObject({ srcPeer: peerNumber(1), dstPeer: peerNumber(3) });
  const hops = trace.steps
    .filter(({ kind }) => kind === "encapsulate" || kind === "decapsulate")
    .map(({ kind, netns, packet }) => [kind, String(netns), packet]);
  expect(hops).toEqual([
    ["encapsulate", "m1", 0],
    ["decapsulate", "m2", 0],
    ["encapsulate", "m2", 0],
    ["decapsulate", "m3", 0],
  ]);
  // The sender hears of the smaller link in the middle, by way of the one that found out.
  for (const host of [2, 3]) lab.machine(host).device("eth0").setMtu(1300);
  lab.mesh.routers.get(2)?.connections.get(peerNumber(3))?.shutdown(new Error("test"));
  lab.clock.advance(60_000);
  expect(lab.connection(2, 3)?.mtu).toBe(1238);
  lab.lengths(1);
  lab.send(1, 3, 1400, { dontFragment: true });
  const [told] = lab.arrived.get(1) ?? [];
  expect(((told as Arrived).frame.ip.payload as IcmpMessage).rest).toBe(1238);
});

describe("encrypted", () => {
  function pair(more: { readonly trustedSubnets?: [] } = {}): SleeveLab {
    const lab = new SleeveLab();
    lab.start(1, [2], { password: "secret", ...more });
    lab.start(2, [], { password: "secret", ...more });
    lab.clock.settle();
    return lab;
  }

  test("packets are 24 bytes longer, and say no more than who sends them", () => {
    const lab = pair();
    const trace = new Trace();
    lab.send(1, 2, 100, { trace });
    expect(lab.lengths(2)).toEqual([100]);
    const [outer] = underlay(trace) as [IpPacket];
    expect(outer.length).toBe(100 + 86);
    const { seal } = (outer.payload as UdpDatagram).payload as SleevePacket;
    expect(seal).toMatchObject({ dontFragment: false });
  });

  test("packets of another connection, and of nobody, are let go", () => {
    const lab = pair();
    const to = parseIp("10.0.0.2") as Ipv4Address;
    const sender = new UdpSocket(lab.machine(3), { localPort: 6783, owner: "nc" });
    const frames: [] = [];
    const session = 1n;
    const junk = [
      new SleevePacket(1, frames, undefined),
      new SleevePacket(1, frames, { session, sequence: 1, dontFragment: false }),
      new SleevePacket(9, frames, undefined),
    ];
    lab.mesh.network.takeDrops();
    for (const packet of junk) sender.sendTo(to, 6783, packet);
    expect(lab.mesh.network.takeDrops().map(({ reason, detail }) => [reason, detail])).toEqual([
      ["WEAVE_NO_CONNECTION", "UDP packet decryption failed"],
      ["WEAVE_NO_CONNECTION", "UDP packet decryption failed"],
      ["WEAVE_NO_CONNECTION", "no connection with 00:00:00:00:00:09"],
    ]);
    lab.clock.advance(120_000);
    expect(lab.mesh.neighbours()).toEqual({ 1: [2], 2: [1] });
  });

  test("who has another password gets no connection, and so no data", () => {
    const lab = new SleeveLab();
    lab.start(1, [2], { password: "secret" });
    lab.start(2, [], { password: "wrong" });
    lab.clock.advance(120_000);
    expect(lab.mesh.neighbours()).toEqual({ 1: [], 2: [] });
    lab.send(1, 2, 100);
    expect(lab.lengths(2)).toEqual([]);
  });
});

describe("a connection ends", () => {
  function established(): SleeveLab {
    const lab = new SleeveLab();
    lab.start(1, [2]);
    lab.start(2, []);
    lab.clock.settle();
    return lab;
  }

  function lastError(lab: SleeveLab): string | undefined {
    const router = lab.mesh.routers.get(1);
    return [...(router?.connectionMaker.targets.values() ?? [])][0]?.lastError?.message;
  }

  test("60 s after the last heartbeat, while TCP lives on", () => {
    const lab = established();
    for (const host of [1, 2]) {
      lab.machine(host).iptables(4).append("filter", "INPUT", "-p udp --dport 6783 -j DROP");
    }
    lab.clock.advance(49_000);
    expect(lab.mesh.neighbours()).toEqual({ 1: [2], 2: [1] });
    lab.clock.advance(12_000);
    expect(lab.mesh.neighbours()).toEqual({ 1: [], 2: [] });
    expect(lastError(lab)).toMatch(/timed out waiting for UDP heartbeat|connection reset/);
    for (const host of [1, 2]) lab.machine(host).iptables(4).flush("filter", "INPUT");
    lab.clock.advance(600_000);
    expect(lab.mesh.neighbours()).toEqual({ 1: [2], 2: [1] });
  });

  test("at once where the other machine refuses the port", () => {
    const lab = established();
    lab.machine(2).iptables(4).append("filter", "INPUT", "-p udp --dport 6783 -j REJECT");
    lab.send(1, 2, 100, { dontFragment: true });
    lab.send(1, 2, 100, { dontFragment: true });
    expect(lastError(lab)).toBe("write udp ->10.0.0.2:6783: ICMP port unreachable");
  });

  test("at once where its own machine lets nothing out", () => {
    const lab = established();
    lab.machine(1).iptables(4).append("filter", "OUTPUT", "-p udp --dport 6783 -j DROP");
    lab.clock.advance(10_000);
    expect(lastError(lab)).toMatch(/^write udp ->10.0.0.2:6783:/);
  });

  test("and nothing of it is left: no socket, no timer", () => {
    const lab = established();
    for (const router of lab.mesh.routers.values()) router.stop();
    for (const overlay of lab.overlays) overlay.stop();
    for (const host of [1, 2]) {
      expect([...lab.machine(host).sockets.udp.all()]).toEqual([]);
      expect(lab.machine(host).sockets.raw).toBeUndefined();
    }
  });
});

test("lost packets are sent again, and take nothing from what the path carries", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const lab = new SleeveLab(seed);
    lab.machine(1);
    lab.machine(2);
    lab.mesh.lose(1, 2, 0.2);
    lab.start(1, [2]);
    lab.start(2, []);
    lab.clock.advance(180_000);
    expect(lab.mesh.neighbours()).toEqual({ 1: [2], 2: [1] });
    for (const [from, to] of [
      [1, 2],
      [2, 1],
    ] as const) {
      expect(lab.connection(from, to)?.mtu).toBe(1438);
    }
  }
});

test("fragments that come to nothing for a while are tried again each 5 minutes", () => {
  const lab = new SleeveLab();
  lab.start(1, [2]);
  lab.start(2, []);
  const rule = "-f -j DROP";
  lab.machine(2).iptables(4).append("raw", "PREROUTING", rule);
  lab.clock.settle();
  expect(lab.connection(1, 2)).toMatchObject({ stackFragments: false });
  lab.machine(2).iptables(4).delete("raw", "PREROUTING", rule);
  lab.clock.advance(290_000);
  expect(lab.connection(1, 2)).toMatchObject({ stackFragments: false });
  lab.clock.advance(20_000);
  expect(lab.connection(1, 2)).toMatchObject({ stackFragments: true });
});

test("once established nothing keeps the clock waiting", () => {
  const lab = new SleeveLab();
  for (const host of [1, 2, 3]) lab.start(host, host === 1 ? [] : [1]);
  lab.clock.settle();
  expect(lab.clock.pending).toBe(0);
  lab.clock.advance(3_600_000);
  expect(lab.clock.pending).toBe(0);
  expect(lab.mesh.neighbours()).toEqual({ 1: [2, 3], 2: [1, 3], 3: [1, 2] });
});
