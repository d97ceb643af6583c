import {
  formatIp,
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  ICMP_REDIRECT,
  ICMPV6_PKT_TOOBIG,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IpPacket,
  parseIp,
  parsePrefix,
  QuotedPacket,
  type TcpSegment,
  type UdpDatagram,
} from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { connection, endpoint, ends, ping, pong, Router, tcp, udp } from "../../test/router.ts";
import { routeOutput } from "../ip/route-output.ts";
import { Skb } from "../skb.ts";
import { Trace } from "../trace.ts";
import {
  type HookFunction,
  NF_ACCEPT,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
} from "./hooks.ts";
import {
  dnat,
  masquerade,
  type NatRange,
  netmap,
  redirect,
  registerNat,
  snat,
  unregisterNat,
} from "./nat.ts";

/** A range as rules write it: `10.0.2.9`, `10.0.2.8-10.0.2.9:80`, `:1000-1003`, `[fd00:2::9]:80`. */
function range(text: string, more: NatRange = {}): NatRange {
  const match = /^\[?([0-9a-f.:-]*?)\]?(?::([0-9-]+))?$/.exec(text);
  const [, addresses = "", ports] = match ?? [];
  const [minAddress, maxAddress = minAddress] =
    addresses === "" ? [] : addresses.split("-").map(parseIp);
  const [minPort, maxPort = minPort] = ports === undefined ? [] : ports.split("-").map(Number);
  return { minAddress, maxAddress, minPort, maxPort, ...more };
}

/** The packet as it leaves, and the answer to it as that leaves. */
function roundTrip(router: Router, packet: IpPacket): [there: string, back: string] {
  const there = router.pass(packet, router.left);
  if (there === undefined) return ["lost", "lost"];
  const back = router.pass(answerTo(there), router.right);
  return [ends(there), ends(back)];
}

function answerTo(packet: IpPacket): IpPacket {
  const { payload } = packet;
  if (payload instanceof IcmpMessage) {
    return pong(formatIp(packet.dst), formatIp(packet.src), payload.echoId);
  }
  const { srcPort, dstPort } = payload as UdpDatagram;
  const answer = packet.clone();
  answer.src = packet.dst;
  answer.dst = packet.src;
  (answer.payload as UdpDatagram).srcPort = dstPort;
  (answer.payload as UdpDatagram).dstPort = srcPort;
  if (packet.protocol === 6) (answer.payload as TcpSegment).flags = 0x12;
  return answer;
}

