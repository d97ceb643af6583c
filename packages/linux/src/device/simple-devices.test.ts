import { Data, IPPROTO_UDP, IpPacket, parseIp, UdpDatagram } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { cable, forwarding, Lab, outcome, ping, routes, up } from "../../test/lab.ts";
import { TrafficControl } from "../tc/traffic-control.ts";
import { Dummy } from "./dummy.ts";
import { Ifb } from "./ifb.ts";
import type { NetDevice } from "./net-device.ts";
import { Tun } from "./tun.ts";

test("a dummy swallows what is sent, and holds addresses", () => {
  const [a] = new Lab().machine("a");
  up(new Dummy(a, { name: "kube-ipvs0" }), "10.96.0.1/24");
  expect(outcome(ping(a, "10.96.0.2"))).toBe("timeout, NOT_SPECIFIED in a");
  expect(outcome(ping(a, "10.96.0.1"))).toBe("connected");
});

test("a device may ask for an index, and stands where that puts it", () => {
  const [a] = new Lab().machine("a");
  for (const ifindex of [7, 3]) new Dummy(a, { name: `d${ifindex}`, ifindex });
  new Dummy(a, { name: "next" });
  const listed = () => a.devices.map(({ name, ifindex }) => `${ifindex} ${name}`);
  expect(listed()).toEqual(["1 lo", "3 d3", "7 d7", "8 next"]);
  expect(() => new Dummy(a, { name: "again", ifindex: 3 })).toThrow("EBUSY");
  expect(listed()).toHaveLength(4);
});

describe("loopback", () => {
  test("comes with its addresses when it is brought up", () => {
    const { kernel } = new Lab().host("h");
    const netns = kernel.addNamespace("n");
    expect(netns.loopback.addresses).toEqual([]);
    expect(outcome(ping(netns, "127.0.0.1"))).toBe("unreachable, ENETUNREACH");
    netns.loopback.setUp();
    for (const to of ["127.0.0.1", "127.9.9.9", "::1"])
      expect(outcome(ping(netns, to))).toBe("connected");
  });

  test("reaches any address of the machine, by itself", () => {
    const [a, b] = new Lab().machine("a", "b");
    const [x] = cable(a, "x", b, "y");
    up(x, "10.0.0.1/24", "fd00::1/64");
    expect(outcome(ping(a, "10.0.0.1"))).toBe("connected");
    expect(outcome(ping(a, "fd00::1"))).toBe("connected");
    expect([x.txPackets, a.loopback.txPackets]).toEqual([0, 4]);
  });
});

describe("tun", () => {
  const tunnel = () => {
    const lab = new Lab();
    const [a] = lab.machine("a");
    const tun = up(new Tun(a, { name: "flannel0", mtu: 1472 }), "10.244.0.0/32");
    routes(a, "10.244.0.0/16 dev flannel0");
    const read: IpPacket[] = [];
    return { lab, a, tun, read, open: () => tun.attach((packet) => read.push(packet)) };
  };

  test("gives packets to the program that has it open", () => {
    const { a, tun, read, open } = tunnel();
    expect(tun.carrier).toBe(false);
    expect(outcome(ping(a, "10.244.1.2"))).toBe("timeout, TUN_NO_READER in a");
    open();
    expect(tun.carrier).toBe(true);
    ping(a, "10.244.1.2");
    expect(read.map((p) => p.dst)).toEqual([parseIp("10.244.1.2")]);
  });

  test("receives what the program writes", () => {
    const { a, tun, open } = tunnel();
    open();
    let heard = 0;
    a.sockets.catchAll = { owner: "server", onDatagram: () => heard++ };
    const datagram = new UdpDatagram(1, 2, new Data(8));
    tun.write(
      new IpPacket(parseIp("10.244.1.2"), parseIp("10.244.0.0"), IPPROTO_UDP, datagram),
      undefined,
    );
    expect([heard, tun.rxPackets]).toEqual([1, 1]);
  });

  test("has a random link-local address, always the same", () => {
    const { tun } = tunnel();
    const before = tun.ipv6LinkLocal();
    expect(tun.addressesOf(6).map((x) => x.address)).toEqual([before]);
    tun.setDown();
    tun.setUp();
    expect(tun.addressesOf(6).map((x) => x.address)).toEqual([before]);
  });
});

describe("an ifb", () => {
  const shaped = (burst: number) => {
    const [a, b] = new Lab().machine("a", "b");
    const [x, y] = cable(a, "x", b, "y");
    up(x, "10.0.0.1/24");
    up(y, "10.0.0.2/24");
    const ifb = up(new Ifb(b, { name: "ifb0" }));
    y.tc = new TrafficControl(y);
    y.tc.redirect = { kind: "mirred", to: ifb };
    ifb.tc = new TrafficControl(ifb);
    ifb.tc.root = { kind: "tbf", handle: "1:", rate: 1000, burst, limit: 25_000 };
    return { a, ifb };
  };

  test("passes on what comes in by a device whose packets are redirected to it", () => {
    const { a, ifb } = shaped(2000);
    expect(outcome(ping(a, "10.0.0.2"))).toBe("connected");
    expect(ifb.rxPackets).toBe(2); // ARP and ICMP
  });

  // net/sched/sch_tbf.c tbf_enqueue
  test("loses packets longer than the bucket of its queue is deep", () => {
    const { a } = shaped(200);
    expect(outcome(ping(a, "10.0.0.2", { length: 100 }))).toBe("connected");
    expect(outcome(ping(a, "10.0.0.2", { length: 200 }))).toBe("timeout, QDISC_DROP in b");
  });

  test("loses everything while it is down", () => {
    const { a, ifb } = shaped(2000);
    ifb.setDown();
    expect(outcome(ping(a, "10.0.0.2"))).toBe("timeout");
  });
});

