import { formatIp, formatMac, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { cable, connect, Lab, outcome, ping, routes, serve, showRoutes, up } from "../test/lab.ts";
import { Bridge } from "./bridge/bridge.ts";
import { Dummy } from "./device/dummy.ts";
import { Kernel } from "./kernel.ts";
import type { NetNamespace } from "./net-namespace.ts";
import { NF_ACCEPT, NF_QUEUE, NFPROTO_IPV4 } from "./netfilter/hooks.ts";

describe("a namespace", () => {
  test("has a stack of its own", () => {
    const [a, b] = new Lab().machine("a", "b");
    for (const netns of [a, b]) up(new Bridge(netns, { name: "br0" }), "10.0.0.1/24");
    expect([showRoutes(a), showRoutes(b)]).toEqual([
      ["10.0.0.0/24 dev br0"],
      ["10.0.0.0/24 dev br0"],
    ]);
    serve(a, 80);
    expect(outcome(connect(a, "10.0.0.1", 80))).toBe("connected");
    expect(outcome(connect(b, "10.0.0.1", 80))).toBe("refused, ECONNREFUSED, NO_SOCKET in b");
  });

  test.each([["cni-1"], ["/run/netns/cni-1"], ["/var/run/netns/cni-1"]])(
    "is found as %s",
    (name) => {
      const [netns] = new Lab().machine("cni-1");
      expect(netns.kernel.findNamespace(name)).toBe(netns);
      expect(netns.path).toBe("/run/netns/cni-1");
    },
  );

  test("is made once, and deleted once", () => {
    const [a] = new Lab().machine("a");
    const { kernel } = a;
    expect(() => kernel.addNamespace("a")).toThrow("EEXIST");
    kernel.deleteNamespace(a);
    expect(() => kernel.deleteNamespace(a)).toThrow("ENOENT");
    expect(kernel.findNamespace("a")).toBeUndefined();
    expect([...kernel.namespaces]).toEqual([]);
  });

  test("knows its addresses, few or many, until the last device has lost them", () => {
    const [netns] = new Lab().machine("a");
    const devices = ["d0", "d1"].map((name) => up(new Dummy(netns, { name })));
    const addresses = Array.from({ length: 12 }, (_, i) => 0x0a000001 + i * 0x100);
    for (const dev of devices) for (const a of addresses) dev.addAddress(a, 24);
    for (const dev of devices) {
      expect(addresses.filter((a) => netns.hasAddress(a))).toEqual(addresses);
      for (const a of addresses) dev.removeAddress(a);
    }
    expect(addresses.filter((a) => netns.hasAddress(a))).toEqual([]);
    expect(netns.hasAddress(parseIp("127.0.0.1"))).toBe(true);
  });

  test.each([
    ["before IPv6 has started", () => {}, ["::1"]],
    ["once it has", (netns: NetNamespace) => netns.startIpv6(), ["::1"]],
    ["with an address from before", undefined, ["fd00::1", "::1"]],
    [
      "where IPv6 is disabled",
      (netns: NetNamespace) => netns.sysctl.set("net/ipv6/conf/lo/disable_ipv6", 1),
      [],
    ],
  ])("lo has its IPv6 addresses %s", (_, change, expected) => {
    const netns = new Kernel(new Lab().network, "k").addNamespace("a");
    const lo = netns.loopback;
    if (change === undefined) lo.addAddress(parseIp("fd00::1"), 128);
    lo.setUp();
    change?.(netns);
    expect(lo.addressesOf(6).map((a) => formatIp(a.address))).toEqual(expected);
  });

  test("takes all its devices along, and routes of others to them", () => {
    const [host, pod] = new Lab().machine("host", "pod");
    const bridge = up(new Bridge(host, { name: "cni0" }), "10.244.0.1/24");
    const [port, eth0] = cable(host, "veth0", pod, "eth0");
    port.setMaster(bridge);
    up(eth0, "10.244.0.2/24");
    expect(outcome(ping(host, "10.244.0.2"))).toBe("connected");
    host.kernel.deleteNamespace(pod);
    expect(host.devices.map((d) => d.name)).toEqual(["lo", "cni0"]);
    expect(bridge.ports).toEqual([]);
    expect([...bridge.fdb.entries()].filter((e) => !e.local)).toEqual([]);
    // The neighbour is still believed to be there.
    expect(outcome(ping(host, "10.244.0.2"))).toBe("timeout, BRIDGE_NO_PORT in host");
  });
});

describe("a machine", () => {
  test("has a name of its own, and a MAC that depends on it and the seed", () => {
    const lab = new Lab();
    lab.host("h1");
    expect(() => new Kernel(lab.network, "h1")).toThrow("EEXIST");
    const macs = (seed: number, name: string) =>
      formatMac(new Kernel(new Lab(seed).network, name).randomMac());
    expect(macs(1, "a")).toBe(macs(1, "a"));
    expect(new Set([macs(1, "a"), macs(1, "b"), macs(2, "a")]).size).toBe(3);
  });

  test("leaves the network with all it has", () => {
    const lab = new Lab();
    const h1 = lab.host("h1", "10.0.0.1/24");
    const h2 = lab.host("h2", "10.0.0.2/24");
    h2.kernel.addNamespace("pod");
    expect(outcome(ping(h1, "10.0.0.2"))).toBe("connected");
    h2.kernel.remove();
    expect([...lab.network.kernels.keys()]).toEqual(["h1"]);
    expect(lab.segment.nics.size).toBe(1);
    expect(outcome(ping(h1, "10.0.0.2"))).toBe("timeout, NO_PEER in h1");
    expect(new Kernel(lab.network, "h2").initNs.devices.map((d) => d.name)).toEqual(["lo"]);
  });
});

describe("sysctls", () => {
  test.each([
    ["net.ipv4.ip_forward", "0"],
    ["net/ipv4/ip_forward", "0"],
    ["net.ipv4.conf.all.rp_filter", "0"],
    ["net.ipv4.conf.flannel.1.forwarding", "0"],
    ["net.ipv4.conf.flannel/1.forwarding", "0"],
    ["net/ipv4/conf/flannel.1/forwarding", "0"],
    ["net.ipv6.conf.default.hop_limit", "64"],
    ["net.ipv4.ip_local_port_range", "32768\t60999"],
    ["net.netfilter.nf_conntrack_udp_timeout", "30"],
  ])("%s is %j", (path, expected) => {
    const [a] = new Lab().machine("a");
    new Bridge(a, { name: "flannel.1" });
    expect(a.sysctl.getText(path)).toBe(expected);
  });

  test.each([
    ["net.ipv4.no_such_thing", "1", "ENOENT"],
    ["net.ipv4.conf.eth7.rp_filter", "1", "ENOENT"],
    ["net.ipv4.conf.all.no_such_thing", "1", "ENOENT"],
    ["net.ipv4.ip_forward", "yes", "EINVAL"],
    ["net.ipv4.ip_forward", "", "EINVAL"],
    ["net.ipv4.ip_forward", "1.5", "EINVAL"],
  ])("%s = %j: %s", (path, value, errno) => {
    const [a] = new Lab().machine("a");
    expect(() => a.sysctl.set(path, value)).toThrow(errno);
  });

  // inet_forward_change
  test("ip_forward is every device's forwarding, and that of devices to come", () => {
    const [a, b] = new Lab().machine("a", "b");
    const [x] = cable(a, "x", b, "y");
    a.sysctl.set("net.ipv4.ip_forward", 1);
    const [later] = cable(a, "later", b, "z");
    expect([x.conf4.forwarding, later.conf4.forwarding]).toEqual([1, 1]);
    expect(a.sysctl.get("net.ipv4.conf.all.forwarding")).toBe(1);
    expect([b.sysctl.get("net.ipv4.ip_forward"), b.device("y").conf4.forwarding]).toEqual([0, 0]);
  });

  test("a value of one device is its own", () => {
    const [a, b] = new Lab().machine("a", "b");
    const [x] = cable(a, "x", b, "y");
    const [other] = cable(a, "other", b, "z");
    a.sysctl.set("net.ipv4.conf.x.rp_filter", 2);
    expect([
      x.conf4.rp_filter,
      other.conf4.rp_filter,
      a.sysctl.get("net.ipv4.conf.all.rp_filter"),
    ]).toEqual([2, 0, 0]);
  });

  // devconf_inherit_init_net = 0: IPv4 is as in the initial namespace, IPv6 as at boot
  test("a new namespace starts with the initial one's IPv4 `all` and `default`", () => {
    const h = new Lab().host("h");
    h.sysctl.set("net.ipv4.ip_forward", 1);
    h.sysctl.set("net.ipv6.conf.all.forwarding", 1);
    const { sysctl } = h.kernel.addNamespace("n");
    expect([sysctl.get("net.ipv4.ip_forward"), sysctl.get("net.ipv6.conf.all.forwarding")]).toEqual(
      [1, 0],
    );
  });

  test("disable_ipv6 takes addresses away and gives the link-local one back", () => {
    const [a, b] = new Lab().machine("a", "b");
    const [x] = cable(a, "x", b, "y");
    up(x, "fd00::1/64");
    a.sysctl.set("net.ipv6.conf.all.disable_ipv6", 1);
    expect(x.addresses).toEqual([]);
    expect(() => up(x, "fd00::1/64")).toThrow("EACCES");
    a.sysctl.set("net.ipv6.conf.x.disable_ipv6", 0);
    expect(x.addresses.map((each) => String(each.address).slice(0, 4))).toEqual(["fe80"]);
  });

  test("lists what it has, sorted", () => {
    const [a] = new Lab().machine("a");
    const paths = a.sysctl.entries().map(([path]) => path);
    expect(paths).toEqual([...paths].sort());
    expect(paths).toContain("net/ipv4/conf/lo/rp_filter");
  });
});

describe("hooks", () => {
  test("are met in the order of their priority, the newest first where that is equal", () => {
    const [a] = new Lab().machine("a");
    const met: string[] = [];
    for (const [name, priority] of [
      ["late", 100],
      ["first", -300],
      ["one", 0],
      ["two", 0],
    ] as const) {
      a.netfilter.register(NFPROTO_IPV4, 3, {
        name,
        priority,
        run: () => {
          met.push(name);
          return NF_ACCEPT;
        },
      });
    }
    ping(a, "127.0.0.1");
    expect(met.slice(0, 4)).toEqual(["first", "two", "one", "late"]);
  });

  test("a packet may wait at one, and goes on behind it", () => {
    const [a, b] = new Lab().machine("a", "b");
    const [x, y] = cable(a, "x", b, "y");
    up(x, "10.0.0.1/24");
    up(y, "10.0.0.2/24");
    let waits = true;
    const met: string[] = [];
    b.netfilter.register(NFPROTO_IPV4, 1, {
      name: "queue",
      priority: 0,
      run: () => (waits ? NF_QUEUE : NF_ACCEPT),
    });
    b.netfilter.register(NFPROTO_IPV4, 1, {
      name: "behind",
      priority: 1,
      run: () => {
        met.push("behind");
        return NF_ACCEPT;
      },
    });
    expect(outcome(ping(a, "10.0.0.2"))).toBe("timeout");
    waits = false;
    const [queued] = b.netfilter.queued;
    if (queued === undefined) throw new Error("nothing waits");
    const answers = y.txPackets;
    b.netfilter.reinject(queued);
    b.network.run();
    expect([met, b.netfilter.queued, y.txPackets - answers]).toEqual([["behind"], [], 1]);
    b.netfilter.reinject(queued);
    expect(met).toEqual(["behind"]);
  });
});

// Whatever is done in whatever order: the same network comes out, or at least one that works.
test("the order in which a network is put together does not matter", () => {
  const build = (order: number[]) => {
    const lab = new Lab();
    const [host, a, b] = lab.machine("host", "a", "b");
    const bridge = new Bridge(host, { name: "cni0", mac: 0x0200000000bb });
    const [pa, ea] = cable(host, "va", a, "eth0");
    const [pb, eb] = cable(host, "vb", b, "eth0");
    const todo = [
      () => bridge.setUp(),
      () => bridge.addAddress(parseIp("10.244.0.1"), 24),
      () => pa.setMaster(bridge),
      () => pb.setMaster(bridge),
      () => ea.addAddress(parseIp("10.244.0.2"), 24),
      () => eb.addAddress(parseIp("10.244.0.3"), 24),
      () => ea.setDown(),
      () => eb.setMtu(1400),
      () => pb.setMtu(1400),
      () => host.sysctl.set("net.ipv4.ip_forward", 1),
    ];
    for (const i of order) todo[i]?.();
    ea.setUp();
    routes(a, "0.0.0.0/0 via 10.244.0.1");
    serve(b, 80);
    return [
      outcome(ping(a, "10.244.0.1")),
      outcome(connect(a, "10.244.0.3", 80)),
      showRoutes(host),
      showRoutes(a),
      bridge.mtu,
      bridge.carrier,
    ];
  };
  const straight = build([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(straight.slice(0, 2)).toEqual(["connected", "connected"]);
  const random = new Lab(7).network.random;
  for (let run = 0; run < 200; run++) {
    const order = Array.from({ length: 10 }, (_, i) => [random.uint32(), i] as const)
      .sort(([x], [y]) => x - y)
      .map(([, i]) => i);
    expect(build(order)).toEqual(straight);
  }
});
