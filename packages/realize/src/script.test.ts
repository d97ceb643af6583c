import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  Bridge,
  Datapath,
  Dummy,
  Geneve,
  Ifb,
  IpTunnel,
  Kernel,
  Macvlan,
  Network,
  Nic,
  Segment,
  TrafficControl,
  Veth,
  Vxlan,
  Wireguard,
} from "@cnilab/linux";
import { parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { type Script, script } from "./script.ts";
import { publicKey } from "./wireguard.ts";

function emptyNetwork(): Network {
  return new Network(new VirtualClock(), new SeededRandom(1));
}

/** Two nodes on a segment, one with a pod behind a bridge. */
function twoNodes(): Network {
  const network = emptyNetwork();
  const lan = new Segment(network, "lan");
  for (const [i, hostname] of ["node1", "node2"].entries()) {
    const { initNs } = new Kernel(network, hostname);
    const eth0 = new Nic(initNs, { name: "eth0", mac: 0x020000000001 + i, segment: lan });
    eth0.setUp();
    eth0.addAddress(parseIp(`192.168.0.1${i + 1}`), 24);
  }
  const node = network.kernels.get("node1") as Kernel;
  const { initNs } = node;
  initNs.sysctl.set("net.ipv4.ip_forward", 1);
  const cni0 = new Bridge(initNs, { name: "cni0", mac: 0x020000000101, mtu: 1450 });
  const [port, eth0] = Veth.pair(
    initNs,
    { name: "veth1", mac: 0x020000000201 },
    node.addNamespace("pod"),
    { name: "eth0", mac: 0x020000000202 },
  );
  port.setMaster(cni0);
  if (port.bridgePort !== undefined) port.bridgePort.hairpin = true;
  for (const dev of [cni0, port, eth0]) dev.setUp();
  cni0.addAddress(parseIp("10.244.1.1"), 24);
  const vxlan = new Vxlan(initNs, {
    name: "vx",
    mac: 0x020000000301,
    vni: 7,
    local: parseIp("192.168.0.11"),
    learning: false,
  });
  vxlan.setUp();
  vxlan.replaceFdb(0x020000000302, parseIp("192.168.0.12"));
  initNs.addRoute({ dst: parsePrefix("10.244.2.0/24"), via: parseIp("192.168.0.12") });
  initNs.addRoute({ dst: parsePrefix("10.9.0.0/16"), type: "blackhole", table: 100 });
  initNs.fib4.addRule({
    priority: 50,
    fwmark: { value: 1, mask: 255 },
    action: { table: 100 },
  });
  initNs.neighboursOf(vxlan).replace(parseIp("10.244.2.0"), 0x020000000302);
  initNs.iptables(4).append("filter", "FORWARD", "-s 10.244.0.0/16 -j ACCEPT");
  return network;
}

describe("the script of two nodes", () => {
  const made = script(twoNodes(), { prefix: "t" });
  const lines = made.text.split("\n");

  test("makes a namespace for each node, pod and segment", () => {
    expect(made.namespaces).toEqual(["t.node1", "t.node1.pod", "t.node2", "t..lan"]);
    expect(lines.filter((line) => line.startsWith("netns t"))).toEqual([
      "netns t.node1",
      "netns t.node1.pod",
      "netns t.node2",
      "netns t..lan",
    ]);
  });

  test("names what the kernel must have", () => {
    expect([...made.features].sort()).toEqual(["bridge devices", "veth devices", "vxlan devices"]);
  });

  test.each([
    "link add name eth0 address 02:00:00:00:00:01 mtu 1500 type veth peer name w1 mtu 65535 netns t..lan",
    "link set dev w2 master wire up",
    "link add name cni0 address 02:00:00:00:01:01 mtu 1500 type bridge",
    "link set dev veth1 master cni0",
    "link set dev veth1 hairpin on",
    "address add 192.168.0.11/24 dev eth0",
    "route append unicast 10.244.2.0/24 table 254 scope 0 via 192.168.0.12 dev eth0",
    "route append blackhole 10.9.0.0/16 table 100 scope 0",
    "rule add priority 50 from all fwmark 1/255 table 100",
    "neighbour replace 10.244.2.0 lladdr 02:00:00:00:03:02 dev vx",
    "fdb replace 02:00:00:00:03:02 dev vx dst 192.168.0.12 self permanent",
    "  net/ipv4/conf/all/forwarding=1 \\",
    "ip netns exec t.node1 iptables-restore <<'END'",
    "-A FORWARD -s 10.244.0.0/16 -j ACCEPT",
  ])("has the line %s", (line) => {
    expect(lines).toContain(line);
  });

  test("leaves out what the kernel makes by itself", () => {
    expect(lines.filter((line) => /192\.168\.0\.0\/24|127\.0\.0|fe80/.test(line))).toEqual([]);
  });

  test("makes each cable once", () => {
    expect(lines.filter((line) => line.includes("type veth peer name"))).toHaveLength(3);
  });
});

test("namespaces that have tunl0 of the model get none from the module", () => {
  const { text } = scriptOf(({ initNs }) => {
    new IpTunnel(initNs, { name: "tunl0", pathMtuDiscovery: false });
  });
  const lines = text.split("\n");
  const at = ["sysctl -qw $tunnels=1", "netns t.node1", "give_back"].map((l) => lines.indexOf(l));
  expect(at).not.toContain(-1);
  expect(at).toEqual(at.toSorted((x, y) => x - y));
});

test("how neighbours are asked is written where it is not as usual, and by the finer of two names", () => {
  const made = scriptOf(({ initNs }) => {
    new Dummy(initNs, { name: "cali0", mac: 0xeeeeeeeeeeee });
    initNs.sysctl.set("net/ipv4/neigh/cali0/proxy_delay", 0);
    initNs.sysctl.set("net/ipv6/neigh/cali0/retrans_time_ms", 50);
    initNs.sysctl.set("net/ipv4/neigh/cali0/locktime", 100);
  });
  expect([...made.text.matchAll(/net\/ipv\d\/neigh\S+/g)].map(([found]) => found)).toEqual([
    "net/ipv4/neigh/cali0/proxy_delay=0",
    "net/ipv6/neigh/cali0/retrans_time_ms=50",
  ]);
});

/** The script of one machine, and its lines without what all machines have. */
function scriptOf(build: (node: Kernel, network: Network) => void): Script {
  const network = emptyNetwork();
  build(new Kernel(network, "node1"), network);
  return script(network, { prefix: "t" });
}

describe("tunnels", () => {
  const remote = parseIp("192.168.0.12") as number;
  const common = { name: "tun0", mac: 0x020000000001, remote };

  test.each<[string, (node: Kernel) => void, string, string]>([
    [
      "geneve over IPv4",
      ({ initNs }) => new Geneve(initNs, { ...common, vni: 7, ttl: 9 }),
      "link add name tun0 address 02:00:00:00:00:01 mtu 1500 type geneve id 7 remote 192.168.0.12 dstport 6081 ttl 9 noudpcsum",
      "geneve devices",
    ],
    [
      "geneve over IPv6",
      ({ initNs }) =>
        new Geneve(initNs, { ...common, vni: 7, port: 99, remote: parseIp("fd00::2") }),
      "link add name tun0 address 02:00:00:00:00:01 mtu 1500 type geneve id 7 remote fd00::2 dstport 99 noudp6zerocsumtx",
      "geneve devices",
    ],
    [
      "sit",
      ({ initNs }) => new IpTunnel(initNs, { ...common, kind: "sit", local: 0, ttl: 64 }),
      "link add name tun0 mtu 1480 type sit local any remote 192.168.0.12 ttl 64 pmtudisc",
      "sit devices",
    ],
    [
      "what the ipip module brings along",
      ({ initNs }) => new IpTunnel(initNs, { name: "tunl0", pathMtuDiscovery: false, mtu: 1440 }),
      "link add name tunl0 mtu 1440 type ipip local any remote any ttl inherit nopmtudisc",
      "ipip devices",
    ],
    [
      "wireguard",
      ({ initNs }) => new Wireguard(initNs, { name: "tun0", publicKey: "a" }),
      "link add name tun0 mtu 1420 type wireguard",
      "wireguard devices",
    ],
  ])("%s", (_, build, line, feature) => {
    const made = scriptOf(build);
    expect(made.text).toContain(`\n${line}\n`);
    expect([...made.features]).toEqual([feature]);
  });

  test("a tunnel that was moved is made where its packets go", () => {
    const { text } = scriptOf((node) => {
      const dev = new Vxlan(node.initNs, { name: "vx", vni: 7 });
      dev.moveTo(node.addNamespace("overlay"));
      dev.setUp();
    });
    expect(text).toMatch(
      /^ip -n t\.node1 -batch - <<'END'\nlink add name vx .*\nlink set dev vx netns t\.node1\.overlay\nEND$/m,
    );
    expect(text).toMatch(/^ip -n t\.node1\.overlay -batch - <<'END'\nlink set dev vx up$/m);
  });

  test("WireGuard's keys are made of the names in the model, and its peers are set", () => {
    const { text } = scriptOf(({ initNs }) => {
      const wg = new Wireguard(initNs, { name: "wg0", publicKey: "key1" });
      const endpoint = { address: parseIp("fd00::2"), port: 51821 };
      const allowedIps = [parsePrefix("10.2.0.0/16"), parsePrefix("fd02::/64")];
      wg.setPeer({
        publicKey: "key2",
        presharedKey: "p",
        endpoint,
        allowedIps,
        persistentKeepalive: 25,
      });
      wg.setPeer({
        publicKey: "key3",
        endpoint: undefined,
        allowedIps: [],
        persistentKeepalive: 0,
      });
    });
    // Each PublicKey is what `wg pubkey` makes of the PrivateKey of the device with that name.
    expect(text).toContain(`ip netns exec t.node1 wg setconf wg0 /dev/stdin <<'END'
[Interface]
PrivateKey = ACRJLfIMt6yaKKlaPJIR8n+miQxp4bUl7og+0c5GSnw=
ListenPort = 51820
[Peer]
PublicKey = ${publicKey("key2")}
PresharedKey = vKaOxBUZUP1WB6K6UAGV4CufHuPKVwzsO1TqHvfzZsA=
AllowedIPs = 10.2.0.0/16, fd02::/64
Endpoint = [fd00::2]:51821
PersistentKeepalive = 25
[Peer]
PublicKey = ${publicKey("key3")}
END
`);
    expect(publicKey("key1")).toBe("O83O/Xd73ktJOnpJfLiuFblaHFyJShySIHE9rqX5EXM=");
  });
});

test("servers are added in the order in which the model got them, which is not that of ipvsadm -S", () => {
  const made = scriptOf(({ initNs }) => {
    for (const line of ["-A -t 10.96.0.1:80 -s rr", "-a -t 10.96.0.1:80 -r 10.0.0.9:80 -m -w 3"]) {
      initNs.ipvs.command(line);
    }
    initNs.ipvs.command("-a -t 10.96.0.1:80 -r 10.0.0.2:80 -m");
  });
  expect(made.ruleSets).toEqual([
    {
      netns: "t.node1",
      command: "ipvsadm -R",
      text: `-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -r 10.0.0.9:80 -m -w 3
-a -t 10.96.0.1:80 -r 10.0.0.2:80 -m -w 1
`,
    },
  ]);
  expect([...made.features]).toEqual(["IPVS"]);
});

test("what comes in is redirected as the bandwidth plugin does it", () => {
  const made = scriptOf(({ initNs }) => {
    const ifb = new Ifb(initNs, { name: "ifb0" });
    const dev = new Bridge(initNs, { name: "br0" });
    dev.tc = new TrafficControl(dev);
    dev.tc.redirect = { kind: "mirred", to: ifb };
  });
  expect(made.text).toContain(`tc -n t.node1 -batch - <<'END'
qdisc add dev br0 ingress
filter add dev br0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev ifb0
END
`);
  expect(made.features).toContain("redirection by tc");
});

describe("a segment", () => {
  const made = scriptOf((_, network) => {
    const lan = new Segment(network, "lan", 1400);
    const [one, two, three] = ["a", "b", "c"].map((name) => {
      const { initNs } = new Kernel(network, name);
      return new Nic(initNs, { name: "eth0", segment: lan });
    }) as [Nic, Nic, Nic];
    lan.setFault(one, two, { cut: true });
    lan.setFault(one, three, { loss: 0.25, delayMs: 20 });
    lan.setFault(two, three, { delayMs: 1.5 });
  });

  test("loses what is longer than its MTU", () => {
    expect(made.text).toMatch(
      /^link add name eth0 .* type veth peer name w1 mtu 1396 netns t\.\.lan$/m,
    );
  });

  test("loses and marks what a fault says", () => {
    expect(made.ruleSets).toEqual([
      {
        netns: "t..lan",
        command: "nft -f -",
        text: `table bridge faults {
	chain forward {
		type filter hook forward priority -200;
		iifname "w1" oifname "w2" drop
		iifname "w1" oifname "w3" numgen random mod 1000000 < 250000 drop
		iifname "w1" oifname "w3" meta mark set 1
		iifname "w2" oifname "w3" meta mark set 2
	}
}
`,
      },
    ]);
  });

  test("delays by mark", () => {
    expect(made.text).toContain(`tc -n t..lan -batch - <<'END'
qdisc add dev w3 root handle 1: prio bands 3 priomap 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
qdisc add dev w3 parent 1:2 netem delay 20ms limit 100000
filter add dev w3 parent 1: protocol all handle 1 fw classid 1:2
qdisc add dev w3 parent 1:3 netem delay 1.5ms limit 100000
filter add dev w3 parent 1: protocol all handle 2 fw classid 1:3
END
`);
    expect(made.features).toContain("netem queues");
  });
});

// vxlan_config_apply would make it smaller, vxlan_change_mtu would refuse to make it larger again.
test("a link whose MTU has become smaller is made as large as its vxlan device needs", () => {
  const { initNs } = new Kernel(emptyNetwork(), "m");
  const pod = initNs.kernel.addNamespace("n");
  const [link] = Veth.pair(initNs, { name: "veth0" }, pod, { name: "eth0" });
  new Vxlan(initNs, { name: "vx", vni: 1, link, local: parseIp("fd00::1") });
  link.setMtu(1300);
  const { text } = script(initNs.network, { prefix: "t" });
  const mtus = [...text.matchAll(/(?:name|dev) (veth0|vx) .*?mtu (\d+)/g)];
  expect(mtus.map(([, name, mtu]) => `${name} ${mtu}`)).toEqual([
    "veth0 1500",
    "vx 1430",
    "veth0 1300",
  ]);
});

test.each(["", "a b", "a/b", "x".repeat(33)])('the prefix "%s" is refused', (prefix) => {
  expect(() => script(emptyNetwork(), { prefix })).toThrow(/prefix/);
});

test("a macvlan is made beside the device below it, for the namespace that it is in", () => {
  const network = emptyNetwork();
  const kernel = new Kernel(network, "m");
  const [pod, other] = [kernel.addNamespace("pod"), kernel.addNamespace("other")];
  const [, lower] = Veth.pair(kernel.initNs, { name: "up0" }, other, { name: "eth0" });
  const dev = new Macvlan(other, { name: "eth1", mac: 0x020000000501, lower, mode: "bridge" });
  dev.moveTo(pod, "eth0");
  const lines = script(network, { prefix: "t" }).text.split("\n");
  expect(lines.filter((line) => line.includes("netns t.m.pod") && line.includes("eth0"))).toEqual([
    "link add name eth0 netns t.m.pod link eth0 address 02:00:00:00:05:01 mtu 1500 type macvlan mode bridge",
  ]);
});

test("a bridge's MTU is set where it is not that of its ports", () => {
  const network = emptyNetwork();
  const { initNs } = new Kernel(network, "m");
  for (const [name, mtu] of [
    ["follows", 1400],
    ["pinned", 1300],
  ] as const) {
    const bridge = new Bridge(initNs, { name, mac: 0x020000000601 });
    const [port] = Veth.pair(initNs, { name: `${name}0`, mtu: 1400 }, initNs, { name: `${name}1` });
    port.setMaster(bridge);
    if (mtu !== 1400) bridge.setMtu(mtu);
  }
  const lines = script(network, { prefix: "t" }).text.split("\n");
  expect(lines.filter((line) => /^link set dev \S+ (mtu|master) /.test(line))).toEqual([
    "link set dev follows0 master follows",
    "link set dev pinned0 master pinned",
    "link set dev pinned mtu 1300",
  ]);
});

test("of several nexthops those are made that are alive", () => {
  const network = emptyNetwork();
  const { initNs } = new Kernel(network, "m");
  const other = network.kernels.get("m")?.addNamespace("other") ?? initNs;
  const ends = [0, 1].map((i) => {
    const [dev, peer] = Veth.pair(initNs, { name: `e${i}` }, other, { name: `e${i}` });
    for (const end of [dev, peer]) end.setUp();
    dev.addAddress(parseIp(`10.0.${i}.1`), 24);
    return dev;
  });
  const nexthops = ["10.0.0.2", "10.0.1.2"].map((via) => ({ via: parseIp(via) }));
  initNs.addRoute({ dst: parsePrefix("10.9.0.0/16"), nexthops });
  ends[0]?.setDown();
  expect(script(network, { prefix: "t" }).text).toContain(
    "route append unicast 10.9.0.0/16 table 254 scope 0 nexthop via 10.0.1.2 dev e1 weight 1\n",
  );
});

// ip6_route_check_nh: the route with metric 10 hides the link from the other's gateway.
test.each([
  [
    [
      ["fd02::/64", "fd01::9"],
      ["fd01::/64", "fd01::9", 10],
    ],
    "fd02::/64 fd01::/64",
  ],
  [
    [
      ["fd02::/96", "fd01::5"],
      ["fd01::/80", "fd01:0:0:0:1::9"],
    ],
    "fd02::/96 fd01::/80",
  ],
  [
    [
      ["fd02::/96", "fd01:0:0:0:1::5"],
      ["fd01::/80", "fd01:0:0:0:1::9"],
    ],
    "fd01::/80 fd02::/96",
  ],
] as const)(
  "IPv6 gateways are looked for before something hides their link: %j",
  (routes, expected) => {
    const network = emptyNetwork();
    const { initNs } = new Kernel(network, "node1");
    const [dev] = Veth.pair(initNs, { name: "a" }, initNs, { name: "b" });
    dev.setUp();
    dev.peer?.setUp();
    dev.addAddress(parseIp("fd01::1"), 64);
    for (const [dst, via, metric] of routes) {
      initNs.addRoute({ dst: parsePrefix(dst), via: parseIp(via), ...(metric && { metric }) });
    }
    const added = [...script(network).text.matchAll(/^route add unicast (\S+)/gm)].map((m) => m[1]);
    expect(added.join(" ")).toBe(expected);
  },
);

test("a datapath has its ports by their numbers, and the flows that the model has", () => {
  const { initNs } = new Kernel(emptyNetwork(), "node1");
  const [port] = Veth.pair(initNs, { name: "v0" }, initNs, { name: "v1" });
  const datapath = new Datapath(initNs, "dp0");
  datapath.local.dev.setMtu(1376);
  datapath.addInternal("gone");
  datapath.addNetdev(port.name);
  datapath.addVxlan("vxlan-6784", 6784);
  datapath.addInternal("in0");
  datapath.deletePort(1);
  const tunnel = {
    tunnelId: 0x2001,
    local: parseIp("192.0.2.1"),
    remote: parseIp("192.0.2.2"),
    tos: 0,
    ttl: 64,
    dontFragment: true,
    zeroChecksum: true,
  };
  datapath.putFlow({ in_port: 2, eth_src: 0x020000000001, eth_dst: 0xffffffffffff }, [
    { type: "output", port: 0 },
    { type: "set-tunnel", tunnel },
    { type: "output", port: 3 },
  ]);
  datapath.putFlow({ tun_id: 0x1002, tun_src: 0xc0000202, tun_flags: 4, in_port: 3 }, []);
  datapath.putFlow({ eth_type: 0x0806 }, [{ type: "userspace" }]);
  const { text, features } = script(initNs.network);
  const lines = text.split("\n");
  expect([...features]).toContain("openvswitch devices");
  expect(lines.filter((line) => line.includes("ovs-dpctl"))).toEqual([
    "ip netns exec cnilab.node1 ovs-dpctl add-dp dp0",
    "ip netns exec cnilab.node1 ovs-dpctl cache-set-size dp0 masks-cache 0",
    "ip netns exec cnilab.node1 ovs-dpctl add-if dp0 v0,port_no=2",
    "ip netns exec cnilab.node1 ovs-dpctl add-if dp0 vxlan-6784,port_no=3",
    "ip netns exec cnilab.node1 ovs-dpctl add-if dp0 in0,type=internal,port_no=4",
    "ip netns exec cnilab.node1 ovs-dpctl add-flows dp0 - <<'END'",
  ]);
  const first = lines.findIndex((line) => line.includes("add-flows")) + 1;
  expect(lines.slice(first, lines.indexOf("END", first))).toEqual([
    "in_port(2),eth(src=02:00:00:00:00:01,dst=ff:ff:ff:ff:ff:ff) 0,set(tunnel(tun_id=0x2001,src=192.0.2.1,dst=192.0.2.2,ttl=64,flags(df|key))),3",
    "tunnel(ttl=0/0,tun_id=0x1002,src=192.0.2.2,flags(-df-csum+key)),in_port(3),eth(src=00:00:00:00:00:00/00:00:00:00:00:00) drop",
    "eth(src=00:00:00:00:00:00/00:00:00:00:00:00),eth_type(0x0806) drop",
  ]);
  expect(text).toContain("type vxlan external dstport 6784");
  expect(text).toMatch(/^link set dev dp0 address \S+ mtu 1376$/m);
});

test("associations with keys are made, and policies in the order in which they came", () => {
  const { initNs } = new Kernel(emptyNetwork(), "node1");
  const [src, dst] = [parseIp("192.0.2.1"), parseIp("192.0.2.2")];
  const mark = { value: 0x20000, mask: 0x20000 };
  const { xfrm } = initNs;
  xfrm.allocSpi({ src: dst, dst: src });
  const key = "00".repeat(20);
  const aead = { name: "rfc4106(gcm(aes))", key, icvBits: 128 };
  xfrm.addState({ src, dst, spi: 0x100, mark, replayWindow: 4096, esn: true, aead });
  const anywhere = parsePrefix("0.0.0.0/0");
  xfrm.updatePolicy({
    src: parsePrefix("192.0.2.1/32"),
    dst: parsePrefix("192.0.2.2/32"),
    protocol: 17,
    dstPort: 6784,
    mark,
    action: "allow",
    template: { src, dst, spi: 0x100 },
  });
  xfrm.updatePolicy({ src: anywhere, dst: anywhere, action: "block", priority: 7 });
  const { text, features } = script(initNs.network);
  expect([...features]).toEqual(["IPsec"]);
  expect(text.split("\n").filter((line) => line.startsWith("xfrm "))).toEqual([
    `xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 256 reqid 0 mode transport replay-window 4096 flag esn mark 131072 mask 131072 aead rfc4106(gcm(aes)) 0x${key} 128`,
    "xfrm policy add src 192.0.2.1/32 dst 192.0.2.2/32 proto 17 dport 6784 dir out mark 131072 mask 131072 action allow priority 0 tmpl src 192.0.2.1 dst 192.0.2.2 proto esp spi 256 reqid 0 mode transport",
    "xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir out action block priority 7",
  ]);
});

// Of hooks with one priority the kernel meets the newest first (nf_hook_entries_grow).
test.each([
  ["filter", "FORWARD", "filter", "iptables", "iptables-restore, nft -f -"],
  ["filter", "FORWARD", "filter", "nft", "nft -f -, iptables-restore"],
  ["nat", "POSTROUTING", "srcnat", "iptables", "iptables-restore, nft -f -"],
  ["nat", "POSTROUTING", "srcnat", "nft", "nft -f -, iptables-restore"],
  // They never meet.
  ["filter", "FORWARD", "mangle", "nft", "iptables-restore, nft -f -"],
])(
  "rules of %s %s and of nft at priority %s are loaded in the order of their making, %s first: %s",
  (table, chain, priority, first, expected) => {
    const { initNs } = new Kernel(emptyNetwork(), "node1");
    const load = [
      () => initNs.iptables(4).append(table, chain, "-j ACCEPT"),
      () =>
        initNs.nftables.apply(
          `table ip t { chain c { type ${table} hook ${chain.toLowerCase()} priority ${priority};\n }\n }`,
        ),
    ];
    for (const each of first === "nft" ? load.toReversed() : load) each();
    const { ruleSets } = script(initNs.network);
    expect(ruleSets.map(({ command }) => command).join(", ")).toBe(expected);
  },
);

test("each family's rules stand before or behind nft's as they came", () => {
  const { initNs } = new Kernel(emptyNetwork(), "node1");
  initNs.iptables(4).append("filter", "FORWARD", "-j ACCEPT");
  initNs.nftables.apply("table inet t { chain c { type filter hook forward priority 0;\n }\n }");
  initNs.iptables(6).append("filter", "FORWARD", "-j ACCEPT");
  const { ruleSets } = script(initNs.network);
  expect(ruleSets.map(({ command }) => command)).toEqual([
    "iptables-restore",
    "nft -f -",
    "ip6tables-restore",
  ]);
});
