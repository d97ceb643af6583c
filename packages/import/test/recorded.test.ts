// Real outputs, recorded by record.sh on kernel 6.18 with iproute2 6.1, are read; the model prints them again.
import { show, showJson, type ViewName } from "@cnilab/inspect";
import { type Bridge, type Kernel, type NetNamespace, Nic, type Vxlan } from "@cnilab/linux";
import { describe, expect, test } from "vitest";
import { importState } from "../src/index.ts";
import { recorded, recordedBut } from "./recorded.ts";

const files = recorded();
const state = importState(files);
const node = state.nodes.get("node1") as Kernel;

function namespace(name: string): NetNamespace {
  return name === "" ? node.initNs : (node.findNamespace(name) as NetNamespace);
}

function lines(view: ViewName, netns: string, pattern: RegExp): string[] {
  const text = show(view, namespace(netns), view === "routes" ? { table: "all" } : {});
  return text.split("\n").filter((line) => pattern.test(line));
}

/** The recorded objects, without what is not modelled. */
function saved(path: string): Record<string, unknown>[] {
  return JSON.parse(files.get(`node1/${path}`) as string);
}

describe("what was recorded is printed again", () => {
  test.each([
    ["", "links.json"],
    ["pod", "netns/pod/links.json"],
    ["db", "netns/db/links.json"],
  ])("devices of %s: index, name, MTU, MAC, kind, bridge", (netns, path) => {
    const fields = ["ifindex", "ifname", "mtu", "address", "master", "txqlen", "operstate"];
    const pick = (link: Record<string, unknown>): unknown => fields.map((name) => link[name]);
    const is = showJson("links", namespace(netns)) as Record<string, unknown>[];
    // A tap swallows packets here as a dummy does, whose state is another.
    const known = (link: Record<string, unknown>): boolean => link["ifname"] !== "tap0";
    expect(is.filter(known).map(pick)).toEqual(saved(path).filter(known).map(pick));
  });

  test.each([
    ["pod", "netns/pod/routes4.json", 4],
    ["db", "netns/db/routes6.json", 6],
  ] as const)("routes of %s", (netns, path, family) => {
    const names = {
      "1": "unicast",
      "2": "local",
      "3": "broadcast",
      "5": "multicast",
    } as Readonly<Record<string, string>>;
    const own = saved(path).map((route) => `${names[String(route["type"])]} ${route["dst"]}`);
    const is = showJson("routes", namespace(netns), { table: "all", family });
    const json = is as Record<string, unknown>[];
    expect(json.map((route) => `${route["type"] ?? "unicast"} ${route["dst"]}`)).toEqual(own);
  });

  test.each<[ViewName, string, RegExp, string[]]>([
    [
      "addrs",
      "",
      /192\.168/,
      [
        "    inet 192.168.7.11/24 brd 192.168.7.255 scope global eth0",
        "    inet 192.168.9.1/32 scope global eth0",
        "    inet 192.168.7.21/24 scope global secondary noprefixroute eth0:x",
      ],
    ],
    [
      "routes",
      "",
      /^(default|10\.9\.[345]|\tnexthop via 192|blackhole|fd00:8|prohibit)/,
      [
        "10.9.3.0/24 table 100 mtu 1300 advmss 1200 ",
        "\tnexthop via 192.168.7.12 dev eth0 weight 3 ",
        "\tnexthop via 192.168.7.13 dev eth0 weight 1 ",
        "default via 192.168.7.1 dev eth0 proto dhcp metric 100 ",
        "10.9.4.0/24 via 192.168.7.12 dev eth0 proto 77 mtu 1400 ",
        "blackhole 10.9.5.0/24 proto bird ",
        "fd00:8::/64 metric 1024 ",
        "prohibit fd00:a::/64 dev lo metric 1024 pref medium",
      ],
    ],
    ["routes", "", / onlink/, ["10.9.2.0/24 via 10.9.2.0 dev vx onlink "]],
    [
      "rules",
      "",
      /^5/,
      [
        "50:\tfrom all fwmark 0x1/0xff lookup 100",
        "51:\tfrom 10.77.0.0/16 iif cni0 ipproto tcp dport 80-90 unreachable",
        "52:\tfrom all lookup main suppress_prefixlength 0",
        "54:\tfrom all to 10.9.3.7 goto 32766",
        "55:\tnot from all to 0.0.0.0/1 lookup 100",
      ],
    ],
    [
      "neigh",
      "",
      /./,
      [
        "192.168.7.1 dev eth0 lladdr 02:00:00:00:00:fe STALE ",
        "10.9.2.0 dev vx lladdr 02:00:00:00:04:02 PERMANENT ",
      ],
    ],
    [
      "fdb",
      "",
      /dst|static|0f:01/,
      [
        "02:00:00:00:0f:01 dev vethpod master cni0 static",
        "00:00:00:00:00:00 dev vx dst 192.168.7.12 self permanent",
        "02:00:00:00:04:02 dev vx dst 192.168.7.12 self permanent",
      ],
    ],
    [
      "tc",
      "",
      /tbf|action/,
      [
        "qdisc tbf 1: dev vethpod root refcnt 2 rate 8Mbit burst 15000b lat 15ms ",
        "\taction order 1: mirred (Egress Redirect to device ifb0) stolen",
      ],
    ],
    [
      "iptables",
      "",
      /^(:FORWARD|-A)/,
      [
        ":FORWARD DROP [7:420]",
        '-A FORWARD -m set --match-set pods src -m comment --comment "from pods" -j POLICY',
        "-A POLICY -j ACCEPT",
      ],
    ],
    ["nft", "", /^table|counter/, ["table inet t {", "\t\ttcp dport @ports counter accept"]],
    ["ipset", "", /^add/, ["add pods 10.9.1.0/24"]],
    [
      "sockets",
      "db",
      /LISTEN|UNCONN/,
      [
        'udp   UNCONN 0      0      *:53               *:*               users:(("python3"))',
        'tcp   LISTEN 0      0      10.9.1.3:5432      0.0.0.0:*         users:(("python3"))',
      ],
    ],
    [
      "sysctl",
      "",
      /eth0.rp_filter|cni0.proxy_arp|ip_forward/,
      [
        "net.ipv4.conf.cni0.proxy_arp = 1",
        "net.ipv4.conf.eth0.rp_filter = 2",
        "net.ipv4.ip_forward = 1",
      ],
    ],
  ])("%s of %s", (view, netns, pattern, expected) => {
    expect(lines(view, netns, pattern)).toEqual(expected);
  });
});

