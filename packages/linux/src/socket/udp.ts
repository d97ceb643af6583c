import {
  formatIp,
  IPPROTO_UDP,
  type IpAddress,
  IpPacket,
  isUnspecified,
  type Payload,
  UdpDatagram,
} from "@cnilab/net";
import type { CgroupSocket } from "../bpf/sock-context.ts";
import { cgroupOf, runBind, runSock, runSockAddr } from "../bpf/socket-hooks.ts";
import type { NetDevice } from "../device/net-device.ts";
import type { CachedFlow, FlowReceiver } from "../flow-cache.ts";
import { setLabelHash } from "../ip/flow-hash.ts";
import { routeConnect, routeOutput } from "../ip/route-output.ts";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import type { Trace } from "../trace.ts";
import { layOut } from "./lay-out.ts";
import { isBoundTo, type Socket, type SocketError, sendError } from "./socket.ts";

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
  /** The local address need not be this machine's (`IP_TRANSPARENT`). */
  readonly transparent?: boolean;
  /** A tunnel of the kernel's own: datagrams go on as other packets. */
  readonly tunnel?: boolean;
  /** It stands for a server's socket that answers one client: nobody has called connect. */
  readonly accepted?: boolean;
  /** Of the calls that make it: what programs of its control group say. */
  readonly trace?: Trace | undefined;
  readonly onReceive?: (datagram: ReceivedDatagram, socket: UdpSocket) => void;
  readonly onError?: (error: SocketError, socket: UdpSocket) => void;
}

export interface SendOptions {
  readonly trace?: Trace | undefined;
  readonly ttl?: number;
  readonly src?: IpAddress;
  readonly dontFragment?: boolean;
  /** Number of the packet of the trace that the datagram carries: it goes on under that, and who sends it says so. */
  readonly carried?: number | undefined;
}

const NO_OPTIONS: SendOptions = {};

/** Where datagrams of one length went last. */
interface RememberedFlow {
  readonly dst: IpAddress;
  readonly dstPort: number;
  readonly length: number;
  /** Programs of the control group have no say in where it goes. */
  readonly isPlain: boolean;
  readonly cached: CachedFlow | undefined;
}

/** A UDP socket. */
export class UdpSocket implements Socket, FlowReceiver, CgroupSocket {
  readonly netns: NetNamespace;
  readonly protocol: number = IPPROTO_UDP;
  readonly localAddress: IpAddress | undefined;
  readonly localPort: number;
  /** Both change when somebody takes the peer away ({@link abort}), and never else. */
  remoteAddress: IpAddress | undefined;
  remotePort: number;
  readonly owner: string;
  readonly mark: number;
  readonly transparent: boolean;
  /** Whether packets end here, as opposed to a tunnel. */
  readonly isEndpoint: boolean;
  onReceive: ((datagram: ReceivedDatagram, socket: UdpSocket) => void) | undefined;
  onError: ((error: SocketError, socket: UdpSocket) => void) | undefined;
  #cookie = 0;
  /** What connect was asked for, where a program of the control group has put another address in its place. */
  #connectedTo: { readonly address: IpAddress; readonly port: number } | undefined;
  /** What connect failed with: what is sent fails with it, too. */
  #connectError: SocketError | undefined;
  /** The last datagram's flow, kept from the second one on. */
  #flow: RememberedFlow | undefined;

  /** @throws KernelError EADDRINUSE, or what a program of the control group refuses the port with */
  constructor(netns: NetNamespace, options: UdpOptions) {
    const { sockets } = netns;
    this.netns = netns;
    let { localAddress, localPort } = options;
    let { remoteAddress, remotePort = 0 } = options;
    this.owner = options.owner;
    this.mark = options.mark ?? 0;
    this.transparent = options.transparent ?? false;
    this.isEndpoint = options.tunnel !== true;
    this.onReceive = options.onReceive;
    this.onError = options.onError;
    const cgroup = this.isEndpoint ? cgroupOf(netns) : undefined;
    const choose = () => sockets.ephemeralPort(IPPROTO_UDP);
    if (cgroup !== undefined && localPort !== undefined && options.accepted !== true) {
      const bound = runBind(cgroup, this, localAddress, localPort, choose);
      if (bound.error !== undefined) {
        throw new KernelError(bound.error.errno, `UDP port ${localPort}`);
      }
      ({ address: localAddress, port: localPort } = bound);
    }
    if (localPort !== undefined && remoteAddress === undefined) {
      sockets.checkFree(IPPROTO_UDP, localAddress, localPort);
    }
    this.localAddress = localAddress;
    this.localPort = localPort ?? choose();
    if (cgroup !== undefined && remoteAddress !== undefined && options.accepted !== true) {
      const hooked = runSockAddr(cgroup, "connect", this, remoteAddress, remotePort, options.trace);
      if (hooked !== undefined) {
        this.#connectError = hooked.error;
        this.#connectedTo = { address: remoteAddress, port: remotePort };
        remoteAddress = hooked.address;
        remotePort = hooked.port;
      }
    }
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    sockets.udp.add(this);
    if (this.transparent && remoteAddress !== undefined) sockets.transparent.add(this);
    netns.network.touch();
  }

