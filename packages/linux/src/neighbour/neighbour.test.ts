import {
  ARP_REPLY,
  ARP_REQUEST,
  ArpPacket,
  BROADCAST_MAC,
  Data,
  ETH_P_ARP,
  formatIp,
  formatMac,
  IPPROTO_UDP,
  type Ipv6Address,
  NeighbourMessage,
  parseIp,
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
import type { Veth } from "../device/veth.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import { UdpSocket } from "../socket/udp.ts";
import { announceIpv4 } from "./arp.ts";
import { announceIpv6, solicitedNode } from "./ndisc.ts";
import { NEIGHBOUR_PARAMETERS } from "./neighbour-parameters.ts";

// kernel net/core/neighbour.c, net/ipv4/arp.c, net/ipv6/ndisc.c

/** Namespaces a and b on one cable: 10.0.0.1 and 10.0.0.2, fd00::1 and fd00::2. */
function linked() {
  const lab = new Lab();
  const [a, b] = lab.machine("a", "b");
  const [x, y] = cable(a, "eth0", b, "eth0");
  up(x, "10.0.0.1/24", "fd00::1/64");
  up(y, "10.0.0.2/24", "fd00::2/64");
  return { lab, a, b, x, y };
}

/** State and MAC of an entry as `ip neigh` shows them. */
function entry(dev: Veth, ip: string): string {
  const found = dev.netns.neighboursOf(dev).get(parseIp(ip));
  if (found === undefined) return "";
  return found.valid ? `${formatMac(found.mac)} ${found.state}` : found.state;
}

const state = (dev: Veth, ip: string) => dev.netns.neighboursOf(dev).get(parseIp(ip))?.state;

describe.each([
  ["ARP", "10.0.0.2", "10.0.0.1", "10.0.0.9"],
  ["neighbour discovery", "fd00::2", "fd00::1", "fd00::9"],
])("%s", (_, to, from, nobody) => {
  test("asks once, and then knows: the asker that it is reachable, the asked where it is", () => {
    const { a, x, y } = linked();
    expect(outcome(ping(a, to))).toBe("connected");
    expect(entry(x, to)).toBe(`${formatMac(y.mac)} REACHABLE`);
    expect(entry(y, from)).toBe(
      `${formatMac(x.mac)} STALE`.replace("STALE", state(y, from) as string),
    );
    const before = x.txPackets;
    ping(a, to);
    expect(x.txPackets).toBe(before + 1);
  });

  test("goes stale when unused, is tried when used, and checked by a question to it alone", () => {
    const { lab, a, x } = linked();
    ping(a, to);
    lab.clock.advance(30_000);
    expect(state(x, to)).toBe("REACHABLE");
    lab.clock.advance(1);
    expect(state(x, to)).toBe("STALE");
    lab.clock.advance(3_600_000);
    expect(state(x, to)).toBe("STALE");
    ping(a, to);
    expect(state(x, to)).toBe("DELAY");
    lab.clock.advance(5_001);
    ping(a, to);
    lab.network.run();
    expect(state(x, to)).toBe("REACHABLE");
  });

  // dst_confirm: what TCP gets acknowledged proves that the neighbour is there
  test("is confirmed by a connection that gets on", () => {
    const { lab, a, b, x } = linked();
    serve(b, 80);
    connect(a, to, 80);
    lab.clock.advance(30_001);
    expect(state(x, to)).toBe("STALE");
    const questions = x.txPackets;
    connect(a, to, 80);
    expect(state(x, to)).toBe("DELAY");
    lab.clock.advance(5_001);
    expect(state(x, to)).toBe("REACHABLE");
    expect(x.txPackets).toBeGreaterThan(questions);
  });

  test("fails when nobody answers three questions, and tells the sender", () => {
    const { lab, a, x } = linked();
    const sent = x.txPackets;
    const result = ping(a, nobody);
    expect([outcome(result), state(x, nobody)]).toEqual(["timeout", "INCOMPLETE"]);
    expect(result.unresolved.map((u) => formatIp(u.ip))).toEqual([nobody]);
    lab.clock.advance(2_999);
    expect([state(x, nobody), x.txPackets - sent]).toEqual(["INCOMPLETE", 3]);
    lab.clock.advance(1);
    expect([state(x, nobody), x.txPackets - sent, lab.network.unresolved.size]).toEqual([
      "FAILED",
      3,
      0,
    ]);
    expect(outcome(ping(a, nobody, { waitMs: 3_000 }))).toBe(
      "unreachable, EHOSTUNREACH, NEIGH_FAILED in a",
    );
  });

  test("an unanswered check of one that was known makes it fail", () => {
    const { lab, a, x, y } = linked();
    ping(a, to);
    lab.clock.advance(40_000);
    y.removeAddress(parseIp(to));
    ping(a, to);
    lab.clock.advance(5_001);
    expect(state(x, to)).toBe("PROBE");
    lab.clock.advance(3_001);
    expect(state(x, to)).toBe("FAILED");
  });

  test("packets wait for the answer, the oldest are lost when there are too many", () => {
    const { lab, a, x, y } = linked();
    x.neigh4 = { ...NEIGHBOUR_PARAMETERS, unresolvedQueueLength: 2 };
    x.neigh6 = x.neigh4;
    y.setDown();
    const heard: number[] = [];
    const ask = (port: number) => connect(a, to, port, { protocol: IPPROTO_UDP });
    for (const port of [1, 2, 3]) ask(port);
    y.setUp();
    if (to.includes(":")) up(y, `${to}/64`);
    y.netns.sockets.catchAll = { owner: "server", onDatagram: (d) => heard.push(d.dstPort) };
    lab.clock.advance(1_000);
    expect(heard).toEqual([2, 3]);
  });

  test("a permanent entry is believed, whatever is heard", () => {
    const { lab, a, x, y } = linked();
    a.neighboursOf(x).replace(parseIp(to), 0x020000000099);
    expect(outcome(ping(a, to))).toBe("timeout");
    announceIpv4(y, parseIp("10.0.0.2") as number);
    announceIpv6(y, parseIp("fd00::2") as Ipv6Address);
    lab.network.run();
    lab.clock.advance(10_000_000);
    expect(entry(x, to)).toBe("02:00:00:00:00:99 PERMANENT");
  });

  test("a station with a new MAC is found again by the question that nobody answers", () => {
    const { lab, a, x, y } = linked();
    ping(a, to);
    y.setMac(0x0200000000aa);
    expect(outcome(ping(a, to))).toBe("timeout");
    lab.clock.advance(36_000);
    ping(a, to);
    lab.clock.advance(5_001);
    ping(a, to);
    lab.clock.advance(3_001);
    expect(outcome(ping(a, to))).toBe("connected");
    expect(entry(x, to)).toBe("02:00:00:00:00:aa REACHABLE");
  });

  test("forgets when told to, and when the device goes down", () => {
    const { a, x } = linked();
    ping(a, to);
    const table = a.neighboursOf(x);
    expect(table.delete(parseIp(to))).toBe(true);
    expect(table.delete(parseIp(to))).toBe(false);
    ping(a, to);
    table.replace(parseIp(nobody), 0x020000000099);
    table.flush(false);
    expect([entry(x, to), entry(x, nobody)]).toEqual(["", "02:00:00:00:00:99 PERMANENT"]);
    x.setDown();
    expect([...table.entries()]).toEqual([]);
  });

  test("a layer of neighbours counts as permanent, entries of one's own come first", () => {
    const { a, x, y } = linked();
    const table = a.neighboursOf(x);
    table.setLayer(new Map([[parseIp(to), y.mac]]));
    const sent = x.txPackets;
    expect(outcome(ping(a, to))).toBe("connected");
    expect(entry(x, to)).toBe(`${formatMac(y.mac)} PERMANENT`);
    expect(x.txPackets - sent).toBeGreaterThanOrEqual(1);
    table.replace(parseIp(to), 0x020000000099);
    expect(outcome(ping(a, to))).toBe("timeout");
    table.delete(parseIp(to));
    expect(outcome(ping(a, to))).toBe("connected");
    table.delete(parseIp(to));
    expect(entry(x, to)).toBe("");
  });
});

describe("gratuitous ARP", () => {
  test("updates who has an entry, and creates none", () => {
    const { lab, a, x, y } = linked();
    announceIpv4(y, parseIp("10.0.0.2") as number);
    lab.network.run();
    expect(entry(x, "10.0.0.2")).toBe("");
    ping(a, "10.0.0.2");
    lab.clock.advance(1_001);
    (y as { mac: number }).mac = 0x0200000000aa;
    announceIpv4(y, parseIp("10.0.0.2") as number);
    lab.network.run();
    expect(entry(x, "10.0.0.2")).toBe("02:00:00:00:00:aa STALE");
  });

  test("creates an entry where arp_accept is on", () => {
    const { lab, a, x, y } = linked();
    a.sysctl.set("net/ipv4/conf/eth0/arp_accept", "1");
    announceIpv4(y, parseIp("10.0.0.2") as number);
    lab.network.run();
    expect(entry(x, "10.0.0.2")).toBe(`${formatMac(y.mac)} STALE`);
  });

  test.each([
    ["arp_notify", "net/ipv4/conf/eth0/arp_notify"],
    ["ndisc_notify", "net/ipv6/conf/eth0/ndisc_notify"],
  ])("is sent by %s when the device comes up", (_, name) => {
    const { b, y } = linked();
    b.sysctl.set("net/ipv6/conf/all/keep_addr_on_down", "1");
    y.setDown();
    const count = () => {
      const before = y.txPackets;
      y.setUp();
      return y.txPackets - before;
    };
    const without = count();
    y.setDown();
    b.sysctl.set(name, "1");
    expect(count()).toBeGreaterThan(without);
  });
});

describe("whom ARP answers", () => {
  /** Asks b by its cable for an address, as 10.0.0.1; the answer's operation and MAC. */
  const ask = ({ x, y, lab }: ReturnType<typeof linked>, target: string, sender = "10.0.0.1") => {
    const heard: string[] = [];
    x.receiveHandler = {
      handle: (_dev, skb) => {
        const arp = skb.packet as ArpPacket;
        if (skb.isArp && arp.op === ARP_REPLY)
          heard.push(`${formatIp(arp.senderIp)} is at ${formatMac(arp.senderMac)}`);
        return true;
      },
    };
    const skb = new Skb(
      ETH_P_ARP,
      new ArpPacket(ARP_REQUEST, x.mac, parseIp(sender) as number, 0, parseIp(target) as number),
      undefined,
    );
    skb.srcMac = x.mac;
    skb.dstMac = BROADCAST_MAC;
    x.queueTransmit(skb);
    lab.network.run();
    lab.clock.settle();
    x.receiveHandler = undefined;
    return heard.join().replaceAll(formatMac(y.mac), "b");
  };

  test.each([
    ["its address", "10.0.0.2", {}, "10.0.0.2 is at b"],
    ["another's", "10.0.0.3", {}, ""],
    // Any address of the machine is answered for on any device.
    ["an address of another device", "10.7.0.1", {}, "10.7.0.1 is at b"],
    ["that, with arp_ignore 1", "10.7.0.1", { arp_ignore: 1 }, ""],
    ["its own, with arp_ignore 1", "10.0.0.2", { arp_ignore: 1 }, "10.0.0.2 is at b"],
    ["anything, with arp_ignore 8", "10.0.0.2", { arp_ignore: 8 }, ""],
    ["what it routes elsewhere", "10.7.0.9", {}, ""],
    ["that, with proxy_arp", "10.7.0.9", { proxy_arp: 1 }, "10.7.0.9 is at b"],
    ["what it has no route to, with proxy_arp", "10.99.0.9", { proxy_arp: 1 }, ""],
    ["what is on the asker's own link, with proxy_arp", "10.0.0.9", { proxy_arp: 1 }, ""],
    ["that, with proxy_arp_pvlan", "10.0.0.9", { proxy_arp_pvlan: 1 }, "10.0.0.9 is at b"],
    ["127.0.0.1", "127.0.0.1", {}, ""],
  ])("%s", (_, target, conf, expected) => {
    const link = linked();
    const { b } = link;
    const [other] = cable(b, "eth1", link.a, "unused");
    up(other, "10.7.0.1/24");
    forwarding(b);
    for (const [name, value] of Object.entries(conf))
      b.sysctl.set(`net/ipv4/conf/eth0/${name}`, String(value));
    expect(ask(link, target)).toBe(expected);
  });

  test("proxy_arp answers only on a router", () => {
    const link = linked();
    const [other] = cable(link.b, "eth1", link.a, "unused");
    up(other, "10.7.0.1/24");
    link.b.sysctl.set("net/ipv4/conf/eth0/proxy_arp", "1");
    expect(ask(link, "10.7.0.9")).toBe("");
  });

  test("one address by `ip neigh add proxy`", () => {
    const link = linked();
    const [other] = cable(link.b, "eth1", link.a, "unused");
    up(other, "10.7.0.1/24");
    forwarding(link.b);
    link.b.neighboursOf(link.y).addProxy(parseIp("10.7.0.9"));
    expect(ask(link, "10.7.0.9")).toBe("10.7.0.9 is at b");
    expect(ask(link, "10.7.0.8")).toBe("");
  });

  test("who checks whether an address is free (RFC 5227), and learns nothing of it", () => {
    const link = linked();
    expect(ask(link, "10.0.0.2", "0.0.0.0")).toBe("10.0.0.2 is at b");
    expect(entry(link.y, "0.0.0.0")).toBe("");
  });
});

test("proxy ARP makes a routed pod reachable, as Calico does", () => {
  const [host, pod] = new Lab().machine("host", "pod");
  const [cali, eth0] = cable(host, "cali0", pod, "eth0");
  host.sysctl.set("net/ipv4/conf/cali0/proxy_arp", "1");
  forwarding(host);
  const [uplink] = cable(host, "uplink", host, "uplink-peer");
  up(uplink, "192.0.2.1/24");
  routes(host, "10.244.0.5/32 dev cali0", "0.0.0.0/0 via 192.0.2.254");
  up(eth0, "10.244.0.5/32");
  routes(pod, "169.254.1.1/32 dev eth0", "0.0.0.0/0 via 169.254.1.1");
  expect(outcome(ping(pod, "192.0.2.1"))).toBe("connected");
  expect(entry(eth0, "169.254.1.1")).toBe(`${formatMac(cali.mac)} REACHABLE`);
  expect(outcome(ping(host, "10.244.0.5"))).toBe("connected");
});

// Read in /proc/sys/net/ipv[46]/neigh/DEV of kernel 6.18 (HZ=250).
describe("sysctls of a device's neighbours", () => {
  const USUAL = {
    anycast_delay: [100, 100],
    app_solicit: [0, 0],
    base_reachable_time: [30, 30],
    base_reachable_time_ms: [30000, 30000],
    delay_first_probe_time: [5, 5],
    gc_stale_time: [60, 60],
    interval_probe_time_ms: [5000, 5000],
    locktime: [100, 0],
    mcast_resolicit: [0, 0],
    mcast_solicit: [3, 3],
    proxy_delay: [80, 80],
    proxy_qlen: [64, 64],
    retrans_time: [100, 250],
    retrans_time_ms: [1000, 1000],
    ucast_solicit: [3, 3],
    unres_qlen: [101, 101],
    unres_qlen_bytes: [212992, 212992],
  };

  test("begin as the kernel's", () => {
    const { a } = linked();
    const neigh = a.sysctl.entries().filter(([path]) => /neigh\/eth0/.test(path));
    expect(neigh).toEqual(
      [4, 6].flatMap((family, i) =>
        Object.entries(USUAL).map(([name, values]) => [
          `net/ipv${family}/neigh/eth0/${name}`,
          String(values[i]),
        ]),
      ),
    );
  });

  test("are of one device and one family, and two names of a time are one value", () => {
    const { a } = linked();
    a.sysctl.set("net.ipv4.neigh.eth0.base_reachable_time_ms", 1500);
    a.sysctl.set("net/ipv6/neigh/eth0/proxy_qlen", 0);
    a.sysctl.set("net/ipv6/neigh/eth0/retrans_time", 500);
    const values = [4, 6].map((family) =>
      ["base_reachable_time", "proxy_qlen", "retrans_time_ms"].map((name) =>
        a.sysctl.get(`net/ipv${family}/neigh/eth0/${name}`),
      ),
    );
    expect(values).toEqual([
      [1, 64, 1000],
      [30, 0, 2000],
    ]);
    expect(a.sysctl.get("net/ipv4/neigh/lo/base_reachable_time_ms")).toBe(30_000);
  });

  test.each([
    "net/ipv4/neigh/eth7/proxy_delay",
    "net/ipv4/neigh/eth0/nonsense",
    // of the machine's first namespace alone
    "net/ipv4/neigh/default/proxy_delay",
  ])("%s is not there", (path) => {
    const { a } = linked();
    expect(() => a.sysctl.get(path)).toThrow("ENOENT");
    expect(() => a.sysctl.set(path, 1)).toThrow("ENOENT");
  });

  test("how often and how long is asked", () => {
    const { lab, a, x } = linked();
    a.sysctl.set("net/ipv4/neigh/eth0/mcast_solicit", 1);
    a.sysctl.set("net/ipv4/neigh/eth0/retrans_time_ms", 100);
    new UdpSocket(a, { owner: "client" }).sendTo(parseIp("10.0.0.9"), 53, new Data(1));
    expect(state(x, "10.0.0.9")).toBe("INCOMPLETE");
    lab.clock.advance(101);
    expect(state(x, "10.0.0.9")).toBe("FAILED");
  });

  test.each([
    [4, "10.0.0.2", "10.1.0.2/32"],
    [6, "fd00::2", "fd01::2/128"],
  ] as const)("proxies of IPv%i answer at once without proxy_delay", (family, gateway, target) => {
    for (const delay of [80, 0]) {
      const { lab, a, b, x, y } = linked();
      const [behind] = cable(b, "behind", a, "unused");
      behind.setUp();
      forwarding(b);
      routes(b, `${target} dev behind`);
      const address = target.split("/")[0] as string;
      routes(a, `${target} dev eth0`);
      b.neighboursOf(y).addProxy(parseIp(address));
      b.sysctl.set("net/ipv6/conf/eth0/proxy_ndp", 1);
      b.sysctl.set(`net/ipv${family}/neigh/eth0/proxy_delay`, delay);
      ping(a, gateway);
      const asked = lab.clock.now;
      new UdpSocket(a, { owner: "client" }).sendTo(parseIp(address), 53, new Data(1));
      expect(state(x, address)).toBe(delay === 0 ? "REACHABLE" : "INCOMPLETE");
      lab.clock.advance(asked + 800 - lab.clock.now);
      expect(state(x, address)).toBe("REACHABLE");
    }
  });
});

describe("the source of a question for an IPv6 address (ndisc_solicit)", () => {
  const sourceOf = (from: "router" | "behind it"): string => {
    const [a, r, b] = new Lab().machine("a", "r", "b");
    const [a0, r0] = cable(a, "eth0", r, "r0");
    const [r1, b0] = cable(r, "r1", b, "eth0");
    up(a0, "fd00::1/64");
    up(r0, "fd00::fe/64");
    up(r1, "fd01::fe/64");
    up(b0, "fd01::2/64");
    routes(a, "::/0 via fd00::fe");
    forwarding(r);
    ping(from === "router" ? r : a, "fd01::2");
    const asked = [...(b0.neighbours?.entries() ?? [])][0]?.ip;
    return asked === undefined ? "" : formatIp(asked).replace(/^fe80:.*/, "link-local");
  };

  test("is that of the packet that waits, where it is this machine's", () => {
    expect(sourceOf("router")).toBe("fd01::fe");
  });

  test("is the link-local one for packets that are passed on", () => {
    expect(sourceOf("behind it")).toBe("link-local");
  });
});

describe("neighbour discovery", () => {
  test("answers for others by proxy_ndp", () => {
    const [a, r, b] = new Lab().machine("a", "r", "b");
    const [a0, r0] = cable(a, "eth0", r, "r0");
    const [r1, b0] = cable(r, "r1", b, "eth0");
    up(a0, "fd00::1/64");
    up(r0, "fd00::fe/64");
    up(r1, "fd01::fe/64");
    up(b0, "fd00::2/128");
    routes(b, "fd01::fe/128 dev eth0", "::/0 via fd01::fe");
    routes(r, "fd00::2/128 dev r1");
    forwarding(r);
    expect(outcome(ping(a, "fd00::2", { waitMs: 4_000 }))).toBe(
      "unreachable, EHOSTUNREACH, NEIGH_FAILED in a",
    );
    r.sysctl.set("net/ipv6/conf/r0/proxy_ndp", "1");
    r.neighboursOf(r0).addProxy(parseIp("fd00::2"));
    expect(outcome(ping(a, "fd00::2"))).toBe("connected");
    expect(entry(a0, "fd00::2").split(" ")[0]).toBe(formatMac(r0.mac));
  });

  test.each([
    ["fd00::1:2:3", "ff02::1:ff02:3"],
    ["fe80::abcd:1234:5678", "ff02::1:ff34:5678"],
  ])("asks for %s in the group %s", (ip, group) => {
    expect(String(solicitedNode(parseIp(ip) as Ipv6Address))).toBe(group);
  });

  // ndisc_recv_ns: `inc` is whether the question went to a group
  test("answers a question to it alone without its MAC", () => {
    const { lab, a, b, x } = linked();
    const lengths: number[] = [];
    a.netfilter.register(10, 1, {
      name: "lengths of what comes in",
      priority: 0,
      run: (skb) => {
        if (skb.ip.payload instanceof NeighbourMessage) lengths.push(skb.ip.length);
        return 1;
      },
    });
    ping(a, "fd00::2");
    lab.clock.advance(30_001);
    ping(a, "fd00::2");
    lab.clock.advance(5_001);
    expect(entry(x, "fd00::2")).toContain("PROBE");
    lab.network.run();
    expect(lengths).toEqual([72, 64]);
    expect(entry(x, "fd00::2")).toBe(`${formatMac(b.device("eth0").mac)} REACHABLE`);
  });

  // ndisc_net_init: the socket that asks does not loop back; ndisc_alloc_skb: its packets have a device before they are routed
  test("does not hear its own questions, even in a group that it is in for a proxy's sake", () => {
    const { a, x } = linked();
    a.neighboursOf(x).addProxy(parseIp("fd07::2"));
    const met: string[] = [];
    for (const hook of [1, 4] as const) {
      a.netfilter.register(10, hook, {
        name: "what passes",
        priority: 0,
        run: (skb, state) => {
          if (skb.ip.payload instanceof NeighbourMessage) {
            met.push(`${hook} ${skb.ip.payload.type} ${state.in?.name}`);
          }
          return 1;
        },
      });
    }
    expect(outcome(ping(a, "fd00::2"))).toBe("connected");
    expect(met).toEqual(["4 135 eth0", "1 136 eth0"]);
  });

  test("from off the link is not believed (RFC 4861 section 7.1)", () => {
    const { a, b, y, x, lab } = linked();
    ping(a, "fd00::2");
    b.netfilter.register(10, 4, {
      name: "lower the hop limit",
      priority: 0,
      run: (skb) => {
        skb.ip.ttl = 254;
        return 1;
      },
    });
    (y as { mac: number }).mac = 0x0200000000aa;
    announceIpv6(y, parseIp("fd00::2") as Ipv6Address);
    lab.network.run();
    expect(entry(x, "fd00::2")).not.toContain("aa");
    expect(lab.network.takeDrops().map((d) => d.reason)).toContain("IP_INHDR");
  });
});

test("an address on a deleted namespace's link is forgotten, and nothing waits for it", () => {
  const { lab, a, b } = linked();
  ping(a, "10.0.0.9");
  a.kernel.deleteNamespace(a as NetNamespace);
  expect(lab.network.unresolved.size).toBe(0);
  expect(lab.clock.pending).toBe(0);
  expect(b.devices.map((d) => d.name)).toEqual(["lo"]);
});
