import {
  Data,
  ICMP_DEST_UNREACH,
  ICMP_PORT_UNREACH,
  IcmpMessage,
  IPPROTO_ESP,
  IPPROTO_ICMP,
  type IpAddress,
  type IpPacket,
  IpPacket as Packet,
  parseIp,
  parsePrefix,
  QuotedPacket,
  SCTP_DATA,
  SCTP_INIT,
  type TcpSegment,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { Lab } from "../../../test/lab.ts";
import { ping, Router, sctp, tcp, udp } from "../../../test/router.ts";
import { fragmentPacket } from "../../ip/fragment.ts";
import { PACKET_BROADCAST, PACKET_HOST, Skb } from "../../skb.ts";
import { UdpSocket } from "../../socket/udp.ts";

const UDP = udp("10.0.1.2:4000", "10.0.2.2:53", 72);
const UDP6 = udp("[fd00:1::2]:4000", "[fd00:2::2]:53", 52);
const SYN = tcp("10.0.1.2:4000", "10.0.2.2:80", "S");
const ACK = tcp("10.0.1.2:4000", "10.0.2.2:80", "A");
const PING = ping("10.0.1.2", "10.0.2.2", 7);
const PING6 = ping("fd00:1::2", "fd00:2::2", 7);
const ESP = new Packet(parseIp("10.0.1.2"), parseIp("10.0.2.2"), IPPROTO_ESP, new Data(40));
const UNREACHABLE = new Packet(
  parseIp("10.0.1.2"),
  parseIp("10.0.2.2"),
  IPPROTO_ICMP,
  new IcmpMessage(
    ICMP_DEST_UNREACH,
    ICMP_PORT_UNREACH,
    0,
    new QuotedPacket(udp("10.0.2.2:53", "10.0.1.2:4000"), 548),
  ),
);
const [FIRST, SECOND] = fragmentPacket(udp("10.0.1.2:4000", "10.0.2.2:53", 2000), 1500) as [
  IpPacket,
  IpPacket,
];
const MSS = tcp("10.0.1.2:4000", "10.0.2.2:80", "S");
(MSS.payload as TcpSegment).mss = 1460;
const MARKED: (skb: Skb) => void = (skb) => {
  skb.mark = 0x4001;
};
const TOS = UDP.clone();
TOS.tos = 0x28;

/** Whether a rule of raw PREROUTING, where nothing has happened to a packet yet, matches it. */
function hits(match: string, packet: IpPacket, prepare?: (skb: Skb) => void): boolean {
  const router = new Router();
  const tables = router.netns.iptables(packet.version);
  tables.append("raw", "PREROUTING", `${match} -j DROP`);
  router.pass(packet, router.left, prepare);
  return router.drop?.rule !== undefined;
}

type Row = [match: string, packet: string, hit: boolean];
const PACKETS: Readonly<Record<string, readonly [IpPacket, ((skb: Skb) => void)?]>> = {
  udp: [UDP],
  udp6: [UDP6],
  syn: [SYN],
  ack: [ACK],
  mss: [MSS],
  ping: [PING],
  ping6: [PING6],
  unreachable: [UNREACHABLE],
  esp: [ESP],
  init: [sctp("10.0.1.2:4000", "10.0.2.2:80", SCTP_INIT, 0, 1)],
  data: [sctp("10.0.1.2:4000", "10.0.2.2:80", SCTP_DATA, 1)],
  "marked 0x4001": [UDP, MARKED],
  "TOS 0x28": [TOS],
  broadcast: [
    UDP,
    (skb) => {
      skb.packetType = PACKET_BROADCAST;
    },
  ],
  "from 02:00:00:00:00:0a": [
    UDP,
    (skb) => {
      skb.packetType = PACKET_HOST;
      skb.srcMac = 0x02000000000a;
    },
  ],
};

describe("a match", () => {
  test.each<Row>([
    // addresses
    ["-s 10.0.1.2", "udp", true],
    ["-s 10.0.1.3", "udp", false],
    ["! -s 10.0.1.2", "udp", false],
    ["! -s 10.0.1.3", "udp", true],
    ["-s 10.0.0.0/16 -d 10.0.2.0/24", "udp", true],
    ["-s 10.0.0.0/16 -d 10.0.3.0/24", "udp", false],
    ["-s 10.0.0.2/255.0.0.255", "udp", true],
    ["-s 10.0.0.3/255.0.0.255", "udp", false],
    ["-s fd00:1::2", "udp6", true],
    ["-s fd00:1::/64 -d fd00:2::/64", "udp6", true],
    ["-s fd00:1::/64 -d fd00:3::/64", "udp6", false],
    ["! -d fd00:2::2", "udp6", false],
    // devices
    ["-i left", "udp", true],
    ["-i le+", "udp", true],
    ["-i le", "udp", false],
    ["-i right", "udp", false],
    ["! -i right", "udp", true],
    ["! -i +", "udp", false],
    // protocols
    ["-p udp", "udp", true],
    ["-p tcp", "udp", false],
    ["! -p tcp", "udp", true],
    ["-p 50", "esp", true],
    ["-p icmp", "ping", true],
    ["-p icmpv6", "ping6", true],
    // fragments
    ["! -f", "udp", true],
    // ports
    ["-p udp --dport 53", "udp", true],
    ["-p udp --dport 54", "udp", false],
    ["-p udp --dport 50:60 --sport 4000", "udp", true],
    ["-p udp --dport 54:", "udp", false],
    ["-p udp ! --dport 53", "udp", false],
    ["-p tcp --sport :4000 --dport 80", "syn", true],
    ["-p udp -m multiport --dports 1,50:60", "udp", true],
    ["-p udp -m multiport --dports 1,54:60", "udp", false],
    ["-p udp -m multiport --sports 4000", "udp", true],
    ["-p udp -m multiport --ports 53", "udp", true],
    ["-p udp -m multiport --ports 4000", "udp", true],
    ["-p udp -m multiport ! --ports 4000", "udp", false],
    // TCP
    ["-p tcp --syn", "syn", true],
    ["-p tcp --syn", "ack", false],
    ["-p tcp ! --syn", "ack", true],
    ["-p tcp --tcp-flags ALL ACK", "ack", true],
    ["-p tcp --tcp-flags ACK NONE", "syn", true],
    ["-p tcp --tcp-option 2", "mss", true],
    ["-p tcp --tcp-option 2", "syn", false],
    ["-p tcp ! --tcp-option 2", "syn", true],
    ["-p tcp -m tcpmss --mss 1400:1460", "mss", true],
    ["-p tcp -m tcpmss --mss 1400:1459", "mss", false],
    ["-p tcp -m tcpmss --mss 1400:1460", "syn", false],
    // SCTP
    ["-p sctp --dport 80", "init", true],
    ["-p sctp --dport 81", "init", false],
    ["-p sctp -m sctp --chunk-types any INIT,DATA", "data", true],
    ["-p sctp -m sctp --chunk-types any INIT", "data", false],
    ["-p sctp -m sctp --chunk-types only INIT", "init", true],
    ["-p sctp -m sctp --chunk-types all INIT,DATA", "init", false],
    // ICMP
    ["-p icmp --icmp-type echo-request", "ping", true],
    ["-p icmp --icmp-type 8/0", "ping", true],
    ["-p icmp --icmp-type 8/1", "ping", false],
    ["-p icmp --icmp-type echo-reply", "ping", false],
    ["-p icmp --icmp-type any", "unreachable", true],
    ["-p icmp --icmp-type port-unreachable", "unreachable", true],
    ["-p icmp --icmp-type host-unreachable", "unreachable", false],
    ["-p icmp --icmp-type destination-unreachable", "unreachable", true],
    ["-p icmpv6 --icmpv6-type 128", "ping6", true],
    ["-p icmpv6 ! --icmpv6-type 128", "ping6", false],
    // marks
    ["-m mark --mark 0x4000/0x4000", "marked 0x4001", true],
    ["-m mark --mark 0x4000", "marked 0x4001", false],
    ["-m mark ! --mark 0x1/0x1", "marked 0x4001", false],
    ["-m mark --mark 0", "udp", true],
    // types of addresses
    ["-m addrtype --dst-type UNICAST", "udp", true],
    ["-m addrtype --dst-type LOCAL", "udp", false],
    ["-m addrtype ! --dst-type LOCAL", "udp", true],
    ["-m addrtype --src-type LOCAL,UNICAST", "udp", true],
    ["-m addrtype ! --dst-type LOCAL", "udp6", true],
    ["-m addrtype --dst-type UNICAST", "udp6", true],
    ["-m addrtype --dst-type LOCAL", "udp6", false],
    ["-m addrtype --dst-type MULTICAST", "udp6", false],
    // other fields
    ["-m comment --comment anything", "udp", true],
    ["-m length --length 100", "udp", true],
    ["-m length --length 101:", "udp", false],
    ["-m length --length 100", "udp6", true],
    ["-m ttl --ttl-eq 64", "udp", true],
    ["-m ttl --ttl-lt 64", "udp", false],
    ["-m ttl --ttl-gt 63", "udp", true],
    ["-m hl --hl-eq 64", "udp6", true],
    ["-m hl ! --hl-eq 64", "udp6", false],
    ["-m pkttype --pkt-type broadcast", "broadcast", true],
    ["-m pkttype --pkt-type unicast", "broadcast", false],
    ["-m mac --mac-source 02:00:00:00:00:0a", "from 02:00:00:00:00:0a", true],
    ["-m mac --mac-source 02:00:00:00:00:0a", "udp", false],
    ["-m mac ! --mac-source 02:00:00:00:00:0a", "udp", true],
    ["-m dscp --dscp-class AF11", "TOS 0x28", true],
    ["-m dscp --dscp 0", "TOS 0x28", false],
    ["-m tos --tos 0x28/0xff", "TOS 0x28", true],
    ["-m tos --tos 0x10/0x10", "TOS 0x28", false],
    ["-m iprange --src-range 10.0.1.1-10.0.1.9", "udp", true],
    ["-m iprange --src-range 10.0.1.3-10.0.1.9", "udp", false],
    ["-m iprange ! --dst-range fd00:2::1-fd00:2::3", "udp6", false],
    ["-m owner --uid-owner 0", "udp", false],
    ["-m owner ! --uid-owner 0", "udp", true],
    ["-m owner ! --socket-exists", "udp", true],
    ["-m ipvs --ipvs", "udp", false],
    ["-m ipvs ! --ipvs", "udp", true],
    ["-m physdev --physdev-is-bridged", "udp", false],
    ["-m physdev ! --physdev-is-bridged", "udp", true],
    ["-m physdev --physdev-in left", "udp", false],
    ["-m socket --nowildcard", "udp", false],
    ["-m statistic --mode random --probability 1", "udp", true],
    ["-m statistic --mode random --probability 0", "udp", false],
    // several at once
    ["-s 10.0.1.2 -p udp --dport 53 -m mark --mark 0", "udp", true],
    ["-s 10.0.1.2 -p udp --dport 53 -m mark --mark 1", "udp", false],
  ])("%s, a packet %s: %s", (match, name, hit) => {
    const [packet, prepare] = PACKETS[name] as readonly [IpPacket, ((skb: Skb) => void)?];
    expect(hits(match, packet, prepare)).toBe(hit);
  });
});

describe("fragments, where nothing puts them together before", () => {
  test.each<[match: string, first: boolean, second: boolean]>([
    ["-f", false, true],
    ["! -f", true, false],
    ["-p udp", true, true],
    ["-p udp --dport 53", true, false],
    ["-p udp --dport 54", false, false],
    ["-p udp ! --dport 54", true, false],
    ["-p udp -m multiport --dports 53", true, false],
    ["-p udp -m multiport ! --dports 54", true, false],
  ])("%s", (match, first, second) => {
    const lab = new Lab();
    const host = lab.host("host", "10.0.0.1/24");
    host.iptables(4).append("raw", "PREROUTING", `${match} -j DROP`);
    const dropped = [FIRST, SECOND].map((fragment) => {
      lab.network.takeDrops();
      lab.network.enqueue(host.device("eth0"), Skb.ofIp(fragment.clone(), undefined));
      lab.network.run();
      return lab.network.takeDrops()[0]?.rule !== undefined;
    });
    expect(dropped).toEqual([first, second]);
  });
});

describe("what a packet is to its connection", () => {
  const answer = udp("10.0.2.2:53", "10.0.1.2:4000");
  const error = new Packet(
    parseIp("10.0.2.2"),
    parseIp("10.0.1.2"),
    IPPROTO_ICMP,
    new IcmpMessage(ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0, new QuotedPacket(UDP, 548)),
  );
  /** The first packet leaves; the second one comes from the other side. */
  const SEQUENCES: Readonly<Record<string, readonly [first: IpPacket, second: IpPacket]>> = {
    answer: [UDP, answer],
    error: [UDP, error],
    stray: [UDP, tcp("10.0.2.2:80", "10.0.1.2:4000", "SR")],
    other: [UDP, udp("10.0.2.2:99", "10.0.1.2:4000")],
  };
  test.each<[match: string, second: string, hit: boolean]>([
    ["-m conntrack --ctstate ESTABLISHED", "answer", true],
    ["-m conntrack --ctstate NEW", "answer", false],
    ["-m conntrack ! --ctstate NEW", "answer", true],
    ["-m conntrack --ctstate NEW", "other", true],
    ["-m conntrack --ctstate RELATED", "error", true],
    ["-m conntrack --ctstate RELATED,ESTABLISHED", "error", true],
    ["-m conntrack --ctstate INVALID", "stray", true],
    ["-m conntrack --ctstate INVALID", "answer", false],
    ["-m conntrack --ctstate SNAT,DNAT", "answer", false],
    ["-m state --state ESTABLISHED", "answer", true],
    ["-m state --state NEW", "answer", false],
    ["-m conntrack --ctdir REPLY", "answer", true],
    ["-m conntrack --ctdir ORIGINAL", "answer", false],
    ["-m conntrack --ctorigdst 10.0.2.2", "answer", true],
    ["-m conntrack --ctorigdst 10.0.1.0/24", "answer", false],
    ["-m conntrack --ctreplsrc 10.0.2.2 --ctorigsrc 10.0.1.2", "answer", true],
    ["-m conntrack --ctproto udp", "answer", true],
    ["-m conntrack ! --ctproto udp", "answer", false],
    ["-m conntrack --ctproto 17 --ctorigdstport 50:60", "answer", true],
    ["-m conntrack --ctproto 17 --ctorigdstport 54:60", "answer", false],
    ["-m conntrack --ctstatus SEEN_REPLY", "answer", true],
    ["-m conntrack --ctstatus SEEN_REPLY", "other", false],
    ["-m conntrack --ctstatus EXPECTED", "answer", false],
    ["-m conntrack --ctexpire 1:30", "answer", true],
    ["-m conntrack --ctexpire 60:90", "answer", false],
    ["-m conntrack --ctdir ORIGINAL", "stray", false],
    ["-m connmark --mark 0", "answer", true],
    ["-m connmark --mark 1", "answer", false],
    ["-m helper --helper ftp", "answer", false],
  ])("%s of an %s: %s", (match, name, hit) => {
    const router = new Router();
    const [first, second] = SEQUENCES[name] as readonly [IpPacket, IpPacket];
    router.pass(first, router.left);
    router.netns.iptables(4).append("filter", "FORWARD", `${match} -j DROP`);
    router.pass(second, router.right);
    expect(router.drop?.rule !== undefined).toBe(hit);
  });

  test("an untracked packet is neither new nor invalid", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    tables.append("raw", "PREROUTING", "-j NOTRACK");
    tables.append("filter", "FORWARD", "-m conntrack --ctstate NEW,INVALID -j REJECT");
    tables.append("filter", "FORWARD", "-m conntrack --ctstate UNTRACKED -j DROP");
    router.pass(UDP, router.left);
    expect(router.drop?.rule?.text).toBe("-A FORWARD -m conntrack --ctstate UNTRACKED -j DROP");
    expect(router.connections).toEqual([]);
  });
});

