import {
  Data,
  type EthernetFrame,
  formatIp,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IpPacket,
  parseIp,
  TCP_ACK,
  TCP_RST,
  TCP_SYN,
  TcpSegment,
  UdpDatagram,
  VxlanPacket,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  cable,
  connect,
  forwarding,
  Lab,
  outcome,
  ping,
  routes,
  serve,
  up,
} from "../../test/lab.ts";
import { Bridge } from "../bridge/bridge.ts";
import { routeOutput } from "../ip/route-output.ts";
import type { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import { Trace } from "../trace.ts";
import type { Veth } from "./veth.ts";
import { ALL_ZEROS_MAC, Vxlan, type VxlanOptions } from "./vxlan.ts";

// RFC 7348; kernel drivers/net/vxlan/vxlan_core.c

/** Machines h1, h2 … with eth0 10.0.0.N (and fd00::N) and a vxlan device 10.1.0.N (and fd01::N). */
function overlay(machines: number, options: Partial<VxlanOptions> = {}, family: 4 | 6 = 4) {
  const lab = new Lab();
  const hosts: NetNamespace[] = [];
  const devices: Vxlan[] = [];
  for (let n = 1; n <= machines; n++) {
    const host = lab.host(`h${n}`, `10.0.0.${n}/24`, `fd00::${n}/64`);
    const vxlan = new Vxlan(host, {
      name: "vx0",
      mac: vtep(n),
      vni: 7,
      link: host.device("eth0"),
      local: endpoint(n, family),
      ...options,
    });
    devices.push(up(vxlan, `10.1.0.${n}/24`, `fd01::${n}/64`));
    hosts.push(host);
  }
  const [h1, h2, h3] = hosts as [NetNamespace, NetNamespace, NetNamespace];
  const [v1, v2, v3] = devices as [Vxlan, Vxlan, Vxlan];
  return { lab, hosts, devices, h1, h2, h3, v1, v2, v3 };
}

const vtep = (n: number) => 0x020000000100 + n;
const endpoint = (n: number, family: 4 | 6 = 4) =>
  parseIp(family === 4 ? `10.0.0.${n}` : `fd00::${n}`);

/** Every machine floods to every other one. */
function floodToAll(devices: readonly Vxlan[], family: 4 | 6 = 4): void {
  for (const [i, dev] of devices.entries()) {
    for (let n = 1; n <= devices.length; n++) {
      if (n !== i + 1) dev.addFdb(ALL_ZEROS_MAC, endpoint(n, family));
    }
  }
}

describe("what it sends", () => {
  /** Source ports of h1's tunnel, by what is inside, and the device that POSTROUTING is told it came by. */
  function sent(address: string) {
    const { h1, h2, devices } = overlay(2);
    floodToAll(devices);
    serve(h2, 80);
    const ports = new Map<string, Set<number>>();
    const devicesSeen = new Set<string | undefined>();
    h1.netfilter.register(2, 4, {
      name: "ports",
      priority: 0,
      run: (skb, state) => {
        const outer = skb.ip.payload;
        if (!(outer instanceof UdpDatagram) || !(outer.payload instanceof VxlanPacket)) return 1;
        devicesSeen.add(state.in?.name);
        const inner = outer.payload.frame.payload;
        if (!(inner instanceof IpPacket) || !(inner.payload instanceof TcpSegment)) return 1;
        const kind = inner.payload.flags & TCP_RST ? "reset" : "connection";
        ports.set(kind, (ports.get(kind) ?? new Set<number>()).add(outer.srcPort));
        return 1;
      },
    });
    const connection = connect(h1, address, 80, { srcPort: 5000 });
    expect(outcome(connection)).toBe("connected");
    // An answer that nobody waits for.
    const [from, to] = [parseIp(address), parseIp(address.replace("2", "1").replace("::2", "::1"))];
    const stray = new TcpSegment(80, 5000, TCP_SYN | TCP_ACK, 1, 2, Data.empty);
    const skb = Skb.ofIp(new IpPacket(from, to, IPPROTO_TCP, stray), undefined);
    const route = routeOutput(h2, { dst: to, src: from, protocol: IPPROTO_TCP });
    if (typeof route !== "string") skb.dst = route.dst;
    h2.ipLocalOut(skb);
    h2.network.run();
    return { ports, devicesSeen };
  }

  // skb_set_hash_from_sk, ip6_make_flowlabel; udp_flow_src_port takes that hash
  test.each(["10.1.0.2", "fd01::2"])(
    "to %s has one port for a connection, and another for resets",
    (address) => {
      const { ports } = sent(address);
      const [connection = [], reset = []] = [ports.get("connection"), ports.get("reset")].map(
        (s) => [...(s ?? [])],
      );
      expect(connection).toHaveLength(1);
      expect(reset).toHaveLength(1);
      expect(reset).not.toEqual(connection);
    },
  );

  test("comes by the tunnel for those who ask behind the routing (iptunnel_xmit, ip_output)", () => {
    expect([...sent("10.1.0.2").devicesSeen]).toEqual(["vx0"]);
  });
});

describe("learning", () => {
  test("a flooded question teaches where the asker is, the answer where the asked", () => {
    const { h1, devices, v1, v2, v3 } = overlay(3);
    floodToAll(devices);
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
    expect(v2.remotesOf(vtep(1))).toEqual([endpoint(1)]);
    expect(v1.remotesOf(vtep(2))).toEqual([endpoint(2)]);
    // The question reached the third, the rest did not.
    expect(v3.remotesOf(vtep(1))).toEqual([endpoint(1)]);
    expect(v3.rxPackets).toBe(1);
  });

  test("a learned entry ages, and is refreshed by each frame either way", () => {
    const { h1, h2, devices, v1, v2, lab } = overlay(2, { ageing: 100 });
    floodToAll(devices);
    ping(h1, "10.1.0.2");
    lab.clock.advance(90_000);
    ping(h2, "10.1.0.1");
    lab.clock.advance(90_000);
    // Nothing comes back: what keeps the entry is that it was used to send.
    v2.underlay.device("eth0").setDown();
    ping(h1, "10.1.0.2");
    lab.clock.advance(99_999);
    expect(v1.remotesOf(vtep(2))).toEqual([endpoint(2)]);
    lab.clock.advance(1);
    expect(v1.remotesOf(vtep(2))).toBeUndefined();
  });

  test("off: nothing is learned, and everything floods", () => {
    const { h1, devices, v1, v3 } = overlay(3, { learning: false });
    floodToAll(devices);
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
    expect(v1.remotesOf(vtep(2))).toBeUndefined();
    expect(v3.rxPackets).toBe(4); // question and answer, request and reply
  });

  // vxlan_snoop: "Don't migrate static entries, drop packets"
  test("a station that moved is learned anew, a static entry is not", () => {
    const { h1, h3, devices, v1, v3 } = overlay(3);
    floodToAll(devices);
    ping(h1, "10.1.0.2");
    v3.setMac(vtep(2));
    ping(h3, "10.1.0.1");
    expect(v1.remotesOf(vtep(2))).toEqual([endpoint(3)]);
    v1.replaceFdb(vtep(2), endpoint(2));
    expect(outcome(ping(h3, "10.1.0.1"))).toBe("timeout, VXLAN_ENTRY_EXISTS in h1");
    expect(v1.remotesOf(vtep(2))).toEqual([endpoint(2)]);
  });

  test("going down forgets what was learned, and nothing else", () => {
    const { h1, devices, v1 } = overlay(2);
    floodToAll(devices);
    ping(h1, "10.1.0.2");
    v1.setDown();
    expect([...v1.fdbEntries()].map((e) => [e.mac, e.permanent])).toEqual([[ALL_ZEROS_MAC, true]]);
  });
});

describe("the forwarding database", () => {
  // As flannel does: no learning, one static entry and one neighbour for each other machine.
  const flannel = () => {
    const { lab, h1, h2, v1, v2, ...rest } = overlay(2, { learning: false });
    v1.replaceFdb(vtep(2), endpoint(2));
    h1.neighboursOf(v1).replace(parseIp("10.1.0.2"), vtep(2));
    v2.replaceFdb(vtep(1), endpoint(1));
    h2.neighboursOf(v2).replace(parseIp("10.1.0.1"), vtep(1));
    return { lab, h1, h2, v1, v2, ...rest };
  };

  test("static entries and neighbours need no flooding", () => {
    const { h1, v2 } = flannel();
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
    expect(v2.rxPackets).toBe(1);
  });

  test("an entry to nowhere loses frames", () => {
    const { h1, v1 } = flannel();
    v1.deleteFdb(vtep(2));
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, VXLAN_NO_REMOTE in h1");
    expect(v1.txDropped).toBe(1);
  });

  test("an entry without a neighbour leaves the question unasked", () => {
    const { h1, v1, lab } = flannel();
    h1.neighboursOf(v1).delete(parseIp("10.1.0.2"));
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout");
    expect([...lab.network.unresolved].map((u) => formatIp(u.ip))).toEqual(["10.1.0.2"]);
  });

  test("a layer stands in for entries of one's own, which come first", () => {
    const { h1, v1 } = flannel();
    v1.deleteFdb(vtep(2));
    v1.setFdbLayer(new Map([[vtep(2), endpoint(2)]]));
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
    v1.replaceFdb(vtep(2), endpoint(1));
    expect(v1.remotesOf(vtep(2))).toEqual([endpoint(1)]);
    v1.deleteFdb(vtep(2));
    expect(v1.remotesOf(vtep(2))).toEqual([endpoint(2)]);
    v1.deleteFdb(vtep(2));
    expect(v1.remotesOf(vtep(2))).toBeUndefined();
    expect([...v1.fdbEntries()]).toEqual([]);
  });

  test.each([
    ["append what is there", (v: Vxlan) => v.addFdb(vtep(2), endpoint(2)), "EEXIST"],
    ["delete what is not there", (v: Vxlan) => v.deleteFdb(vtep(9)), "ENOENT"],
  ])("cannot %s", (_, change, errno) => {
    expect(() => change(flannel().v1)).toThrow(
      expect.objectContaining({ errno } as Partial<KernelError>),
    );
  });
});

describe("remote", () => {
  test("one address gets what has no entry", () => {
    const lab = new Lab();
    const [h1, h2] = [lab.host("h1", "10.0.0.1/24"), lab.host("h2", "10.0.0.2/24")];
    const [v1] = [h1, h2].map((host, i) =>
      up(
        new Vxlan(host, { name: "vx0", vni: 1, local: endpoint(i + 1), remote: endpoint(2 - i) }),
        `10.1.0.${i + 1}/24`,
      ),
    );
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
    expect(v1?.remotesOf(ALL_ZEROS_MAC)).toEqual([endpoint(2)]);
  });

  const isVxlan = ({ payload }: EthernetFrame): boolean =>
    payload instanceof IpPacket &&
    payload.payload instanceof UdpDatagram &&
    payload.payload.payload instanceof VxlanPacket;

  /** Two machines with a cable and another way; the tunnel is made on the cable where `link` says so. */
  const twoWays = (link: boolean) => {
    const [h1, h2] = new Lab().machine("h1", "h2");
    const ends = cable(h1, "eth0", h2, "eth0");
    const others = cable(h1, "eth1", h2, "eth1");
    const tunnels = ends.map((end, i) => {
      up(end, `10.0.0.${i + 1}/24`, `fd00::${i + 1}/64`);
      up(others[i] as Veth, `10.9.0.${i + 1}/24`);
      const options = { name: "vx0", vni: 1, mac: vtep(i + 1), local: endpoint(i + 1) };
      const on = link ? { link: end } : {};
      const vxlan = new Vxlan(end.netns, { ...options, ...on, remote: endpoint(2 - i) });
      return up(vxlan, `10.1.0.${i + 1}/24`);
    });
    return { h1, h2, v1: tunnels[0] as Vxlan };
  };

  // vxlan_snoop notes an address without a device; the tunnel's own remote has its link (remote_ifindex).
  test.each([
    [true, ["eth0", "eth1"]],
    [false, ["eth1", "eth1"]],
  ])(
    "is looked for on the link if there is one (%j), what was learned is not: %j",
    (link, expected) => {
      const { h1 } = twoWays(link);
      routes(h1, "10.0.0.2 dev eth1");
      const trace = new Trace();
      expect(outcome(ping(h1, "10.1.0.2", { trace }))).toBe("connected");
      const outer = trace.steps.flatMap((s) =>
        s.kind === "transmit" && s.netns === h1 && isVxlan(s.frame) ? [s.dev.name] : [],
      );
      expect(outer).toEqual(expected); // the question, the request
    },
  );

  test("a route that forbids the way stops what was learned, not what goes by the link", () => {
    const { h1, h2, v1 } = twoWays(true);
    routes(h1, "prohibit 10.0.0.2");
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout, IP_OUTNOROUTES in h1");
    expect(v1.remotesOf(vtep(2))).toEqual([endpoint(2)]);
    v1.deleteFdb(vtep(2));
    expect(outcome(ping(h2, "10.1.0.1"))).toBe("timeout, IP_OUTNOROUTES in h1");
  });

  test("a multicast group reaches all machines of the segment that have the device", () => {
    const { h1, v2, v3, hosts } = overlay(3, { remote: parseIp("239.1.1.1") });
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
    expect([v2.rxPackets, v3.rxPackets]).toEqual([2, 1]);
    v3.setDown();
    expect(hosts[2]?.device("eth0").groups?.size).toBe(0);
  });
});

describe("who takes a packet", () => {
  test.each([
    ["another VNI", { vni: 8 }, "timeout, VXLAN_VNI_NOT_FOUND in h2"],
    ["another port", { port: 4789 }, "timeout, NO_SOCKET in h2"],
    ["the same", {}, "connected"],
  ])("%s: %s", (_, other, expected) => {
    const { h1, h2, v1, v2 } = overlay(2, { learning: false });
    v2.remove();
    const options = { name: "vx1", mac: vtep(2), vni: 7, local: endpoint(2), learning: false };
    const second = up(new Vxlan(h2, { ...options, ...other }), "10.1.0.2/24");
    v1.replaceFdb(vtep(2), endpoint(2));
    h1.neighboursOf(v1).replace(parseIp("10.1.0.2"), vtep(2));
    second.replaceFdb(vtep(1), endpoint(1));
    h2.neighboursOf(second).replace(parseIp("10.1.0.1"), vtep(1));
    expect(outcome(ping(h1, "10.1.0.2"))).toBe(expected);
  });

  test("devices of two VNIs on one port stay apart", () => {
    const { h1, h2, devices } = overlay(2);
    floodToAll(devices);
    for (const [i, host] of [h1, h2].entries()) {
      const blue = new Vxlan(host, {
        name: "vx9",
        vni: 9,
        local: endpoint(i + 1),
        remote: endpoint(2 - i),
      });
      up(blue, `10.9.0.${i + 1}/24`);
    }
    expect(outcome(ping(h1, "10.9.0.2"))).toBe("connected");
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("connected");
    expect(h2.device("vx9").rxPackets).toBe(2);
    expect(h2.device("vx0").rxPackets).toBe(2);
  });

  test.each([
    [{ vni: 2 ** 24 }, "ERANGE"],
    [{ vni: -1 }, "ERANGE"],
    [{ vni: 7 }, "EEXIST"],
  ])("a device with %j beside VNI 7 is refused", (options, errno) => {
    const { h1 } = overlay(1);
    expect(() => new Vxlan(h1, { name: "vx1", ...options })).toThrow(
      expect.objectContaining({ errno } as Partial<KernelError>),
    );
    expect(h1.findDevice("vx1")).toBeUndefined();
  });
});

describe("size", () => {
  // vxlan_config_apply: 14 + 8 + 8 + 20 or 40 bytes
  test.each([
    [4, 1450],
    [6, 1430],
  ] as const)("an IPv%i tunnel over MTU 1500 has %i", (family, mtu) => {
    expect(overlay(1, {}, family).v1.mtu).toBe(mtu);
  });

  // vxlan_change_mtu
  test.each([
    [4, 1450],
    [6, 1430],
  ] as const)("nobody gives an IPv%i tunnel more, whatever it has", (family, most) => {
    const { v1, h1 } = overlay(1, {}, family);
    expect(() => v1.setMtu(most + 1)).toThrow("EINVAL");
    expect(v1.mtu).toBe(most);
    // A link that becomes smaller leaves the tunnel as it is, and lets it have no more than it can carry.
    h1.device("eth0").setMtu(1400);
    expect(v1.mtu).toBe(most);
    expect(() => v1.setMtu(most - 1)).toThrow("EINVAL");
    v1.setMtu(most - 100);
    expect(v1.mtu).toBe(most - 100);
  });

  test("full-sized segments pass, since the MTU leaves room", () => {
    const { h1, h2, devices } = overlay(2);
    floodToAll(devices);
    serve(h2, 80);
    expect(outcome(connect(h1, "10.1.0.2", 80))).toBe("connected");
  });

  // Without `df set` the outer packet may be cut.
  test("packets that are too long for the link leave in fragments", () => {
    const { h1, h2, devices } = overlay(2);
    floodToAll(devices);
    for (const host of [h1, h2]) host.device("eth0").setMtu(1450);
    const trace = new Trace();
    expect(outcome(ping(h1, "10.1.0.2", { length: 1422, trace }))).toBe("connected");
    const cut = trace.steps.flatMap((s) =>
      s.kind === "fragment" ? [[s.netns.kernel.hostname, s.count]] : [],
    );
    expect(cut).toEqual([
      ["h1", 2],
      ["h2", 2],
    ]);
  });

  // The pieces of the outer datagram are no fragments of what is in it (ip_do_fragment): asked of kernel 6.18.
  test("what came in fragments of a tunnel leaves in those that the next link asks for", () => {
    const { lab, h1, h2, devices } = overlay(2);
    floodToAll(devices);
    const [h3] = lab.machine("h3");
    const [near, far] = cable(h2, "e3", h3, "e3");
    up(near, "10.3.0.2/24").setMtu(1400);
    up(far, "10.3.0.3/24");
    forwarding(h2);
    routes(h1, "10.3.0.0/24 via 10.1.0.2");
    routes(h3, "0.0.0.0/0 via 10.3.0.2");
    h1.learnPathMtu(parseIp("10.0.0.2"), 1300);
    const trace = new Trace();
    const datagram = { protocol: IPPROTO_UDP, length: 1440, trace };
    expect(connect(h1, "10.3.0.3", 53, datagram).outcome).toBe("refused");
    const cut = trace.steps.flatMap((s) =>
      s.kind === "fragment" ? [[s.netns.kernel.hostname, s.count, s.mtu]] : [],
    );
    expect(cut).toEqual([
      ["h1", 2, 1450],
      ["h1", 2, 1300],
      ["h2", 2, 1400],
    ]);
  });

  // skb_tunnel_check_pmtu: the sender's own route learns of it
  test("a machine that sends by the device itself learns what fits", () => {
    const { h1, devices } = overlay(2);
    floodToAll(devices);
    h1.device("eth0").setMtu(1450);
    ping(h1, "10.1.0.2", { length: 1422 });
    expect([...h1.pathMtus].map(([ip, { mtu }]) => [formatIp(ip), mtu])).toEqual([
      ["10.1.0.2", 1400],
    ]);
  });
});

// skb_tunnel_check_pmtu, ip6_fragment, __ip6_rt_update_pmtu. Asked of a 6.18 kernel: what a machine knows of the way to
// another one is the room of its tunnel, too. The first full-sized segment is lost, the next is smaller; but over IPv6 no less
// than 1280 is ever learnt.
test.each([
  ["fd01::2", 1500, undefined, "connected"],
  ["fd01::2", 1430, 1360, "connected"],
  ["fd01::2", 1350, 1280, "connected"],
  ["fd01::2", 1349, undefined, "stalled, PKT_TOO_BIG in h1, PKT_TOO_BIG in h1"],
  ["10.1.0.2", 1430, 1360, "connected"],
  ["10.1.0.2", 1349, 1279, "connected"],
])("to %s over a tunnel whose way is known to have %i, %i is learnt: %s", (to, way, left, then) => {
  const { h1, h2, devices } = overlay(2, {}, 6);
  floodToAll(devices, 6);
  serve(h2, 80);
  h1.learnPathMtu(parseIp("fd00::2"), way);
  expect(outcome(connect(h1, to, 80))).toBe(then);
  expect(h1.pathMtus.get(parseIp(to))?.mtu).toBe(left);
  h1.forgetPathMtus();
  expect(outcome(connect(h1, to, 80))).toBe("connected");
});

describe("the outer packet", () => {
  const outer = (options: Partial<VxlanOptions>, family: 4 | 6 = 4) => {
    const { h1, devices } = overlay(2, options, family);
    floodToAll(devices, family);
    const trace = new Trace();
    ping(h1, "10.1.0.2", { trace });
    const step = trace.steps.findLast((s) => s.kind === "encapsulate" && s.netns === h1);
    if (step?.kind !== "encapsulate") throw new Error("nothing was encapsulated");
    const datagram = step.outer.payload as UdpDatagram;
    return { ip: step.outer, datagram, vxlan: datagram.payload as VxlanPacket };
  };

  test.each([
    ["its defaults", {}, { ttl: 64, dstPort: 8472, noChecksum: false, vni: 7 }],
    ["another port", { port: 4789 }, { ttl: 64, dstPort: 4789, noChecksum: false, vni: 7 }],
    ["a TTL", { ttl: 5 }, { ttl: 5, dstPort: 8472, noChecksum: false, vni: 7 }],
    ["no checksum", { udpChecksum: false }, { ttl: 64, dstPort: 8472, noChecksum: true, vni: 7 }],
  ])("has %s", (_, options, expected) => {
    const { ip, datagram, vxlan } = outer(options);
    const { dstPort, noChecksum } = datagram;
    expect({ ttl: ip.ttl, dstPort, noChecksum, vni: vxlan.vni }).toEqual(expected);
    expect([formatIp(ip.src), formatIp(ip.dst), ip.dontFragment]).toEqual([
      "10.0.0.1",
      "10.0.0.2",
      false,
    ]);
    expect(datagram.srcPort).toBeGreaterThanOrEqual(32_768);
    expect(datagram.srcPort).toBeLessThanOrEqual(60_999);
  });

  test("may be IPv6", () => {
    const { ip } = outer({}, 6);
    expect([formatIp(ip.src), formatIp(ip.dst)]).toEqual(["fd00::1", "fd00::2"]);
  });
});

test("IPv6 inside", () => {
  const { h1, devices } = overlay(2);
  floodToAll(devices);
  expect(outcome(ping(h1, "fd01::2"))).toBe("connected");
});

test("as a bridge port it joins two bridges over the machines between", () => {
  const { lab, h1, h2, v1, v2, devices } = overlay(2);
  floodToAll(devices);
  const pods = [h1, h2].map((host, i) => {
    const [pod] = [host.kernel.addNamespace("pod")];
    pod.loopback.setUp();
    const bridge = up(new Bridge(host, { name: "br0" }));
    const vxlan = [v1, v2][i] as Vxlan;
    vxlan.setMaster(bridge);
    const [port, eth0] = cable(host, "port", pod, "eth0");
    port.setMaster(bridge);
    up(eth0, `10.2.0.${i + 1}/24`).setMtu(1450);
    return pod;
  });
  expect(outcome(ping(pods[0] as NetNamespace, "10.2.0.2"))).toBe("connected");
  expect(lab.network.unresolved.size).toBe(0);
});

test("it goes with the device that its packets leave by", () => {
  const { h1 } = overlay(1);
  h1.device("eth0").remove();
  expect(h1.findDevice("vx0")).toBeUndefined();
  expect([...h1.sockets.udp.all()]).toEqual([]);
});

test("its packets stay in the namespace that it was made in when it moves", () => {
  const { h1, v1, v2, devices } = overlay(2);
  floodToAll(devices);
  const pods = [v1, v2].map((vxlan, i) => {
    const pod = vxlan.netns.kernel.addNamespace("pod");
    vxlan.moveTo(pod);
    up(vxlan, `10.1.0.${i + 1}/24`);
    return pod;
  });
  expect(outcome(ping(pods[0] as NetNamespace, "10.1.0.2"))).toBe("connected");
  expect(outcome(ping(h1, "10.1.0.2"))).toBe("unreachable, ENETUNREACH");
});

test("routed: a pod's packet crosses both machines", () => {
  const { h1, h2, v1, v2 } = overlay(2, { learning: false });
  v1.replaceFdb(vtep(2), endpoint(2));
  h1.neighboursOf(v1).replace(parseIp("10.1.0.2"), vtep(2));
  v2.replaceFdb(vtep(1), endpoint(1));
  h2.neighboursOf(v2).replace(parseIp("10.1.0.1"), vtep(1));
  const pods = [h1, h2].map((host, i) => {
    const pod = host.kernel.addNamespace("pod");
    pod.loopback.setUp();
    const [veth, eth0] = cable(host, "veth", pod, "eth0");
    up(veth, `10.2.${i + 1}.1/24`);
    up(eth0, `10.2.${i + 1}.2/24`);
    routes(pod, `0.0.0.0/0 via 10.2.${i + 1}.1`);
    routes(host, `10.2.${2 - i}.0/24 via 10.1.0.${2 - i} dev vx0`);
    forwarding(host);
    return pod;
  });
  expect(outcome(ping(pods[0] as NetNamespace, "10.2.2.2"))).toBe("connected");
  // A pod that does not know of the smaller MTU is told.
  serve(pods[1] as NetNamespace, 80);
  expect(outcome(connect(pods[0] as NetNamespace, "10.2.2.2", 80))).toBe("connected");
  expect((pods[0] as NetNamespace).pathMtus.get(parseIp("10.2.2.2"))?.mtu).toBe(1450);
});

// encap_bypass_if_local, vxlan_encap_bypass
describe("an entry that leads to this machine itself", () => {
  const looped = () => {
    const made = overlay(2);
    made.v1.replaceFdb(vtep(2), endpoint(1));
    for (const ip of ["10.1.0.2", "fd01::2"]) {
      made.h1.neighboursOf(made.v1).replace(parseIp(ip), vtep(2));
    }
    forwarding(made.h1);
    return made;
  };

  test.each([
    ["10.1.0.2", "timeout, NOT_SPECIFIED in h1"],
    ["fd01::2", "unreachable, EHOSTUNREACH, TTL_EXCEEDED in h1"], // it goes round until its hop limit is reached
  ])("sends the machine's own packets back to it, without UDP: %s", (dst, then) => {
    const { h1, v1 } = looped();
    expect(outcome(ping(h1, dst))).toBe(then);
    expect(v1.remotesOf(v1.mac)).toEqual([parseIp("127.0.0.1")]);
    expect(h1.device("eth0").txPackets).toBe(0);
  });

  test("sends what is passed on round until its TTL is over", () => {
    const { h1 } = looped();
    const pod = h1.kernel.addNamespace("pod");
    const [veth, eth0] = cable(h1, "veth", pod, "eth0");
    up(veth, "10.2.1.1/24");
    up(eth0, "10.2.1.2/24");
    routes(pod, "0.0.0.0/0 via 10.2.1.1");
    expect(outcome(ping(pod, "10.1.0.2"))).toBe("unreachable, EHOSTUNREACH, TTL_EXCEEDED in h1");
  });

  test("finds nobody where a device to leave by is asked for", () => {
    const { h1 } = overlay(1, { remote: endpoint(1) });
    expect(outcome(ping(h1, "10.1.0.2"))).toBe("timeout");
    expect(h1.device("vx0").rxPackets).toBe(0);
  });
});