// net/core/dev.c dev_set_mtu: 68 is the least that IPv4 works with
test.each([[67], [1.5], [Number.NaN]])("an MTU of %d is refused", (mtu) => {
  const [a] = new Lab().machine("a");
  expect(() => new Dummy(a, { name: "d" }).setMtu(mtu)).toThrow("EINVAL");
});

// net/ipv6/addrconf.c ipv6_add_dev, addrconf_notify (NETDEV_CHANGEMTU); RFC 8200 section 5
describe("a device whose MTU is below 1280", () => {
  const families = (dev: NetDevice): string =>
    dev.addresses.map(({ address }) => (typeof address === "number" ? 4 : 6)).join();

  test("gets IPv4 addresses only", () => {
    const [a] = new Lab().machine("a");
    const d = up(new Dummy(a, { name: "d", mtu: 1279 }), "10.0.0.1/24");
    expect(() => up(d, "fd00::1/64")).toThrow("EINVAL");
    expect(families(d)).toBe("4");
  });

  test("loses its IPv6 addresses and routes; with a larger MTU the link-local one is back", () => {
    const [a] = new Lab().machine("a");
    const d = up(new Dummy(a, { name: "d" }), "10.0.0.1/24", "fd00::1/64");
    const toNet = () => typeof a.routeGet({ dst: parseIp("fd00::2") }) !== "string";
    expect([families(d), toNet()]).toEqual(["4,6,6", true]);
    d.setMtu(1279);
    expect([families(d), toNet()]).toEqual(["4", false]);
    d.setMtu(1280);
    expect([families(d), toNet()]).toEqual(["4,6", false]);
  });

  test("has no IPv6 settings and answers for nobody, and begins anew with a larger MTU", () => {
    const [a] = new Lab().machine("a");
    const d = up(new Dummy(a, { name: "d" }), "10.0.0.1/24");
    const proxies = a.neighboursOf(d);
    const setting = "net/ipv6/conf/d/proxy_ndp";
    a.sysctl.set(setting, 1);
    for (const ip of ["10.0.0.5", "fd00::5"]) proxies.addProxy(parseIp(ip));
    d.setMtu(1279);
    expect(() => a.sysctl.get(setting)).toThrow("ENOENT");
    expect(a.sysctl.entries().filter(([path]) => path.includes("conf/d/proxy"))).toEqual([
      ["net/ipv4/conf/d/proxy_arp", "0"],
      ["net/ipv4/conf/d/proxy_arp_pvlan", "0"],
    ]);
    expect(() => proxies.addProxy(parseIp("fd00::6"))).toThrow("ENOBUFS");
    expect([...proxies.proxies]).toEqual([parseIp("10.0.0.5")]);
    d.setMtu(1280);
    expect(a.sysctl.get(setting)).toBe(0);
  });

  test("down it answers for nobody", () => {
    const [a] = new Lab().machine("a");
    const d = up(new Dummy(a, { name: "d" }), "10.0.0.1/24");
    a.neighboursOf(d).addProxy(parseIp("10.0.0.5"));
    d.setDown();
    expect([...a.neighboursOf(d).proxies]).toEqual([]);
  });
});

describe("renaming", () => {
  test.each([
    ["d1", true, "EBUSY"],
    ["lo", false, "EEXIST"],
    ["a:b", false, "EINVAL"],
    ["d1", false, undefined],
  ])("to %s while up is %s: %s", (name, isUp, errno) => {
    const [a] = new Lab().machine("a");
    const dev = new Dummy(a, { name: "d0" });
    if (isUp) dev.setUp();
    if (errno === undefined) dev.rename(name);
    else expect(() => dev.rename(name)).toThrow(errno);
    expect(a.findDevice(errno === undefined ? name : "d0")).toBe(dev);
  });
});

describe("flags", () => {
  test.each([
    ["lo", "LOOPBACK UP"],
    ["veth", "BROADCAST MULTICAST UP"],
    ["dummy", "BROADCAST NOARP UP"],
    ["tun", "POINTOPOINT MULTICAST NOARP UP"],
  ])("of %s are %s", (kind, expected) => {
    const [a, b] = new Lab().machine("a", "b");
    cable(a, "veth", b, "peer");
    up(new Dummy(a, { name: "dummy" }));
    up(new Tun(a, { name: "tun" }));
    expect(a.device(kind).flags.join(" ")).toBe(expected);
  });
});

test("a router forwards between two devices, whatever their kind", () => {
  const [a, r] = new Lab().machine("a", "r");
  const [x, y] = cable(a, "x", r, "y");
  up(x, "10.0.0.2/24");
  up(y, "10.0.0.1/24");
  forwarding(r);
  const tun = up(new Tun(r, { name: "tun0" }), "10.9.0.1/24");
  const read: IpPacket[] = [];
  tun.attach((packet) => read.push(packet));
  routes(a, "0.0.0.0/0 via 10.0.0.1");
  ping(a, "10.9.0.5");
  expect(read.map((p) => p.ttl)).toEqual([63]);
});
