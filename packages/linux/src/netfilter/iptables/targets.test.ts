import { formatIp, type IpPacket, parseIp, type TcpSegment } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { connect, Lab, outcome, routes, rule, serve } from "../../../test/lab.ts";
import { ends, ping, Router, tcp, udp } from "../../../test/router.ts";
import { UdpSocket } from "../../socket/udp.ts";

const UDP = udp("10.0.1.2:4000", "10.0.2.2:53", 72);
const UDP6 = udp("[fd00:1::2]:4000", "[fd00:2::2]:53", 52);
const SYN = tcp("10.0.1.2:4000", "10.0.2.2:80", "S", 1000);

describe("REJECT", () => {
  test.each<[options: string, packet: IpPacket, type: number, code: number]>([
    ["", UDP, 3, 3],
    ["--reject-with icmp-net-unreachable", UDP, 3, 0],
    ["--reject-with icmp-host-unreachable", UDP, 3, 1],
    ["--reject-with icmp-proto-unreachable", UDP, 3, 2],
    ["--reject-with icmp-net-prohibited", UDP, 3, 9],
    ["--reject-with icmp-host-prohibited", UDP, 3, 10],
    ["--reject-with icmp-admin-prohibited", UDP, 3, 13],
    ["", UDP6, 1, 4],
    ["--reject-with icmp6-no-route", UDP6, 1, 0],
    ["--reject-with icmp6-adm-prohibited", UDP6, 1, 1],
    ["--reject-with icmp6-addr-unreachable", UDP6, 1, 3],
    ["--reject-with icmp6-policy-fail", UDP6, 1, 5],
    ["--reject-with icmp6-reject-route", UDP6, 1, 6],
  ])("%s answers with an ICMP message", (options, packet, type, code) => {
    const router = new Router();
    router.netns.iptables(packet.version).append("filter", "FORWARD", `-j REJECT ${options}`);
    const sent = router.pass(packet, router.left);
    expect(router.drop?.rule?.text).toMatch(/^-A FORWARD -j REJECT/);
    expect(sent?.payload).toMatchObject({ type, code });
    expect(sent?.dst).toBe(packet.src);
  });

  test("with tcp-reset the caller is refused at once", () => {
    const lab = new Lab();
    const client = lab.host("client", "10.0.0.1/24");
    const server = lab.host("server", "10.0.0.2/24");
    serve(server, 80);
    expect(outcome(connect(client, "10.0.0.2", 80))).toBe("connected");
    server.iptables(4).append("filter", "INPUT", "-p tcp --syn -j REJECT --reject-with tcp-reset");
    const result = connect(client, "10.0.0.2", 80);
    expect([result.outcome, result.error?.errno]).toEqual(["refused", "ECONNREFUSED"]);
  });

  test.each<[flags: string, seq: number, ack: number, reset: string]>([
    ["S", 1000, 0, "RA seq 0 ack 1001"],
    ["A", 1000, 77, "R seq 77 ack 0"],
    ["SA", 1000, 77, "R seq 77 ack 0"],
    ["F", 1000, 0, "RA seq 0 ack 1001"],
    ["R", 1000, 0, "none"],
  ])("a reset that answers %s (RFC 9293 section 3.5.2)", (flags, seq, ack, reset) => {
    const router = new Router();
    router.netns.iptables(4).append("raw", "PREROUTING", "-j NOTRACK");
    router.netns
      .iptables(4)
      .append("filter", "FORWARD", "-p tcp -j REJECT --reject-with tcp-reset");
    const sent = router.pass(tcp("10.0.1.2:4000", "10.0.2.2:80", flags, seq, ack), router.left);
    const segment = sent?.payload as TcpSegment | undefined;
    const text =
      segment === undefined
        ? "none"
        : `R${segment.flags & 0x10 ? "A" : ""} seq ${segment.seq} ack ${segment.ack}`;
    expect(text).toBe(reset);
    if (sent !== undefined) {
      expect(ends(sent)).toBe("10.0.2.2:80 > 10.0.1.2:4000");
      expect(formatIp(sent.dst)).toBe("10.0.1.2");
    }
  });
});