describe("destination NAT", () => {
  test.each<[name: string, packet: IpPacket, to: string, there: string]>([
    ["address", udp("10.0.1.2:4000", "10.96.0.10:53"), "10.0.2.9", "10.0.1.2:4000 > 10.0.2.9:53"],
    [
      "address and port",
      udp("10.0.1.2:4000", "10.96.0.10:53"),
      "10.0.2.9:5353",
      "10.0.1.2:4000 > 10.0.2.9:5353",
    ],
    ["port", tcp("10.0.1.2:4000", "10.0.2.9:80", "S"), ":8080", "10.0.1.2:4000 > 10.0.2.9:8080"],
    ["an echo request", ping("10.0.1.2", "10.96.0.10", 7), "10.0.2.9", "10.0.1.2 > 10.0.2.9 id 7"],
    [
      "IPv6",
      tcp("[fd00:1::2]:4000", "[fd00:96::10]:80", "S"),
      "[fd00:2::9]:8080",
      "[fd00:1::2]:4000 > [fd00:2::9]:8080",
    ],
    [
      "an IPv6 echo request",
      ping("fd00:1::2", "fd00:96::10", 7),
      "[fd00:2::9]",
      "fd00:1::2 > fd00:2::9 id 7",
    ],
  ])("%s", (_, packet, to, there) => {
    const router = new Router();
    router.nat(NF_INET_PRE_ROUTING, (skb, state) => dnat(skb, state, range(to)));
    expect(roundTrip(router, packet)).toEqual([there, ends(answerTo(packet))]);
  });

  test("is decided once, for the first packet", () => {
    const router = new Router();
    let asked = 0;
    router.nat(NF_INET_PRE_ROUTING, (skb, state) => dnat(skb, state, range(`10.0.2.${++asked}`)));
    const there = () => ends(router.pass(udp("10.0.1.2:4000", "10.96.0.10:53"), router.left));
    // Its own address .1 is this router's.
    asked = 7;
    expect([there(), there(), there()]).toEqual(new Array(3).fill("10.0.1.2:4000 > 10.0.2.8:53"));
    expect(asked).toBe(8);
  });

  test("the first function that decides wins, in order of priority", () => {
    const router = new Router();
    const rule = (priority: number, to: string): HookFunction => ({
      name: to,
      priority,
      run: (skb, state) => dnat(skb, state, range(to)),
    });
    const first = rule(-100, "10.0.2.8");
    router.netns.requireConntrack(4);
    registerNat(router.netns, 4, NF_INET_PRE_ROUTING, rule(0, "10.0.2.9"));
    registerNat(router.netns, 4, NF_INET_PRE_ROUTING, first);
    const to = (port: number) =>
      ends(router.pass(udp(`10.0.1.2:${port}`, "10.96.0.10:53"), router.left));
    expect(to(1)).toBe("10.0.1.2:1 > 10.0.2.8:53");
    unregisterNat(router.netns, 4, NF_INET_PRE_ROUTING, first);
    expect(to(2)).toBe("10.0.1.2:2 > 10.0.2.9:53");
  });

  test("a backend that is gone keeps its connections until somebody deletes them", () => {
    const router = new Router();
    let backend = "10.0.2.8";
    router.nat(NF_INET_PRE_ROUTING, (skb, state) => dnat(skb, state, range(backend)));
    const query = udp("10.0.1.2:4000", "10.96.0.10:53");
    router.pass(query, router.left);
    backend = "10.0.2.9";
    for (let i = 0; i < 10; i++) {
      router.advance(20);
      expect(ends(router.pass(query, router.left))).toBe("10.0.1.2:4000 > 10.0.2.8:53");
    }
    // As kube-proxy does for UDP (pkg/proxy/conntrack)
    const deleted = router.conntrack.delete({
      protocol: 17,
      original: { dst: parseIp("10.96.0.10"), dstPort: 53 },
      reply: { src: parseIp("10.0.2.8") },
    });
    expect(deleted).toBe(1);
    expect(ends(router.pass(query, router.left))).toBe("10.0.1.2:4000 > 10.0.2.9:53");
  });

  test("ranges of ports are shifted from a base", () => {
    const router = new Router();
    router.nat(NF_INET_PRE_ROUTING, (skb, state) =>
      dnat(skb, state, range("10.0.2.9:8000-8099", { basePort: 3000 })),
    );
    expect(ends(router.pass(tcp("10.0.1.2:1", "10.96.0.1:3042", "S"), router.left))).toBe(
      "10.0.1.2:1 > 10.0.2.9:8042",
    );
  });
});

