import { formatIp, type IpAddress, parseIp, parsePrefix } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cable, Lab, routeSpec, routes, rule, showRoutes, up } from "../../test/lab.ts";
import { Dummy } from "../device/dummy.ts";
import { Veth } from "../device/veth.ts";
import { routeOutput } from "../ip/route-output.ts";
import type { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { type RouteCommand, RouteLayer } from "./fib-table.ts";

// kernel net/ipv4/fib_trie.c, fib_semantics.c, fib_rules.c, fib_frontend.c; net/ipv6/route.c, ip6_fib.c

/** A machine with eth0 (10.0.0.1/24, fd00::1/64) and eth1 (10.1.0.1/24, fd01::1/64), and what is behind both. */
function twoLinks(): { netns: NetNamespace } {
  const [netns, peer] = new Lab().machine("a", "b");
  for (const [i, name] of ["eth0", "eth1"].entries()) {
    const [dev] = cable(netns, name, peer, `p${i}`);
    up(dev, `10.${i}.0.1/24`, `fd0${i}::1/64`);
  }
  return { netns };
}

interface Asked {
  readonly srcPort?: number;
  readonly src?: string;
  readonly mark?: number;
  readonly protocol?: number;
  readonly dstPort?: number;
}

/** `ip route get TO`: device and gateway, or the error. */
function routeGet(netns: NetNamespace, to: string, { src, ...more }: Asked = {}): string {
  const result = routeOutput(netns, {
    dst: parseIp(to),
    src: src === undefined ? undefined : parseIp(src),
    ...more,
  });
  if (typeof result === "string") return result;
  const { dev, gateway } = result.dst;
  return gateway === undefined ? dev.name : `${dev.name} via ${formatIp(gateway)}`;
}

describe("the route that is taken", () => {
  const TABLE = [
    "0.0.0.0/0 via 10.0.0.254",
    "10.2.0.0/16 via 10.0.0.2",
    "10.2.3.0/24 via 10.1.0.3",
    "10.2.3.4/32 via 10.1.0.4",
    "10.3.0.0/16 via 10.0.0.3 metric 100",
    "10.3.0.0/16 via 10.1.0.3 metric 50",
    "blackhole 10.4.0.0/16",
    "unreachable 10.5.0.0/16",
    "prohibit 10.6.0.0/16",
    "throw 10.7.0.0/16",
    "10.4.1.0/24 via 10.1.0.5",
    "192.0.2.0/24 via 192.0.2.1 dev eth1 onlink",
    "local 10.8.0.0/16 dev lo",
    "::/0 via fd00::254",
    "fd02::/16 via fd00::2",
    "fd02:3::/32 via fd01::3",
    "fd03::/16 via fd00::3",
    "fd03::/16 via fd01::3 metric 50",
    "blackhole fd04::/16",
    "unreachable fd05::/16",
    "prohibit fd06::/16",
    "throw fd07::/16",
  ];

  test.each([
    ["10.0.0.9", "eth0"],
    ["10.1.0.9", "eth1"],
    ["10.0.0.1", "lo"],
    ["127.1.2.3", "lo"],
    ["8.8.8.8", "eth0 via 10.0.0.254"],
    ["10.2.9.9", "eth0 via 10.0.0.2"],
    ["10.2.3.9", "eth1 via 10.1.0.3"],
    ["10.2.3.4", "eth1 via 10.1.0.4"],
    ["10.3.0.1", "eth1 via 10.1.0.3"],
    ["10.4.0.1", "EINVAL"],
    ["10.4.1.1", "eth1 via 10.1.0.5"],
    ["10.5.0.1", "EHOSTUNREACH"],
    ["10.6.0.1", "EACCES"],
    ["10.7.0.1", "ENETUNREACH"], // throw ends the table: not even its default route counts
    ["192.0.2.77", "eth1 via 192.0.2.1"],
    ["10.8.1.1", "lo"],
    ["0.1.2.3", "EINVAL"],
    ["fd00::9", "eth0"],
    ["fd00::1", "lo"],
    ["2001:db8::1", "eth0 via fd00::254"],
    ["fd02::1", "eth0 via fd00::2"],
    ["fd02:3::1", "eth1 via fd01::3"],
    ["fd03::1", "eth1 via fd01::3"],
    ["fd04::1", "EINVAL"],
    ["fd05::1", "EHOSTUNREACH"],
    ["fd06::1", "EACCES"],
    ["fd07::1", "ENETUNREACH"],
  ])("to %s: %s", (to, expected) => {
    const { netns } = twoLinks();
    routes(netns, ...TABLE);
    expect(routeGet(netns, to)).toBe(expected);
  });

  test.each([
    ["10.9.9.9", "ENETUNREACH"],
    ["fd09::9", "ENETUNREACH"],
  ])("to %s, with no default route: %s", (to, expected) => {
    expect(routeGet(twoLinks().netns, to)).toBe(expected);
  });
});

describe("routing rules", () => {
  const SETUP = [
    "0.0.0.0/0 via 10.0.0.254",
    "0.0.0.0/0 via 10.1.0.100 table 100",
    "10.2.0.0/16 via 10.1.0.2 table 100",
    "blackhole 0.0.0.0/0 table 101",
  ];

  test.each<[string, string[], string, Asked, string]>([
    [
      "from, matching",
      ["priority 10 from 10.1.0.0/24 lookup 100"],
      "8.8.8.8",
      { src: "10.1.0.1" },
      "eth1 via 10.1.0.100",
    ],
    [
      "from, another",
      ["priority 10 from 10.1.0.0/24 lookup 100"],
      "8.8.8.8",
      { src: "10.0.0.1" },
      "eth0 via 10.0.0.254",
    ],
    [
      "from, none chosen yet",
      ["priority 10 from 10.1.0.0/24 lookup 100"],
      "8.8.8.8",
      {},
      "eth0 via 10.0.0.254",
    ],
    ["to", ["priority 10 to 10.2.0.0/16 lookup 100"], "10.2.0.1", {}, "eth1 via 10.1.0.2"],
    [
      "fwmark",
      ["priority 10 fwmark 0x4000/0x4000 lookup 100"],
      "8.8.8.8",
      { mark: 0x4001 },
      "eth1 via 10.1.0.100",
    ],
    [
      "fwmark, not set",
      ["priority 10 fwmark 0x4000/0x4000 lookup 100"],
      "8.8.8.8",
      { mark: 1 },
      "eth0 via 10.0.0.254",
    ],
    [
      "fwmark, whole",
      ["priority 10 fwmark 0x4000 lookup 100"],
      "8.8.8.8",
      { mark: 0x4001 },
      "eth0 via 10.0.0.254",
    ],
    [
      "not",
      ["priority 10 not fwmark 0x1/0x1 lookup 100"],
      "8.8.8.8",
      { mark: 2 },
      "eth1 via 10.1.0.100",
    ],
    [
      "iif lo is what the machine sends",
      ["priority 10 iif lo lookup 100"],
      "8.8.8.8",
      {},
      "eth1 via 10.1.0.100",
    ],
    ["iif of another", ["priority 10 iif eth0 lookup 100"], "8.8.8.8", {}, "eth0 via 10.0.0.254"],
    [
      "ipproto and dport",
      ["priority 10 ipproto 6 dport 80 lookup 100"],
      "8.8.8.8",
      { protocol: 6, dstPort: 80 },
      "eth1 via 10.1.0.100",
    ],
    [
      "another dport",
      ["priority 10 ipproto 6 dport 80 lookup 100"],
      "8.8.8.8",
      { protocol: 6, dstPort: 81 },
      "eth0 via 10.0.0.254",
    ],
    [
      "lower priority first",
      ["priority 20 lookup 254", "priority 10 lookup 100"],
      "8.8.8.8",
      {},
      "eth1 via 10.1.0.100",
    ],
    [
      "equal priority: the older first",
      ["priority 10 lookup 254", "priority 10 lookup 100"],
      "8.8.8.8",
      {},
      "eth0 via 10.0.0.254",
    ],
    ["an empty table", ["priority 10 lookup 77"], "8.8.8.8", {}, "eth0 via 10.0.0.254"],
    [
      "behind main nothing is asked",
      ["priority 40000 lookup 100"],
      "10.2.0.1",
      {},
      "eth0 via 10.0.0.254",
    ],
    ["before local nothing can be", ["priority 10 lookup 100"], "10.0.0.1", {}, "lo"],
    // As wg-quick and Calico use it: all but the default route
    [
      "suppress_prefixlength, default only",
      ["priority 10 lookup 254 suppress_prefixlength 0", "priority 20 lookup 100"],
      "8.8.8.8",
      {},
      "eth1 via 10.1.0.100",
    ],
    [
      "suppress_prefixlength, a longer one",
      ["priority 10 lookup 254 suppress_prefixlength 0", "priority 20 lookup 100"],
      "10.0.0.9",
      {},
      "eth0",
    ],
    // fib_rules_lookup: only a way that was found is suppressed
    [
      "suppress_prefixlength, a default route that refuses",
      ["priority 10 lookup 101 suppress_prefixlength 0", "priority 20 lookup 100"],
      "8.8.8.8",
      {},
      "EINVAL",
    ],
    ["blackhole", ["priority 10 to 10.2.0.0/16 blackhole"], "10.2.0.1", {}, "EINVAL"],
    ["unreachable", ["priority 10 to 10.2.0.0/16 unreachable"], "10.2.0.1", {}, "ENETUNREACH"],
    ["prohibit", ["priority 10 to 10.2.0.0/16 prohibit"], "10.2.0.1", {}, "EACCES"],
    ["nop", ["priority 10 nop"], "8.8.8.8", {}, "eth0 via 10.0.0.254"],
    [
      "goto",
      ["priority 10 goto 30", "priority 20 blackhole", "priority 30 lookup 100"],
      "8.8.8.8",
      {},
      "eth1 via 10.1.0.100",
    ],
  ])("%s", (_, rules, to, asked, expected) => {
    const { netns } = twoLinks();
    routes(netns, ...SETUP);
    for (const text of rules) rule(netns, text);
    expect(routeGet(netns, to, asked)).toBe(expected);
  });

  test("throw in a table goes on with the next rule", () => {
    const { netns } = twoLinks();
    routes(netns, ...SETUP, "throw 8.8.8.0/24 table 100");
    rule(netns, "priority 10 lookup 100");
    expect(routeGet(netns, "8.8.8.8")).toBe("eth0 via 10.0.0.254");
    expect(routeGet(netns, "9.9.9.9")).toBe("eth1 via 10.1.0.100");
  });

  test("IPv6 has rules of its own", () => {
    const { netns } = twoLinks();
    routes(netns, "::/0 via fd00::254", "::/0 via fd01::100 table 100");
    rule(netns, "priority 10 fwmark 1 lookup 100", 6);
    expect(routeGet(netns, "2001:db8::1", { mark: 1 })).toBe("eth1 via fd01::100");
    expect(routeGet(netns, "2001:db8::1")).toBe("eth0 via fd00::254");
    expect(netns.fib6.rules.map((r) => r.priority)).toEqual([0, 10, 32766]);
    expect(netns.fib4.rules.map((r) => r.priority)).toEqual([0, 32766, 32767]);
  });

  test("are added once, and deleted one by one", () => {
    const { netns } = twoLinks();
    rule(netns, "priority 10 lookup 100");
    expect(() => rule(netns, "priority 10 lookup 100")).toThrow("EEXIST");
    netns.fib4.deleteRule((r) => r.priority === 10);
    expect(() => netns.fib4.deleteRule((r) => r.priority === 10)).toThrow("ENOENT");
  });
});

describe("a route that cannot be", () => {
  test.each([
    ["10.9.0.0/16 via 10.7.7.7", "ENETUNREACH"],
    ["10.9.0.0/16 via 10.0.0.2 dev eth1", "ENETUNREACH"],
    ["10.9.0.0/16 via 10.7.7.7 dev eth1 onlink", undefined],
    ["10.9.0.0/16 via 10.0.0.1 dev eth0 onlink", "EINVAL"],
    ["10.9.0.0/16 via 10.0.0.2 src 10.0.0.77", "EINVAL"],
    ["10.9.0.0/16 via 10.0.0.2 src 10.1.0.1", undefined],
    ["10.9.0.0/16", "ENODEV"],
    ["10.9.0.0/16 dev down0", "ENETDOWN"],
    ["10.9.0.0/16 via 10.8.0.9", "ENETUNREACH"],
    ["fd09::/64 via fd07::7", "EHOSTUNREACH"],
    ["fd09::/64 via fe80::7 dev eth0", undefined],
    ["fd09::/64 dev down0", "ENETDOWN"],
  ])("%s: %s", (text, errno) => {
    const { netns } = twoLinks();
    new Dummy(netns, { name: "down0" });
    routes(netns, "10.8.0.0/16 via 10.0.0.8");
    const add = () => netns.addRoute(routeSpec(netns, text));
    if (errno === undefined) expect(add).not.toThrow();
    else expect(add).toThrow(expect.objectContaining({ errno } as Partial<KernelError>));
  });
});

// ip route add | replace | append | prepend | change to a prefix that has a route
describe("commands", () => {
  test.each<[RouteCommand, string, string | string[]]>([
    ["add", "10.9.0.0/16 via 10.1.0.2", "EEXIST"],
    ["add", "10.9.0.0/16 via 10.0.0.2", "EEXIST"],
    [
      "add",
      "10.9.0.0/16 via 10.1.0.2 metric 5",
      ["via 10.0.0.2 dev eth0", "via 10.1.0.2 dev eth1 metric 5"],
    ],
    ["replace", "10.9.0.0/16 via 10.1.0.2", ["via 10.1.0.2 dev eth1"]],
    [
      "replace",
      "10.9.0.0/16 via 10.1.0.2 metric 5",
      ["via 10.0.0.2 dev eth0", "via 10.1.0.2 dev eth1 metric 5"],
    ],
    ["append", "10.9.0.0/16 via 10.1.0.2", ["via 10.0.0.2 dev eth0", "via 10.1.0.2 dev eth1"]],
    ["append", "10.9.0.0/16 via 10.0.0.2", "EEXIST"],
    ["prepend", "10.9.0.0/16 via 10.1.0.2", ["via 10.1.0.2 dev eth1", "via 10.0.0.2 dev eth0"]],
    ["change", "10.9.0.0/16 via 10.1.0.2", ["via 10.1.0.2 dev eth1"]],
    ["change", "10.9.0.0/16 via 10.1.0.2 metric 5", "ENOENT"],
  ])("%s %s", (command, text, expected) => {
    const { netns } = twoLinks();
    routes(netns, "10.9.0.0/16 via 10.0.0.2");
    const run = () => netns.addRoute(routeSpec(netns, text), command);
    if (typeof expected === "string") {
      expect(run).toThrow(expect.objectContaining({ errno: expected } as Partial<KernelError>));
      return;
    }
    run();
    const left = showRoutes(netns).filter((line) => line.startsWith("10.9."));
    expect(left).toEqual(expected.map((way) => `10.9.0.0/16 ${way}`));
  });

  test.each<[RouteCommand, string, string | string[]]>([
    ["add", "fd09::/64 via fd01::2", "EEXIST"],
    [
      "add",
      "fd09::/64 via fd01::2 metric 5",
      ["via fd01::2 dev eth1 metric 5", "via fd00::2 dev eth0 metric 1024"],
    ],
    ["replace", "fd09::/64 via fd01::2", ["via fd01::2 dev eth1 metric 1024"]],
    // IPv6 joins routes with gateways of one metric to one with two ways.
    ["append", "fd09::/64 via fd01::2", ["via fd00::2 dev eth0, via fd01::2 dev eth1 metric 1024"]],
  ])("IPv6: %s %s", (command, text, expected) => {
    const { netns } = twoLinks();
    routes(netns, "fd09::/64 via fd00::2");
    const run = () => netns.addRoute(routeSpec(netns, text), command);
    if (typeof expected === "string") {
      expect(run).toThrow(expect.objectContaining({ errno: expected } as Partial<KernelError>));
      return;
    }
    run();
    const left = showRoutes(netns, 6).filter((line) => line.startsWith("fd09:"));
    expect(left).toEqual(expected.map((way) => `fd09::/64 ${way}`));
  });

  test.each([
    ["10.9.0.0/16", ["via 10.1.0.2 dev eth1 metric 5"]],
    ["10.9.0.0/16 metric 5", ["via 10.0.0.2 dev eth0"]],
    ["10.9.0.0/16 via 10.1.0.2", ["via 10.0.0.2 dev eth0"]],
    ["10.9.0.0/16 dev eth1", ["via 10.0.0.2 dev eth0"]],
    ["10.9.0.0/16 via 10.0.0.3", "ESRCH"],
    ["10.9.0.0/17", "ESRCH"],
    ["blackhole 10.9.0.0/16", "ESRCH"],
    ["10.9.0.0/16 table 100", "ESRCH"],
  ])("delete %s", (text, expected) => {
    const { netns } = twoLinks();
    routes(netns, "10.9.0.0/16 via 10.0.0.2", "10.9.0.0/16 via 10.1.0.2 metric 5");
    const spec = routeSpec(netns, text);
    if (typeof expected === "string") {
      expect(() => netns.deleteRoute(spec)).toThrow(expected);
      return;
    }
    netns.deleteRoute(spec);
    const left = showRoutes(netns).filter((line) => line.startsWith("10.9."));
    expect(left).toEqual(expected.map((way) => `10.9.0.0/16 ${way}`));
  });
});

describe("several ways", () => {
  const spread = (netns: NetNamespace) => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 1_000; i++) {
      const way = routeGet(netns, formatIp((0x0a090000 + i) as IpAddress));
      counts.set(way, (counts.get(way) ?? 0) + 1);
    }
    return counts;
  };

  test("share the flows by weight, one flow always by the same", () => {
    const { netns } = twoLinks();
    routes(netns, "10.9.0.0/16 nexthop via 10.0.0.2 weight 1 nexthop via 10.1.0.2 weight 3");
    const counts = spread(netns);
    expect(counts.get("eth0 via 10.0.0.2")).toBeGreaterThan(200);
    expect(counts.get("eth0 via 10.0.0.2")).toBeLessThan(300);
    expect(spread(netns)).toEqual(counts);
  });

  test("are one fewer while a device is down", () => {
    const { netns } = twoLinks();
    routes(netns, "10.9.0.0/16 nexthop via 10.0.0.2 nexthop via 10.1.0.2");
    netns.device("eth1").setDown();
    expect([...spread(netns).keys()]).toEqual(["eth0 via 10.0.0.2"]);
    expect(showRoutes(netns)).toContain(
      "10.9.0.0/16 via 10.0.0.2 dev eth0, via 10.1.0.2 dev eth1 dead",
    );
    netns.device("eth1").setUp();
    expect(spread(netns).size).toBe(2);
    netns.device("eth0").setDown();
    netns.device("eth1").setDown();
    expect(showRoutes(netns)).toEqual([]);
  });
});