describe("targets that change the packet", () => {
  test.each<[rule: string, packet: IpPacket, field: (p: IpPacket) => unknown, value: unknown]>([
    ["-j TTL --ttl-set 9", UDP, (p) => p.ttl, 8],
    ["-j TTL --ttl-inc 4", UDP, (p) => p.ttl, 67],
    ["-j TTL --ttl-dec 4", UDP, (p) => p.ttl, 59],
    ["-j HL --hl-set 9", UDP6, (p) => p.ttl, 8],
    ["-j DSCP --set-dscp-class EF", UDP, (p) => p.tos, 0xb8],
    ["-j TOS --set-tos 0x10", UDP, (p) => p.tos, 0x10],
    ["-p udp -j CHECKSUM --checksum-fill", UDP, ends, "10.0.1.2:4000 > 10.0.2.2:53"],
    ["-p tcp -j TCPMSS --set-mss 1200", mss(1460), (p) => (p.payload as TcpSegment).mss, 1200],
    ["-p tcp -j TCPMSS --set-mss 1200", mss(900), (p) => (p.payload as TcpSegment).mss, 900],
    ["-p tcp -j TCPMSS --set-mss 1200", mss(0), (p) => (p.payload as TcpSegment).mss, 536],
  ])("%s", (text, packet, field, value) => {
    const router = new Router();
    router.netns.iptables(packet.version).append("mangle", "PREROUTING", text);
    expect(field(router.pass(packet, router.left) as IpPacket)).toBe(value);
  });

  test.each<[mtuOfLeft: number, mtuOfRight: number, mss: number]>([
    [1500, 1400, 1360],
    [1300, 1500, 1260],
    [1500, 1500, 1460],
  ])("TCPMSS --clamp-mss-to-pmtu between MTU %d and %d", (left, right, clamped) => {
    const router = new Router();
    router.left.setMtu(left);
    router.right.setMtu(right);
    const clamp = "-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu";
    router.netns.iptables(4).append("mangle", "FORWARD", clamp);
    const leaves = router.pass(mss(8960), router.left);
    expect(leaves?.payload).toMatchObject({ mss: clamped });
  });

  function mss(bytes: number): IpPacket {
    const packet = SYN.clone();
    (packet.payload as TcpSegment).mss = bytes;
    return packet;
  }

  test.each<[option: string, before: number, after: number]>([
    ["--set-mark 1", 0x4000, 0x1],
    ["--set-mark 0x1/0x1", 0x4000, 0x4001],
    ["--set-mark 0x0/0xff", 0x40ff, 0x4000],
    ["--set-xmark 0x4000/0x4000", 0xf, 0x400f],
    ["--set-xmark 0x4000/0x0", 0x4001, 0x1],
    ["--or-mark 0x4000", 0x1, 0x4001],
    ["--and-mark 0xf", 0x4001, 0x1],
    ["--xor-mark 0x4001", 0x1, 0x4000],
    ["--or-mark 0x80000000", 0x1, 0x80000001],
  ])("MARK %s of 0x%x", (option, before, after) => {
    const router = new Router();
    router.netns.iptables(4).append("mangle", "PREROUTING", `-j MARK ${option}`);
    let mark = -1;
    router.netns.netfilter.register(2, 2, {
      name: "test",
      priority: 0,
      run: (skb) => {
        mark = skb.mark;
        return 1;
      },
    });
    router.pass(UDP, router.left, (skb) => {
      skb.mark = before;
    });
    expect(mark).toBe(after);
  });

  test("CONNMARK carries a mark from the first packet to the answers", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    tables.append("mangle", "PREROUTING", "-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff");
    tables.append("mangle", "PREROUTING", "-i left -m mark --mark 0 -j MARK --set-mark 0x7");
    tables.append("mangle", "PREROUTING", "-j CONNMARK --save-mark");
    tables.append("filter", "FORWARD", "-i right -m mark --mark 0x7 -j DROP");
    router.pass(UDP, router.left);
    expect(router.entry.mark).toBe(7);
    router.pass(udp("10.0.2.2:53", "10.0.1.2:4000"), router.right);
    expect(router.drop?.rule?.text).toBe("-A FORWARD -i right -m mark --mark 0x7 -j DROP");
    tables.append("mangle", "PREROUTING", "-j CONNMARK --set-xmark 0x10/0xf0");
    router.pass(UDP, router.left);
    expect(router.entry.mark).toBe(0x17);
  });
});

