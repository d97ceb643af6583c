import {
  Data,
  FragmentPayload,
  ICMP_DEST_UNREACH,
  ICMP_PORT_UNREACH,
  IcmpMessage,
  IPPROTO_ESP,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_UDP,
  IpPacket,
  ipv6,
  NDISC_NEIGHBOUR_SOLICITATION,
  NeighbourMessage,
  parseIp,
  QuotedPacket,
} from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ends, ping, pong, Router, sctp, tcp, udp, untrack } from "../../test/router.ts";
import { fragmentPacket } from "../ip/fragment.ts";
import { SCTP_STATES } from "./conntrack/sctp-tracker.ts";
import {
  type ConntrackEntry,
  IP_CT_RELATED,
  IP_CT_RELATED_REPLY,
  IPS_ASSURED,
  IPS_DYING,
  IPS_SEEN_REPLY,
} from "./conntrack-entry.ts";
import { NF_ACCEPT, NF_INET_FORWARD, NFPROTO_IPV4 } from "./hooks.ts";

const CLIENT = "10.0.1.2:4000";
const SERVER = "10.0.2.2:53";
const QUERY = udp(CLIENT, SERVER);
const ANSWER = udp(SERVER, CLIENT);

describe("the first packet of a protocol", () => {
  const esp = new IpPacket(parseIp("10.0.1.2"), parseIp("10.0.2.2"), IPPROTO_ESP, new Data(64));
  // Timeouts: Documentation/networking/nf_conntrack-sysctl.rst
  test.each<[name: string, packet: IpPacket, tuples: string, seconds: number]>([
    ["UDP", QUERY, "10.0.1.2:4000 > 10.0.2.2:53 | 10.0.2.2:53 > 10.0.1.2:4000", 30],
    [
      "UDP over IPv6",
      udp("[fd00:1::2]:4000", "[fd00:2::2]:53"),
      "[fd00:1::2]:4000 > [fd00:2::2]:53 | [fd00:2::2]:53 > [fd00:1::2]:4000",
      30,
    ],
    [
      "TCP",
      tcp(CLIENT, SERVER, "S"),
      "10.0.1.2:4000 > 10.0.2.2:53 | 10.0.2.2:53 > 10.0.1.2:4000",
      120,
    ],
    [
      "SCTP",
      sctp(CLIENT, SERVER, 1, 0, 7),
      "10.0.1.2:4000 > 10.0.2.2:53 | 10.0.2.2:53 > 10.0.1.2:4000",
      10,
    ],
    [
      "ICMP",
      ping("10.0.1.2", "10.0.2.2", 77),
      "10.0.1.2 > 10.0.2.2 id 77 type 8 | 10.0.2.2 > 10.0.1.2 id 77 type 0",
      30,
    ],
    [
      "ICMPv6",
      ping("fd00:1::2", "fd00:2::2", 77),
      "fd00:1::2 > fd00:2::2 id 77 type 128 | fd00:2::2 > fd00:1::2 id 77 type 129",
      30,
    ],
    ["another protocol", esp, "10.0.1.2:0 > 10.0.2.2:0 | 10.0.2.2:0 > 10.0.1.2:0", 600],
  ])("%s", (_, packet, tuples, seconds) => {
    const router = new Router();
    expect(ends(router.pass(packet, router.left))).toBe(ends(packet));
    expect(router.events).toEqual(["new", "confirmed"]);
    expect(router.connections).toEqual([tuples]);
    expect(router.entry.remainingMs).toBe(seconds * 1000);
  });
});

