import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  Datapath,
  Dummy,
  Geneve,
  IpTunnel,
  Kernel,
  type NetNamespace,
  Network,
  Tun,
  Vxlan,
  Wireguard,
} from "@cnilab/linux";
import { formatMac, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { linksJson, linksText } from "./links.ts";

// Kinds that test/scenario.ts lacks, as the kernel the fixtures come from has no module for them: by
// iproute2 6.1 ip/link_iptnl.c, ip/iplink_vxlan.c and what users show of these devices.
const LOCAL = parseIp("192.168.0.11") as number;
const REMOTE = parseIp("192.168.0.12") as number;

const TAIL =
  "numtxqueues 1 numrxqueues 1 gso_max_size 65536 gso_max_segs 65535 tso_max_size 524280 tso_max_segs 65535 gro_max_size 65536 ";

interface Row {
  readonly what: string;
  make(netns: NetNamespace): void;
  /** Its index; that of the first device that is made where it is absent. */
  readonly at?: number;
  readonly text: string;
}

test.each<Row>([
  {
    what: "a dummy",
    make: (netns) => new Dummy(netns, { name: "d0", mac: 0x020000000001 }).setUp(),
    text: `2: d0: <BROADCAST,NOARP,UP,LOWER_UP> mtu 1500 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff promiscuity 0  allmulti 0 minmtu 0 maxmtu 0 
    dummy addrgenmode eui64 ${TAIL}`,
  },
  {
    what: "an ipip tunnel to one peer",
    make: (netns) =>
      new IpTunnel(netns, { name: "ipip1", local: LOCAL, remote: REMOTE, ttl: 64 }).setUp(),
    text: `2: ipip1@NONE: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1480 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
    link/ipip 192.168.0.11 peer 192.168.0.12 promiscuity 0  allmulti 0 minmtu 0 maxmtu 0 
    ipip any remote 192.168.0.12 local 192.168.0.11 ttl 64 pmtudisc addrgenmode eui64 ${TAIL}`,
  },
  {
    what: "an ipip tunnel to everybody",
    make: (netns) => new IpTunnel(netns, { name: "tunl0", pathMtuDiscovery: false }),
    text: `2: tunl0@NONE: <NOARP> mtu 1480 qdisc noop state DOWN mode DEFAULT group default qlen 1000
    link/ipip 0.0.0.0 brd 0.0.0.0 promiscuity 0  allmulti 0 minmtu 0 maxmtu 0 
    ipip any remote any local any ttl inherit nopmtudisc addrgenmode eui64 ${TAIL}`,
  },
  {
    what: "a WireGuard device",
    make: (netns) => new Wireguard(netns, { name: "wg0", publicKey: "key" }).setUp(),
    text: `2: wg0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1420 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
    link/none  promiscuity 0  allmulti 0 minmtu 0 maxmtu 2147483552 
    wireguard addrgenmode none ${TAIL}`,
  },
  {
    what: "a vxlan that learns and floods to a group",
    make: (netns) =>
      new Vxlan(netns, {
        name: "vx",
        mac: 0x020000000001,
        vni: 42,
        port: 4789,
        remote: parseIp("239.1.1.1"),
        groupPolicy: true,
        ttl: 9,
        udpChecksum: false,
      }),
    text: `2: vx: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN mode DEFAULT group default qlen 1000
    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff promiscuity 0  allmulti 0 minmtu 68 maxmtu 65535 
    vxlan id 42 group 239.1.1.1 srcport 0 0 dstport 4789 ttl 9 ageing 300 noudpcsum noudp6zerocsumtx noudp6zerocsumrx gbp addrgenmode eui64 ${TAIL}`,
  },
  {
    what: "a geneve device over IPv4",
    make: (netns) =>
      new Geneve(netns, { name: "g4", mac: 0x020000000001, vni: 7, remote: parseIp("10.0.0.2") }),
    text: `2: g4: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN mode DEFAULT group default qlen 1000
    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff promiscuity 0  allmulti 0 minmtu 68 maxmtu 65485 
    geneve id 7 remote 10.0.0.2 ttl auto dstport 6081 noudpcsum udp6zerocsumrx addrgenmode eui64 ${TAIL.replace("524280", "65536")}`,
  },
  {
    what: "a geneve device over IPv6",
    make: (netns) =>
      new Geneve(netns, {
        name: "g6",
        mac: 0x020000000001,
        vni: 7,
        remote: parseIp("fd00::2"),
        ttl: 9,
        port: 6082,
      }),
    text: `2: g6: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN mode DEFAULT group default qlen 1000
    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff promiscuity 0  allmulti 0 minmtu 68 maxmtu 65465 
    geneve id 7 remote fd00::2 ttl 9 dstport 6082 noudp6zerocsumtx noudp6zerocsumrx addrgenmode eui64 ${TAIL.replace("524280", "65536")}`,
  },
  {
    what: "a tun that a program reads",
    make: (netns) => {
      const tun = new Tun(netns, { name: "flannel0" });
      tun.attach(() => {});
      tun.setUp();
    },
    text: `2: flannel0: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast state UNKNOWN mode DEFAULT group default qlen 500
    link/none  promiscuity 0  allmulti 0 minmtu 68 maxmtu 65535 
    tun type tun pi off vnet_hdr off persist on addrgenmode random ${TAIL.replace("524280", "65536")}`,
  },
  {
    // and the next: iproute2 6.1 on Linux 6.1, of a node on which weaver 2.8 ran
    what: "a datapath's own device",
    make: (netns) => new Datapath(netns, "datapath").local.dev.setUp(),
    text: `2: datapath: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
    link/ether MAC brd ff:ff:ff:ff:ff:ff promiscuity 1  allmulti 0 minmtu 68 maxmtu 65535 
    openvswitch addrgenmode eui64 ${TAIL.replace("524280", "65536")}`,
  },
  {
    what: "a datapath's tunnel",
    make: (netns) => {
      const datapath = new Datapath(netns, "datapath");
      datapath.addVxlan("vxlan-6784", 6784);
      datapath.local.dev.setUp();
    },
    at: 3,
    text: `3: vxlan-6784: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 65535 qdisc noqueue master datapath state UNKNOWN mode DEFAULT group default qlen 1000
    link/ether MAC brd ff:ff:ff:ff:ff:ff promiscuity 1  allmulti 0 minmtu 68 maxmtu 65535 
    vxlan external id 0 srcport 0 0 dstport 6784 nolearning ttl auto ageing 300 udpcsum noudp6zerocsumtx udp6zerocsumrx 
    openvswitch_slave addrgenmode eui64 ${TAIL.replace("524280", "65536")}`,
  },
])("$what", ({ make, at = 2, text }) => {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const netns = new Kernel(network, "node1").addNamespace("x");
  make(netns);
  const lines = linksText(netns).split(`\n${at}: `);
  const { mac } = netns.devices[at - 1] ?? {};
  expect(`${at}: ${lines[1]}`).toBe(`${text.replace("MAC", formatMac(mac ?? 0))}\n`);
  const json = linksJson(netns)[at - 1];
  expect(json?.["ifname"]).toBe(/^\d: ([^@:]+)/.exec(text)?.[1]);
});
