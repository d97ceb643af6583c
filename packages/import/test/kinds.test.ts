// Kinds of state that the recording machine's kernel lacks, in the words of the tools' sources.
import { Geneve, IpTunnel, type Kernel, Macvlan, type Vxlan } from "@cnilab/linux";
import { describe, expect, test } from "vitest";
import { type ImportedState, importState } from "../src/index.ts";

/** A machine with devices beside `lo` and `eth0`. */
function withLinks(
  links: readonly object[],
  more: Readonly<Record<string, string>> = {},
): ImportedState {
  const eth0 = { ifindex: 2, ifname: "eth0", flags: ["UP"], mtu: 1500, link_type: "ether" };
  const addrs = [
    { ifname: "eth0", addr_info: [{ family: "inet", local: "192.168.0.11", prefixlen: 24 }] },
  ];
  return importState(
    new Map([
      ["n/links.json", JSON.stringify([eth0, ...links])],
      ["n/addrs.json", JSON.stringify(addrs)],
      ...Object.entries(more).map(([name, text]): [string, string] => [`n/${name}`, text]),
    ]),
  );
}

function link(kind: string, data: object, rest: object = {}): object {
  return {
    ifindex: 7,
    ifname: "dev7",
    flags: ["UP"],
    mtu: 1400,
    ...rest,
    linkinfo: { info_kind: kind, info_data: data },
  };
}

const node = (state: ImportedState): Kernel => state.nodes.get("n") as Kernel;

// iproute2 6.1 ip/iplink_geneve.c geneve_print_opt
test("a geneve device", () => {
  const state = withLinks([
    link("geneve", { id: 9, remote: "192.168.0.12", ttl: 64, port: 6081, udp_csum: false }),
  ]);
  const dev = node(state).initNs.device("dev7") as Geneve;
  expect(dev).toBeInstanceOf(Geneve);
  expect([dev.vni, dev.port, dev.ttl, dev.mtu, dev.udpChecksum]).toEqual([
    9,
    6081,
    64,
    1400,
    false,
  ]);
});

// ip/link_iptnl.c iptunnel_print_opt
test.each<[kind: "ipip" | "sit", data: object, expected: unknown[]]>([
  [
    "ipip",
    { remote: "any", local: "192.168.0.11", ttl: 0, pmtudisc: true },
    [0, 0xc0a8000b, 0, true],
  ],
  ["sit", { remote: "192.168.0.12", local: "any", ttl: 64 }, [0xc0a8000c, 0, 64, false]],
  ["ipip", { remote: "any", local: "any", ttl: "inherit" }, [0, 0, 0, false]],
])("an %s tunnel with %o", (kind, data, expected) => {
  const dev = node(
    withLinks([link(kind, data, { link_type: kind, address: "0.0.0.0" })]),
  ).initNs.device("dev7");
  expect(dev).toBeInstanceOf(IpTunnel);
  const { remote, local, ttl, pathMtuDiscovery } = dev as IpTunnel;
  expect([dev.kind, remote, local, ttl, pathMtuDiscovery]).toEqual([kind, ...expected]);
});

test("a macvlan in a pod, on the node's card", () => {
  const inner = [
    link("macvlan", { mode: "bridge" }, { link_index: 2, link_netnsid: 0, mtu: 1500 }),
  ];
  const state = withLinks([], { "netns/pod/links.json": JSON.stringify(inner) });
  const dev = node(state).findNamespace("pod")?.device("dev7") as Macvlan;
  expect(dev).toBeInstanceOf(Macvlan);
  expect([dev.lower.name, dev.lower.netns.name, dev.mode]).toEqual(["eth0", "", "bridge"]);
});

test("a vxlan with a group, and a lower device that stands behind it", () => {
  const data = { id: 5, group: "239.1.1.1", link: "later", port: 4789, ttl: 1, learning: true };
  const later = { ifindex: 9, ifname: "later", flags: ["UP"], mtu: 9000 };
  const dev = node(withLinks([link("vxlan", data, { mtu: 8950 }), later])).initNs.device(
    "dev7",
  ) as Vxlan;
  expect([dev.link?.name, dev.mtu, dev.port, dev.ttl, dev.learning]).toEqual([
    "later",
    8950,
    4789,
    1,
    true,
  ]);
});

