import {
  ArpPacket,
  encodeIp,
  FragmentPayload,
  IcmpMessage,
  type IpAddress,
  type IpPacket,
  type Mac,
  NeighbourMessage,
  SctpPacket,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";
import { icmpTypeAndCode } from "../transport-header.ts";
import type { HeaderField } from "./header-field.ts";
import type { Walk } from "./walk.ts";

/** Something that can be read for a packet, into words. */
export interface Source {
  readonly words: number;
  /** Writes it to `walk.registers[at]` and on. False where the packet has no such thing. */
  load(walk: Walk, at: number): boolean;
}

export class ConstantSource implements Source {
  readonly value: Uint32Array;

  constructor(value: Uint32Array) {
    this.value = value;
  }

  get words(): number {
    return this.value.length;
  }

  load(walk: Walk, at: number): boolean {
    walk.registers.set(this.value, at);
    return true;
  }
}

/** Several behind one another. */
export class ConcatSource implements Source {
  readonly #parts: readonly Source[];
  readonly words: number;

  constructor(parts: readonly Source[]) {
    this.#parts = parts;
    this.words = parts.reduce((sum, part) => sum + part.words, 0);
  }

  load(walk: Walk, at: number): boolean {
    for (const part of this.#parts) {
      if (!part.load(walk, at)) return false;
      at += part.words;
    }
    return true;
  }
}

export function writeAddress(address: IpAddress, into: Uint32Array, at: number): void {
  if (typeof address === "number") {
    into[at] = address;
    return;
  }
  into[at] = address.a;
  into[at + 1] = address.b;
  into[at + 2] = address.c;
  into[at + 3] = address.d;
}

function writeMac(mac: Mac, into: Uint32Array, at: number): void {
  into[at] = mac / 0x100000000;
  into[at + 1] = mac;
}

type Reader<T> = (header: T, into: Uint32Array, at: number) => void;

/** Reads fields of headers that the packet's objects have; -1 words where a field is not modelled. */
const NETWORK_FIELDS: Readonly<Record<string, Reader<IpPacket>>> = {
  saddr: (ip, into, at) => writeAddress(ip.src, into, at),
  daddr: (ip, into, at) => writeAddress(ip.dst, into, at),
  protocol: (ip, into, at) => {
    into[at] = ip.protocol;
  },
  nexthdr: (ip, into, at) => {
    // A fragment's own header comes first.
    into[at] = ip.version === 6 && ip.isFragment ? 44 : ip.protocol;
  },
  ttl: (ip, into, at) => {
    into[at] = ip.ttl;
  },
  hoplimit: (ip, into, at) => {
    into[at] = ip.ttl;
  },
  version: (ip, into, at) => {
    into[at] = ip.version;
  },
  hdrlength: (ip, into, at) => {
    into[at] = ip.headerLength >>> 2;
  },
  dscp: (ip, into, at) => {
    into[at] = ip.tos >>> 2;
  },
  ecn: (ip, into, at) => {
    into[at] = ip.tos & 3;
  },
  length: (ip, into, at) => {
    into[at] = ip.version === 4 ? ip.length : ip.length - 40;
  },
  id: (ip, into, at) => {
    into[at] = ip.id;
  },
  "frag-off": (ip, into, at) => {
    into[at] =
      (ip.dontFragment ? 0x4000 : 0) | (ip.moreFragments ? 0x2000 : 0) | (ip.fragmentOffset >>> 3);
  },
  flowlabel: (ip, into, at) => {
    into[at] = ip.flowLabel;
  },
};

const TCP_FIELDS: Readonly<Record<string, Reader<TcpSegment>>> = {
  flags: (tcp, into, at) => {
    into[at] = tcp.flags;
  },
  sequence: (tcp, into, at) => {
    into[at] = tcp.seq;
  },
  ackseq: (tcp, into, at) => {
    into[at] = tcp.ack;
  },
  doff: (tcp, into, at) => {
    into[at] = tcp.headerLength >>> 2;
  },
  window: (tcp, into, at) => {
    into[at] = tcp.window;
  },
  urgptr: (_tcp, into, at) => {
    into[at] = 0;
  },
};

const ICMP_FIELDS: Readonly<Record<string, Reader<IcmpMessage>>> = {
  id: (icmp, into, at) => {
    into[at] = icmp.echoId;
  },
  sequence: (icmp, into, at) => {
    into[at] = icmp.echoSequence;
  },
  mtu: (icmp, into, at) => {
    into[at] = icmp.rest;
  },
  gateway: (icmp, into, at) => {
    into[at] = icmp.rest;
  },
};

const ARP_FIELDS: Readonly<Record<string, Reader<ArpPacket>>> = {
  htype: (_arp, into, at) => {
    into[at] = 1;
  },
  ptype: (_arp, into, at) => {
    into[at] = 0x0800;
  },
  hlen: (_arp, into, at) => {
    into[at] = 6;
  },
  plen: (_arp, into, at) => {
    into[at] = 4;
  },
  operation: (arp, into, at) => {
    into[at] = arp.op;
  },
  "saddr ether": (arp, into, at) => writeMac(arp.senderMac, into, at),
  "saddr ip": (arp, into, at) => {
    into[at] = arp.senderIp;
  },
  "daddr ether": (arp, into, at) => writeMac(arp.targetMac, into, at),
  "daddr ip": (arp, into, at) => {
    into[at] = arp.targetIp;
  },
};

/** A field of a header (net/netfilter/nft_payload.c). Which one it is, is decided when a rule is made. */
export function payloadSource(field: HeaderField): Source | undefined {
  const words = (field.bits + 31) >>> 5;
  const { protocol, name } = field;
  if (protocol === "th") return new FirstWordSource(name === "sport");
  if (name === "sport") return new PortSource(true);
  if (name === "dport") return new PortSource(false);
  switch (protocol) {
    case "ip":
    case "ip6":
      return fieldSource(NETWORK_FIELDS[name], words, (walk) => walk.packet);
    case "arp":
      return fieldSource(ARP_FIELDS[name], words, ({ skb }) =>
        skb.packet instanceof ArpPacket ? skb.packet : undefined,
      );
    case "tcp":
      return fieldSource(TCP_FIELDS[name], words, ({ transport }) =>
        transport instanceof TcpSegment ? transport : undefined,
      );
    case "icmp":
    case "icmpv6":
      if (name === "type" || name === "code") return new IcmpTypeSource(name === "code");
      return fieldSource(ICMP_FIELDS[name], words, ({ transport }) =>
        transport instanceof IcmpMessage ? transport : undefined,
      );
    case "udp":
      if (name !== "length") return undefined;
      return fieldSource<UdpDatagram>(
        (udp, into, at) => {
          into[at] = udp.length;
        },
        words,
        ({ transport }) => (transport instanceof UdpDatagram ? transport : undefined),
      );
    case "sctp":
      if (name !== "vtag") return undefined;
      return fieldSource<SctpPacket>(
        (sctp, into, at) => {
          into[at] = sctp.verificationTag;
        },
        words,
        ({ transport }) => (transport instanceof SctpPacket ? transport : undefined),
      );
    case "ether":
      return new EtherSource(name);
    default:
      return undefined;
  }
}

function fieldSource<T>(
  read: Reader<T> | undefined,
  words: number,
  header: (walk: Walk) => T | undefined,
): Source | undefined {
  return read && new FieldSource(read, words, header);
}

class FieldSource<T> implements Source {
  readonly #read: Reader<T>;
  readonly #header: (walk: Walk) => T | undefined;
  readonly words: number;

  constructor(read: Reader<T>, words: number, header: (walk: Walk) => T | undefined) {
    this.#read = read;
    this.words = words;
    this.#header = header;
  }

  load(walk: Walk, at: number): boolean {
    const header = this.#header(walk);
    if (header === undefined) return false;
    this.#read(header, walk.registers, at);
    return true;
  }
}

/** A port, of whichever protocol begins with two of them. */
class PortSource implements Source {
  readonly words = 1;
  readonly #source: boolean;

  constructor(source: boolean) {
    this.#source = source;
  }

  load(walk: Walk, at: number): boolean {
    const header = walk.transport;
    if (
      !(
        header instanceof TcpSegment ||
        header instanceof UdpDatagram ||
        header instanceof SctpPacket
      )
    ) {
      return false;
    }
    walk.registers[at] = this.#source ? header.srcPort : header.dstPort;
    return true;
  }
}

/**
 * The first two or the next two octets of whatever transport header there is: ports, where it has some. Of ICMP that
 * is type and code, and the checksum, since `th` looks at no protocol.
 */
class FirstWordSource implements Source {
  readonly words = 1;
  readonly #first: boolean;
  readonly #port: PortSource;

  constructor(first: boolean) {
    this.#first = first;
    this.#port = new PortSource(first);
  }

  load(walk: Walk, at: number): boolean {
    if (this.#port.load(walk, at)) return true;
    const { packet, transport } = walk;
    const typeAndCode = icmpTypeAndCode(transport);
    if (packet === undefined || typeAndCode < 0) return false;
    walk.registers[at] = this.#first ? typeAndCode : icmpChecksum(packet);
    return true;
  }
}

/** The data of a message counts as zeros: nobody knows what a program has filled it with. */
function icmpChecksum(packet: IpPacket): number {
  const { payload } = packet;
  const whole = payload instanceof FragmentPayload ? payload.whole : packet;
  const at = packet.version === 4 ? 22 : 42;
  const octets = encodeIp(whole);
  return ((octets[at] as number) << 8) | (octets[at + 1] as number);
}

class IcmpTypeSource implements Source {
  readonly words = 1;
  readonly #code: boolean;

  constructor(code: boolean) {
    this.#code = code;
  }

  load(walk: Walk, at: number): boolean {
    const header = walk.transport;
    if (header instanceof IcmpMessage) {
      walk.registers[at] = this.#code ? header.code : header.type;
      return true;
    }
    if (!(header instanceof NeighbourMessage)) return false;
    walk.registers[at] = this.#code ? 0 : header.type;
    return true;
  }
}

/** Only a frame that came over Ethernet has such a header; `nft_payload` then finds a MAC header set. */
class EtherSource implements Source {
  readonly words: number;
  readonly #name: string;

  constructor(name: string) {
    this.words = name === "type" ? 1 : 2;
    this.#name = name;
  }

  load(walk: Walk, at: number): boolean {
    const { skb } = walk;
    if (skb.iif?.isEthernet !== true) return false;
    if (this.#name === "type") walk.registers[at] = skb.etherType;
    else writeMac(this.#name === "saddr" ? skb.srcMac : skb.dstMac, walk.registers, at);
    return true;
  }
}
