import type { Kernel, NetDevice, NetNamespace } from "@cnilab/linux";
import { KernelError, Skb } from "@cnilab/linux";
import {
  Data,
  ETH_P_IP,
  ETH_P_IPV6,
  EthernetFrame,
  FragmentPayload,
  ICMP_ECHO,
  ICMPV6_ECHO_REQUEST,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IpPacket,
  type Payload,
  parseIp,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";

/** A packet that is sent by hand from a device, past the sender's own routing and rules. */
export interface FrameStep {
  readonly do: "frame";
  readonly netns: string;
  readonly dev: string;
  /** Whose MAC it goes to. */
  readonly to: { readonly netns: string; readonly dev: string };
  readonly protocol: "tcp" | "udp" | "icmp";
  readonly src: string;
  readonly dst: string;
  readonly srcPort: number;
  readonly dstPort: number;
  /** TCP_SYN and so on. */
  readonly flags?: number;
  /** Bytes of data. */
  readonly length: number;
  readonly ttl?: number;
  readonly tos?: number;
  /** Cut in two, of which both or one are sent, in this order. */
  readonly fragments?: readonly (0 | 1)[];
}

/** A frame with the device that sends it. */
export interface SentFrame {
  readonly dev: NetDevice;
  readonly frame: EthernetFrame;
}

/** The frames that a step sends. @throws KernelError where one of the devices is not there */
export function framesOf(kernel: Kernel, step: FrameStep): SentFrame[] {
  const dev = namespaceOf(kernel, step.netns).device(step.dev);
  const to = namespaceOf(kernel, step.to.netns).device(step.to.dev);
  const packet = packetOf(step);
  const etherType = packet.version === 4 ? ETH_P_IP : ETH_P_IPV6;
  return cut(packet, step.fragments).map((part) => ({
    dev,
    frame: new EthernetFrame(to.mac, dev.mac, etherType, part),
  }));
}

/** Sends a frame as a packet socket does (net/packet/af_packet.c `packet_snd`). */
export function send({ dev, frame }: SentFrame): void {
  const skb = new Skb(frame.etherType, frame.payload.clone() as IpPacket, undefined);
  skb.summedBySender = true;
  skb.dstMac = frame.dst;
  skb.srcMac = frame.src;
  dev.queueTransmit(skb);
  dev.network.run();
}

function namespaceOf(kernel: Kernel, name: string): NetNamespace {
  const found = kernel.findNamespace(name);
  if (found === undefined) throw new KernelError("ENOENT", `netns ${name}`);
  return found;
}

function packetOf(step: FrameStep): IpPacket {
  const [src, dst] = [parseIp(step.src), parseIp(step.dst)];
  const version = typeof src === "number" ? 4 : 6;
  const packet = new IpPacket(src, dst, protocolOf(step, version), payloadOf(step, version));
  packet.ttl = step.ttl ?? 64;
  packet.tos = step.tos ?? 0;
  packet.id = step.srcPort;
  return packet;
}

function protocolOf({ protocol }: FrameStep, version: 4 | 6): number {
  if (protocol === "tcp") return IPPROTO_TCP;
  if (protocol === "udp") return IPPROTO_UDP;
  return version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
}

function payloadOf(step: FrameStep, version: 4 | 6): Payload {
  const { protocol, srcPort, dstPort, length } = step;
  if (protocol === "udp") return new UdpDatagram(srcPort, dstPort, nameless(length));
  if (protocol === "icmp") {
    const type = version === 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST;
    return IcmpMessage.echo(type, srcPort, 1, new Data(length));
  }
  const segment = new TcpSegment(srcPort, dstPort, step.flags ?? 0, 1000, 2000, new Data(length));
  if (step.flags === 2) segment.mss = 1400;
  return segment;
}

/** A request that belongs to no flow; servers read the number of a flow in the first eight bytes. */
function nameless(length: number): Data {
  return new Data(length, new TextEncoder().encode("99999999".slice(0, length)));
}

function cut(packet: IpPacket, order: readonly (0 | 1)[] | undefined): IpPacket[] {
  if (order === undefined) return [packet];
  const { length } = packet.payload;
  const first = 8 * Math.ceil(length / 16);
  const parts = [
    { offset: 0, length: first },
    { offset: first, length: length - first },
  ];
  return order.map((i) => {
    const { offset, length: size } = parts[i] as { offset: number; length: number };
    const part = packet.withPayload(new FragmentPayload(packet, offset, size));
    part.fragmentOffset = offset;
    part.moreFragments = i === 0;
    return part;
  });
}