test("a tunnel in a pod, whose packets are the node's", () => {
  const data = { id: 5, local: "192.168.0.11", port: 8472, learning: false };
  const inner = [link("vxlan", data, { link_netnsid: 0 })];
  const state = withLinks([], {
    "netns/pod/links.json": JSON.stringify(inner),
    "netns/pod/nsids.json": "[]",
  });
  const dev = node(state).findNamespace("pod")?.device("dev7") as Vxlan;
  expect([dev.underlay.name, dev.netns.name, dev.up]).toEqual(["", "pod", true]);
  expect(node(state).initNs.devices.map(({ name }) => name)).toEqual(["lo", "eth0"]);
});

test("sysctls: a device with a dot, one that is gone, and those that nobody knows", () => {
  const dotted = { ifindex: 3, ifname: "vx.1", flags: [], mtu: 1500 };
  const lines = [
    "net.ipv4.conf.gone.rp_filter = 2",
    "net.ipv4.conf.vx/1.rp_filter = 2",
    "net/ipv4/conf/vx.1/proxy_arp = 1",
    "net.ipv4.conf.all.nosuch = 1",
    "net.ipv4.conf.vx/1.nosuch = 1",
    "net.ipv4.neigh.eth0.nosuch = 1",
  ];
  const state = withLinks([dotted], { "sysctls.txt": lines.join("\n") });
  const { conf4 } = node(state).initNs.device("vx.1");
  expect([conf4.rp_filter, conf4.proxy_arp]).toEqual([2, 1]);
  expect(state.unmodelled.of("n").at(-1)).toBe(
    "sysctls: net.ipv4.conf.*.nosuch, net.ipv4.neigh.*.nosuch",
  );
});

describe("devices that the model has not", () => {
  test.each([
    ["ipvlan", { mode: "l2" }],
    ["geneve", { external: true }],
    ["gre", {}],
    ["tun", { type: "tap" }],
  ])("%s", (kind, data) => {
    const state = withLinks([link(kind, data)]);
    expect(state.unmodelled.of("n")).toContain(`${kind} devices, which swallow packets here: dev7`);
    expect(node(state).initNs.device("dev7").up).toBe(true);
  });
});

test("XDP and BPF at tc are named: packets pass them by", () => {
  const filter = [{ kind: "bpf", options: { bpf_name: "cil_from_netdev", direct_action: true } }];
  const state = withLinks([link("dummy", {}, { xdp: { mode: 2 } })], {
    "qdiscs.json": JSON.stringify([{ kind: "clsact", dev: "eth0" }]),
    "filters/eth0.json": JSON.stringify(filter),
  });
  expect(state.unmodelled.of("n")).toEqual(
    expect.arrayContaining([
      "XDP programs, passed by: on dev7",
      "BPF programs at tc, passed by: on eth0",
    ]),
  );
});

// ipvsadm 1.31 -Sn
test("virtual servers of IPVS", () => {
  const saved = "-A -t 10.96.0.10:80 -s rr\n-a -t 10.96.0.10:80 -r 10.244.1.2:8080 -m -w 1\n";
  const state = withLinks([], { "ipvs.txt": saved });
  expect(node(state).initNs.ipvs.save()).toBe(saved);
  const wrong = withLinks([], { "ipvs.txt": `${saved}-A -t 10.96.0.11:80 -s nosuch\n` });
  expect(wrong.unmodelled.of("n").at(-1)).toBe(
    'IPVS servers, left out: "-A -t 10.96.0.11:80 -s nosuch"',
  );
  expect(node(wrong).initNs.ipvs.save()).toBe(saved);
});