test("devices are of their kinds, and joined as they were", () => {
  const { initNs } = node;
  expect(initNs.device("eth0")).toBeInstanceOf(Nic);
  expect((initNs.device("cni0") as Bridge).fdb.ageingTime).toBe(10_000);
  const vx = initNs.device("vx") as Vxlan;
  expect([vx.vni, vx.port, vx.learning, vx.link?.name]).toEqual([7, 8472, false, "eth0"]);
  const port = initNs.device("vethpod").bridgePort;
  expect([port?.hairpin, port?.isolated, port?.learning]).toEqual([true, true, true]);
  expect([...initNs.neighboursOf(initNs.device("cni0")).proxies]).toHaveLength(1);
});

test("each kind that is not modelled is named once", () => {
  expect(state.unmodelled.of("node1")).toEqual([
    "programs behind tun devices: tun0",
    "tun devices, which swallow packets here: tap0",
    "sysctls: net.ipv4.conf.*.bc_forwarding",
    "peers of addresses: 192.168.9.1 on eth0",
    "route metric initcwnd: 10.9.4.0/24",
    "IPv4 rules with uid_start, left out: 53",
    "routes for some sources only, left out: fd00:9::/64",
    "forwarding entries with a port of their own, left out: 02:00:00:00:04:03 on vx",
    'iptables rules, left out: "POLICY -m time --timestart 08:00:00 --ti…"',
  ]);
});

test("the gateway outside is one assumed router, with the MAC that the node knows", () => {
  const router = state.outside.router;
  expect(show("addrs", router)).toContain("inet 192.168.7.1/24");
  expect(show("links", router)).toContain("link/ether 02:00:00:00:00:fe");
});

test.each<[what: string, path: string, line: string]>([
  ["addresses", "addrs.json", "not collected, so devices have no addresses: addrs.json"],
  ["rules of a family", "rules6.json", "not collected, so there are the usual rules: rules6.json"],
  ["nft", "nft.txt", "not collected, so there are no rules: nft.txt"],
])("what was not collected is named: %s", (_, path, line) => {
  const partly = importState(recordedBut({ [path]: undefined, "routes4.json": undefined }));
  expect(partly.unmodelled.of("node1")).toContain(line);
});
