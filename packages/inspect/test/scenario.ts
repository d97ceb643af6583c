import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  Bridge,
  Ifb,
  Kernel,
  Macvlan,
  type NetNamespace,
  Network,
  RT_SCOPE_LINK,
  TrafficControl,
  Tun,
  Veth,
  Vxlan,
} from "@cnilab/linux";
import { parseIp, parsePrefix, tryParseMac } from "@cnilab/net";

/**
 * One state of a node, twice: as commands for the real tools, and as calls to the model. Names of
 * the namespaces are HOST, POD and WIRE.
 */
export const COMMANDS: readonly string[] = `
ip netns exec HOST sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
ip netns exec POD sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
ip netns exec HOST sysctl -qw net.ipv4.ip_forward=1
ip -n HOST link set lo up
ip -n HOST link add eth0 address 02:00:00:00:00:01 type veth peer name wire0 address 02:00:00:00:00:ff netns WIRE
ip -n WIRE link set wire0 up
ip -n HOST addr add 192.168.0.11/16 brd + dev eth0
ip -n HOST addr add 192.168.0.99/16 brd + dev eth0
ip -n HOST link set eth0 up
ip -n HOST link add cni0 address 02:00:00:00:01:00 mtu 1450 type bridge
ip -n HOST link set cni0 up
ip -n HOST addr add 10.244.1.1/24 brd + dev cni0
ip -n HOST -6 addr add fd00:1::1/64 dev cni0 nodad
ip -n HOST link add flannel.1 address 02:00:00:00:02:00 mtu 1450 type vxlan id 1 local 192.168.0.11 dev eth0 dstport 8472 nolearning
ip -n HOST addr add 10.244.1.0/32 dev flannel.1
ip -n HOST link set flannel.1 up
ip -n HOST link add vetha address 02:00:00:00:03:01 mtu 1450 type veth peer name eth0 address 02:00:00:00:04:01 netns POD mtu 1450
ip -n HOST link set vetha master cni0
ip -n HOST link set vetha up
ip netns exec HOST bridge link set dev vetha hairpin on
ip -n POD link set lo up
ip -n POD addr add 10.244.1.2/24 brd + dev eth0
ip -n POD link set eth0 up
ip -n POD route add default via 10.244.1.1
ip -n HOST link add vethb address 02:00:00:00:06:01 type veth peer name vethc address 02:00:00:00:06:02
ip netns exec HOST sysctl -qw net.ipv6.conf.vethb.disable_ipv6=1
ip -n HOST link set vethb up
ip -n HOST link add br1 address 02:00:00:00:09:00 type bridge
ip netns exec HOST sysctl -qw net.ipv6.conf.br1.disable_ipv6=1
ip -n HOST link set br1 up
ip -n HOST addr add 172.17.0.1/16 brd + dev br1
ip -n HOST link add mv0 link eth0 address 02:00:00:00:07:01 type macvlan mode bridge
ip netns exec HOST ip tuntap add dev tun0 mode tun
ip netns exec HOST sysctl -qw net.ipv6.conf.tun0.disable_ipv6=1
ip -n HOST link set tun0 up
ip -n HOST link add ifb9 address 02:00:00:00:08:01 type ifb
ip -n HOST route add 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink
ip -n HOST route add blackhole 10.99.0.0/16
ip -n HOST route add 10.98.0.0/16 dev eth0 src 192.168.0.11 metric 100 mtu 1400
ip -n HOST route add default via 192.168.0.1 dev eth0 proto static
ip -n HOST route add 10.97.0.0/16 nexthop via 192.168.0.21 dev eth0 weight 1 nexthop via 192.168.0.22 dev eth0 weight 2
ip -n HOST route add 10.96.0.0/16 via 192.168.0.23 table 100
ip -n HOST route add unreachable 10.95.0.0/16 metric 5
ip -n HOST route add 10.94.0.0/16 via 192.168.0.1 proto bird
ip -n HOST route add 10.93.0.0/16 tos 0x10 via 192.168.0.1 advmss 1300
ip -n HOST -6 route add fd00:2::/64 via fd00:1::2 dev cni0
ip -n HOST -6 route add blackhole fd00:3::/64
ip -n HOST -6 route add default via fd00:1::9
ip -n HOST rule add fwmark 0x200/0xf00 lookup 2004 priority 9
ip -n HOST rule add fwmark 0x4000/0x4000 table 100 priority 100
ip -n HOST rule add from 10.244.0.0/16 to 10.0.0.0/8 table 100 priority 101
ip -n HOST rule add not from 10.1.0.0/16 iif cni0 table main suppress_prefixlength 0 priority 102
ip -n HOST rule add ipproto tcp dport 80-90 blackhole priority 103
ip -n HOST rule add from 10.9.9.9 oif gone0 sport 53 unreachable priority 104
ip -n HOST rule add fwmark 7 goto 32766 priority 105
ip -n HOST neigh replace 10.244.2.0 lladdr 02:00:00:00:02:02 dev flannel.1 nud permanent
ip -n HOST neigh replace 192.168.0.12 lladdr 02:00:00:00:00:02 dev eth0 nud reachable
ip -n HOST neigh replace fd00:1::2 lladdr 02:00:00:00:04:01 dev cni0 nud stale
ip netns exec HOST bridge fdb replace 02:00:00:00:02:02 dev flannel.1 dst 192.168.0.12 self permanent
ip -n HOST neigh replace 192.168.0.13 lladdr 02:00:00:00:00:03 dev eth0 nud permanent
ip netns exec HOST bridge fdb append 00:00:00:00:00:00 dev flannel.1 dst 192.168.0.12
ip netns exec HOST bridge fdb append 00:00:00:00:00:00 dev flannel.1 dst 192.168.0.13
ip netns exec HOST bridge fdb replace 02:00:00:00:04:03 dev vetha master static
ip netns exec HOST bridge fdb replace 02:00:00:00:04:01 dev vetha master dynamic
ip netns exec HOST tc qdisc add dev eth0 handle 1: root tbf rate 10mbit burst 32kb latency 25ms
ip netns exec HOST tc qdisc add dev vetha ingress
ip netns exec HOST tc filter add dev vetha parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev ifb9
`
  .trim()
  .split("\n");