describe("what is not tracked", () => {
  const solicitation = new IpPacket(
    ipv6(0xfe800000, 0, 0, 2),
    ipv6(0xff020000, 0, 1, 0xff000001),
    IPPROTO_ICMPV6,
    new NeighbourMessage(NDISC_NEIGHBOUR_SOLICITATION, ipv6(0xfd000001, 0, 0, 1), undefined),
    255,
  );
  test.each<[name: string, packet: IpPacket, event: string]>([
    ["an echo reply that nobody asked for", pong("10.0.1.2", "10.0.2.2", 1), "invalid"],
    ["the same over IPv6", pong("fd00:1::2", "fd00:2::2", 1), "invalid"],
    [
      "an ICMP type beyond those that are known",
      icmp("10.0.1.2", "10.0.2.2", new IcmpMessage(40, 0, 0)),
      "invalid",
    ],
    [
      "an ICMP error about an unknown connection",
      icmp("10.0.2.2", "10.0.1.2", unreachable(QUERY)),
      "invalid",
    ],
    ["an ICMPv6 message over IPv4", new IpPacket(1, 2, IPPROTO_ICMPV6, new Data(8)), "invalid"],
    ["an SCTP chunk out of the blue", sctp(CLIENT, SERVER, 11, 7), "invalid"],
    ["an SCTP INIT with a tag", sctp(CLIENT, SERVER, 1, 5, 7), "invalid"],
    ["a neighbour solicitation", solicitation, "untracked"],
  ])("%s", (_, packet, event) => {
    const router = new Router();
    router.pass(packet, router.left);
    expect(router.events[0]).toBe(event);
    expect(router.conntrack.size).toBe(0);
  });

  test("what a rule said to leave alone", () => {
    const router = new Router();
    expect(ends(router.pass(QUERY, router.left, untrack))).toBe(ends(QUERY));
    expect(router.events).toEqual(["untracked"]);
    expect(router.conntrack.size).toBe(0);
  });
});

function icmp(src: string, dst: string, message: IcmpMessage): IpPacket {
  return new IpPacket(parseIp(src), parseIp(dst), IPPROTO_ICMP, message);
}

function unreachable(about: IpPacket): IcmpMessage {
  const quoted = new QuotedPacket(about.clone(), 548);
  return new IcmpMessage(ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0, quoted);
}

describe("UDP in time", () => {
  // When, from whom, then what is left and the status. The two seconds: nf_conntrack_proto_udp.c
  test.each<
    [name: string, packets: [at: number, from: "c" | "s"][], seconds: number, flags: string]
  >([
    ["a query", [[0, "c"]], 30, "UNREPLIED"],
    [
      "another query renews it",
      [
        [0, "c"],
        [20, "c"],
      ],
      30,
      "UNREPLIED",
    ],
    [
      "an answer",
      [
        [0, "c"],
        [1, "s"],
      ],
      30,
      "",
    ],
    [
      "a second query within two seconds",
      [
        [0, "c"],
        [1, "s"],
        [2, "c"],
      ],
      30,
      "",
    ],
    [
      "one after two seconds makes a stream",
      [
        [0, "c"],
        [1, "s"],
        [2.1, "c"],
      ],
      120,
      "ASSURED",
    ],
    [
      "which an answer keeps",
      [
        [0, "c"],
        [1, "s"],
        [2.1, "c"],
        [100, "s"],
      ],
      120,
      "ASSURED",
    ],
    [
      "a late first answer makes none",
      [
        [0, "c"],
        [10, "s"],
      ],
      30,
      "",
    ],
  ])("%s", (_, packets, seconds, flags) => {
    const router = new Router();
    for (const [at, from] of packets) {
      router.network.clock.runUntil(at * 1000);
      if (from === "c") router.pass(QUERY, router.left);
      else router.pass(ANSWER, router.right);
    }
    const { entry } = router;
    expect([entry.remainingMs / 1000, flagsOf(entry)]).toEqual([seconds, flags]);
  });

  test("it is gone when its time is over, and another one begins", () => {
    const router = new Router();
    router.pass(QUERY, router.left);
    const { entry } = router;
    router.network.clock.advance(29_999);
    expect(router.conntrack.size).toBe(1);
    router.network.clock.advance(1);
    expect(router.connections).toEqual([]);
    expect(entry.status & IPS_DYING).toBe(0); // nobody has come by yet
    router.pass(ANSWER, router.right);
    expect(entry.status & IPS_DYING).toBe(IPS_DYING);
    expect(router.events).toEqual(["new", "confirmed"]);
  });

  test("the background sweep collects what nobody asks for", () => {
    const router = new Router();
    for (let port = 1; port <= 100; port++)
      router.pass(udp(`10.0.1.2:${port}`, SERVER), router.left);
    expect(router.conntrack.table.count).toBe(100);
    router.advance(61);
    expect(router.conntrack.table.count).toBe(0);
  });

  test("sysctls change timeouts at once", () => {
    const router = new Router();
    router.pass(QUERY, router.left);
    router.netns.sysctl.set("net.netfilter.nf_conntrack_udp_timeout", 7);
    router.pass(QUERY, router.left);
    expect(router.entry.remainingMs).toBe(7000);
  });
});