describe("NAT", () => {
  test.each<[chain: string, rule: string, packet: IpPacket, leaves: string]>([
    [
      "PREROUTING",
      "-p udp -j DNAT --to-destination 10.0.2.9:99",
      UDP,
      "10.0.1.2:4000 > 10.0.2.9:99",
    ],
    ["PREROUTING", "-j DNAT --to-destination 10.0.2.9", UDP, "10.0.1.2:4000 > 10.0.2.9:53"],
    ["PREROUTING", "-p udp -j DNAT --to-destination :99", UDP, "10.0.1.2:4000 > 10.0.2.2:99"],
    ["PREROUTING", "-j DNAT --to-destination fd00:2::9", UDP6, "[fd00:1::2]:4000 > [fd00:2::9]:53"],
    [
      "PREROUTING",
      "-p udp -j DNAT --to-destination [fd00:2::9]:99",
      UDP6,
      "[fd00:1::2]:4000 > [fd00:2::9]:99",
    ],
    ["POSTROUTING", "-j SNAT --to-source 10.0.2.7", UDP, "10.0.2.7:4000 > 10.0.2.2:53"],
    ["POSTROUTING", "-p udp -j SNAT --to-source 10.0.2.7:7", UDP, "10.0.2.7:7 > 10.0.2.2:53"],
    ["POSTROUTING", "-j MASQUERADE", UDP, "10.0.2.1:4000 > 10.0.2.2:53"],
    ["POSTROUTING", "-p udp -j MASQUERADE --to-ports 77", UDP, "10.0.2.1:77 > 10.0.2.2:53"],
    ["POSTROUTING", "-j MASQUERADE", UDP6, "[fd00:2::1]:4000 > [fd00:2::2]:53"],
    [
      "PREROUTING",
      "-d 10.0.2.0/24 -j NETMAP --to 10.0.2.0/28",
      udp("10.0.1.2:1", "10.0.2.37:2"),
      "10.0.1.2:1 > 10.0.2.5:2",
    ],
  ])("nat %s %s", (chain, rule, packet, leaves) => {
    const router = new Router();
    router.netns.iptables(packet.version).append("nat", chain, rule);
    expect(ends(router.pass(packet, router.left))).toBe(leaves);
  });

  test("REDIRECT sends to this machine", () => {
    const router = new Router();
    let from = "";
    new UdpSocket(router.netns, {
      localPort: 99,
      owner: "proxy",
      onReceive: (d) => {
        from = `${formatIp(d.src)} > ${formatIp(d.dst)}:${d.dstPort}`;
      },
    });
    router.netns.iptables(4).append("nat", "PREROUTING", "-p udp -j REDIRECT --to-ports 99");
    router.pass(UDP, router.left);
    expect(from).toBe("10.0.1.2 > 10.0.1.1:99");
  });

  test("only the first packet of a connection meets the nat table", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    tables.append("nat", "PREROUTING", "-p udp -j DNAT --to-destination 10.0.2.9");
    for (let i = 0; i < 3; i++) router.pass(UDP, router.left);
    expect(tables.counts("nat", "PREROUTING")).toEqual([{ packets: 1, bytes: 100 }]);
  });

  test("masquerading needs an address, and says so where there is none", () => {
    const router = new Router();
    router.netns.iptables(4).append("nat", "POSTROUTING", "-j MASQUERADE");
    router.right.removeAddress(parseIp("10.0.2.1"), 24);
    routes(router.netns, "10.0.2.0/24 dev right");
    router.left.removeAddress(parseIp("10.0.1.1"), 24);
    router.pass(UDP, router.left);
    expect(router.drop?.detail).toBe("right has no address to masquerade by");
  });
});