/** What the real tools are asked for, and in which namespace. */
export const VIEWS: readonly { readonly name: string; readonly command: string }[] = [
  { name: "links", command: "ip -d link show" },
  { name: "links-brief", command: "ip link show" },
  { name: "addrs", command: "ip addr show" },
  { name: "routes", command: "ip route show" },
  { name: "routes-all", command: "ip route show table all" },
  { name: "routes-6", command: "ip -6 route show" },
  { name: "rules", command: "ip rule show" },
  { name: "rules-6", command: "ip -6 rule show" },
  { name: "neigh", command: "ip neigh show" },
  { name: "fdb", command: "bridge fdb show" },
  { name: "qdiscs", command: "tc qdisc show" },
  { name: "filter", command: "tc filter show dev vetha parent ffff:" },
  { name: "links-json", command: "ip -j -d link show" },
  { name: "addrs-json", command: "ip -j addr show" },
  { name: "routes-all-json", command: "ip -j route show table all" },
  { name: "rules-json", command: "ip -j rule show" },
  { name: "neigh-json", command: "ip -j neigh show" },
  { name: "fdb-json", command: "bridge -j fdb show" },
  { name: "qdiscs-json", command: "tc -j qdisc show" },
];

const mac = (text: string): number => tryParseMac(text) as number;