function flagsOf(entry: ConntrackEntry): string {
  if ((entry.status & IPS_SEEN_REPLY) === 0) return "UNREPLIED";
  return (entry.status & IPS_ASSURED) !== 0 ? "ASSURED" : "";
}

// States: nf_conntrack_proto_sctp.c, sctp_conntracks
test.each<[name: string, chunks: ["c" | "s", number, number, number?][], state: string, s: number]>(
  [
    ["INIT", [["c", 1, 0, 7]], "CLOSED", 10],
    [
      "INIT ACK",
      [
        ["c", 1, 0, 7],
        ["s", 2, 7, 9],
      ],
      "COOKIE_WAIT",
      3,
    ],
    [
      "COOKIE ECHO",
      [
        ["c", 1, 0, 7],
        ["s", 2, 7, 9],
        ["c", 10, 9],
      ],
      "COOKIE_ECHOED",
      3,
    ],
    [
      "COOKIE ACK",
      [
        ["c", 1, 0, 7],
        ["s", 2, 7, 9],
        ["c", 10, 9],
        ["s", 11, 7],
      ],
      "ESTABLISHED",
      210,
    ],
    [
      "data with another tag is not part of it",
      [
        ["c", 1, 0, 7],
        ["s", 2, 7, 9],
        ["c", 10, 9],
        ["s", 11, 7],
        ["c", 0, 1],
      ],
      "ESTABLISHED",
      210,
    ],
    [
      "SHUTDOWN",
      [
        ["c", 1, 0, 7],
        ["s", 2, 7, 9],
        ["c", 10, 9],
        ["s", 11, 7],
        ["c", 7, 9],
      ],
      "SHUTDOWN_SENT",
      3,
    ],
    [
      "ABORT",
      [
        ["c", 1, 0, 7],
        ["s", 2, 7, 9],
        ["s", 6, 7],
      ],
      "CLOSED",
      10,
    ],
  ],
)("SCTP %s", (_, chunks, state, seconds) => {
  const router = new Router();
  for (const [from, chunk, tag, initiateTag] of chunks) {
    if (from === "c") router.pass(sctp(CLIENT, SERVER, chunk, tag, initiateTag), router.left);
    else router.pass(sctp(SERVER, CLIENT, chunk, tag, initiateTag), router.right);
  }
  const { entry } = router;
  expect([SCTP_STATES[entry.state], entry.remainingMs / 1000]).toEqual([state, seconds]);
});

