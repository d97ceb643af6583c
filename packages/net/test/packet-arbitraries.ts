import fc from "fast-check";
import {
  ArpPacket,
  Data,
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  EthernetFrame,
  FragmentPayload,
  GENEVE_PORT,
  GenevePacket,
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_TIME_EXCEEDED,
  ICMPV6_DEST_UNREACH,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_PKT_TOOBIG,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IPIP,
  IPPROTO_IPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  IpPacket,
  NDISC_NEIGHBOUR_ADVERTISEMENT,
  NDISC_NEIGHBOUR_SOLICITATION,
  NDISC_ROUTER_SOLICITATION,
  NeighbourMessage,
  type Payload,
  QuotedPacket,
  SCTP_ABORT,
  SCTP_COOKIE_ECHO,
  SCTP_DATA,
  SCTP_INIT,
  SCTP_INIT_ACK,
  SCTP_SACK,
  SCTP_SHUTDOWN,
  SctpPacket,
  TcpSegment,
  UdpDatagram,
  VxlanPacket,
} from "../src/index.ts";
import { ipv4, ipv6, mac, uint8, uint16, uint32 } from "./arbitraries.ts";

// Packets that say nothing that gets lost on the way: their data has bytes, and decoding what they
// encode to gives the same packet.

const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 1400 }));
const data: fc.Arbitrary<Data> = bytes.map((b) => (b.length === 0 ? Data.empty : Data.of(b)));

const tcp = fc
  .tuple(uint16, uint16, uint8, uint32, uint32, uint16, fc.option(uint16, { nil: 0 }), data)
  .map(([srcPort, dstPort, flags, seq, ack, window, mss, payload]) => {
    const segment = new TcpSegment(srcPort, dstPort, flags, seq, ack, payload);
    return Object.assign(segment, { window, mss });
  });

const udp = fc
  .tuple(uint16, fc.constantFrom(0, 53, 51820, 65535), data, fc.boolean())
  .map(([srcPort, dstPort, payload, noChecksum]) =>
    Object.assign(new UdpDatagram(srcPort, dstPort, payload), { noChecksum }),
  );

const sctp = fc
  .tuple(
    uint16,
    uint16,
    fc.constantFrom(
      ...[
        SCTP_DATA,
        SCTP_INIT,
        SCTP_INIT_ACK,
        SCTP_SACK,
        SCTP_ABORT,
        SCTP_SHUTDOWN,
        SCTP_COOKIE_ECHO,
      ],
    ),
    uint32,
    uint32,
    data,
  )
  .map(([srcPort, dstPort, type, tag, initiateTag, payload]) => {
    const packet = new SctpPacket(srcPort, dstPort, type, tag, payload);
    if (type === SCTP_INIT || type === SCTP_INIT_ACK) packet.initiateTag = initiateTag;
    return packet;
  });

const neighbour = fc
  .tuple(
    fc.constantFrom(NDISC_NEIGHBOUR_SOLICITATION, NDISC_NEIGHBOUR_ADVERTISEMENT),
    ipv6,
    fc.option(mac, { nil: undefined }),
    fc.record({ router: fc.boolean(), solicited: fc.boolean(), override: fc.boolean() }),
  )
  .map(([type, target, linkLayerAddress, flags]) => {
    const message = new NeighbourMessage(type, target, linkLayerAddress);
    return type === NDISC_NEIGHBOUR_ADVERTISEMENT ? Object.assign(message, flags) : message;
  });

const icmp = (types: readonly number[], payload: fc.Arbitrary<Payload>) =>
  fc
    .tuple(fc.constantFrom(...types), uint8, uint32, payload)
    .map(([type, code, rest, inside]) => new IcmpMessage(type, code, rest, inside));

/** Cut in data that is all zeros, since what is cut off is read as zeros. */
const cutQuote = (addresses: fc.Arbitrary<IpAddress>) =>
  fc
    .tuple(addresses, addresses, fc.integer({ min: 1, max: 1400 }), uint16)
    .map(([src, dst, length, cut]) => {
      const zeros = Data.of(new Uint8Array(length));
      const packet = new IpPacket(src, dst, IPPROTO_UDP, new UdpDatagram(1, 2, zeros));
      return new QuotedPacket(packet, packet.length - (cut % length));
    });

interface Carried {
  readonly protocol: number;
  readonly payload: Payload;
}

const carried = (protocol: number, payload: fc.Arbitrary<Payload>): fc.Arbitrary<Carried> =>
  payload.map((p) => ({ protocol, payload: p }));