describe("source NAT", () => {
  test.each<[name: string, packet: IpPacket, to: string, there: string]>([
    [
      "keeps a free port",
      udp("10.0.1.2:4000", "10.0.2.2:53"),
      "10.0.2.1",
      "10.0.2.1:4000 > 10.0.2.2:53",
    ],
    [
      "keeps a port in the range",
      tcp("10.0.1.2:4000", "10.0.2.2:80", "S"),
      "10.0.2.1:3999-4001",
      "10.0.2.1:4000 > 10.0.2.2:80",
    ],
    ["an echo request", ping("10.0.1.2", "10.0.2.2", 7), "10.0.2.1", "10.0.2.1 > 10.0.2.2 id 7"],
    [
      "moves into a range of one port",
      tcp("10.0.1.2:4000", "10.0.2.2:80", "S"),
      "10.0.2.1:99",
      "10.0.2.1:99 > 10.0.2.2:80",
    ],
    [
      "IPv6",
      udp("[fd00:1::2]:4000", "[fd00:2::2]:53"),
      "[fd00:2::1]",
      "[fd00:2::1]:4000 > [fd00:2::2]:53",
    ],
  ])("%s", (_, packet, to, there) => {
    const router = new Router();
    router.nat(NF_INET_POST_ROUTING, (skb, state) => snat(skb, state, range(to)));
    expect(roundTrip(router, packet)).toEqual([there, ends(answerTo(packet))]);
  });

  // Where a port is taken, the next one comes from the same class (nf_nat_l4proto_unique_tuple).
  test.each([
    [400, 1, 511],
    [700, 600, 1023],
    [4000, 1024, 65535],
  ])("a taken port %d becomes one of %d to %d", (port, min, max) => {
    const router = new Router();
    router.nat(NF_INET_POST_ROUTING, (skb, state) => snat(skb, state, range("10.0.2.1")));
    router.pass(udp(`10.0.1.2:${port}`, "10.0.2.2:53"), router.left);
    const other = udp(`10.0.1.3:${port}`, "10.0.2.2:53");
    const [there, back] = roundTrip(router, other);
    const chosen = endpoint(there.split(" > ")[0] as string)[1];
    expect(chosen).not.toBe(port);
    expect(chosen).toBeGreaterThanOrEqual(min);
    expect(chosen).toBeLessThanOrEqual(max);
    expect(back).toBe(ends(answerTo(other)));
    expect(router.conntrack.statistics.found).toBeGreaterThan(0);
  });

  test("one source port serves several destinations", () => {
    const router = new Router();
    router.nat(NF_INET_POST_ROUTING, (skb, state) => snat(skb, state, range("10.0.2.1:5000-5099")));
    const first = ends(router.pass(udp("10.0.1.2:4000", "10.0.2.2:53"), router.left));
    const second = ends(router.pass(udp("10.0.1.2:4000", "10.0.2.3:53"), router.left));
    expect(second.split(" ")[0]).toBe(first.split(" ")[0]);
  });

  test("nobody else gets a port of a range that is used up: the packet is dropped", () => {
    const router = new Router();
    router.nat(NF_INET_POST_ROUTING, (skb, state) => snat(skb, state, range("10.0.2.1:5000-5003")));
    const there: string[] = [];
    for (let host = 2; host < 7; host++) {
      there.push(ends(router.pass(tcp(`10.0.1.${host}:4000`, "10.0.2.2:80", "S"), router.left)));
    }
    expect(there.slice(0, 4).sort()).toEqual(
      [5000, 5001, 5002, 5003].map((port) => `10.0.2.1:${port} > 10.0.2.2:80`),
    );
    expect(there[4]).toBe("lost");
    expect(router.drop?.reason).toBe("NAT_NO_TUPLE");
    expect(router.conntrack.statistics).toMatchObject({ insertFailed: 1, drop: 1, insert: 4 });
  });

  test("a client gets an address of the range for each server, or one for all where that is to persist", () => {
    const sources = (more: NatRange): Set<string> => {
      const router = new Router();
      router.nat(NF_INET_POST_ROUTING, (skb, state) =>
        snat(skb, state, range("10.0.2.100-10.0.2.199", more)),
      );
      const seen = new Set<string>();
      for (let server = 2; server < 30; server++) {
        const packet = udp(`10.0.1.2:${1000 + server}`, `10.0.2.${server}:53`);
        seen.add(ends(router.pass(packet, router.left)).split(":")[0] as string);
      }
      return seen;
    };
    expect(sources({}).size).toBeGreaterThan(1);
    expect(sources({ persistent: true }).size).toBe(1);
  });

  test.each([["random"], ["fullyRandom"]] as const)("%s changes a port that is free", (option) => {
    const router = new Router();
    router.nat(NF_INET_POST_ROUTING, (skb, state) =>
      snat(skb, state, range("10.0.2.1", { [option]: true })),
    );
    const packet = udp("10.0.1.2:4000", "10.0.2.2:53");
    const [there, back] = roundTrip(router, packet);
    expect(there).toMatch(/^10\.0\.2\.1:\d+ > 10\.0\.2\.2:53$/);
    expect(there).not.toContain(":4000 ");
    expect(back).toBe(ends(answerTo(packet)));
  });

  test("a connection that no rule translates gets another port if its own is taken", () => {
    const router = new Router();
    // Answers to the first one look like those to 10.0.1.9:4000.
    router.nat(NF_INET_POST_ROUTING, (skb, state) =>
      skb.ip.src === parseIp("10.0.1.2") ? snat(skb, state, range("10.0.1.9")) : NF_ACCEPT,
    );
    router.pass(udp("10.0.1.2:4000", "10.0.2.2:53"), router.left);
    const packet = udp("10.0.1.9:4000", "10.0.2.2:53");
    const [there, back] = roundTrip(router, packet);
    expect(there).toMatch(/^10\.0\.1\.9:\d+ > 10\.0\.2\.2:53$/);
    expect(there).not.toContain(":4000 ");
    expect(back).toBe(ends(answerTo(packet)));
  });
});