describe("an ICMP error", () => {
  test.each<[name: string, packet: (r: Router) => IpPacket, from: "left" | "right", info: number]>([
    [
      "from the server",
      () => icmp("10.0.2.2", "10.0.1.2", unreachable(QUERY)),
      "right",
      IP_CT_RELATED_REPLY,
    ],
    [
      "from a router beyond",
      () => icmp("10.0.2.9", "10.0.1.2", unreachable(QUERY)),
      "right",
      IP_CT_RELATED_REPLY,
    ],
    [
      "from the client",
      () => icmp("10.0.1.2", "10.0.2.2", unreachable(ANSWER)),
      "left",
      IP_CT_RELATED,
    ],
  ])("%s is related to the connection that it quotes", (_, packet, from, info) => {
    const router = new Router();
    router.pass(QUERY, router.left);
    let seen: number | undefined;
    router.netns.netfilter.register(NFPROTO_IPV4, NF_INET_FORWARD, {
      name: "test",
      priority: 0,
      run(skb) {
        seen = skb.ctInfo;
        return NF_ACCEPT;
      },
    });
    router.pass(packet(router), router[from]);
    expect(router.events).toEqual(["related"]);
    expect(seen).toBe(info);
  });

  test("for somebody else than the sender of what it quotes is invalid", () => {
    const router = new Router();
    router.pass(QUERY, router.left);
    router.pass(icmp("10.0.2.2", "10.0.1.77", unreachable(QUERY)), router.right);
    expect(router.events).toEqual(["invalid"]);
    expect(router.conntrack.statistics.error).toBe(1);
  });
});

test("fragments are put together before they are tracked", () => {
  const router = new Router();
  const whole = udp(CLIENT, SERVER, 3000);
  whole.id = 5;
  const [first, second, third] = fragmentPacket(whole, 1500);
  expect(router.pass(third as IpPacket, router.left)).toBeUndefined();
  expect(router.pass(first as IpPacket, router.left)).toBeUndefined();
  expect(router.connections).toEqual([]);
  const last = router.pass(second as IpPacket, router.left);
  expect(router.events).toEqual(["new", "confirmed"]);
  // It leaves in fragments again, as it came.
  expect(last?.payload).toBeInstanceOf(FragmentPayload);
});

describe("zones", () => {
  const BOTH_7 = 7 | (7 << 16);
  const ORIGINAL_7 = 7;

  test("equal tuples in two zones are two connections", () => {
    const router = new Router();
    router.pass(QUERY, router.left);
    router.pass(QUERY, router.left, (skb) => {
      skb.ctZones = BOTH_7;
    });
    expect([...router.conntrack.entries()].map((e) => e.zone)).toEqual([0, 7]);
    router.pass(ANSWER, router.right, (skb) => {
      skb.ctZones = BOTH_7;
    });
    expect([...router.conntrack.entries()].map(flagsOf)).toEqual(["UNREPLIED", ""]);
  });

  test("a zone of the original direction alone leaves answers in the default zone", () => {
    const router = new Router();
    router.pass(QUERY, router.left, (skb) => {
      skb.ctZones = ORIGINAL_7;
    });
    router.pass(ANSWER, router.right);
    expect(router.events).toEqual(["reply"]);
  });
});

describe("a full table", () => {
  test("ends connections that are not assured for new ones", () => {
    const router = new Router();
    router.netns.sysctl.set("net.netfilter.nf_conntrack_max", 3);
    for (let port = 1; port <= 4; port++) router.pass(udp(`10.0.1.2:${port}`, SERVER), router.left);
    expect(router.drop).toBeUndefined();
    const { earlyDrop } = router.conntrack.statistics;
    expect(earlyDrop).toBeGreaterThan(0);
    expect(router.conntrack.size).toBe(4 - earlyDrop);
  });

  test("drops packets of new ones where all are assured, and lets the others pass", () => {
    const router = new Router();
    router.netns.sysctl.set("net.netfilter.nf_conntrack_max", 1);
    router.pass(QUERY, router.left);
    router.pass(ANSWER, router.right);
    router.advance(3);
    router.pass(QUERY, router.left);
    expect(flagsOf(router.entry)).toBe("ASSURED");
    expect(router.pass(udp("10.0.1.3:1", SERVER), router.left)).toBeUndefined();
    expect(router.drop?.reason).toBe("CONNTRACK_FULL");
    expect(router.conntrack.statistics.drop).toBe(1);
    expect(ends(router.pass(ANSWER, router.right))).toBe(ends(ANSWER));
  });

  test("never has more than it may, whatever comes", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.array(
          fc.tuple(
            fc.integer({ min: 1, max: 40 }),
            fc.boolean(),
            fc.integer({ max: 20_000, min: 0 }),
          ),
        ),
        (max, packets) => {
          const router = new Router();
          router.netns.sysctl.set("net.netfilter.nf_conntrack_max", max);
          for (const [port, answer, later] of packets) {
            router.network.clock.advance(later);
            if (answer) router.pass(udp(SERVER, `10.0.1.2:${port}`), router.right);
            else router.pass(udp(`10.0.1.2:${port}`, SERVER), router.left);
            expect(router.conntrack.table.count).toBeLessThanOrEqual(max);
          }
        },
      ),
    );
  });
});