/** Which of `count` equal packets, each `gapMs` after the one before, match. */
function pattern(match: string, count: number, gapMs: number, packet = UDP): string {
  const router = new Router();
  router.netns.iptables(4).append("raw", "PREROUTING", `${match} -j DROP`);
  let text = "";
  for (let i = 0; i < count; i++) {
    router.pass(packet, router.left);
    text += router.drop?.rule === undefined ? "." : "x";
    router.network.clock.advance(gapMs);
  }
  return text;
}

describe("a match that remembers", () => {
  test.each<[match: string, gapMs: number, matched: string]>([
    // recorded from Linux 6.18
    ["-m statistic --mode nth --every 3 --packet 0", 1, "x..x..x.."],
    ["-m statistic --mode nth --every 3 --packet 1", 1, ".x..x..x."],
    ["-m statistic --mode nth --every 3 --packet 2", 1, "..x..x..x"],
    ["-m statistic --mode nth ! --every 3 --packet 0", 1, ".xx.xx.xx"],
    // five at once, then one each 200 ms
    ["-m limit --limit 5/sec", 0, "xxxxx...."],
    ["-m limit --limit 5/sec", 100, "xxxxxxxxx"],
    ["-m limit --limit 5/sec --limit-burst 1", 100, "x.x.x.x.x"],
    ["-m limit --limit 1/min --limit-burst 2", 20_000, "xx.x..x.."],
    [
      "-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 1 --hashlimit-mode srcip --hashlimit-name a",
      100,
      "x.x.x.x.x",
    ],
    [
      "-m hashlimit --hashlimit-above 5/sec --hashlimit-burst 1 --hashlimit-mode srcip --hashlimit-name a",
      100,
      ".x.x.x.x.",
    ],
    // the first packet only makes the entry
    ["-m recent --set", 1, "xxxxxxxxx"],
    ["-m recent --rcheck", 1, "........."],
    ["-m recent ! --set", 1, "........."],
    ["-m recent ! --rcheck", 1, "xxxxxxxxx"],
  ])("%s, every %d ms", (match, gapMs, matched) => {
    expect(pattern(match, matched.length, gapMs)).toBe(matched);
  });

  test("random draws are those of the machine's own randomness", () => {
    const drawn = pattern("-m statistic --mode random --probability 0.3", 200, 0);
    expect(pattern("-m statistic --mode random --probability 0.3", 200, 0)).toBe(drawn);
    const hitCount = drawn.split("x").length - 1;
    expect(hitCount).toBeGreaterThan(40);
    expect(hitCount).toBeLessThan(80);
  });

  test.each<[check: string, steps: string, matched: string]>([
    // s: seen, by a rule with --set; numbers: seconds that pass; c: checked
    ["--rcheck --seconds 10", "csc5c4c2c", ".xxx."],
    ["--update --seconds 10", "csc6c6c6c11c", ".xxxx."],
    ["--rcheck --hitcount 3", "scscsc", "..x"],
    ["--update --seconds 60 --hitcount 4", "scscscscc", "...xx"],
    ["--remove", "csccsc", ".x.x"],
    ["--rcheck --seconds 5 --reap", "s6cs1c", ".x"],
    ["--rcheck --name other", "sc", "."],
  ])("recent %s after %s", (check, steps, matched) => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    tables.append("raw", "PREROUTING", "-p tcp -m recent --set --name list");
    const name = check.includes("--name") ? "" : " --name list";
    tables.append("raw", "PREROUTING", `-p udp -m recent ${check}${name} -j DROP`);
    let text = "";
    for (const step of steps.match(/[0-9]+|[a-z]/g) ?? []) {
      if (step === "s") router.pass(SYN, router.left);
      else if (step === "c") {
        router.pass(UDP, router.left);
        text += router.drop?.rule === undefined ? "." : "x";
      } else router.advance(Number(step));
    }
    expect(text).toBe(matched);
  });

  test("recent keeps addresses apart, or networks where a mask says so", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    tables.append("raw", "PREROUTING", "-p tcp -m recent --set --mask 255.255.255.0 --name net");
    tables.append("raw", "PREROUTING", "-p tcp -m recent --set --name host");
    tables.append("raw", "PREROUTING", "-p udp -m recent --rcheck --name host -j DROP");
    tables.append(
      "raw",
      "PREROUTING",
      "-p udp -m recent --rcheck --mask 255.255.255.0 --name net -j DROP",
    );
    router.pass(SYN, router.left);
    router.pass(UDP, router.left);
    expect(router.drop?.rule?.text).toContain("--name host");
    router.pass(udp("10.0.1.3:4000", "10.0.2.2:53"), router.left);
    expect(router.drop?.rule?.text).toContain("--name net");
  });

  test("a token bucket belongs to its rule and starts anew with it", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    const rule = "-m limit --limit 1/hour --limit-burst 1 -j DROP";
    tables.append("raw", "PREROUTING", rule);
    const verdicts = [1, 2].map(() => {
      router.pass(UDP, router.left);
      return router.drop?.rule !== undefined;
    });
    tables.delete("raw", "PREROUTING", rule);
    tables.append("raw", "PREROUTING", rule);
    router.pass(UDP, router.left);
    expect([...verdicts, router.drop?.rule !== undefined]).toEqual([true, false, true]);
  });
});