describe("masquerade", () => {
  function masquerading(): Router {
    const router = new Router();
    router.nat(NF_INET_POST_ROUTING, (skb, state) => masquerade(skb, state, {}));
    return router;
  }
  const PACKET = udp("10.0.1.2:4000", "10.0.2.2:53");

  test.each([
    [udp("10.0.1.2:4000", "10.0.2.2:53"), "10.0.2.1:4000 > 10.0.2.2:53"],
    [udp("[fd00:1::2]:4000", "[fd00:2::2]:53"), "[fd00:2::1]:4000 > [fd00:2::2]:53"],
  ])("takes the address of the device that it leaves by", (packet, there) => {
    expect(roundTrip(masquerading(), packet)).toEqual([there, ends(answerTo(packet))]);
  });

  test("takes the address that lies in the next router's network", () => {
    const router = masquerading();
    router.right.addAddress(parseIp("172.16.0.1"), 24);
    router.netns.addRoute({ dst: parsePrefix("10.7.0.0/16"), via: parseIp("172.16.0.9") });
    expect(ends(router.pass(udp("10.0.1.2:4000", "10.7.0.1:53"), router.left))).toBe(
      "172.16.0.1:4000 > 10.7.0.1:53",
    );
  });

  test("drops where the device has no address, nor the machine another", () => {
    const router = masquerading();
    router.netns.addRoute({ dst: parsePrefix("10.7.0.0/16"), dev: router.right });
    router.right.removeAddress(parseIp("10.0.2.1"));
    router.netns.addRoute({ dst: parsePrefix("10.7.0.0/16"), dev: router.right }, "replace");
    router.left.removeAddress(parseIp("10.0.1.1"));
    router.netns.sysctl.set("net.ipv4.conf.all.rp_filter", 0);
    expect(router.pass(udp("10.0.1.2:4000", "10.7.0.1:53"), router.left)).toBeUndefined();
    expect(router.drop?.detail).toContain("no address to masquerade");
  });

  test("forgets connections when the device goes down", () => {
    const router = masquerading();
    router.pass(PACKET, router.left);
    router.left.setDown();
    expect(router.conntrack.size).toBe(1);
    router.right.setDown();
    expect(router.conntrack.size).toBe(0);
  });

  test("forgets connections when the address goes", () => {
    const router = masquerading();
    router.right.addAddress(parseIp("172.16.0.1"), 24);
    router.pass(PACKET, router.left);
    router.right.removeAddress(parseIp("172.16.0.1"));
    expect(router.conntrack.size).toBe(1);
    router.right.removeAddress(parseIp("10.0.2.1"));
    expect(router.conntrack.size).toBe(0);
  });

  test("ends a connection that leaves by another device now", () => {
    const router = masquerading();
    router.pass(PACKET, router.left);
    router.netns.addRoute({ dst: parsePrefix("10.0.2.2/32"), dev: router.left });
    expect(router.pass(PACKET, router.right)).toBeUndefined();
    expect(router.conntrack.size).toBe(0);
    expect(ends(router.pass(PACKET, router.right))).toBe("10.0.1.1:4000 > 10.0.2.2:53");
  });
});

describe("redirect", () => {
  test.each([
    [
      udp("10.0.1.2:4000", "10.96.0.10:53"),
      "10.0.1.2:4000 > 10.96.0.10:53 | 10.0.1.1:5353 > 10.0.1.2:4000",
    ],
    [
      udp("[fd00:1::2]:4000", "[fd00:96::1]:53"),
      "[fd00:1::2]:4000 > [fd00:96::1]:53 | [fd00:1::1]:5353 > [fd00:1::2]:4000",
    ],
  ])("sends to the first address of the device that a packet came in by", (packet, tuples) => {
    const router = new Router();
    router.nat(NF_INET_PRE_ROUTING, (skb, state) => redirect(skb, state, range(":5353")));
    router.pass(packet, router.left);
    expect(router.connections).toContain(tuples);
  });
});

test.each([
  [
    "10.9.0.0/16",
    udp("10.0.1.2:4000", "10.0.2.2:53"),
    NF_INET_POST_ROUTING,
    "10.9.1.2:4000 > 10.0.2.2:53",
  ],
  [
    "10.0.2.0/24",
    udp("10.0.1.2:4000", "10.8.8.77:53"),
    NF_INET_PRE_ROUTING,
    "10.0.1.2:4000 > 10.0.2.77:53",
  ],
  [
    "fd00:9::/32",
    udp("[fd00:1::2]:4000", "[fd00:2::2]:53"),
    NF_INET_POST_ROUTING,
    "[fd00:9::2]:4000 > [fd00:2::2]:53",
  ],
] as const)("netmap into %s keeps the host bits", (prefix, packet, hook, there) => {
  const router = new Router();
  router.nat(hook, (skb, state) => netmap(skb, state, parsePrefix(prefix)));
  const [left, back] = roundTrip(router, packet);
  expect([left, back]).toEqual([there, ends(answerTo(packet))]);
});

