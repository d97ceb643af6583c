import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  Data,
  formatEndpoint,
  formatIp,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  IpPacket,
  parseIp,
  SctpPacket,
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";
import {
  type Conntrack,
  type ConntrackEntry,
  type Drop,
  Dummy,
  type HookFunction,
  type HookNumber,
  type HookState,
  IP_CT_UNTRACKED,
  Kernel,
  type NetNamespace,
  Network,
  type NfVerdict,
  registerNat,
  Skb,
  Trace,
  type Tuple,
} from "../src/index.ts";

/**
 * A router between two links, 10.0.1.0/24 and fd00:1::/64 to the left, 10.0.2.0/24 and fd00:2::/64 to the
 * right, with connection tracking. Tests play the hosts: they hand it packets and look at what leaves.
 */
export class Router {
  readonly network: Network = new Network(new VirtualClock(), new SeededRandom(1));
  readonly kernel: Kernel = new Kernel(this.network, "router");
  readonly netns: NetNamespace = this.kernel.initNs;
  readonly left: Dummy = new Dummy(this.netns, { name: "left" });
  readonly right: Dummy = new Dummy(this.netns, { name: "right" });
  readonly conntrack: Conntrack;
  /** What the last packet met. */
  trace: Trace = new Trace();

  constructor() {
    const { netns } = this;
    netns.loopback.setUp();
    this.left.addAddress(parseIp("10.0.1.1"), 24);
    this.left.addAddress(parseIp("fd00:1::1"), 64);
    this.right.addAddress(parseIp("10.0.2.1"), 24);
    this.right.addAddress(parseIp("fd00:2::1"), 64);
    this.left.setUp();
    this.right.setUp();
    netns.sysctl.set("net.ipv4.ip_forward", 1);
    netns.sysctl.set("net.ipv6.conf.all.forwarding", 1);
    this.conntrack = netns.requireConntrack(4);
    netns.requireConntrack(6);
  }

  /** A packet arrives. @returns how it leaves, if it does */
  pass(
    packet: IpPacket,
    from: Dummy,
    prepare: (skb: Skb) => void = () => {},
  ): IpPacket | undefined {
    this.network.takeDrops();
    this.trace = new Trace();
    const skb = Skb.ofIp(packet.clone(), this.trace);
    prepare(skb);
    this.network.enqueue(from, skb);
    this.network.run();
    return this.leaves();
  }

  /** Packets that wait in a queue go on, oldest first or as `order` says. @returns how the last leaves */
  release(index = 0): IpPacket | undefined {
    const queued = this.netns.netfilter.queued[index];
    if (queued === undefined) throw new RangeError(`no packet number ${index} waits`);
    this.network.takeDrops();
    this.trace = new Trace();
    queued.skb.trace = this.trace;
    this.netns.netfilter.reinject(queued);
    this.network.run();
    return this.leaves();
  }

  /** How the last packet left. */
  leaves(): IpPacket | undefined {
    let last: IpPacket | undefined;
    for (const step of this.trace.steps) {
      if (step.kind === "transmit") last = step.frame.payload as IpPacket;
    }
    return last;
  }

  /** Why the last packet did not leave; what leaves is swallowed by the link and does not count. */
  get drop(): Drop | undefined {
    return this.network.takeDrops().find((d) => d.reason !== "NOT_SPECIFIED");
  }

  /** Events of conntrack that the last packet caused. */
  get events(): string[] {
    return this.trace.steps.flatMap((s) => (s.kind === "conntrack" ? [s.event] : []));
  }

  /** A NAT rule for new connections of both families. */
  nat(hook: HookNumber, decide: (skb: Skb, state: HookState) => NfVerdict): HookFunction {
    const fn: HookFunction = { name: "test", priority: 0, run: decide };
    registerNat(this.netns, 4, hook, fn);
    registerNat(this.netns, 6, hook, fn);
    return fn;
  }

  /** The live connections as text. */
  get connections(): string[] {
    return [...this.conntrack.entries()].map(connection);
  }

  /** The one connection. */
  get entry(): ConntrackEntry {
    const [entry, ...others] = this.conntrack.entries();
    if (entry === undefined || others.length > 0) {
      throw new Error(`${others.length + (entry ? 1 : 0)} connections, not one`);
    }
    return entry;
  }

