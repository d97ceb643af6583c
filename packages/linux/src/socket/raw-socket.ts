import { formatIp, type IpAddress, IpPacket, type Payload } from "@cnilab/net";
import { setLabelHash } from "../ip/flow-hash.ts";
import { type OutputRoute, routeConnect } from "../ip/route-output.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import type { Trace } from "../trace.ts";
import { layOut } from "./lay-out.ts";
import { type Socket, type SocketError, sendError } from "./socket.ts";

/** A raw socket that is connected to one address and only sends (raw(7), without `IP_HDRINCL`). */
export class RawSocket implements Socket {
  readonly netns: NetNamespace;
  readonly protocol: number;
  readonly localAddress: IpAddress;
  /** `ss` shows the protocol here. */
  readonly localPort: number;
  readonly remoteAddress: IpAddress;
  readonly remotePort = 0;
  readonly state = "ESTAB";
  readonly owner: string;
  /** True for IP_PMTUDISC_DO, false for IP_PMTUDISC_DONT. */
  readonly #dontFragment: boolean | undefined;
  /** What a router has said of a packet that was sent: the next call fails with it (`sk_err`). */
  #error: SocketError | undefined;

  constructor(
    netns: NetNamespace,
    options: {
      readonly protocol: number;
      readonly localAddress: IpAddress;
      readonly remoteAddress: IpAddress;
      readonly owner: string;
      readonly dontFragment?: boolean;
    },
  ) {
    this.netns = netns;
    this.protocol = options.protocol;
    this.localAddress = options.localAddress;
    this.localPort = options.protocol;
    this.remoteAddress = options.remoteAddress;
    this.owner = options.owner;
    this.#dontFragment = options.dontFragment;
    netns.sockets.raw = [...(netns.sockets.raw ?? []), this];
  }

  close(): void {
    const { sockets } = this.netns;
    const left = sockets.raw?.filter((socket) => socket !== this) ?? [];
    sockets.raw = left.length === 0 ? undefined : left;
  }

  /** What is known of the path (`IP_MTU`); `undefined` where there is none. */
  get pathMtu(): number | undefined {
    const route = this.#route();
    return typeof route === "string"
      ? undefined
      : this.netns.pathMtu(route.dst, this.remoteAddress);
  }

  /**
   * Sends a packet and lets it run to its end.
   * @param options.carried as {@link SendOptions.carried} of datagrams
   * @returns what the call fails with
   */
  send(
    payload: Payload,
    options: { readonly trace?: Trace | undefined; readonly carried?: number | undefined } = {},
  ): SocketError | undefined {
    const { netns, remoteAddress } = this;
    const pending = this.#error;
    if (pending !== undefined) {
      this.#error = undefined;
      return pending;
    }
    const route = this.#route();
    if (typeof route === "string") {
      return { errno: route, from: undefined, message: `no route to ${formatIp(remoteAddress)}` };
    }
    const version = typeof remoteAddress === "number" ? 4 : 6;
    const ttl = netns.defaultTtl(version);
    const packet = new IpPacket(route.src, remoteAddress, this.protocol, payload, ttl);
    const pathMtu = netns.pathMtu(route.dst, remoteAddress);
    if (this.#dontFragment === true && packet.length > pathMtu) {
      // __ip_append_data: there is no packet yet that a rule could see.
      const message = `${packet.length} bytes, path MTU ${pathMtu}`;
      return { errno: "EMSGSIZE", from: undefined, message };
    }
    const { trace, carried } = options;
    const skb =
      carried === undefined ? Skb.ofIp(packet, trace) : Skb.carrying(packet, trace, carried);
    layOut(skb, pathMtu, this.#dontFragment);
    skb.socket = this;
    skb.dst = route.dst;
    setLabelHash(skb);
    if (carried === undefined) {
      const text = "raw packet";
      skb.trace?.steps.push({ kind: "send", netns, packet: skb.number, socket: this, text });
    }
    netns.ipLocalOut(skb);
    const refused = sendError(skb);
    netns.network.run();
    // raw_send_hdrinc, ip_push_pending_frames: a full queue is told only who asks for it.
    return refused?.errno === "ENOBUFS" ? undefined : refused;
  }

  /** A packet of its own was answered by an ICMP error that is more than a passing state of the network. */
  failed(error: SocketError): void {
    if (error.errno === "EMSGSIZE" && this.#dontFragment === false) return;
    this.#error = error;
  }

  #route(): OutputRoute | SocketError["errno"] {
    return routeConnect(this.netns, {
      dst: this.remoteAddress,
      src: this.localAddress,
      protocol: this.protocol,
    });
  }
}

/** An ICMP error about a packet that was sent from here (`raw_icmp_error`). */
export function rawError(
  { sockets }: NetNamespace,
  quoted: IpPacket,
  isFatal: boolean,
  error: SocketError,
): void {
  if (!isFatal) return;
  for (const socket of sockets.raw ?? []) {
    const isOfSocket =
      socket.protocol === quoted.protocol &&
      socket.localAddress === quoted.src &&
      socket.remoteAddress === quoted.dst;
    if (isOfSocket) socket.failed(error);
  }
}