describe("addresses bring and take routes", () => {
  const local = (netns: NetNamespace) =>
    showRoutes(netns, 4, 255).filter((line) => !line.includes("dev lo"));

  test("of an IPv4 network (fib_add_ifaddr)", () => {
    const [netns, peer] = new Lab().machine("a", "b");
    const [eth0] = cable(netns, "eth0", peer, "p");
    up(eth0, "10.0.0.1/24");
    expect(showRoutes(netns)).toEqual(["10.0.0.0/24 dev eth0"]);
    expect(local(netns)).toEqual([
      "local 10.0.0.1/32 dev eth0",
      "broadcast 10.0.0.255/32 dev eth0",
    ]);
    eth0.removeAddress(parseIp("10.0.0.1"));
    expect([...showRoutes(netns), ...local(netns)]).toEqual([]);
  });

  test.each([
    ["10.0.0.1/32", [], ["local 10.0.0.1/32 dev eth0"]],
    ["10.0.0.1/31", ["10.0.0.0/31 dev eth0"], ["local 10.0.0.1/32 dev eth0"]],
    [
      "10.0.0.1/30",
      ["10.0.0.0/30 dev eth0"],
      ["local 10.0.0.1/32 dev eth0", "broadcast 10.0.0.3/32 dev eth0"],
    ],
  ])("%s", (address, main, inLocal) => {
    const [netns, peer] = new Lab().machine("a", "b");
    const [eth0] = cable(netns, "eth0", peer, "p");
    up(eth0, address);
    expect(showRoutes(netns)).toEqual(main);
    expect(local(netns)).toEqual(inLocal);
  });

  test("IPv6 addresses of a device that is down are local, unless they wait for duplicate detection (Linux 6.1)", () => {
    const [netns] = new Lab().machine("a");
    new Dummy(netns, { name: "kube-ipvs0" }).addAddress(parseIp("fd00:96::1"), 64);
    const [va] = Veth.pair(netns, { name: "va" }, netns, { name: "vb" });
    va.addAddress(parseIp("fd00:98::1"), 64);
    va.addAddress(parseIp("fd00:99::1"), 64, { nodad: true });
    const others = (table?: number) =>
      showRoutes(netns, 6, table).filter((line) => !line.includes("dev lo"));
    expect(others(255)).toEqual([
      "local fd00:96::1/128 dev kube-ipvs0",
      "local fd00:99::1/128 dev va",
    ]);
    expect(others()).toEqual([]);
  });

  test("secondary addresses go with the first of their network, or follow it", () => {
    const outcomes = [false, true].map((promote) => {
      const { netns } = twoLinks();
      const eth0 = netns.device("eth0");
      if (promote) netns.sysctl.set("net/ipv4/conf/eth0/promote_secondaries", "1");
      eth0.addAddress(parseIp("10.0.0.2"), 24);
      expect(eth0.addressesOf(4).map((a) => a.secondary)).toEqual([false, true]);
      eth0.removeAddress(parseIp("10.0.0.1"));
      return [eth0.addressesOf(4).map((a) => formatIp(a.address)), showRoutes(netns)];
    });
    expect(outcomes).toEqual([
      [[], ["10.1.0.0/24 dev eth1"]],
      [["10.0.0.2"], ["10.0.0.0/24 dev eth0", "10.1.0.0/24 dev eth1"]],
    ]);
  });

  test("the last IPv4 address takes all routes of the device along", () => {
    const { netns } = twoLinks();
    routes(netns, "10.9.0.0/16 via 10.0.0.2", "10.8.0.0/16 via 10.1.0.2");
    netns.device("eth0").removeAddress(parseIp("10.0.0.1"));
    expect(showRoutes(netns)).toEqual([
      "10.1.0.0/24 dev eth1",
      "10.8.0.0/16 via 10.1.0.2 dev eth1",
    ]);
  });

  // fib_sync_down_addr
  test("an address takes along routes that were to send from it", () => {
    const { netns } = twoLinks();
    routes(netns, "10.9.0.0/16 via 10.1.0.2 src 10.0.0.1");
    netns.device("eth0").removeAddress(parseIp("10.0.0.1"));
    expect(showRoutes(netns)).toEqual(["10.1.0.0/24 dev eth1"]);
  });

  const LO = [
    "local 127.0.0.0/8 dev lo",
    "local 127.0.0.1/32 dev lo",
    "broadcast 127.255.255.255/32 dev lo",
  ];
  const deleteNetwork = (netns: NetNamespace) =>
    netns.deleteRoute({ dst: parsePrefix("127.0.0.0/8"), table: 255, type: "local" });

  // What lo's address brings is made late: whatever comes first must find it.
  test.each<[string, (netns: NetNamespace) => void, string[]]>([
    ["nothing", () => {}, LO],
    ["a lookup", (netns) => expect(routeGet(netns, "127.1.2.3")).toBe("lo"), LO],
    ["lo going down", ({ loopback }) => loopback.setDown(), LO.slice(0, 2)],
    ["lo going down and up", ({ loopback }) => [loopback.setDown(), loopback.setUp()], LO],
    ["the network's deletion", deleteNetwork, LO.slice(1)],
    ["the address's removal", ({ loopback }) => loopback.removeAddress(parseIp("127.0.0.1")), []],
    [
      "another address in it",
      ({ loopback }) => loopback.addAddress(parseIp("127.0.0.2"), 8),
      [...LO.slice(0, 2), "local 127.0.0.2/32 dev lo", ...LO.slice(2)],
    ],
    [
      "a route to the same network",
      (netns) => {
        const route = { dst: parsePrefix("127.0.0.0/8"), table: 255, dev: netns.loopback };
        expect(() => netns.addRoute({ ...route, type: "local" })).toThrow("EEXIST");
      },
      LO,
    ],
  ])("of lo, behind %s", (_, first, expected) => {
    const [netns] = new Lab().machine("a");
    first(netns);
    expect(showRoutes(netns, 4, 255)).toEqual(expected);
  });

  test("IPv4 survives a device that goes down, its other routes and IPv6 do not", () => {
    const { netns } = twoLinks();
    const eth0 = netns.device("eth0");
    routes(netns, "10.9.0.0/16 via 10.0.0.2", "fd09::/64 via fd00::2");
    eth0.setDown();
    expect(routeGet(netns, "10.0.0.1")).toBe("lo");
    expect(showRoutes(netns)).toEqual(["10.1.0.0/24 dev eth1"]);
    expect(eth0.addresses.map((a) => formatIp(a.address))).toEqual(["10.0.0.1"]);
    eth0.setUp();
    expect(showRoutes(netns)).toEqual(["10.0.0.0/24 dev eth0", "10.1.0.0/24 dev eth1"]);
    expect(eth0.addressesOf(6).map((a) => a.scope)).toEqual([253]);
  });

  test("noPrefixRoute brings no route to the network", () => {
    const { netns } = twoLinks();
    const eth0 = netns.device("eth0");
    eth0.addAddress(parseIp("10.5.0.1"), 24, { noPrefixRoute: true });
    eth0.addAddress(parseIp("fd05::1"), 64, { noPrefixRoute: true });
    expect([routeGet(netns, "10.5.0.2"), routeGet(netns, "fd05::2")]).toEqual([
      "ENETUNREACH",
      "ENETUNREACH",
    ]);
    expect([routeGet(netns, "10.5.0.1"), routeGet(netns, "fd05::1")]).toEqual(["lo", "lo"]);
  });

  test.each([
    ["10.0.0.1/24", "EEXIST"],
    ["10.0.0.1/16", undefined],
    ["fd00::1/64", "EEXIST"],
    ["fd00::1/48", "EEXIST"],
  ])("%s on a device that has 10.0.0.1/24 and fd00::1/64: %s", (text, errno) => {
    const { netns } = twoLinks();
    const add = () => up(netns.device("eth0"), text);
    if (errno === undefined) expect(add).not.toThrow();
    else expect(add).toThrow(errno);
  });
});