describe("an ICMP error of a translated connection", () => {
  test.each<[name: string, packet: IpPacket, error: (about: IpPacket) => IpPacket]>([
    [
      "fragmentation needed",
      tcp("10.0.1.2:4000", "10.96.0.10:80", "S"),
      (about) => icmpError("10.0.2.254", about, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1400),
    ],
    [
      "packet too big",
      tcp("[fd00:1::2]:4000", "[fd00:96::10]:80", "S"),
      (about) => icmpError("fd00:2::fe", about, ICMPV6_PKT_TOOBIG, 0, 1400),
    ],
    [
      "port unreachable from the backend",
      udp("10.0.1.2:4000", "10.96.0.10:53"),
      (about) => icmpError("10.0.2.9", about, ICMP_DEST_UNREACH, 3, 0),
    ],
    [
      "an echo request's",
      ping("10.0.1.2", "10.96.0.10", 9),
      (about) => icmpError("10.0.2.254", about, ICMP_DEST_UNREACH, 1, 0),
    ],
  ])("%s quotes what the client sent", (_, packet, error) => {
    const router = new Router();
    const v6 = packet.version === 6;
    router.nat(NF_INET_PRE_ROUTING, (skb, state) =>
      dnat(skb, state, range(v6 ? "[fd00:2::9]" : "10.0.2.9")),
    );
    router.nat(NF_INET_POST_ROUTING, (skb, state) => masquerade(skb, state, {}));
    const there = router.pass(packet, router.left) as IpPacket;
    const sent = error(there);
    const back = router.pass(sent, router.right);
    expect(router.events).toEqual(["related"]);
    expect(ends(quotedBy(back))).toBe(ends(packet));
    expect(back?.dst).toBe(packet.src);
    expect((back as IpPacket).payload).toMatchObject({ rest: (sent.payload as IcmpMessage).rest });
    // Whoever sent it, it comes from where the client thinks its packets go.
    expect(back?.src).toBe(packet.dst);
  });

  test("of the other direction quotes what the server sent", () => {
    const router = new Router();
    router.nat(NF_INET_POST_ROUTING, (skb, state) => masquerade(skb, state, {}));
    const packet = udp("10.0.1.2:4000", "10.0.2.2:53");
    const there = router.pass(packet, router.left) as IpPacket;
    const answer = answerTo(there);
    const atClient = router.pass(answer, router.right) as IpPacket;
    const error = router.pass(
      icmpError("10.0.1.2", atClient, ICMP_DEST_UNREACH, 3, 0),
      router.left,
    );
    expect(ends(quotedBy(error))).toBe(ends(answer));
    expect(ends(error)).toBe("10.0.2.1 > 10.0.2.2");
  });

  test("a redirect across NAT does not pass", () => {
    const router = new Router();
    router.nat(NF_INET_POST_ROUTING, (skb, state) => masquerade(skb, state, {}));
    const there = router.pass(udp("10.0.1.2:4000", "10.0.2.2:53"), router.left) as IpPacket;
    expect(
      router.pass(icmpError("10.0.2.254", there, ICMP_REDIRECT, 1, 0), router.right),
    ).toBeUndefined();
    expect(router.drop?.reason).toBe("NETFILTER_DROP");
  });
});

/** The packet that an ICMP error is about. */
function quotedBy(error: IpPacket | undefined): IpPacket | undefined {
  const message = error?.payload;
  if (!(message instanceof IcmpMessage) || !(message.payload instanceof QuotedPacket))
    return undefined;
  return message.payload.packet;
}

function icmpError(
  from: string,
  about: IpPacket,
  type: number,
  code: number,
  rest: number,
): IpPacket {
  const quoted = new QuotedPacket(about.clone(), 548);
  const message = new IcmpMessage(type, code, rest, quoted);
  const protocol = about.version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  return new IpPacket(parseIp(from), about.src, protocol, message);
}

