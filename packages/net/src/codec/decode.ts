import type { ArpPacket } from "../arp.ts";
import {
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  ETHERNET_HEADER_LENGTH,
  type EthernetFrame,
} from "../ethernet.ts";
import { GenevePacket } from "../geneve.ts";
import { isIcmpError, QuotedPacket } from "../icmp.ts";
import {
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IPIP,
  IPPROTO_IPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpPacket,
} from "../ip-packet.ts";
import type { Data, Payload } from "../payload.ts";
import { VXLAN_HEADER_LENGTH, VxlanPacket } from "../vxlan.ts";
import { readArp } from "./arp.ts";
import { internetChecksum, pseudoHeaderSum } from "./checksum.ts";
import { readEthernetHeader } from "./ethernet.ts";
import { readGeneveHeader } from "./geneve.ts";
import { ICMP_CHECKSUM_FIELD, ICMP_HEADER_LENGTH, readIcmpHeader } from "./icmp.ts";
import { IPV4_CHECKSUM_FIELD, IPV4_HEADER_LENGTH, readIpv4Header } from "./ipv4.ts";
import { IPV6_HEADER_LENGTH, readIpv6Header } from "./ipv6.ts";
import { isNeighbourMessage, readNeighbourMessage } from "./neighbour.ts";
import { bytesOf, dataOf, requireOctets, slice } from "./octets.ts";
import { PacketSyntaxError } from "./packet-syntax-error.ts";
import { hasGoodSctpChecksum, readSctp } from "./sctp.ts";
import { readTcp, TCP_CHECKSUM_FIELD } from "./tcp.ts";
import { readUdpHeader, UDP_CHECKSUM_FIELD, UDP_HEADER_LENGTH } from "./udp.ts";
import { readVxlanHeader } from "./vxlan.ts";

/** The registered VXLAN port and the one that Linux uses when told none. */
export const VXLAN_PORTS: ReadonlySet<number> = new Set([4789, 8472]);

/** The registered Geneve port. */
export const GENEVE_PORT = 6081;

export interface DecodeOptions {
  /** UDP destination ports that take VXLAN; {@link VXLAN_PORTS} when not given. */
  readonly vxlanPorts?: ReadonlySet<number>;
}

export interface Decoded<P> {
  readonly packet: P;
  /** Checksums that are not what they should be, outermost first; most often empty. */
  readonly badChecksums: readonly BadChecksum[];
}

export interface BadChecksum {
  readonly protocol: "IPv4" | "TCP" | "UDP" | "ICMP" | "ICMPv6" | "SCTP";
  /** Where the header starts in the bytes that were decoded. */
  readonly offset: number;
}

/** IP packets inside one another that are read; what is in the innermost stays data. */
const MAX_DEPTH = 16;

/**
 * Reads an Ethernet frame. What the packet classes cannot say is dropped (TCP options, IPv6
 * extension headers but for destination options, all but the first SCTP chunk); what they do not know stays {@link Data}: other
 * EtherTypes and protocols, fragments, WireGuard, ESP, Weave's sleeve.
 * @throws PacketSyntaxError for anything that is not a frame
 */
export function decodeEthernet(
  bytes: Uint8Array,
  options: DecodeOptions = {},
): Decoded<EthernetFrame> {
  const decoder = new Decoder(bytes, options);
  return { packet: decoder.ethernet(viewOf(bytes), 0), badChecksums: decoder.badChecksums };
}