describe("a layer of routes that machines share", () => {
  const layered = (without: string[] = []) => {
    const { netns } = twoLinks();
    const layer = new RouteLayer(
      ["10.244.1.0/24", "10.244.2.0/24"].map((text) => ({
        prefix: parsePrefix(text),
        gateway: parseIp(text.replace("0/24", "0")),
        onlink: true,
      })),
    );
    netns.fib4.main.setLayer(netns.device("eth1"), layer, "static", without.map(parsePrefix));
    return { netns, layer };
  };

  test("counts like routes of one's own, which come first where they are longer or equal", () => {
    const { netns } = layered(["10.244.1.0/24"]);
    expect(routeGet(netns, "10.244.2.9")).toBe("eth1 via 10.244.2.0");
    expect(routeGet(netns, "10.244.1.9")).toBe("ENETUNREACH");
    routes(
      netns,
      "0.0.0.0/0 via 10.0.0.254",
      "10.244.2.128/25 via 10.0.0.2",
      "10.244.0.0/16 via 10.0.0.3",
    );
    expect(routeGet(netns, "10.244.2.9")).toBe("eth1 via 10.244.2.0");
    expect(routeGet(netns, "10.244.2.129")).toBe("eth0 via 10.0.0.2");
    expect(routeGet(netns, "10.244.1.9")).toBe("eth0 via 10.0.0.3");
    expect(showRoutes(netns)).toEqual([
      "0.0.0.0/0 via 10.0.0.254 dev eth0",
      "10.0.0.0/24 dev eth0",
      "10.1.0.0/24 dev eth1",
      "10.244.0.0/16 via 10.0.0.3 dev eth0",
      "10.244.2.0/24 via 10.244.2.0 dev eth1",
      "10.244.2.128/25 via 10.0.0.2 dev eth0",
    ]);
  });

  test("loses a route here that stays elsewhere", () => {
    const { netns, layer } = layered();
    netns.deleteRoute(routeSpec(netns, "10.244.1.0/24 dev eth1"));
    expect(routeGet(netns, "10.244.1.9")).toBe("ENETUNREACH");
    expect(netns.fib4.main.layerOf(netns.device("eth1"), "static")?.without).toEqual(
      new Set(["10.244.1.0/24"]),
    );
    expect(layer.size).toBe(2);
  });

  test("goes with its device", () => {
    const { netns } = layered();
    netns.device("eth1").setDown();
    expect(routeGet(netns, "10.244.2.9")).toBe("ENETUNREACH");
  });

  test("has others of the same device beside it, by who made them", () => {
    const { netns } = layered();
    const eth1 = netns.device("eth1");
    const of = (text: string) =>
      new RouteLayer([{ prefix: parsePrefix(text), gateway: parseIp("10.1.0.2"), onlink: true }]);
    netns.fib4.main.setLayer(eth1, of("10.244.3.0/24"), 80, [], 1400);
    netns.fib4.main.setLayer(eth1, of("10.244.4.0/24"), 80, [], 1400);
    expect(routeGet(netns, "10.244.1.9")).toBe("eth1 via 10.244.1.0");
    expect(routeGet(netns, "10.244.3.9")).toBe("ENETUNREACH");
    expect(netns.fib4.main.routesTo(parsePrefix("10.244.4.0/24"))[0]).toMatchObject({
      protocol: 80,
      mtu: 1400,
    });
    netns.fib4.main.setLayer(eth1, undefined, 80);
    expect(routeGet(netns, "10.244.4.9")).toBe("ENETUNREACH");
    expect(routeGet(netns, "10.244.2.9")).toBe("eth1 via 10.244.2.0");
  });
});