describe("a match on sockets and routes", () => {
  test("rpfilter", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    tables.append("raw", "PREROUTING", "-m rpfilter --invert -j DROP");
    router.pass(UDP, router.left);
    expect(router.drop?.rule).toBeUndefined();
    router.pass(udp("10.0.2.9:1", "10.0.2.2:53"), router.left);
    expect(router.drop?.rule?.text).toBe("-A PREROUTING -m rpfilter --invert -j DROP");
    tables.flush("raw");
    tables.append("raw", "PREROUTING", "-m rpfilter --loose --invert -j DROP");
    router.pass(udp("10.0.2.9:1", "10.0.2.2:53"), router.left);
    expect(router.drop?.rule).toBeUndefined();
  });

  // rpfilter_mt of ipt_rpfilter.c leaves the protocol out of what it looks for; ip6t_rpfilter.c does not
  test.each([
    [4, UDP, true],
    [6, UDP6, false],
  ] as const)("rpfilter of IPv%s and a rule for one protocol", (family, packet, hit) => {
    const router = new Router();
    const { netns } = router;
    netns.fib(family).addRule({ priority: 1, ipProtocol: 17, action: { type: "prohibit" } });
    netns.iptables(family).append("raw", "PREROUTING", "-m rpfilter -j DROP");
    router.pass(packet, router.left);
    expect(router.drop?.rule !== undefined).toBe(hit);
  });

  // rpfilter_lookup_reverse6
  test.each<[match: string, src: string, hit: boolean]>([
    ["", "fd01:1::1", true],
    ["", "fd01:9::1", false], // the longest prefix leads elsewhere
    ["--loose", "fd01:9::1", true],
    ["", "fd01:8::1", true], // if only by the worse of two routes
    ["", "fd01:7::1", false],
    ["--loose", "fd01:7::1", false],
    ["--accept-local", "fd00:1::1", true],
    ["--accept-local", "fd00:2::1", true],
    ["", "fd00:1::1", false],
    ["", "fe80::9999", true],
    ["", "::", true],
  ])("rpfilter %s of IPv6 from %s", (options, src, hit) => {
    const router = new Router();
    const { netns } = router;
    const [left, right] = ["fd00:1::2", "fd00:2::2"].map(parseIp) as [IpAddress, IpAddress];
    netns.addRoute({ dst: parsePrefix("fd01::/16"), via: left });
    netns.addRoute({ dst: parsePrefix("fd01:9::/64"), via: right });
    netns.addRoute({ dst: parsePrefix("fd01:8::/64"), via: right, metric: 100 });
    netns.addRoute({ dst: parsePrefix("fd01:8::/64"), via: left, metric: 2000 });
    netns.addRoute({ dst: parsePrefix("fd01:7::/64"), type: "blackhole" });
    netns.iptables(6).append("raw", "PREROUTING", `-m rpfilter ${options} -j DROP`);
    router.pass(udp(`[${src}]:4000`, "[fd00:2::2]:53"), router.left);
    expect(router.drop?.rule !== undefined).toBe(hit);
  });

  test("owner: programs run as root", () => {
    const router = new Router();
    const socket = new UdpSocket(router.netns, { owner: "program" });
    router.netns.iptables(4).append("filter", "OUTPUT", "-m owner --uid-owner 0 -j DROP");
    socket.sendTo(parseIp("10.0.2.2"), 53, new Data(1));
    expect(router.drop?.rule?.text).toBe("-A OUTPUT -m owner --uid-owner 0 -j DROP");
  });

  test("socket: bound to every address only with --nowildcard", () => {
    const router = new Router();
    new UdpSocket(router.netns, { localPort: 53, owner: "dns" });
    const query = udp("10.0.1.2:4000", "10.0.1.1:53");
    const tables = router.netns.iptables(4);
    tables.append("mangle", "PREROUTING", "-m socket -j DROP");
    router.pass(query, router.left);
    expect(router.drop?.rule).toBeUndefined();
    tables.append("mangle", "PREROUTING", "-m socket --nowildcard -j DROP");
    router.pass(query, router.left);
    expect(router.drop?.rule?.text).toBe("-A PREROUTING -m socket --nowildcard -j DROP");
  });

  test("nfacct counts into an object, which must be there", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    const rule = "-p udp -m nfacct --nfacct-name seen";
    expect(() => tables.append("filter", "FORWARD", rule)).toThrow(
      "iptables v1.8.9 (nf_tables):  RULE_APPEND failed (No such file or directory): rule in chain FORWARD",
    );
    const seen = router.netns.nfacct.add("seen");
    tables.append("filter", "FORWARD", rule);
    router.pass(UDP, router.left);
    expect(seen).toMatchObject({ packets: 1, bytes: 100 });
  });
});