/** Reads an IPv4 or IPv6 packet; see {@link decodeEthernet}. @throws PacketSyntaxError */
export function decodeIp(bytes: Uint8Array, options: DecodeOptions = {}): Decoded<IpPacket> {
  const decoder = new Decoder(bytes, options);
  return { packet: decoder.ip(viewOf(bytes), 0), badChecksums: decoder.badChecksums };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Reads one frame or packet. `depth` is the number of IP packets around what is read. */
class Decoder {
  readonly badChecksums: BadChecksum[] = [];
  readonly #start: number;
  readonly #vxlanPorts: ReadonlySet<number>;
  /** Off inside quoted packets, whose end is missing. */
  #verifies = true;

  constructor(bytes: Uint8Array, { vxlanPorts = VXLAN_PORTS }: DecodeOptions) {
    this.#start = bytes.byteOffset;
    this.#vxlanPorts = vxlanPorts;
  }

  ethernet(octets: DataView, depth: number): EthernetFrame {
    const frame = readEthernetHeader(octets);
    const payload = slice(octets, ETHERNET_HEADER_LENGTH);
    frame.payload = this.#network(frame.etherType, payload, depth);
    return frame;
  }

  #network(etherType: number, octets: DataView, depth: number): IpPacket | ArpPacket | Data {
    switch (etherType) {
      case ETH_P_ARP:
        return readArp(octets);
      case ETH_P_IP:
        return this.#ipv4(octets, depth);
      case ETH_P_IPV6:
        return this.#ipv6(octets, depth);
      default:
        return dataOf(octets);
    }
  }

  ip(octets: DataView, depth: number): IpPacket {
    requireOctets(octets, 1, "IP");
    const version = octets.getUint8(0) >> 4;
    if (version === 4) return this.#ipv4(octets, depth);
    if (version === 6) return this.#ipv6(octets, depth);
    throw new PacketSyntaxError("IP", "bad version", `version ${version}`);
  }

  #ipv4(octets: DataView, depth: number): IpPacket {
    const { packet, header, payload } = readIpv4Header(octets);
    this.#verify("IPv4", header, IPV4_CHECKSUM_FIELD, 0);
    packet.payload = this.#transport(packet, payload, depth + 1);
    return packet;
  }

  #ipv6(octets: DataView, depth: number): IpPacket {
    const { packet, payload, routed } = readIpv6Header(octets);
    const verifies = this.#verifies;
    if (routed) this.#verifies = false;
    packet.payload = this.#transport(packet, payload, depth + 1);
    this.#verifies = verifies;
    return packet;
  }

  #transport(ip: IpPacket, octets: DataView, depth: number): Payload {
    if (ip.isFragment || depth > MAX_DEPTH) return dataOf(octets);
    switch (ip.protocol) {
      case IPPROTO_TCP:
        return this.#tcp(ip, octets);
      case IPPROTO_UDP:
        return this.#udp(ip, octets, depth);
      case IPPROTO_ICMP:
        return ip.version === 4 ? this.#icmp(octets, depth) : dataOf(octets);
      case IPPROTO_ICMPV6:
        return ip.version === 6 ? this.#icmpv6(ip, octets, depth) : dataOf(octets);
      case IPPROTO_SCTP:
        return this.#sctp(octets);
      case IPPROTO_IPIP:
        return this.#ipv4(octets, depth);
      case IPPROTO_IPV6:
        return this.#ipv6(octets, depth);
      default:
        return dataOf(octets);
    }
  }

  #tcp(ip: IpPacket, octets: DataView): Payload {
    const segment = readTcp(octets);
    const sum = pseudoHeaderSum(ip, IPPROTO_TCP, octets.byteLength);
    this.#verify("TCP", octets, TCP_CHECKSUM_FIELD, sum);
    return segment;
  }

  #udp(ip: IpPacket, all: DataView, depth: number): Payload {
    const { datagram, octets } = readUdpHeader(all);
    datagram.noChecksum = ip.version === 4 && octets.getUint16(UDP_CHECKSUM_FIELD) === 0;
    if (!datagram.noChecksum) {
      const sum = pseudoHeaderSum(ip, IPPROTO_UDP, octets.byteLength);
      this.#verify("UDP", octets, UDP_CHECKSUM_FIELD, sum);
    }
    const payload = slice(octets, UDP_HEADER_LENGTH);
    datagram.payload = this.#tunnelled(datagram.dstPort, payload, depth) ?? dataOf(payload);
    return datagram;
  }

  #tunnelled(dstPort: number, octets: DataView, depth: number): Payload | undefined {
    if (this.#vxlanPorts.has(dstPort)) return this.#vxlan(octets, depth);
    return dstPort === GENEVE_PORT ? this.#geneve(octets, depth) : undefined;
  }

  #vxlan(octets: DataView, depth: number): VxlanPacket | undefined {
    const header = readVxlanHeader(octets);
    if (header === undefined) return undefined;
    const frame = this.ethernet(slice(octets, VXLAN_HEADER_LENGTH), depth);
    const packet = new VxlanPacket(header.vni, frame);
    packet.groupPolicyId = header.groupPolicyId;
    return packet;
  }

  #geneve(octets: DataView, depth: number): GenevePacket | undefined {
    const header = readGeneveHeader(octets);
    if (header === undefined) return undefined;
    const frame = this.ethernet(slice(octets, header.length), depth);
    return new GenevePacket(header.vni, frame, header.options);
  }

  #icmp(octets: DataView, depth: number): Payload {
    const message = readIcmpHeader(octets, "ICMP");
    this.#verify("ICMP", octets, ICMP_CHECKSUM_FIELD, 0);
    const payload = slice(octets, ICMP_HEADER_LENGTH);
    message.payload = isIcmpError(4, message.type) ? this.#quote(payload, depth) : dataOf(payload);
    return message;
  }

  #icmpv6(ip: IpPacket, octets: DataView, depth: number): Payload {
    const message = readIcmpHeader(octets, "ICMPv6");
    const sum = pseudoHeaderSum(ip, IPPROTO_ICMPV6, octets.byteLength);
    this.#verify("ICMPv6", octets, ICMP_CHECKSUM_FIELD, sum);
    if (isNeighbourMessage(message.type)) return readNeighbourMessage(octets);
    const payload = slice(octets, ICMP_HEADER_LENGTH);
    message.payload = isIcmpError(6, message.type) ? this.#quote(payload, depth) : dataOf(payload);
    return message;
  }

  #sctp(octets: DataView): Payload {
    const packet = readSctp(octets);
    if (this.#verifies && !hasGoodSctpChecksum(octets)) this.#bad("SCTP", octets);
    return packet;
  }

  /** The packet that an error is about, its missing end as zeros; data when it cannot be read. */
  #quote(octets: DataView, depth: number): QuotedPacket | Data {
    const verifies = this.#verifies;
    this.#verifies = false;
    try {
      return new QuotedPacket(this.ip(wholeOf(octets), depth), octets.byteLength);
    } catch (error) {
      if (error instanceof PacketSyntaxError) return dataOf(octets);
      throw error;
    } finally {
      this.#verifies = verifies;
    }
  }

  #verify(protocol: BadChecksum["protocol"], octets: DataView, field: number, sum: number): void {
    if (!this.#verifies) return;
    const found = octets.getUint16(field);
    const expected = internetChecksum(octets, field, sum);
    // In one's complement all ones is another zero.
    if (found % 0xffff !== expected % 0xffff) this.#bad(protocol, octets);
  }

  #bad(protocol: BadChecksum["protocol"], octets: DataView): void {
    this.badChecksums.push({ protocol, offset: octets.byteOffset - this.#start });
  }
}

/** The octets of a quoted packet with zeros for those that its header counts and the quote lacks. */
function wholeOf(octets: DataView): DataView {
  if (octets.byteLength < IPV4_HEADER_LENGTH) return octets;
  const isIpv4 = octets.getUint8(0) >> 4 === 4;
  const length = isIpv4 ? octets.getUint16(2) : IPV6_HEADER_LENGTH + octets.getUint16(4);
  if (length <= octets.byteLength) return octets;
  const whole = new Uint8Array(length);
  whole.set(bytesOf(octets));
  // RFC 792 wants no more than eight bytes of a TCP header: they lack its length.
  const dataOffset = (octets.getUint8(0) & 15) * 4 + 12;
  const isTcp = isIpv4 && octets.getUint8(9) === IPPROTO_TCP;
  if (isTcp && dataOffset >= octets.byteLength && dataOffset < length) whole[dataOffset] = 5 << 4;
  return viewOf(whole);
}
