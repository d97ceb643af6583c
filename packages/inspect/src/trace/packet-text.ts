import { describeSegment, isWireMessage, messageOf } from "@cnilab/linux";
import {
  ARP_REQUEST,
  ArpPacket,
  decrypted,
  EspPacket,
  type EthernetFrame,
  FragmentPayload,
  formatIp,
  formatMac,
  GenevePacket,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  IcmpMessage,
  type IpAddress,
  IpPacket,
  NDISC_NEIGHBOUR_SOLICITATION,
  NeighbourMessage,
  type NetworkPacket,
  QuotedPacket,
  SctpPacket,
  SleevePacket,
  TcpSegment,
  UdpDatagram,
  VxlanPacket,
  WireguardData,
} from "@cnilab/net";

/** Finds a name for an address, as `default/web-0` for that of a pod. */
export type NameOf = (ip: string) => string | undefined;

/** What a reader wants to know of a packet at a glance. */
export interface PacketSummary {
  /** As `TCP`, `UDP`, `ICMP`, `ARP`. */
  readonly protocol: string;
  readonly src: string;
  readonly dst: string;
  readonly srcPort: number | undefined;
  readonly dstPort: number | undefined;
  /** Bytes of the IP packet or ARP message. */
  readonly length: number;
  /** As `SYN`, `1410 bytes`, `echo request`. */
  readonly info: string;
}

/** The packet that a sender made: inside of all tunnels. */
export function innermost(packet: NetworkPacket): NetworkPacket {
  if (!(packet instanceof IpPacket)) return packet;
  const { payload } = packet;
  if (payload instanceof IpPacket) return innermost(payload);
  if (payload instanceof EspPacket) return innermost(decrypted(packet, payload));
  if (payload instanceof UdpDatagram) {
    const carried = payload.payload;
    if (carried instanceof VxlanPacket || carried instanceof GenevePacket) {
      return innermost(carried.frame.payload);
    }
    if (carried instanceof WireguardData) return innermost(carried.packet);
    const [first] = carried instanceof SleevePacket ? carried.frames : [];
    if (first !== undefined) return innermost(first.frame.payload);
  }
  return packet;
}

/** Whether it only asks for a neighbour, or answers such a question. */
export function isNeighbourTalk(packet: NetworkPacket): boolean {
  return (
    packet instanceof ArpPacket ||
    (packet instanceof IpPacket && packet.payload instanceof NeighbourMessage)
  );
}

export function summarise(packet: NetworkPacket): PacketSummary | undefined {
  if (packet instanceof ArpPacket) {
    const request = packet.op === ARP_REQUEST;
    return {
      protocol: "ARP",
      src: formatIp(packet.senderIp),
      dst: formatIp(packet.targetIp),
      srcPort: undefined,
      dstPort: undefined,
      length: packet.length,
      info: request
        ? `who has ${formatIp(packet.targetIp)}`
        : `${formatIp(packet.senderIp)} is at ${formatMac(packet.senderMac)}`,
    };
  }
  if (!(packet instanceof IpPacket)) return undefined;
  return {
    src: formatIp(packet.src),
    dst: formatIp(packet.dst),
    length: packet.length,
    ...transportOf(packet),
  };
}

type Transport = Pick<PacketSummary, "protocol" | "srcPort" | "dstPort" | "info">;

function transportOf(packet: IpPacket): Transport {
  const { payload } = packet;
  if (payload instanceof FragmentPayload) {
    const whole = transportOf(payload.whole);
    return { ...whole, info: `fragment at byte ${payload.offset} of ${whole.info}` };
  }
  if (payload instanceof TcpSegment) {
    const { srcPort, dstPort } = payload;
    return { protocol: "TCP", srcPort, dstPort, info: describeSegment(payload) };
  }
  if (payload instanceof UdpDatagram) {
    const { srcPort, dstPort } = payload;
    const said = messageOf(payload.payload);
    const what = isWireMessage(said) ? `${said}, ` : "";
    const info = `${what}${payload.payload.length} bytes`;
    return { protocol: "UDP", srcPort, dstPort, info };
  }
  if (payload instanceof SctpPacket) {
    const { srcPort, dstPort } = payload;
    const info = SCTP_CHUNKS[payload.chunkType] ?? `chunk ${payload.chunkType}`;
    return { protocol: "SCTP", srcPort, dstPort, info };
  }
  const none = { srcPort: undefined, dstPort: undefined };
  if (payload instanceof IcmpMessage) {
    const protocol = packet.version === 4 ? "ICMP" : "ICMPv6";
    return { protocol, ...none, info: icmpText(payload) };
  }
  if (payload instanceof NeighbourMessage) {
    const asks = payload.type === NDISC_NEIGHBOUR_SOLICITATION;
    const info = `neighbour ${asks ? "solicitation for" : "advertisement of"} ${payload.target}`;
    return { protocol: "ICMPv6", ...none, info };
  }
  if (payload instanceof IpPacket) {
    return { protocol: "IP in IP", ...none, info: `carries ${formatIp(payload.dst)}` };
  }
  return { protocol: `IP protocol ${packet.protocol}`, ...none, info: "" };
}

const SCTP_CHUNKS: Readonly<Record<number, string>> = {
  0: "DATA",
  1: "INIT",
  2: "INIT-ACK",
  3: "SACK",
  6: "ABORT",
  7: "SHUTDOWN",
  10: "COOKIE-ECHO",
  11: "COOKIE-ACK",
};

function icmpText(message: IcmpMessage): string {
  const { type, code, payload } = message;
  if (payload instanceof QuotedPacket) {
    const about = summarise(payload.packet);
    return `error ${type}/${code} about ${about === undefined ? "a packet" : flowText(about)}`;
  }
  if (type === ICMP_ECHO || type === ICMPV6_ECHO_REQUEST) return "echo request";
  if (type === ICMP_ECHOREPLY || type === ICMPV6_ECHO_REPLY) return "echo reply";
  return `type ${type} code ${code}`;
}

/** `10.244.1.2:41044 > 10.244.2.2:80`, with names where they are known. */
export function flowText(packet: PacketSummary, nameOf?: NameOf): string {
  return `${endText(packet.src, packet.srcPort, nameOf)} > ${endText(packet.dst, packet.dstPort, nameOf)}`;
}

function endText(ip: string, port: number | undefined, nameOf: NameOf | undefined): string {
  const name = nameOf?.(ip);
  const address = port === undefined ? ip : ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
  return name === undefined ? address : `${address} (${name})`;
}

/** One line about a packet. */
export function packetText(packet: PacketSummary, nameOf?: NameOf): string {
  const info = packet.info === "" ? "" : ` ${packet.info}`;
  return `${packet.protocol} ${flowText(packet, nameOf)}${info}, ${packet.length} bytes`;
}

/** A frame with its link-layer header, as a verbose trace shows it. */
export function frameText(frame: EthernetFrame, ethernet: boolean): string {
  const inside = summarise(frame.payload);
  const text =
    inside === undefined ? `EtherType 0x${frame.etherType.toString(16)}` : packetText(inside);
  const ttl = frame.payload instanceof IpPacket ? `, TTL ${frame.payload.ttl}` : "";
  const macs = ethernet ? `${formatMac(frame.src)} > ${formatMac(frame.dst)} ` : "";
  return `${macs}${text}${ttl}`;
}

/** An address with its name, where there is one. */
export function addressText(ip: IpAddress, nameOf: NameOf | undefined): string {
  return endText(formatIp(ip), undefined, nameOf);
}