  advance(seconds: number): void {
    this.network.clock.advance(seconds * 1000);
  }
}

/** A datagram from `src` to `dst`, each `ADDRESS:PORT`. */
export function udp(src: string, dst: string, length = 10): IpPacket {
  const [from, fromPort] = endpoint(src);
  const [to, toPort] = endpoint(dst);
  return new IpPacket(from, to, IPPROTO_UDP, new UdpDatagram(fromPort, toPort, new Data(length)));
}

const FLAGS: Readonly<Record<string, number>> = {
  S: TCP_SYN,
  A: TCP_ACK,
  F: TCP_FIN,
  R: TCP_RST,
  P: TCP_PSH,
  U: TCP_URG,
};

/** A segment; `flags` are letters of SAFRPU. */
export function tcp(
  src: string,
  dst: string,
  flags: string,
  seq = 0,
  ack = 0,
  length = 0,
  window = 65535,
): IpPacket {
  const [from, fromPort] = endpoint(src);
  const [to, toPort] = endpoint(dst);
  let bits = 0;
  for (const letter of flags) bits |= FLAGS[letter] ?? 0;
  const segment = new TcpSegment(fromPort, toPort, bits, seq, ack, new Data(length));
  segment.window = window;
  return new IpPacket(from, to, IPPROTO_TCP, segment);
}

export function sctp(
  src: string,
  dst: string,
  chunk: number,
  tag: number,
  initiateTag = 0,
): IpPacket {
  const [from, fromPort] = endpoint(src);
  const [to, toPort] = endpoint(dst);
  const packet = new SctpPacket(fromPort, toPort, chunk, tag);
  packet.initiateTag = initiateTag;
  return new IpPacket(from, to, IPPROTO_SCTP, packet);
}

export function ping(src: string, dst: string, id: number): IpPacket {
  return echo(src, dst, id, ICMP_ECHO, ICMPV6_ECHO_REQUEST);
}

export function pong(src: string, dst: string, id: number): IpPacket {
  return echo(src, dst, id, ICMP_ECHOREPLY, ICMPV6_ECHO_REPLY);
}

function echo(src: string, dst: string, id: number, type4: number, type6: number): IpPacket {
  const from = parseIp(src);
  const v4 = typeof from === "number";
  const message = IcmpMessage.echo(v4 ? type4 : type6, id, 1, new Data(8));
  return new IpPacket(from, parseIp(dst), v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, message);
}

/** `ADDRESS:PORT`, IPv6 addresses in brackets. */
export function endpoint(text: string): [IpAddress, number] {
  const colon = text.lastIndexOf(":");
  return [parseIp(text.slice(0, colon).replace(/^\[|\]$/g, "")), Number(text.slice(colon + 1))];
}

/** Where a packet comes from and goes to: `10.0.1.2:4000 > 10.0.2.2:53`. */
export function ends(packet: IpPacket | undefined): string {
  if (packet === undefined) return "lost";
  const { payload } = packet;
  if (payload instanceof IcmpMessage) {
    const id = payload.type === 0 || payload.type === 8 || payload.type >= 128;
    return `${formatIp(packet.src)} > ${formatIp(packet.dst)}${id ? ` id ${payload.echoId}` : ""}`;
  }
  const { srcPort, dstPort } = payload as UdpDatagram;
  if (srcPort === undefined) return `${formatIp(packet.src)} > ${formatIp(packet.dst)}`;
  return `${formatEndpoint(packet.src, srcPort)} > ${formatEndpoint(packet.dst, dstPort)}`;
}

/** Both tuples of a connection. */
export function connection(entry: ConntrackEntry): string {
  return `${tuple(entry.original)} | ${tuple(entry.reply)}`;
}

function tuple({ protocol, src, dst, srcPort, dstPort }: Tuple): string {
  if (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) {
    return `${formatIp(src)} > ${formatIp(dst)} id ${srcPort} type ${dstPort >>> 8}`;
  }
  return `${formatEndpoint(src, srcPort)} > ${formatEndpoint(dst, dstPort)}`;
}

/** Leaves a packet alone (`NOTRACK`). */
export function untrack(skb: Skb): void {
  skb.ctInfo = IP_CT_UNTRACKED;
}