describe("agents and views", () => {
  function busy(): Router {
    const router = new Router();
    router.pass(udp("10.0.1.2:1", "10.0.2.2:53"), router.left);
    router.pass(udp("10.0.1.2:2", "10.0.2.3:53"), router.left);
    router.pass(udp("10.0.1.2:3", "10.0.2.2:123"), router.left);
    router.pass(tcp("10.0.1.2:4", "10.0.2.2:53", "S"), router.left);
    router.pass(udp("[fd00:1::2]:5", "[fd00:2::2]:53"), router.left);
    return router;
  }

  test.each<[name: string, filter: Parameters<Router["conntrack"]["delete"]>[0], left: number[]]>([
    ["by protocol and port", { protocol: IPPROTO_UDP, original: { dstPort: 53 } }, [3, 4]],
    [
      "by original destination and who answers",
      {
        protocol: IPPROTO_UDP,
        original: { dst: 0x0a000202, dstPort: 53 },
        reply: { src: 0x0a000202 },
      },
      [2, 3, 4, 5],
    ],
    ["by family", { family: 6 }, [1, 2, 3, 4]],
    ["by a function", (entry) => entry.original.srcPort % 2 === 1, [2, 4]],
    ["none", { zone: 9 }, [1, 2, 3, 4, 5]],
  ])("deletes %s", (_, filter, left) => {
    const { conntrack } = busy();
    expect(conntrack.delete(filter)).toBe(5 - left.length);
    expect([...conntrack.entries()].map((e) => e.original.srcPort)).toEqual(left);
  });

  test("an entry is deleted once", () => {
    const { conntrack } = busy();
    const [entry] = conntrack.entries();
    expect(conntrack.delete(entry as ConntrackEntry)).toBe(1);
    expect(conntrack.delete(entry as ConntrackEntry)).toBe(0);
    expect((entry as ConntrackEntry).status & IPS_DYING).toBe(IPS_DYING);
    expect((entry as ConntrackEntry).original.srcPort).toBe(1);
  });

  test("flush leaves nothing", () => {
    const { conntrack } = busy();
    conntrack.flush();
    expect(conntrack.size).toBe(0);
  });

  test("a mark stays with the connection", () => {
    const router = new Router();
    router.pass(QUERY, router.left);
    router.entry.mark = 0xdeadbeef;
    expect(router.entry.mark).toBe(0xdeadbeef);
    const found = router.conntrack.find({ ...router.entry.reply });
    expect(found?.mark).toBe(0xdeadbeef);
  });

  test("accounting counts packets and bytes where it is on from the beginning", () => {
    const router = new Router();
    router.pass(QUERY, router.left);
    router.netns.sysctl.set("net.netfilter.nf_conntrack_acct", 1);
    router.pass(QUERY, router.left);
    expect(router.entry.counter(0)).toBeUndefined();
    router.conntrack.flush();
    router.pass(QUERY, router.left);
    router.pass(QUERY, router.left);
    router.pass(ANSWER, router.right);
    expect(router.entry.counter(0)).toEqual({ packets: 2, bytes: 76 });
    expect(router.entry.counter(1)).toEqual({ packets: 1, bytes: 38 });
  });
});
