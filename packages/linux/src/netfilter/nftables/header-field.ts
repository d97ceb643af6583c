import { DATA_TYPES, type DataType } from "./data-type.ts";

/** Which header a protocol is: link layer, network layer, transport layer. */
export type HeaderBase = "link" | "network" | "transport";

/** One field of a protocol's header (nft's proto.c templates). */
export interface HeaderField {
  readonly protocol: ProtocolName;
  readonly name: string;
  readonly base: HeaderBase;
  readonly type: DataType;
  /** From the start of the header. */
  readonly bitOffset: number;
  readonly bits: number;
}

type FieldSpec = readonly [type: DataType, bitOffset: number, bits: number];

const { integer, inet_service, inet_proto, ipv4_addr, ipv6_addr, ether_addr, ether_type } =
  DATA_TYPES;

const PORTS = {
  sport: [inet_service, 0, 16],
  dport: [inet_service, 16, 16],
} as const satisfies Readonly<Record<string, FieldSpec>>;

export type ProtocolName =
  | "ether"
  | "arp"
  | "ip"
  | "ip6"
  | "icmp"
  | "icmpv6"
  | "tcp"
  | "udp"
  | "udplite"
  | "sctp"
  | "dccp"
  | "th";

interface Header {
  readonly base: HeaderBase;
  readonly fields: Readonly<Record<string, FieldSpec>>;
}

const HEADERS: Readonly<Record<ProtocolName, Header>> = {
  ether: {
    base: "link",
    fields: {
      daddr: [ether_addr, 0, 48],
      saddr: [ether_addr, 48, 48],
      type: [ether_type, 96, 16],
    },
  },
  arp: {
    base: "network",
    fields: {
      htype: [integer, 0, 16],
      ptype: [ether_type, 16, 16],
      hlen: [integer, 32, 8],
      plen: [integer, 40, 8],
      operation: [DATA_TYPES.arp_op, 48, 16],
      "saddr ether": [ether_addr, 64, 48],
      "saddr ip": [ipv4_addr, 112, 32],
      "daddr ether": [ether_addr, 144, 48],
      "daddr ip": [ipv4_addr, 192, 32],
    },
  },
  ip: {
    base: "network",
    fields: {
      version: [integer, 0, 4],
      hdrlength: [integer, 4, 4],
      dscp: [DATA_TYPES.dscp, 8, 6],
      ecn: [DATA_TYPES.ecn, 14, 2],
      length: [integer, 16, 16],
      id: [integer, 32, 16],
      "frag-off": [integer, 48, 16],
      ttl: [integer, 64, 8],
      protocol: [inet_proto, 72, 8],
      checksum: [integer, 80, 16],
      saddr: [ipv4_addr, 96, 32],
      daddr: [ipv4_addr, 128, 32],
    },
  },
  ip6: {
    base: "network",
    fields: {
      version: [integer, 0, 4],
      dscp: [DATA_TYPES.dscp, 4, 6],
      ecn: [DATA_TYPES.ecn, 10, 2],
      flowlabel: [integer, 12, 20],
      length: [integer, 32, 16],
      nexthdr: [inet_proto, 48, 8],
      hoplimit: [integer, 56, 8],
      saddr: [ipv6_addr, 64, 128],
      daddr: [ipv6_addr, 192, 128],
    },
  },
  icmp: {
    base: "transport",
    fields: {
      type: [DATA_TYPES.icmp_type, 0, 8],
      code: [DATA_TYPES.icmp_code, 8, 8],
      checksum: [integer, 16, 16],
      id: [integer, 32, 16],
      sequence: [integer, 48, 16],
      mtu: [integer, 48, 16],
      gateway: [integer, 32, 32],
    },
  },
  icmpv6: {
    base: "transport",
    fields: {
      type: [DATA_TYPES.icmpv6_type, 0, 8],
      code: [DATA_TYPES.icmpv6_code, 8, 8],
      checksum: [integer, 16, 16],
      id: [integer, 32, 16],
      sequence: [integer, 48, 16],
      mtu: [integer, 32, 32],
    },
  },
  tcp: {
    base: "transport",
    fields: {
      ...PORTS,
      sequence: [integer, 32, 32],
      ackseq: [integer, 64, 32],
      doff: [integer, 96, 4],
      flags: [DATA_TYPES.tcp_flag, 104, 8],
      window: [integer, 112, 16],
      checksum: [integer, 128, 16],
      urgptr: [integer, 144, 16],
    },
  },
  udp: {
    base: "transport",
    fields: { ...PORTS, length: [integer, 32, 16], checksum: [integer, 48, 16] },
  },
  udplite: {
    base: "transport",
    fields: { ...PORTS, csumcov: [integer, 32, 16], checksum: [integer, 48, 16] },
  },
  sctp: {
    base: "transport",
    fields: { ...PORTS, vtag: [integer, 32, 32], checksum: [integer, 64, 32] },
  },
  dccp: { base: "transport", fields: PORTS },
  /** The ports of any transport protocol that begins with them. */
  th: { base: "transport", fields: PORTS },
};

/** IP protocol numbers of the transport headers. */
export const TRANSPORT_PROTOCOLS: ReadonlyMap<ProtocolName, number> = new Map([
  ["icmp", 1],
  ["tcp", 6],
  ["udp", 17],
  ["dccp", 33],
  ["icmpv6", 58],
  ["sctp", 132],
  ["udplite", 136],
]);

export function isProtocolName(name: string): name is ProtocolName {
  return Object.hasOwn(HEADERS, name);
}

const FIELDS: ReadonlyMap<string, HeaderField> = new Map(
  Object.entries(HEADERS).flatMap(([protocol, { base, fields }]) =>
    Object.entries<FieldSpec>(fields).map(([name, [type, bitOffset, bits]]) => [
      `${protocol} ${name}`,
      { protocol: protocol as ProtocolName, name, base, type, bitOffset, bits },
    ]),
  ),
);

/** The field `FIELD` of `PROTOCOL`, of which there is one object. */
export function headerField(protocol: ProtocolName, name: string): HeaderField | undefined {
  return FIELDS.get(`${protocol} ${name}`);
}
