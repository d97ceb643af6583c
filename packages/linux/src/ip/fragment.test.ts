import {
  Data,
  FragmentPayload,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IpPacket,
  parseIp,
  UdpDatagram,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { Lab } from "../../test/lab.ts";
import { Skb } from "../skb.ts";
import { type DefragUser, Reassembly } from "./fragment.ts";

// kernel net/ipv4/inet_fragment.c, ip_fragment.c; net/ipv6/reassembly.c, netfilter/nf_conntrack_reasm.c

/** Bytes from, to; `last` has no more behind it. */
type Part = readonly [
  from: number,
  to: number,
  more?: "more" | "last",
  tos?: number,
  protocol?: number,
];

/** What becomes of each part: `held`, why it was dropped, or the size of the whole. */
function become(family: 4 | 6, user: DefragUser, parts: readonly Part[]): (string | number)[] {
  const lab = new Lab();
  const [machine] = lab.machine("machine");
  const reassembly = new Reassembly(machine);
  const [src, dst] = family === 4 ? ["10.0.0.1", "10.0.0.2"] : ["fd00::1", "fd00::2"];
  return parts.map(([from, to, more, tos = 0, protocol = IPPROTO_UDP]) => {
    const length = Math.max(...parts.map((part) => part[1]));
    const udp = new UdpDatagram(1, 2, new Data(length - 8));
    const whole = new IpPacket(parseIp(src), parseIp(dst), protocol, udp);
    whole.id = 7;
    whole.tos = tos;
    const part = whole.withPayload(new FragmentPayload(whole, from, to - from));
    part.fragmentOffset = from;
    part.moreFragments = more !== "last";
    const result = reassembly.add(Skb.ofIp(part, undefined), user);
    const [drop] = lab.network.takeDrops();
    if (drop !== undefined) return drop.reason;
    return result === undefined ? "held" : `${result.packet.length} tos ${result.packet.tos}`;
  });
}

const [FIRST, REST]: Part[] = [
  [0, 64],
  [64, 100, "last"],
] as [Part, Part];

describe.each([4, 6] as const)("fragments of IPv%i", (family) => {
  const whole = (tos = 0): string => `${100 + (family === 4 ? 20 : 40)} tos ${tos}`;

  test.each<[string, readonly Part[], readonly string[]]>([
    ["in order", [FIRST, REST], ["held", whole()]],
    ["turned round", [REST, FIRST], ["held", whole()]],
    ["one comes twice", [FIRST, FIRST, REST], ["held", "DUP_FRAG", whole()]],
    [
      "one is within another: as if it came twice",
      [[0, 64], [8, 16], REST],
      ["held", "DUP_FRAG", whole()],
    ],
    ["one overlaps: all are given up", [[0, 64], [56, 72], REST], ["held", "FRAG_MISFIT", "held"]],
    [
      "the last one ends elsewhere: all are given up",
      [REST, [72, 80, "last"], FIRST],
      ["held", "FRAG_MISFIT", "held"],
    ],
    ["one goes past the last", [REST, [104, 112], FIRST], ["held", "FRAG_MISFIT", "held"]],
    [
      "the last one ends before others",
      [FIRST, [32, 40, "last"], REST],
      ["held", "FRAG_MISFIT", "held"],
    ],
    [
      "congestion met one",
      [
        [0, 64, "more", 2],
        [64, 100, "last", 3],
      ],
      ["held", whole(3)],
    ],
    [
      "congestion met all",
      [
        [0, 64, "more", 3],
        [64, 100, "last", 3],
      ],
      ["held", whole(3)],
    ],
    ["one cannot tell of congestion", [FIRST, [64, 100, "last", 2]], ["held", "FRAG_MISFIT"]],
  ])("%s", (_, parts, expected) => {
    expect(become(family, "local delivery", parts)).toEqual(expected);
  });

  test("of two protocols with the same number are one packet to IPv6 alone", () => {
    const parts: Part[] = [FIRST, [64, 100, "last", 0, IPPROTO_TCP]];
    expect(become(family, "conntrack in", parts)).toEqual([
      "held",
      family === 4 ? "held" : whole(),
    ]);
  });

  test("that end elsewhere leave IPv6's tracking with those it has", () => {
    const parts: Part[] = [REST, [72, 80, "last"], FIRST];
    const third = family === 4 ? "held" : whole();
    expect(become(family, "conntrack in", parts)).toEqual(["held", "FRAG_MISFIT", third]);
  });
});
