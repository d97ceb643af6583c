import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Dummy, exchange, Kernel, Network, startEchoServer } from "@cnilab/linux";
import { IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { describe, expect, it, test } from "vitest";
import { isViewName, show, showJson, VIEWS, type ViewName } from "./show.ts";

function kernel(): Kernel {
  return new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "node1");
}

const NAMES = Object.keys(VIEWS) as ViewName[];

test.each(NAMES)("%s prints a namespace that has nothing but lo", (name) => {
  const { initNs } = kernel();
  expect(typeof show(name, initNs)).toBe("string");
  const json = showJson(name, initNs);
  if (json !== undefined) expect(JSON.parse(JSON.stringify(json))).toEqual(json);
});

test.each([
  ["links", true],
  ["tc", true],
  ["bpf", false],
  ["toString", false],
  ["link", false],
])("%s is a view: %s", (name, known) => {
  expect(isViewName(name)).toBe(known);
});

describe("routes and rules", () => {
  const both = kernel().initNs;
  const dev = new Dummy(both, { name: "d0" });
  dev.setUp();
  dev.addAddress(parseIp("10.0.0.1"), 24);
  dev.addAddress(parseIp("fd00::1"), 64);
  it.each([
    { options: {}, v4: true, v6: true },
    { options: { family: 4 }, v4: true, v6: false },
    { options: { family: 6 }, v4: false, v6: true },
    { options: { table: "all" }, v4: true, v6: true },
    { options: { table: 255, family: 4 }, v4: true, v6: false },
  ] as const)("%o", ({ options, v4, v6 }) => {
    const routes = show("routes", both, options);
    expect(/^(local )?10\.0\.0\./m.test(routes)).toBe(v4);
    expect(/^fd00::\/64 dev d0/m.test(routes)).toBe(v6);
  });
});

test("sockets are listed with their owners", () => {
  const { initNs } = kernel();
  startEchoServer(initNs, { protocol: IPPROTO_TCP, port: 80, owner: "default/web-0/nginx" });
  startEchoServer(initNs, {
    protocol: IPPROTO_UDP,
    port: 53,
    address: parseIp("fd00::1"),
    owner: "coredns",
  });
  expect(
    show("sockets", initNs),
  ).toBe(`Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process
udp   UNCONN 0      0      [fd00::1]:53       [::]:*            users:(("coredns"))
tcp   LISTEN 0      0      *:80               *:*               users:(("default/web-0/nginx"))
`);
});

test("sysctls that matter are listed by name", () => {
  const text = show("sysctl", kernel().initNs);
  expect(text).toContain("net.ipv4.ip_forward = 0\n");
  expect(text).toContain("net.bridge.bridge-nf-call-iptables = 1\n");
});

test("netfilter prints itself", () => {
  const { initNs } = kernel();
  expect([show("iptables", initNs), show("nft", initNs)]).toEqual(["", ""]);
  expect(showJson("nft", initNs)).toMatchObject({ nftables: [{ metainfo: { version: "1.0.6" } }] });
  initNs.iptables(4).append("filter", "INPUT", "-s 10.0.0.0/8 -j DROP");
  initNs.nftables.apply("table ip t { chain c { counter } }");
  expect(show("iptables", initNs)).toContain("-A INPUT -s 10.0.0.0/8 -j DROP\n");
  expect(show("ip6tables", initNs)).toBe("");
  expect(show("nft", initNs)).toContain("table ip t {\n\tchain c {\n");
});

test("virtual servers are listed with their connections", () => {
  const { initNs } = kernel();
  initNs.loopback.setUp();
  expect(show("ipvs", initNs)).toBe("");
  initNs.ipvs.restore("-A -u 127.0.0.1:53 -s rr\n-a -u 127.0.0.1:53 -r 127.0.0.2:5353 -m");
  const head = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
UDP  127.0.0.1:53 rr
  -> 127.0.0.2:5353               Masq    1      0          `;
  expect(show("ipvs", initNs)).toBe(`${head}0         \n`);
  exchange(initNs, {
    protocol: IPPROTO_UDP,
    dst: parseIp("127.0.0.1"),
    port: 53,
    srcPort: 40000,
  });
  expect(show("ipvs", initNs)).toBe(`${head}1         

IPVS connection entries
pro expire state       source             virtual            destination
UDP 05:00  UDP         127.0.0.1:40000    127.0.0.1:53       127.0.0.2:5353
`);
});