test("a packet of the machine itself is routed by its new destination", () => {
  const router = new Router();
  router.nat(NF_INET_LOCAL_OUT, (skb, state) => dnat(skb, state, range("10.0.2.9:5353")));
  // First it goes left, where 10.0.1.99 would be.
  const packet = udp("10.0.1.1:4000", "10.0.1.99:53");
  const trace = new Trace();
  const skb = Skb.ofIp(packet, trace);
  const route = routeOutput(router.netns, { dst: packet.dst });
  if (typeof route === "string") throw new Error(route);
  expect(route.dst.dev).toBe(router.left);
  skb.dst = route.dst;
  router.netns.ipLocalOut(skb);
  const transmitted: string[] = [];
  for (const step of trace.steps) {
    if (step.kind !== "transmit") continue;
    transmitted.push(`${step.dev.name}: ${ends(step.frame.payload as IpPacket)}`);
  }
  expect(transmitted).toEqual(["right: 10.0.1.1:4000 > 10.0.2.9:5353"]);
});

test("traces say what was translated", () => {
  const router = new Router();
  router.nat(NF_INET_PRE_ROUTING, (skb, state) => dnat(skb, state, range("10.0.2.9:5353")));
  router.nat(NF_INET_POST_ROUTING, (skb, state) => masquerade(skb, state, {}));
  const there = router.pass(udp("10.0.1.2:4000", "10.96.0.10:53"), router.left) as IpPacket;
  const steps = () => router.trace.steps.filter((s) => s.kind === "nat");
  expect(steps()).toMatchObject([
    { manip: "destination", from: "10.96.0.10:53", to: "10.0.2.9:5353", reply: false },
    { manip: "source", from: "10.0.1.2:4000", to: "10.0.2.1:4000", reply: false },
  ]);
  router.pass(answerTo(there), router.right);
  expect(steps()).toMatchObject([
    { manip: "destination", from: "10.0.2.1:4000", to: "10.0.1.2:4000", reply: true },
    { manip: "source", from: "10.0.2.9:5353", to: "10.96.0.10:53", reply: true },
  ]);
});

describe("laws", () => {
  /** Hosts, ports and services few enough to collide. */
  const flow = fc.record({
    host: fc.integer({ min: 2, max: 5 }),
    port: fc.integer({ min: 4000, max: 4003 }),
    service: fc.integer({ min: 1, max: 3 }),
    kind: fc.constantFrom("udp", "tcp", "ping"),
  });
  const rules = fc.record({
    backends: fc.integer({ min: 1, max: 3 }),
    ports: fc.constantFrom("", ":5000-5007"),
    random: fc.boolean(),
  });

  test("no two live connections have one reply tuple, and every answer finds back", () => {
    fc.assert(
      fc.property(
        fc.array(flow, { maxLength: 40 }),
        rules,
        (flows, { backends, ports, random }) => {
          const router = new Router();
          let count = 0;
          router.nat(NF_INET_PRE_ROUTING, (skb, state) =>
            dnat(skb, state, range(`10.0.2.${10 + (count++ % backends)}`)),
          );
          router.nat(NF_INET_POST_ROUTING, (skb, state) =>
            snat(skb, state, range(`10.0.2.1${ports}`, { random })),
          );
          for (const { host, port, service, kind } of flows) {
            const client = `10.0.1.${host}`;
            const server = `10.96.0.${service}`;
            const packet =
              kind === "ping"
                ? ping(client, server, port)
                : kind === "udp"
                  ? udp(`${client}:${port}`, `${server}:53`)
                  : tcp(`${client}:${port}`, `${server}:80`, "S");
            const there = router.pass(packet, router.left);
            if (there === undefined) {
              expect(router.drop?.reason).toBe("NAT_NO_TUPLE");
              continue;
            }
            expect(ends(router.pass(answerTo(there), router.right))).toBe(ends(answerTo(packet)));
          }
          const entries = [...router.conntrack.entries()];
          const replies = new Set(
            entries.map((e) => `${e.protocol} ${connection(e).split(" | ")[1]}`),
          );
          const originals = new Set(
            entries.map((e) => `${e.protocol} ${connection(e).split(" | ")[0]}`),
          );
          expect([replies.size, originals.size]).toEqual([entries.length, entries.length]);
        },
      ),
      { numRuns: 60 },
    );
  });
});

test("a local process is reached under its own address, whatever the client used", () => {
  const router = new Router();
  router.nat(NF_INET_LOCAL_IN, (skb, state) => snat(skb, state, range("10.0.1.200")));
  router.pass(udp("10.0.1.2:4000", "10.0.1.1:53"), router.left);
  expect(router.connections).toContain(
    "10.0.1.2:4000 > 10.0.1.1:53 | 10.0.1.1:53 > 10.0.1.200:4000",
  );
});