describe("others", () => {
  test("NFQUEUE: the packet waits, and goes on behind the table", () => {
    const router = new Router();
    router.netns.iptables(4).append("filter", "FORWARD", "-j NFQUEUE --queue-num 3");
    router.netns.iptables(4).append("filter", "FORWARD", "-j DROP");
    expect(router.pass(UDP, router.left)).toBeUndefined();
    expect(router.netns.netfilter.queued).toHaveLength(1);
    expect(ends(router.release())).toBe(ends(UDP));
  });

  test("CT --zone keeps connections with equal addresses apart", () => {
    const router = new Router();
    router.netns.iptables(4).append("raw", "PREROUTING", "-m mark --mark 0x5 -j CT --zone mark");
    router.pass(UDP, router.left);
    router.pass(UDP, router.left, (skb) => {
      skb.mark = 5;
    });
    expect([...router.conntrack.entries()].map((e) => e.zone).sort()).toEqual([0, 5]);
  });

  test("LOG and NFLOG let the packet go on, and a trace shows them", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    tables.append("filter", "FORWARD", '-j LOG --log-prefix "seen: "');
    tables.append("filter", "FORWARD", "-j NFLOG --nflog-group 5");
    tables.append("filter", "FORWARD", "-j DROP");
    router.pass(UDP, router.left);
    const effects = router.trace.steps.flatMap((s) => (s.kind === "rule" ? [s.effect] : []));
    expect(effects).toEqual(['LOG "seen: "', "NFLOG", "DROP"]);
  });

  test("TPROXY drops what no proxy listens for, and marks what one does", () => {
    const router = new Router();
    const tables = router.netns.iptables(4);
    tables.append("mangle", "PREROUTING", "-p udp -j TPROXY --on-port 99 --tproxy-mark 0x1/0x1");
    router.pass(UDP, router.left);
    expect(router.drop?.rule?.location).toBe("mangle PREROUTING");
    const opaque = new UdpSocket(router.netns, { localPort: 99, owner: "proxy" });
    router.pass(UDP, router.left);
    expect(router.drop?.rule?.location).toBe("mangle PREROUTING");
    opaque.close();
    new UdpSocket(router.netns, { localPort: 99, owner: "proxy", transparent: true });
    // Without a route that keeps it here it may not go on: it has a socket.
    router.pass(UDP, router.left);
    expect(router.network.takeDrops().at(-1)?.detail).toBe(
      "proxy has a socket for it, but its route leads on",
    );
    rule(router.netns, "priority 100 fwmark 1 lookup 100");
    routes(router.netns, "local 0.0.0.0/0 dev lo table 100");
    tables.append("filter", "INPUT", "-m mark --mark 0x1 -j DROP");
    router.pass(UDP, router.left);
    expect(router.drop?.rule?.text).toBe("-A INPUT -m mark --mark 0x1 -j DROP");
  });

  test("a mark of mangle OUTPUT chooses another route", () => {
    const router = new Router();
    const { netns } = router;
    rule(netns, "priority 100 fwmark 1 lookup 100");
    routes(netns, "10.0.2.0/24 dev left table 100");
    netns.iptables(4).append("mangle", "OUTPUT", "-p udp --dport 99 -j MARK --set-mark 1");
    const sent = [router.left, router.right].map((dev) => dev.txPackets);
    new UdpSocket(netns, { owner: "program" }).sendTo(parseIp("10.0.2.2"), 99, UDP.payload);
    expect([router.left, router.right].map((dev, i) => dev.txPackets - (sent[i] ?? 0))).toEqual([
      1, 0,
    ]);
  });

  test.each<[table: string, chain: string, rule: string, family?: 4 | 6]>([
    ["filter", "FORWARD", "-j DNAT --to-destination 10.0.0.1"],
    ["nat", "PREROUTING", "-j MASQUERADE"],
    ["nat", "POSTROUTING", "-j DNAT --to-destination 10.0.0.1"],
    ["nat", "POSTROUTING", "-j REJECT"],
    ["raw", "PREROUTING", "-j REJECT"],
    ["filter", "FORWARD", "-j NOTRACK"],
    ["filter", "FORWARD", "-j TTL --ttl-set 3"],
    ["filter", "FORWARD", "-m rpfilter"],
    ["mangle", "PREROUTING", "-j TCPMSS --set-mss 3"],
    ["filter", "FORWARD", "-p tcp -j TPROXY --on-port 3"],
    ["filter", "INPUT", "-m addrtype --dst-type LOCAL --limit-iface-out"],
    ["filter", "OUTPUT", "-m physdev --physdev-out eth0"],
    ["filter", "INPUT", "-m addrtype --dst-type PROHIBIT", 6],
    ["filter", "INPUT", "-m addrtype ! --src-type BLACKHOLE", 6],
    ["filter", "INPUT", "-m addrtype --src-type LOCAL --dst-type BROADCAST", 6],
  ])("the kernel refuses %s %s %s", (table, chain, rule, family = 4) => {
    const tables = new Router().netns.iptables(family);
    const refused = `RULE_APPEND failed (Invalid argument): rule in chain ${chain}`;
    expect(() => tables.append(table, chain, rule)).toThrow(refused);
  });

  test("a ping through a machine that rejects it is answered for", () => {
    const router = new Router();
    router.netns.iptables(4).append("filter", "FORWARD", "-p icmp -j REJECT");
    const sent = router.pass(ping("10.0.1.2", "10.0.2.2", 1), router.left);
    expect(sent?.payload).toMatchObject({ type: 3, code: 3 });
  });
});
