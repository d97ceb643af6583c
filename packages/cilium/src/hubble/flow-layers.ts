import {
  type EthernetFrame,
  formatIp,
  formatMac,
  GenevePacket,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  type IpAddress,
  IpPacket,
  NeighbourMessage,
  SctpPacket,
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
  TcpSegment,
  UdpDatagram,
  VxlanPacket,
} from "@cnilab/net";
import type { Flow, FlowLayer4 } from "./flow.ts";

/** What a packet says by itself. */
export interface FlowLayers {
  readonly fields: Pick<Flow, "ethernet" | "IP" | "l4" | "tunnel" | "Summary">;
  readonly src: IpAddress | undefined;
  readonly dst: IpAddress | undefined;
  readonly srcPort: number;
  readonly dstPort: number;
}

/** Reads a packet's headers; of one in VXLAN or Geneve those of what is in it (pkg/hubble/parser/threefour decodeLayers). */
export function flowLayers(frame: EthernetFrame, l3: boolean): FlowLayers {
  const { payload } = frame;
  const ethernet = l3
    ? {}
    : { ethernet: { source: formatMac(frame.src), destination: formatMac(frame.dst) } };
  if (!(payload instanceof IpPacket)) {
    return { ...NO_ADDRESSES, fields: { ...ethernet, Summary: "Ethernet" } };
  }
  const datagram = payload.payload instanceof UdpDatagram ? payload.payload.payload : undefined;
  if (datagram instanceof VxlanPacket || datagram instanceof GenevePacket) {
    const inner = flowLayers(datagram.frame, false);
    const { IP, l4 } = ipFields(payload);
    const protocol = datagram instanceof VxlanPacket ? "VXLAN" : "GENEVE";
    return { ...inner, fields: { ...inner.fields, tunnel: { protocol, IP, l4 } } };
  }
  const { IP, l4, Summary } = ipFields(payload);
  const ports = l4.TCP ?? l4.UDP ?? l4.SCTP;
  return {
    fields: { ...ethernet, IP, ...(Object.keys(l4).length > 0 ? { l4 } : {}), Summary },
    src: payload.src,
    dst: payload.dst,
    srcPort: ports?.source_port ?? 0,
    dstPort: ports?.destination_port ?? 0,
  };
}

const NO_ADDRESSES = { src: undefined, dst: undefined, srcPort: 0, dstPort: 0 } as const;

function ipFields(packet: IpPacket): {
  readonly IP: NonNullable<Flow["IP"]>;
  readonly l4: FlowLayer4;
  readonly Summary: string;
} {
  const IP = {
    source: formatIp(packet.src),
    destination: formatIp(packet.dst),
    ipVersion: packet.version === 4 ? "IPv4" : "IPv6",
  } as const;
  const { payload } = packet;
  if (payload instanceof TcpSegment) {
    const flags = Object.fromEntries(tcpFlags(payload.flags).map((name) => [name, true]));
    const TCP = { source_port: payload.srcPort, destination_port: payload.dstPort, flags };
    return { IP, l4: { TCP }, Summary: `TCP Flags: ${tcpFlags(payload.flags).join(", ")}` };
  }
  if (payload instanceof UdpDatagram) {
    return { IP, l4: { UDP: portsOf(payload) }, Summary: "UDP" };
  }
  if (payload instanceof SctpPacket) {
    return { IP, l4: { SCTP: portsOf(payload) }, Summary: "SCTP" };
  }
  if (payload instanceof IcmpMessage || payload instanceof NeighbourMessage) {
    const { type } = payload;
    const code = payload instanceof IcmpMessage ? payload.code : 0;
    if (packet.protocol === IPPROTO_ICMP) {
      const Summary = `ICMPv4 ${typeCodeText(ICMPV4_NAMES, type, code)}`;
      return { IP, l4: { ICMPv4: { type, code } }, Summary };
    }
    if (packet.protocol === IPPROTO_ICMPV6) {
      const Summary = `ICMPv6 ${typeCodeText(ICMPV6_NAMES, type, code)}`;
      return { IP, l4: { ICMPv6: { type, code } }, Summary };
    }
  }
  return { IP, l4: {}, Summary: IP.ipVersion };
}

function portsOf({ srcPort, dstPort }: { readonly srcPort: number; readonly dstPort: number }): {
  readonly source_port: number;
  readonly destination_port: number;
} {
  return { source_port: srcPort, destination_port: dstPort };
}

/** In the order in which summaries name them. */
const FLAG_BITS = [
  ["SYN", TCP_SYN],
  ["ACK", TCP_ACK],
  ["RST", TCP_RST],
  ["FIN", TCP_FIN],
  ["PSH", TCP_PSH],
  ["URG", TCP_URG],
] as const;

function tcpFlags(bits: number): string[] {
  return FLAG_BITS.filter(([, bit]) => (bits & bit) !== 0).map(([name]) => name);
}

/** Names of ICMP's types and codes as gopacket has them; a type with codes of its own is written `Type(Code)`. */
type IcmpNames = Readonly<Record<number, readonly [type: string, codes?: readonly string[]]>>;

const ICMPV4_NAMES: IcmpNames = {
  0: ["EchoReply"],
  3: [
    "DestinationUnreachable",
    [
      "Net",
      "Host",
      "Protocol",
      "Port",
      "FragmentationNeeded",
      "SourceRoutingFailed",
      "NetUnknown",
      "HostUnknown",
      "SourceIsolated",
      "NetAdminProhibited",
      "HostAdminProhibited",
      "NetTOS",
      "HostTOS",
      "CommAdminProhibited",
      "HostPrecedence",
      "PrecedenceCutoff",
    ],
  ],
  5: ["Redirect", ["Net", "Host", "TOS+Net", "TOS+Host"]],
  8: ["EchoRequest"],
  11: ["TimeExceeded", ["TTLExceeded", "FragmentReassemblyTimeExceeded"]],
  12: ["ParameterProblem", ["PointerIndicatesError", "MissingOption", "BadLength"]],
};

const ICMPV6_NAMES: IcmpNames = {
  1: [
    "DestinationUnreachable",
    [
      "NoRouteToDst",
      "AdminProhibited",
      "BeyondScopeOfSrc",
      "AddressUnreachable",
      "PortUnreachable",
      "SrcAddressFailedPolicy",
      "RejectRouteToDst",
    ],
  ],
  2: ["PacketTooBig"],
  3: ["TimeExceeded", ["HopLimitExceeded", "FragmentReassemblyTimeExceeded"]],
  4: ["ParameterProblem", ["ErroneousHeader", "UnrecognizedNextHeader", "UnrecognizedIPv6Option"]],
  128: ["EchoRequest"],
  129: ["EchoReply"],
  133: ["RouterSolicitation"],
  134: ["RouterAdvertisement"],
  135: ["NeighborSolicitation"],
  136: ["NeighborAdvertisement"],
  137: ["Redirect"],
};

function typeCodeText(names: IcmpNames, type: number, code: number): string {
  const [name, codes] = names[type] ?? [];
  if (name === undefined) return `${type}(${code})`;
  if (codes === undefined) return code === 0 ? name : `${name}(Code: ${code})`;
  return `${name}(${codes[code] ?? `Code: ${code}`})`;
}