// A table answers as one that asks every prefix would, whatever was added and deleted before.
test("the longest prefix with the lowest metric wins", () => {
  const entry = fc.record({
    net: fc.nat(7),
    length: fc.integer({ min: 8, max: 32 }),
    metric: fc.nat(2),
    way: fc.constantFrom("10.0.0.2", "10.1.0.2"),
    gone: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 30 }), fc.nat(0xffffff), (entries, low) => {
      const { netns } = twoLinks();
      const kept = new Map<
        string,
        { prefix: ReturnType<typeof parsePrefix>; metric: number; way: string }
      >();
      for (const { net, length, metric, way, gone } of entries) {
        const prefix = parsePrefix(`${20 + net}.${net * 32}.${net * 16}.${net}/${length}`);
        const text = `${prefix} via ${way}${metric === 0 ? "" : ` metric ${metric}`}`;
        const key = `${prefix} ${metric}`;
        if (kept.has(key) && gone) {
          netns.deleteRoute({ dst: prefix, metric });
          kept.delete(key);
        } else if (!gone) {
          netns.addRoute(routeSpec(netns, text), "replace");
          kept.set(key, { prefix, metric, way });
        }
      }
      const address = 0x14000000 + low;
      const [best] = [...kept.values()]
        .filter((r) => r.prefix.contains(address))
        .sort((x, y) => y.prefix.length - x.prefix.length || x.metric - y.metric);
      const expected =
        best === undefined
          ? "ENETUNREACH"
          : `${best.way === "10.0.0.2" ? "eth0" : "eth1"} via ${best.way}`;
      expect(routeGet(netns, formatIp(address))).toBe(expected);
    }),
    { numRuns: 200 },
  );
});