const { frame: anyFrame, packet: anyPacket } = fc.letrec<{
  frame: EthernetFrame;
  packet: IpPacket;
  packet4: IpPacket;
  packet6: IpPacket;
}>((tie) => {
  const vxlan = fc
    .tuple(
      uint16,
      fc.constantFrom(4789, 8472),
      fc.integer({ max: 0xffffff, min: 0 }),
      uint16,
      tie("frame"),
    )
    .map(([srcPort, dstPort, vni, groupPolicyId, inner]) => {
      const packet = Object.assign(new VxlanPacket(vni, inner), { groupPolicyId });
      return new UdpDatagram(srcPort, dstPort, packet);
    });
  const geneve = fc
    .tuple(uint16, fc.integer({ max: 0xffffff, min: 0 }), tie("frame"))
    .map(([srcPort, vni, inner]) => {
      return new UdpDatagram(srcPort, GENEVE_PORT, new GenevePacket(vni, inner));
    });
  const either = [
    carried(IPPROTO_TCP, tcp),
    carried(IPPROTO_UDP, vxlan),
    carried(IPPROTO_UDP, geneve),
    carried(IPPROTO_SCTP, sctp),
    carried(IPPROTO_IPIP, tie("packet4")),
    carried(IPPROTO_IPV6, tie("packet6")),
    fc.constantFrom(2, 47, 50, 253).chain((protocol) => carried(protocol, data)),
  ];
  const quote4 = fc.oneof(
    cutQuote(ipv4),
    tie("packet4").map((packet) => new QuotedPacket(packet, packet.length)),
  );
  const quote6 = fc.oneof(
    cutQuote(ipv6),
    tie("packet6").map((packet) => new QuotedPacket(packet, packet.length)),
  );
  const carried4 = fc.oneof(
    ...either,
    carried(IPPROTO_UDP, udp),
    carried(IPPROTO_ICMP, icmp([ICMP_ECHO, ICMP_ECHOREPLY, 13], data)),
    carried(IPPROTO_ICMP, icmp([ICMP_DEST_UNREACH, ICMP_TIME_EXCEEDED], quote4)),
    carried(IPPROTO_ICMPV6, data),
  );
  const carried6 = fc.oneof(
    ...either,
    carried(
      IPPROTO_UDP,
      udp.map((datagram) => Object.assign(datagram, { noChecksum: false })),
    ),
    carried(IPPROTO_ICMPV6, icmp([ICMPV6_ECHO_REQUEST, NDISC_ROUTER_SOLICITATION], data)),
    carried(IPPROTO_ICMPV6, icmp([ICMPV6_DEST_UNREACH, ICMPV6_PKT_TOOBIG], quote6)),
    carried(IPPROTO_ICMPV6, neighbour),
    carried(IPPROTO_ICMP, data),
  );
  const fragment = fc.record({
    offset: fc.integer({ min: 0, max: 5000 }),
    data,
    more: fc.boolean(),
  });
  const seldomFragment = fc.oneof(
    { arbitrary: fc.constant(null), weight: 9 },
    { arbitrary: fragment, weight: 1 },
  );
  const header = { ttl: uint8, tos: uint8 };
  return {
    packet: fc.oneof(tie("packet4"), tie("packet6")),
    packet4: fc
      .tuple(
        ipv4,
        ipv4,
        carried4,
        fc.record({ ...header, id: uint16, dontFragment: fc.boolean() }),
        seldomFragment,
      )
      .map(([src, dst, { protocol, payload }, fields, cut]) =>
        withFragment(Object.assign(new IpPacket(src, dst, protocol, payload), fields), cut),
      ),
    packet6: fc
      .tuple(
        ipv6,
        ipv6,
        carried6,
        fc.record({ ...header, flowLabel: fc.integer({ min: 0, max: 0xfffff }) }),
        seldomFragment,
        uint32,
      )
      .map(([src, dst, { protocol, payload }, fields, cut, id]) => {
        const packet = Object.assign(new IpPacket(src, dst, protocol, payload), fields);
        return Object.assign(withFragment(packet, cut), packet.isFragment ? { id } : {});
      }),
    frame: fc.oneof(
      {
        weight: 8,
        arbitrary: fc.tuple(mac, mac, tie("packet")).map(([dst, src, inside]) => {
          const etherType = inside.version === 4 ? ETH_P_IP : ETH_P_IPV6;
          return new EthernetFrame(dst, src, etherType, inside);
        }),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(mac, mac, uint16, mac, ipv4, mac, ipv4)
          .map(([dst, src, op, ...arp]) => {
            return new EthernetFrame(dst, src, ETH_P_ARP, new ArpPacket(op, ...arp));
          }),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(mac, mac, fc.constantFrom(0x0026, 0x8100, 0x88cc), data)
          .map(([dst, src, etherType, inside]) => new EthernetFrame(dst, src, etherType, inside)),
      },
    ),
  };
});

export const frame: fc.Arbitrary<EthernetFrame> = anyFrame;
export const packet: fc.Arbitrary<IpPacket> = anyPacket;

/** The packets that a whole one is cut into, none longer than `mtu`. */
export const fragments: fc.Arbitrary<{ whole: IpPacket; cuts: IpPacket[] }> = fc
  .tuple(
    packet.filter(({ isFragment }) => !isFragment),
    fc.integer({ min: 68, max: 1500 }),
  )
  .map(([whole, mtu]) => {
    const step = mtu - 60 - ((mtu - 60) % 8);
    const cuts: IpPacket[] = [];
    for (let offset = 0; offset < whole.payload.length; offset += step) {
      const length = Math.min(step, whole.payload.length - offset);
      const cut = whole.withPayload(new FragmentPayload(whole, offset, length));
      cut.fragmentOffset = offset;
      cut.moreFragments = offset + length < whole.payload.length;
      cuts.push(cut);
    }
    return { whole, cuts };
  });

function withFragment(
  whole: IpPacket,
  cut: { offset: number; data: Data; more: boolean } | null,
): IpPacket {
  if (cut === null || (cut.offset === 0 && !cut.more)) return whole;
  whole.fragmentOffset = cut.offset * 8;
  whole.moreFragments = cut.more;
  whole.payload = cut.data;
  return whole;
}