  get state(): string {
    return this.remoteAddress === undefined ? "UNCONN" : "ESTAB";
  }

  get cookie(): number {
    this.#cookie ||= this.netns.kernel.bpf.nextSocketCookie();
    return this.#cookie;
  }

  /** Who is at the other end, as programs are told (`getpeername`). */
  get peerName(): { readonly address: IpAddress; readonly port: number } | undefined {
    const { remoteAddress, remotePort, netns } = this;
    if (remoteAddress === undefined) return undefined;
    const cgroup = cgroupOf(netns);
    return (
      (cgroup &&
        runSockAddr(cgroup, "getpeername", this, remoteAddress, remotePort, undefined)) ?? {
        address: remoteAddress,
        port: remotePort,
      }
    );
  }

  /**
   * Takes the peer away, and tells the program (`SOCK_DESTROY` of sock_diag, net/ipv4/udp.c udp_abort). What it sends from
   * then on is sent anew: programs of the control group are asked again.
   */
  abort(): void {
    this.remoteAddress = undefined;
    this.remotePort = 0;
    this.#connectedTo = undefined;
    this.#flow = undefined;
    this.netns.network.touch();
    const message = "software caused connection abort";
    this.onError?.({ errno: "ECONNABORTED", from: undefined, message }, this);
  }

  close(): void {
    const cgroup = this.isEndpoint ? cgroupOf(this.netns) : undefined;
    if (cgroup !== undefined) {
      runSock(cgroup, "sock_release", this, this);
    }
    this.netns.sockets.udp.remove(this);
    if (this.transparent) this.netns.sockets.transparent.delete(this);
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
    options: SendOptions = NO_OPTIONS,
  ): SocketError | undefined {
    const flow = this.#flow;
    if (
      options === NO_OPTIONS &&
      flow !== undefined &&
      flow.isPlain &&
      isOf(flow, dst, dstPort, payload) &&
      flow.cached?.valid
    ) {
      flow.cached.send(payload);
      this.netns.network.run();
      return undefined;
    }
    if (this.#connectError !== undefined) return this.#connectError;
    if (this.#connectedTo !== undefined) {
      const { address, port } = this.#connectedTo;
      return address === dst && port === dstPort
        ? this.#send(this.remoteAddress as IpAddress, this.remotePort, payload, options, false)
        : this.#send(dst, dstPort, payload, options, false);
    }
    const asked = this.isEndpoint && this.remoteAddress === undefined;
    const cgroup = asked ? cgroupOf(this.netns) : undefined;
    if (cgroup === undefined) return this.#send(dst, dstPort, payload, options, true);
    const { trace, src } = options;
    const hooked = runSockAddr(cgroup, "sendmsg", this, dst, dstPort, trace, src);
    if (hooked === undefined) return this.#send(dst, dstPort, payload, options, false);
    if (hooked.error !== undefined) return hooked.error;
    const sent = hooked.source === src ? options : { ...options, src: hooked.source as IpAddress };
    return this.#send(hooked.address, hooked.port, payload, sent, false);
  }

  #send(
    dst: IpAddress,
    dstPort: number,
    payload: Payload,
    options: SendOptions,
    isPlain: boolean,
  ): SocketError | undefined {
    if (options !== NO_OPTIONS) return this.#walk(dst, dstPort, payload, options);
    const flow = this.#flow;
    const { length } = payload;
    if (flow === undefined || !isOf(flow, dst, dstPort, payload)) {
      this.#flow = { dst, dstPort, length, isPlain, cached: undefined };
      return this.#walk(dst, dstPort, payload, options);
    }
    if (flow.cached?.valid) {
      flow.cached.send(payload);
      this.netns.network.run();
      return undefined;
    }
    let error: SocketError | undefined;
    const cached = this.netns.network.record(() => {
      error = this.#walk(dst, dstPort, payload, options);
    });
    this.#flow = { dst, dstPort, length, isPlain, cached };
    return error;
  }

