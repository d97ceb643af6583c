import {
  Data,
  FragmentPayload,
  ICMP_ECHO,
  ICMP_TIME_EXCEEDED,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_TIME_EXCEED,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IpPacket,
  type Payload,
  parseIp,
  parsePrefix,
  QuotedPacket,
  TcpSegment,
} from "@cnilab/net";
import { expect, test } from "vitest";
import { cable, Lab, up } from "../../test/lab.ts";
import { routeInput } from "../ip/route-input.ts";
import { routeOutput } from "../ip/route-output.ts";
import { dstPortOf, srcPortOf } from "../ip/transport.ts";
import { Dst } from "./dst.ts";

const SEEDS = Array.from({ length: 24 }, (_, i) => i + 1);

function packet(src: string, dst: string, protocol: number, payload: Payload): IpPacket {
  return new IpPacket(parseIp(src), parseIp(dst), protocol, payload);
}

const tcp = (src: string, dst: string, ports: [number, number] = [1, 2]): IpPacket =>
  packet(src, dst, IPPROTO_TCP, new TcpSegment(ports[0], ports[1], 2, 0, 0, new Data(0)));

const error = (src: string, dst: string, about: IpPacket): IpPacket => {
  const v4 = about.version === 4;
  const type = v4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEED;
  const message = new IcmpMessage(type, 0, 0, new QuotedPacket(about, 500));
  return packet(src, dst, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, message);
};

const ping = (src: string, dst: string): IpPacket => {
  const v4 = src.includes(".");
  const type = v4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST;
  const message = IcmpMessage.echo(type, 7, 1, new Data(64));
  return packet(src, dst, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, message);
};

/** The first or the last piece of a packet. */
const piece = (of: IpPacket, part: "first" | "last"): IpPacket => {
  const offset = part === "first" ? 0 : 32;
  const cut = new IpPacket(of.src, of.dst, of.protocol, new FragmentPayload(of, offset, 32));
  cut.moreFragments = part === "first";
  cut.fragmentOffset = offset;
  return cut;
};

const labelled = (of: IpPacket, label: number): IpPacket => {
  of.flowLabel = label;
  return of;
};

/** Which of eight ways to 10.9.0.0/16 and fd09::/64 a packet goes on a machine started with this seed. */
function way(seed: number, sent: IpPacket, policy: number, about?: IpPacket): unknown {
  const lab = new Lab(seed);
  const [netns] = lab.machine("a");
  netns.sysctl.set("net/ipv4/ip_forward", 1);
  netns.sysctl.set("net/ipv6/conf/all/forwarding", 1);
  for (const family of [4, 6])
    netns.sysctl.set(`net/ipv${family}/fib_multipath_hash_policy`, policy);
  const numbers = Array.from({ length: 8 }, (_, i) => i);
  for (const i of numbers) {
    const [dev] = cable(netns, `e${i}`, lab.machine(`b${i}`)[0], "e");
    up(dev, `10.${i}.0.1/24`, `fd0${i}::1/64`);
  }
  const nexthops = (via: (i: number) => string) => numbers.map((i) => ({ via: parseIp(via(i)) }));
  netns.addRoute({ dst: parsePrefix("10.9.0.0/16"), nexthops: nexthops((i) => `10.${i}.0.2`) });
  netns.addRoute({ dst: parsePrefix("fd09::/64"), nexthops: nexthops((i) => `fd0${i}::2`) });
  if (about !== undefined) {
    const { src, dst, protocol } = sent;
    const found = routeOutput(netns, { src, dst, protocol, about });
    return typeof found === "string" ? found : found.dst.gateway;
  }
  const { src, dst, tos, protocol } = sent;
  const ports = [srcPortOf(sent), dstPortOf(sent)] as const;
  const found = routeInput(netns.device("e0"), src, dst, tos, 0, protocol, ...ports, sent);
  return found instanceof Dst ? found.gateway : found;
}

const [A4, B4, R4] = ["10.9.1.1", "10.9.2.2", "10.0.0.9"];
const [A6, B6, R6] = ["fd09::a", "fd09::b", "fd00::9"];

/** Two packets, and whether each machine sends both the same way, by the policy. */
const CASES: [what: string, one: IpPacket, other: IpPacket, policy: number, same: boolean][] = [
  ["flow and answers", tcp(A4, B4), tcp(B4, A4), 0, true],
  ["flow and IPv6 answers", tcp(A6, B6), tcp(B6, A6), 0, true],
  ["ports and answers", tcp(A4, B4, [5, 80]), tcp(B4, A4, [80, 5]), 1, true],
  ["other ports", tcp(A4, B4, [5, 80]), tcp(A4, B4, [6, 80]), 1, false],
  ["other ports, by addresses", tcp(A4, B4, [5, 80]), tcp(A4, B4, [6, 80]), 0, true],
  ["flow and errors about it", tcp(A4, B4), error(R4, A4, tcp(A4, B4)), 0, true],
  ["flow and IPv6 errors about it", tcp(A6, B6), error(R6, A6, tcp(A6, B6)), 0, true],
  ["errors about two flows", error(R4, A4, tcp(A4, B4)), error(R4, A4, tcp(A4, R4)), 0, false],
  ["errors, by ports", error(R4, A4, tcp(A4, B4)), error(R4, A4, tcp(A4, R4)), 1, true],
  ["first piece of an error", tcp(A4, B4), piece(error(R4, A4, tcp(A4, B4)), "first"), 0, true],
  ["last piece of an error", tcp(R4, A4), piece(error(R4, A4, tcp(A4, B4)), "last"), 0, true],
  ["ping and its pieces", ping(A4, B4), piece(ping(A4, B4), "first"), 0, true],
  ["ping and its IPv6 pieces", ping(A6, B6), piece(ping(A6, B6), "first"), 0, false],
  ["IPv6 pieces", piece(ping(A6, B6), "last"), piece(ping(A6, B6), "first"), 0, true],
  ["pieces of any protocol", piece(tcp(A6, B6), "first"), piece(ping(A6, B6), "first"), 0, true],
  ["labels", labelled(tcp(A6, B6), 1), labelled(tcp(A6, B6), 77), 0, false],
  ["label in errors", labelled(tcp(A6, B6), 7), error(R6, A6, labelled(tcp(A6, B6), 7)), 0, true],
];

// fib_multipath_hash, ip_multipath_l3_keys, rt6_multipath_hash, ip6_multipath_l3_keys
test.each(CASES)("%s", (_, one, other, policy, same) => {
  const equal = SEEDS.filter((seed) => way(seed, one, policy) === way(seed, other, policy));
  expect(equal.length === SEEDS.length).toBe(same);
});

// icmp_route_lookup, icmp6_send
test.each([
  [tcp(A4, B4), "10.0.0.1", A4, IPPROTO_ICMP],
  [tcp(A6, B6), "fd00::1", A6, IPPROTO_ICMPV6],
  [labelled(tcp(A6, B6), 5), "fd00::1", A6, IPPROTO_ICMPV6],
  [piece(ping(A6, B6), "first"), "fd00::1", A6, IPPROTO_ICMPV6],
])(
  "an error of this machine's own goes the way of the packet that it is about",
  (...[about, src, dst, protocol]) => {
    for (const seed of SEEDS) {
      const own = packet(src, dst, protocol, new Data(0));
      expect(way(seed, own, 0, about)).toBe(way(seed, about, 0));
    }
  },
);
