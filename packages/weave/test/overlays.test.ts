import { startEchoServer, type TraceStep } from "@cnilab/linux";
import {
  EspPacket,
  formatIp,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpPacket,
  parsePrefix,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { OverlayLab } from "./overlay-lab.ts";

const PING = { protocol: IPPROTO_ICMP, port: 0 };

/** Kinds of steps by which the first packet goes from node to node. */
function way(steps: readonly TraceStep[]): string[] {
  return steps.flatMap((step) =>
    (step.kind === "encapsulate" || step.kind === "decapsulate") && step.packet === 0
      ? [`${step.netns} ${step.kind} ${step.protocol.split(" ")[0]}`]
      : [],
  );
}

/** IPv4 packets as they left by the nodes' cards. */
function wire(steps: readonly TraceStep[]): IpPacket[] {
  return steps.flatMap((step) =>
    step.kind === "transmit" && step.dev.name === "eth0" && step.netns.name === ""
      ? step.frame.etherType === 0x0800
        ? [step.frame.payload as IpPacket]
        : []
      : [],
  );
}

describe("by sleeve, over a packet socket on vethwe-pcap", () => {
  function pair(): OverlayLab {
    const lab = new OverlayLab({ fastdp: false });
    lab.start(1, [2]);
    lab.start(2, []);
    lab.clock.settle();
    return lab;
  }

  test("a ping is captured, wrapped, unwrapped and injected, as one packet of the trace", () => {
    const lab = pair();
    const [a] = [lab.container(1, 1), lab.container(2, 2)];
    expect(lab.overlays).toEqual(["1>2 sleeve", "2>1 sleeve"]);
    lab.ask(a, 2, PING);
    const { outcome, steps } = lab.ask(a, 2, PING);
    expect(outcome).toBe("connected");
    expect(way(steps)).toEqual(["m1 encapsulate sleeve", "m2 decapsulate sleeve"]);
    const devices = steps.flatMap((step) =>
      step.packet === 0 && (step.kind === "receive" || step.kind === "transmit")
        ? [`${step.netns.kernel.hostname} ${step.dev.name}`]
        : [],
    );
    expect(devices.map((name) => name.replace(/pl\d+/, "pl"))).toEqual([
      "m1 eth0",
      "m1 vethwepl",
      "m1 vethwe-bridge",
      "m1 vethwe-pcap",
      "m1 eth0",
      "m2 eth0",
      "m2 vethwe-pcap",
      "m2 vethwe-bridge",
      "m2 vethwepl",
      "m2 eth0",
    ]);
  });

  test("TCP finds out what the path takes, though the device takes 65535", () => {
    const lab = pair();
    const [a, b] = [lab.container(1, 1), lab.container(2, 2)];
    startEchoServer(b, { protocol: IPPROTO_TCP, port: 80, owner: "nginx" });
    const { outcome, steps } = lab.ask(a, 2, { protocol: IPPROTO_TCP, port: 80 });
    expect(outcome).toBe("connected");
    const told = steps.filter(
      (step) => step.kind === "deliver" && step.text === "ICMP: too big, MTU 1438",
    );
    expect(told.length).toBeGreaterThanOrEqual(2);
    expect(Math.max(...wire(steps).map(({ length }) => length))).toBe(1500);
    // The other end has been told as well: the next connection begins with what fits.
    const next = lab.ask(a, 2, { protocol: IPPROTO_TCP, port: 80 });
    expect(wire(next.steps).every(({ dontFragment }) => dontFragment)).toBe(true);
    expect(next.steps.length).toBeLessThan(1000);
  });

  test("UDP: what is too long is lost once, then cut by who sends it", () => {
    const lab = pair();
    const [a, b] = [lab.container(1, 1), lab.container(2, 2)];
    startEchoServer(b, { protocol: IPPROTO_UDP, port: 53, owner: "dns" });
    const request = { protocol: IPPROTO_UDP, port: 53, length: 4000 };
    const first = lab.ask(a, 2, request);
    expect(first.drops.map(({ reason }) => reason)).toContain("PKT_TOO_BIG");
    // The server's answer has met the same.
    const next = lab.ask(a, 2, request);
    expect(next.outcome).toBe("connected");
    expect(next.steps.filter(({ kind }) => kind === "fragment")).toMatchObject([
      { count: 3, mtu: 1438, netns: a },
      { count: 3, mtu: 1438, netns: b },
    ]);
  });

  test("a chain of three delivers through the one in the middle", () => {
    const lab = new OverlayLab({ fastdp: false });
    lab.start(1, [2], { discovery: false });
    lab.start(2, [3], { discovery: false });
    lab.start(3, [], { discovery: false });
    lab.clock.settle();
    const [a] = [lab.container(1, 1), lab.container(3, 3)];
    lab.ask(a, 3, PING);
    const { outcome, steps } = lab.ask(a, 3, PING);
    expect(outcome).toBe("connected");
    expect(way(steps)).toEqual([
      "m1 encapsulate sleeve",
      "m2 decapsulate sleeve",
      "m2 encapsulate sleeve",
      "m3 decapsulate sleeve",
    ]);
  });
});

describe("fastdp and sleeve together", () => {
  function three(prepare?: (lab: OverlayLab) => void): OverlayLab {
    const lab = new OverlayLab({ fastdp: true });
    for (const host of [1, 2, 3]) lab.machine(host);
    prepare?.(lab);
    for (const host of [1, 2, 3]) lab.start(host, host === 1 ? [] : [1]);
    lab.clock.advance(180_000);
    return lab;
  }

  /** As a firewall between two nodes. */
  function block(lab: OverlayLab, x: number, y: number, on = true): void {
    for (const [from, to] of [
      [x, y],
      [y, x],
    ]) {
      const rule = `-s 10.0.0.${from} -p udp --dport 6784 -j DROP`;
      const iptables = lab.machine(to as number).iptables(4);
      if (on) iptables.append("raw", "PREROUTING", rule);
      else iptables.delete("raw", "PREROUTING", rule);
    }
  }

  const ALL_FASTDP = [
    "1>2 fastdp",
    "1>3 fastdp",
    "2>1 fastdp",
    "2>3 fastdp",
    "3>1 fastdp",
    "3>2 fastdp",
  ];
  const WITHOUT_1_2 = [
    "1>2 sleeve",
    "1>3 fastdp",
    "2>1 sleeve",
    "2>3 fastdp",
    "3>1 fastdp",
    "3>2 fastdp",
  ];

  test("fastdp is used where it works", () => {
    expect(three().overlays).toEqual(ALL_FASTDP);
  });

  test("two whose UDP 6784 is blocked use sleeve, the others fastdp, and all reach each other", () => {
    const lab = three((made) => block(made, 1, 2));
    expect(lab.overlays).toEqual(WITHOUT_1_2);
    const [a, b] = [lab.container(1, 1), lab.container(2, 2), lab.container(3, 3)] as const;
    for (const [from, to, by] of [
      [a, 2, "sleeve"],
      [a, 3, "VXLAN"],
      [b, 3, "VXLAN"],
    ] as const) {
      lab.ask(from, to, PING);
      const { outcome, steps } = lab.ask(from, to, PING);
      expect([outcome, way(steps)[0]?.split(" ")[2]]).toEqual(["connected", by]);
    }
  });

  test("one that is blocked later falls back within the heartbeats' time, and comes back", () => {
    const lab = three();
    block(lab, 1, 2);
    lab.clock.advance(49_000);
    expect(lab.overlays).toEqual(ALL_FASTDP);
    lab.clock.advance(13_000);
    expect(lab.overlays).toEqual(WITHOUT_1_2);
    block(lab, 1, 2, false);
    lab.clock.advance(12_000);
    expect(lab.overlays).toEqual(ALL_FASTDP);
  });

  // router/overlay_switch.go chooseBest changes no flow, and InvalidateRoutes is called for other reasons alone.
  test("flows that lead through the failed tunnel stay while they are used, as in the real one", () => {
    const lab = three();
    const [a] = [lab.container(1, 1), lab.container(2, 2)];
    const outcome = () => lab.ask(a, 2, PING).outcome;
    expect([outcome(), outcome()]).toEqual(["connected", "connected"]);
    block(lab, 1, 2);
    lab.clock.advance(62_000);
    expect([lab.connection(1, 2)?.name, outcome()]).toEqual(["sleeve", "timeout"]);
    lab.clock.advance(1_200_000);
    expect(outcome()).toBe("connected");
  });

  test("a link too small for full packets of fastdp is left to sleeve", () => {
    const lab = new OverlayLab({ fastdp: true });
    for (const host of [1, 2]) lab.machine(host);
    lab.mesh.setSegmentMtu(1400);
    lab.start(1, [2]);
    lab.start(2, []);
    lab.clock.advance(180_000);
    expect(lab.overlays).toEqual(["1>2 sleeve", "2>1 sleeve"]);
    expect(lab.connection(1, 2)?.mtu).toBe(1338);
    const [a] = [lab.container(1, 1), lab.container(2, 2)];
    expect(lab.ask(a, 2, { ...PING, length: 1300 - 28 }).outcome).toBe("connected");
  });

  test("a node without a datapath speaks sleeve with all", () => {
    const fastdp = new OverlayLab({ fastdp: true });
    fastdp.start(1, [2]);
    // Its features name sleeve alone, as those of a node whose kernel has no openvswitch.
    const features = new Map<string, string>();
    new OverlayLab({ fastdp: false }).start(2, []).mesh.overlay.addFeaturesTo(features);
    expect(features.get("Overlays")).toBe("sleeve");
  });
});

describe("fastdp, encrypted", () => {
  function pair(more: { readonly passwords?: readonly [string, string] } = {}): OverlayLab {
    const [first, second] = more.passwords ?? ["secret", "secret"];
    const lab = new OverlayLab({ fastdp: true });
    lab.start(1, [2], { password: first });
    lab.start(2, [], { password: second });
    lab.clock.advance(30_000);
    return lab;
  }

  test("each direction has an association, a policy, and rules that let nothing plain in", () => {
    const lab = pair();
    expect(lab.overlays).toEqual(["1>2 fastdp", "2>1 fastdp"]);
    const { xfrm } = lab.machine(1);
    const spis = Object.fromEntries(
      xfrm.states.map(({ spec }) => [`${formatIp(spec.src)}>${formatIp(spec.dst)}`, spec]),
    );
    expect(Object.keys(spis).sort()).toEqual(["10.0.0.1>10.0.0.2", "10.0.0.2>10.0.0.1"]);
    const theirs = lab.machine(2).xfrm.states.map(({ spec }) => spec);
    for (const spec of Object.values(spis)) expect(theirs).toContainEqual(spec);
    const [inwards, outwards] = ["10.0.0.2>10.0.0.1", "10.0.0.1>10.0.0.2"].map(
      (way) => spis[way]?.spi,
    );
    expect(xfrm.policies).toMatchObject([
      { mark: { value: 0x20000, mask: 0x20000 }, template: { spi: outwards } },
    ]);
    const rules = (table: string) =>
      lab
        .machine(1)
        .iptables(4)
        .save(table)
        .split("\n")
        .filter((line) => line.startsWith("-A"));
    expect(rules("mangle")).toEqual([
      "-A INPUT -j WEAVE-IPSEC-IN",
      "-A OUTPUT -j WEAVE-IPSEC-OUT",
      `-A WEAVE-IPSEC-IN -s 10.0.0.2/32 -d 10.0.0.1/32 -p esp -m esp --espspi ${inwards} -j WEAVE-IPSEC-IN-MARK`,
      "-A WEAVE-IPSEC-IN-MARK -j MARK --set-xmark 0x20000/0x20000",
      "-A WEAVE-IPSEC-OUT -s 10.0.0.1/32 -d 10.0.0.2/32 -p udp -m udp --dport 6784 -j WEAVE-IPSEC-OUT-MARK",
      "-A WEAVE-IPSEC-OUT-MARK -j MARK --set-xmark 0x20000/0x20000",
    ]);
    expect(rules("filter")).toEqual([
      "-A INPUT -j WEAVE-IPSEC-IN",
      "-A OUTPUT ! -p esp -m policy --dir out --pol none -m mark --mark 0x20000/0x20000 -j DROP",
      "-A WEAVE-IPSEC-IN -s 10.0.0.2/32 -d 10.0.0.1/32 -p udp -m udp --dport 6784 -m mark ! --mark 0x20000/0x20000 -j DROP",
    ]);
  });

  test.each([
    [1376, 1460],
    [1375, 1460],
    [1374, 1460],
    [1372, 1456],
    [100, 184],
  ])("a packet of %i bytes is one of %i on the wire, of ESP", (inner, outer) => {
    const lab = pair();
    const [a] = [lab.container(1, 1), lab.container(2, 2)];
    lab.ask(a, 2, PING);
    const { outcome, steps } = lab.ask(a, 2, { ...PING, length: inner - 28 });
    expect(outcome).toBe("connected");
    const packets = wire(steps);
    expect(packets.map(({ length }) => length)).toEqual([outer, outer]);
    expect(packets.every(({ payload }) => payload instanceof EspPacket)).toBe(true);
    expect(way(steps)).toEqual([
      "m1 encapsulate VXLAN",
      "m1 encapsulate ESP",
      "m2 decapsulate ESP",
      "m2 decapsulate VXLAN",
    ]);
  });

  test("what comes plain is dropped: where associations are lost heartbeats stop, and sleeve takes over", () => {
    const lab = pair();
    const { xfrm } = lab.machine(1);
    for (const policy of xfrm.policies) xfrm.deletePolicy(policy);
    lab.machine(1).iptables(4).flush("filter", "OUTPUT");
    const [a] = [lab.container(1, 1), lab.container(2, 2)];
    const { steps } = lab.ask(a, 2, PING);
    const drops = steps.flatMap((step) => (step.kind === "drop" ? [step.rule?.text] : []));
    expect(drops.some((text) => text?.includes("WEAVE-IPSEC-IN") && text.includes("-j DROP"))).toBe(
      true,
    );
    lab.clock.advance(70_000);
    expect(lab.overlays).toEqual(["1>2 fastdp", "2>1 sleeve"]);
  });

  test("nothing is left of a connection that has ended, and of a process that has", () => {
    const lab = pair();
    const second = lab.peers.get(2);
    second?.mesh.stop();
    second?.router.stop();
    lab.clock.advance(2_000);
    const one = lab.machine(1);
    expect([one.xfrm.states, one.xfrm.policies]).toEqual([[], []]);
    expect(one.iptables(4).save("filter")).not.toContain("10.0.0.2");
    expect(one.iptables(4).save("mangle")).not.toContain("10.0.0.2");
    const two = lab.machine(2);
    expect([two.xfrm.states, two.xfrm.policies]).toEqual([[], []]);
    expect(two.iptables(4).save()).not.toContain("WEAVE-IPSEC");
  });

  test("between networks that both trust nothing is encrypted, by either overlay", () => {
    for (const fastdp of [true, false]) {
      const lab = new OverlayLab({ fastdp });
      const more = { password: "secret", trustedSubnets: [parsePrefix("10.0.0.0/24")] };
      lab.start(1, [2], more);
      lab.start(2, [], more);
      lab.clock.advance(30_000);
      const [a] = [lab.container(1, 1), lab.container(2, 2)];
      lab.ask(a, 2, PING);
      const { outcome, steps } = lab.ask(a, 2, PING);
      expect(outcome).toBe("connected");
      expect(way(steps)[0]).toBe(`m1 encapsulate ${fastdp ? "VXLAN" : "sleeve"}`);
      expect(lab.machine(1).findXfrm()?.states ?? []).toEqual([]);
    }
  });

  test("two with different passwords have no connection, so there is nothing to encrypt", () => {
    const lab = pair({ passwords: ["secret", "wrong"] });
    expect(lab.overlays).toEqual([]);
    expect(lab.machine(1).xfrm.states).toEqual([]);
  });
});