/** The same state in the model. */
export function modelScenario(): NetNamespace {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const kernel = new Kernel(network, "node1");
  const host = kernel.addNamespace("HOST");
  const pod = kernel.addNamespace("POD");
  const wire = kernel.addNamespace("WIRE");
  host.sysctl.set("net.ipv4.ip_forward", 1);
  host.loopback.setUp();
  const [eth0, wire0] = Veth.pair(host, { name: "eth0", mac: mac("02:00:00:00:00:01") }, wire, {
    name: "wire0",
    mac: mac("02:00:00:00:00:ff"),
  });
  wire0.setUp();
  const broadcast = parseIp("192.168.255.255");
  eth0.addAddress(parseIp("192.168.0.11"), 16, { broadcast });
  eth0.addAddress(parseIp("192.168.0.99"), 16, { broadcast });
  eth0.setUp();
  const cni0 = new Bridge(host, { name: "cni0", mac: mac("02:00:00:00:01:00"), mtu: 1450 });
  cni0.setUp();
  cni0.addAddress(parseIp("10.244.1.1"), 24, { broadcast: parseIp("10.244.1.255") });
  cni0.addAddress(parseIp("fd00:1::1"), 64, { nodad: true });
  const local = parseIp("192.168.0.11");
  const flannel = new Vxlan(host, {
    name: "flannel.1",
    mac: mac("02:00:00:00:02:00"),
    mtu: 1450,
    vni: 1,
    link: eth0,
    local,
    learning: false,
  });
  flannel.addAddress(parseIp("10.244.1.0"), 32);
  flannel.setUp();
  const [vetha, podEth0] = Veth.pair(
    host,
    { name: "vetha", mac: mac("02:00:00:00:03:01"), mtu: 1450 },
    pod,
    { name: "eth0", mac: mac("02:00:00:00:04:01"), mtu: 1450 },
  );
  vetha.setMaster(cni0);
  vetha.setUp();
  if (vetha.bridgePort !== undefined) vetha.bridgePort.hairpin = true;
  pod.loopback.setUp();
  podEth0.addAddress(parseIp("10.244.1.2"), 24, { broadcast: parseIp("10.244.1.255") });
  podEth0.setUp();
  pod.addRoute({ dst: parsePrefix("0.0.0.0/0"), via: parseIp("10.244.1.1") });
  const [vethb] = Veth.pair(host, { name: "vethb", mac: mac("02:00:00:00:06:01") }, host, {
    name: "vethc",
    mac: mac("02:00:00:00:06:02"),
  });
  // A link-local address waits for the carrier in the kernel, and not in the model.
  host.sysctl.set("net/ipv6/conf/vethb/disable_ipv6", 1);
  vethb.setUp();
  const br1 = new Bridge(host, { name: "br1", mac: mac("02:00:00:00:09:00") });
  host.sysctl.set("net/ipv6/conf/br1/disable_ipv6", 1);
  br1.setUp();
  br1.addAddress(parseIp("172.17.0.1"), 16, { broadcast: parseIp("172.17.255.255") });
  new Macvlan(host, { name: "mv0", mac: mac("02:00:00:00:07:01"), lower: eth0, mode: "bridge" });
  const tun0 = new Tun(host, { name: "tun0" });
  host.sysctl.set("net/ipv6/conf/tun0/disable_ipv6", 1);
  tun0.setUp();
  const ifb9 = new Ifb(host, { name: "ifb9", mac: mac("02:00:00:00:08:01") });
  const via = (text: string) => parseIp(text);
  host.addRoute({
    dst: parsePrefix("10.244.2.0/24"),
    via: via("10.244.2.0"),
    dev: flannel,
    onlink: true,
  });
  host.addRoute({ dst: parsePrefix("10.99.0.0/16"), type: "blackhole" });
  host.addRoute({
    dst: parsePrefix("10.98.0.0/16"),
    dev: eth0,
    src: local,
    metric: 100,
    mtu: 1400,
    scope: RT_SCOPE_LINK,
  });
  const gateway = via("192.168.0.1");
  host.addRoute({ dst: parsePrefix("0.0.0.0/0"), via: gateway, dev: eth0, protocol: "static" });
  host.addRoute({
    dst: parsePrefix("10.97.0.0/16"),
    nexthops: [
      { via: via("192.168.0.21"), dev: eth0, weight: 1 },
      { via: via("192.168.0.22"), dev: eth0, weight: 2 },
    ],
  });
  host.addRoute({ dst: parsePrefix("10.96.0.0/16"), via: via("192.168.0.23"), table: 100 });
  host.addRoute({ dst: parsePrefix("10.95.0.0/16"), type: "unreachable", metric: 5 });
  host.addRoute({ dst: parsePrefix("10.94.0.0/16"), via: gateway, protocol: "bird" });
  host.addRoute({ dst: parsePrefix("10.93.0.0/16"), via: gateway, tos: 0x10, advmss: 1300 });
  host.addRoute({ dst: parsePrefix("fd00:2::/64"), via: via("fd00:1::2"), dev: cni0 });
  host.addRoute({ dst: parsePrefix("fd00:3::/64"), type: "blackhole" });
  host.addRoute({ dst: parsePrefix("::/0"), via: via("fd00:1::9") });
  const fib = host.fib4;
  fib.addRule({ priority: 9, fwmark: { value: 0x200, mask: 0xf00 }, action: { table: 2004 } });
  fib.addRule({ priority: 100, fwmark: { value: 0x4000, mask: 0x4000 }, action: { table: 100 } });
  fib.addRule({
    priority: 101,
    from: parsePrefix("10.244.0.0/16"),
    to: parsePrefix("10.0.0.0/8"),
    action: { table: 100 },
  });
  fib.addRule({
    priority: 102,
    not: true,
    from: parsePrefix("10.1.0.0/16"),
    iif: "cni0",
    suppressPrefixLength: 0,
    action: { table: 254 },
  });
  fib.addRule({
    priority: 103,
    ipProtocol: 6,
    dport: { first: 80, last: 90 },
    action: { type: "blackhole" },
  });
  fib.addRule({
    priority: 104,
    from: parsePrefix("10.9.9.9/32"),
    oif: "gone0",
    sport: { first: 53, last: 53 },
    action: { type: "unreachable" },
  });
  fib.addRule({
    priority: 105,
    fwmark: { value: 7, mask: 0xffffffff },
    action: { goto: 32766 },
  });
  host.neighboursOf(flannel).replace(parseIp("10.244.2.0"), mac("02:00:00:00:02:02"));
  host.neighboursOf(eth0).replace(parseIp("192.168.0.12"), mac("02:00:00:00:00:02"), "REACHABLE");
  host.neighboursOf(eth0).replace(parseIp("192.168.0.13"), mac("02:00:00:00:00:03"));
  host.neighboursOf(cni0).replace(parseIp("fd00:1::2"), mac("02:00:00:00:04:01"), "STALE");
  flannel.replaceFdb(mac("02:00:00:00:02:02"), parseIp("192.168.0.12"));
  flannel.addFdb(0, parseIp("192.168.0.12"));
  flannel.addFdb(0, parseIp("192.168.0.13"));
  cni0.fdb.add(mac("02:00:00:00:04:03"), vetha.bridgePort, false);
  if (vetha.bridgePort !== undefined) cni0.fdb.learn(mac("02:00:00:00:04:01"), vetha.bridgePort);
  eth0.tc = new TrafficControl(eth0);
  // rate 10mbit burst 32kb latency 25ms, as tc and the kernel's clock ticks round it
  eth0.tc.root = { kind: "tbf", handle: "1:", rate: 1_250_000, burst: 32767, limit: 64017 };
  vetha.tc = new TrafficControl(vetha);
  vetha.tc.redirect = { kind: "mirred", to: ifb9 };
  return host;
}