  #walk(
    dst: IpAddress,
    dstPort: number,
    payload: Payload,
    options: SendOptions,
  ): SocketError | undefined {
    const { netns } = this;
    const bound = this.localAddress;
    const src = options.src ?? (bound === undefined || isUnspecified(bound) ? undefined : bound);
    const routed = this.remoteAddress === undefined ? routeOutput : routeConnect;
    const route = routed(netns, {
      dst,
      src,
      mark: this.mark,
      protocol: IPPROTO_UDP,
      srcPort: this.localPort,
      dstPort,
      anySource: this.transparent,
    });
    if (typeof route === "string") {
      return { errno: route, from: undefined, message: `no route to ${formatIp(dst)}` };
    }
    const datagram = new UdpDatagram(this.localPort, dstPort, payload);
    const version = typeof dst === "number" ? 4 : 6;
    const ttl = options.ttl ?? netns.defaultTtl(version);
    const packet = new IpPacket(route.src, dst, IPPROTO_UDP, datagram, ttl);
    const { carried, trace } = options;
    const skb =
      carried === undefined ? Skb.ofIp(packet, trace) : Skb.carrying(packet, trace, carried);
    layOut(skb, netns.pathMtu(route.dst, dst), options.dontFragment);
    skb.socket = this;
    skb.mark = this.mark;
    skb.dst = route.dst;
    setLabelHash(skb);
    if (carried === undefined) {
      skb.trace?.steps.push({
        kind: "send",
        netns,
        packet: skb.number,
        socket: this,
        text: "UDP datagram",
      });
    }
    netns.ipLocalOut(skb);
    const refused = sendError(skb);
    netns.network.run();
    // A device without room is nothing to tell a program of (net/ipv4/udp.c udp_send_skb).
    return refused?.errno === "ENOBUFS" ? undefined : refused;
  }

  /** A packet of a cached flow for this socket. */
  receiveCached(skb: Skb, payload: Payload): void {
    // A call of its own beside that of take, through which tunnels are called, too: engines inline what has one callee.
    this.onReceive?.(this.#received(skb, payload), this);
  }

  /** Hands a datagram to the program that has the socket. */
  take(skb: Skb, payload: Payload): void {
    this.onReceive?.(this.#received(skb, payload), this);
  }

  #received(skb: Skb, payload: Payload): ReceivedDatagram {
    const { src, dst, payload: datagram } = skb.ip;
    const { srcPort, dstPort } = datagram as UdpDatagram;
    const dev = skb.dev as NetDevice;
    const cgroup = this.isEndpoint ? cgroupOf(this.netns) : undefined;
    if (cgroup === undefined) return { src, srcPort, dst, dstPort, payload, dev, skb };
    const hooked = runSockAddr(cgroup, "recvmsg", this, src, srcPort, skb.trace);
    const from = { src: hooked?.address ?? src, srcPort: hooked?.port ?? srcPort };
    return { ...from, dst, dstPort, payload, dev, skb };
  }
}

function isOf(flow: RememberedFlow, dst: IpAddress, dstPort: number, { length }: Payload): boolean {
  return flow.dst === dst && flow.dstPort === dstPort && flow.length === length;
}

/** Finds the socket for a datagram and hands it over (`__udp4_lib_rcv`). False when there is none. */
export function udpDeliver(skb: Skb, netns: NetNamespace): boolean {
  const packet = skb.ip;
  const datagram = packet.payload as UdpDatagram;
  // Whom TPROXY gave it to comes first (skb_steal_sock).
  const assigned = skb.socket instanceof UdpSocket ? skb.socket : undefined;
  const socket =
    assigned ??
    udpLookup(netns, packet.src, datagram.srcPort, packet.dst, datagram.dstPort) ??
    catchAll(netns, packet, datagram);
  if (socket === undefined) return false;
  skb.trace?.steps.push({
    kind: "deliver",
    netns,
    packet: skb.number,
    socket,
    text: "UDP datagram",
  });
  const { recording } = netns.network;
  if (recording !== undefined && socket.isEndpoint) {
    // What the receiver does from here on is not part of this packet's walk.
    recording.delivery = { receiver: socket, skb };
    netns.network.recording = undefined;
  }
  socket.take(skb, datagram.payload);
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
    accepted: true,
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

/**
 * The socket that fits a datagram best (`udp4_lib_lookup`): one that is connected before one bound to the address before
 * one bound to all.
 */
export function udpLookup(
  netns: NetNamespace,
  src: IpAddress,
  srcPort: number,
  dst: IpAddress,
  dstPort: number,
): UdpSocket | undefined {
  let best: UdpSocket | undefined;
  let bestScore = -1;
  for (const socket of netns.sockets.udp.on(dstPort) ?? []) {
    let score = 0;
    if (socket.localAddress !== undefined) {
      if (!isBoundTo(socket.localAddress, dst)) continue;
      score += socket.localAddress === dst ? 2 : 1;
    }
    if (socket.remoteAddress !== undefined) {
      if (socket.remoteAddress !== src || socket.remotePort !== srcPort) continue;
      score += 4;
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
    if (!isBoundTo(socket.localAddress, quoted.src)) continue;
    if (socket.remoteAddress !== undefined && socket.remoteAddress !== quoted.dst) continue;
    socket.onError?.(error, socket);
  }
}
