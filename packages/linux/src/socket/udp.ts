import { IPPROTO_UDP, type IpAddress, IpPacket, type Payload, UdpDatagram } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { routeOutput } from "../ip/route-output.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import type { Trace } from "../trace.ts";
import type { Socket, SocketError } from "./socket.ts";

/** A datagram as its receiver sees it. */
export interface ReceivedDatagram {
  readonly src: IpAddress;
  readonly srcPort: number;
  readonly dst: IpAddress;
  readonly dstPort: number;
  readonly payload: Payload;
  readonly dev: NetDevice;
  /** The packet that it came in; its trace goes on with what the receiver sends. */
  readonly skb: Skb;
}

export interface UdpOptions {
  readonly localAddress?: IpAddress;
  /** An ephemeral one where it is absent. */
  readonly localPort?: number;
  readonly remoteAddress?: IpAddress;
  readonly remotePort?: number;
  readonly owner: string;
  readonly mark?: number;
  readonly onReceive?: (datagram: ReceivedDatagram, socket: UdpSocket) => void;
  readonly onError?: (error: SocketError, socket: UdpSocket) => void;
}

/** A UDP socket. */
export class UdpSocket implements Socket {
  readonly netns: NetNamespace;
  readonly protocol: number = IPPROTO_UDP;
  readonly localAddress: IpAddress | undefined;
  readonly localPort: number;
  readonly remoteAddress: IpAddress | undefined;
  readonly remotePort: number;
  readonly owner: string;
  readonly mark: number;
  onReceive: ((datagram: ReceivedDatagram, socket: UdpSocket) => void) | undefined;
  onError: ((error: SocketError, socket: UdpSocket) => void) | undefined;

  /** @throws KernelError EADDRINUSE */
  constructor(netns: NetNamespace, options: UdpOptions) {
    const { sockets } = netns;
    this.netns = netns;
    this.localAddress = options.localAddress;
    this.localPort = options.localPort ?? sockets.ephemeralPort(IPPROTO_UDP);
    this.remoteAddress = options.remoteAddress;
    this.remotePort = options.remotePort ?? 0;
    this.owner = options.owner;
    this.mark = options.mark ?? 0;
    this.onReceive = options.onReceive;
    this.onError = options.onError;
    if (options.localPort !== undefined && options.remoteAddress === undefined) {
      sockets.checkFree(IPPROTO_UDP, options.localAddress, options.localPort);
    }
    sockets.udp.add(this);
    netns.network.touch();
  }

  get state(): string {
    return this.remoteAddress === undefined ? "UNCONN" : "ESTAB";
  }

  close(): void {
    this.netns.sockets.udp.remove(this);
    this.netns.network.touch();
  }

  /**
   * Sends a datagram and lets it run to its end.
   * @returns what the call fails with; an answer or an ICMP error comes by the callbacks
   */
  sendTo(
    dst: IpAddress,
    dstPort: number,
    payload: Payload,
    options: {
      readonly trace?: Trace | undefined;
      readonly ttl?: number;
      readonly src?: IpAddress;
      readonly dontFragment?: boolean;
    } = {},
  ): SocketError | undefined {
    const { netns } = this;
    const src = options.src ?? this.localAddress;
    const route = routeOutput(netns, {
      dst,
      src,
      mark: this.mark,
      protocol: IPPROTO_UDP,
      srcPort: this.localPort,
      dstPort,
    });
    if (typeof route === "string") {
      return { errno: route, from: undefined, message: `no route to ${dst}` };
    }
    const datagram = new UdpDatagram(this.localPort, dstPort, payload);
    const version = typeof dst === "number" ? 4 : 6;
    const packet = new IpPacket(
      route.src,
      dst,
      IPPROTO_UDP,
      datagram,
      options.ttl ?? netns.defaultTtl(version),
    );
    // IP_PMTUDISC_WANT: what fits the path MTU must not be cut, what does not is cut here.
    packet.dontFragment = options.dontFragment ?? packet.length <= netns.pathMtu(route.dst, dst);
    const skb = Skb.ofIp(packet, options.trace);
    skb.socket = this;
    skb.mark = this.mark;
    skb.dst = route.dst;
    skb.trace?.steps.push({
      kind: "send",
      netns,
      packet: skb.number,
      socket: this,
      text: "UDP datagram",
    });
    netns.ipLocalOut(skb);
    netns.network.run();
    return undefined;
  }
}

/** Finds the socket for a datagram and hands it over (`__udp4_lib_rcv`). False when there is none. */
export function udpDeliver(skb: Skb, netns: NetNamespace): boolean {
  const packet = skb.ip;
  const datagram = packet.payload as UdpDatagram;
  const socket = lookup(netns, packet, datagram) ?? catchAll(netns, packet, datagram);
  if (socket === undefined) return false;
  skb.trace?.steps.push({
    kind: "deliver",
    netns,
    packet: skb.number,
    socket,
    text: "UDP datagram",
  });
  socket.onReceive?.(
    {
      src: packet.src,
      srcPort: datagram.srcPort,
      dst: packet.dst,
      dstPort: datagram.dstPort,
      payload: datagram.payload,
      dev: skb.dev as NetDevice,
      skb,
    },
    socket,
  );
  return true;
}

/** A socket for this one flow, where a program listens on every port. */
function catchAll(
  netns: NetNamespace,
  packet: IpPacket,
  datagram: UdpDatagram,
): UdpSocket | undefined {
  const all = netns.sockets.catchAll;
  if (all === undefined) return undefined;
  const socket = new UdpSocket(netns, {
    localAddress: packet.dst,
    localPort: datagram.dstPort,
    remoteAddress: packet.src,
    remotePort: datagram.srcPort,
    owner: all.owner,
    onReceive: (received, own) => {
      own.close();
      all.onDatagram?.(received, (payload) =>
        own.sendTo(received.src, received.srcPort, payload, { trace: received.skb.trace }),
      );
    },
  });
  return socket;
}

function lookup(
  netns: NetNamespace,
  packet: IpPacket,
  datagram: UdpDatagram,
): UdpSocket | undefined {
  let best: UdpSocket | undefined;
  let bestScore = -1;
  for (const socket of netns.sockets.udp.on(datagram.dstPort) ?? []) {
    let score = 0;
    if (socket.localAddress !== undefined) {
      if (socket.localAddress !== packet.dst) continue;
      score += 1;
    }
    if (socket.remoteAddress !== undefined) {
      if (socket.remoteAddress !== packet.src || socket.remotePort !== datagram.srcPort) continue;
      score += 2;
    }
    if (score > bestScore) {
      best = socket;
      bestScore = score;
    }
  }
  return best;
}

/** An ICMP error about a datagram that was sent from here (`__udp4_lib_err`). */
export function udpError(netns: NetNamespace, quoted: IpPacket, error: SocketError): void {
  const datagram = quoted.payload as UdpDatagram;
  for (const socket of netns.sockets.udp.on(datagram.srcPort) ?? []) {
    if (socket.localAddress !== undefined && socket.localAddress !== quoted.src) continue;
    if (socket.remoteAddress !== undefined && socket.remoteAddress !== quoted.dst) continue;
    socket.onError?.(error, socket);
  }
}