describe("fib_multipath_hash_policy", () => {
  const CASES: readonly [family: 4 | 6, policy: 0 | 1, what: string, ways: number][] = [
    [4, 0, "connections of one client go one way", 1],
    [4, 1, "connections of one client spread", 2],
    [6, 0, "connections of one client go one way", 1],
    [6, 1, "connections of one client spread", 2],
  ];
  test.each(CASES)("IPv%i, %i: %s", (family, policy, _, ways) => {
    const { netns } = twoLinks();
    netns.sysctl.set(`net/ipv${family}/fib_multipath_hash_policy`, policy);
    const [dst, gateways] =
      family === 4 ? ["10.9.0.1", ["10.0.0.2", "10.1.0.2"]] : ["fd09::1", ["fd00::2", "fd01::2"]];
    const nexthops = gateways.map((via) => ({ via: parseIp(via) }));
    netns.addRoute({ dst: parsePrefix(family === 4 ? `${dst}/32` : `${dst}/128`), nexthops });
    const src = family === 4 ? "10.0.0.1" : "fd00::1";
    const taken = new Map<string, number>();
    for (let srcPort = 40_000; srcPort < 40_100; srcPort++) {
      const way = routeGet(netns, dst, { src, protocol: 6, srcPort, dstPort: 80 });
      taken.set(way, (taken.get(way) ?? 0) + 1);
    }
    expect(taken.size).toBe(ways);
    // 30 to 70 of 100 is four standard deviations of a fair choice.
    if (ways === 2)
      for (const count of taken.values()) expect(Math.abs(count - 50)).toBeLessThan(21);
  });

  test("as many nexthops as there are get their share, of consecutive ports as well", () => {
    const { netns } = twoLinks();
    netns.sysctl.set("net/ipv4/fib_multipath_hash_policy", 1);
    const nexthops = [2, 3, 4, 5].map((host) => ({ via: parseIp(`10.0.0.${host}`) }));
    netns.addRoute({ dst: parsePrefix("10.9.0.1/32"), nexthops });
    const taken = new Map<string, number>();
    for (let srcPort = 40_000; srcPort < 40_400; srcPort += 2) {
      const way = routeGet(netns, "10.9.0.1", { protocol: 6, srcPort, dstPort: 80 });
      taken.set(way, (taken.get(way) ?? 0) + 1);
    }
    expect(taken.size).toBe(4);
    // Pearson's chi-square of 200 flows over 4 nexthops; 16.27 is its 99.9 % quantile for 3 degrees of freedom.
    const chiSquare = [...taken.values()].reduce((sum, n) => sum + (n - 50) ** 2 / 50, 0);
    expect(chiSquare).toBeLessThan(16.27);
  });
});