describe("rules that the model does not know are left out, and the others stay", () => {
  test("nft: one rule", () => {
    const table = (rules: string): string =>
      `table inet t {\n\tchain c {\n\t\ttype filter hook input priority filter; policy accept;\n${rules}\t}\n}\n`;
    const [known, unknown] = ["\t\ttcp dport 80 drop\n", "\t\tsocket transparent 1 accept\n"];
    const state = withLinks([], { "nft.txt": table(`${unknown}${known}`) });
    expect(node(state).initNs.nftables.list()).toContain("tcp dport 80 drop");
    expect(state.unmodelled.of("n").at(-1)).toBe(
      'nft rules, left out: "socket transparent 1 accept"',
    );
  });

  test("ipset: a set and what is in it, and the rule that names it", () => {
    const sets =
      "create odd hash:nosuch family inet\nadd odd 1\ncreate pods hash:ip family inet\nadd pods 10.0.0.1\n";
    const rules = [
      "*filter",
      ":FORWARD ACCEPT [0:0]",
      "[0:0] -A FORWARD -m set --match-set odd src -j DROP",
      "[4:9] -A FORWARD -m set --match-set pods src -j DROP",
      "COMMIT",
    ];
    const state = withLinks([], { "ipset.txt": sets, "iptables.txt": `${rules.join("\n")}\n` });
    const { initNs } = node(state);
    expect(initNs.ipsets.all.map((set) => set.name)).toEqual(["pods"]);
    expect(initNs.iptables(4).list("filter", "FORWARD")).toEqual([
      "-P FORWARD ACCEPT",
      "-A FORWARD -m set --match-set pods src -j DROP",
    ]);
    expect(state.unmodelled.of("n").slice(-2)).toEqual([
      "IP sets, or entries of them, left out: odd",
      'iptables rules, left out: "FORWARD -m set --match-set odd src -j DR…"',
    ]);
  });

  test.each([
    ["the older, where the newer has none", 0, 1, "-A INPUT -s 10.0.0.0/32 -j DROP", undefined],
    ["the older, where it has more", 1, 2, "-A INPUT -s 10.0.0.0/32 -j DROP", "iptables.txt"],
    [
      "the newer, where it has as many",
      1,
      1,
      "-A INPUT -s 10.1.0.0/32 -j DROP",
      "iptables-legacy.txt",
    ],
  ])("of iptables' two backends: %s", (_, newer, older, rule, leftOut) => {
    const text = (prefix: string, count: number): string =>
      ["*filter", ":INPUT ACCEPT [0:0]"]
        .concat(Array.from({ length: count }, (_, i) => `-A INPUT -s ${prefix}.${i} -j DROP`))
        .concat("COMMIT", "")
        .join("\n");
    const state = withLinks([], {
      "iptables.txt": text("10.1.0", newer),
      "iptables-legacy.txt": text("10.0.0", older),
    });
    expect(node(state).initNs.iptables(4).list("filter", "INPUT")[1]).toBe(rule);
    const line = `rules of iptables' other backend, left out: ${leftOut}`;
    expect(state.unmodelled.of("n").includes(line)).toBe(leftOut !== undefined);
  });
});

// tc/q_tbf.c tbf_print_opt: a number, and with -d a size that is rounded.
test.each([
  [15_000, 15_000],
  ["15000b/1", 15_000],
  ["10Kb/1", 10_240],
  ["256Mb/8", 268_435_456],
  ["1.5Kb", 1536],
])("a token bucket with a burst of %s", (burst, expected) => {
  const qdisc = { kind: "tbf", handle: "1:", dev: "eth0", root: true };
  const qdiscs = JSON.stringify([{ ...qdisc, options: { rate: 125_000, burst, lat: 50_000 } }]);
  const { tc } = node(withLinks([], { "qdiscs.json": qdiscs })).initNs.device("eth0");
  expect(tc?.root).toMatchObject({ burst: expected, limit: 6250 + expected });
});

test("a token bucket whose burst is no number", () => {
  const qdisc = { kind: "tbf", handle: "1:", dev: "eth0", root: true };
  const qdiscs = JSON.stringify([{ ...qdisc, options: { rate: 1, burst: "10Gb", lat: 1 } }]);
  expect(() => withLinks([], { "qdiscs.json": qdiscs })).toThrow("burst must be a number of bytes");
});
