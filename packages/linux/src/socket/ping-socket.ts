import {
  Data,
  formatIp,
  ICMP_ECHO,
  ICMPV6_ECHO_REQUEST,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  type IpAddress,
  IpPacket,
} from "@cnilab/net";
import { setLabelHash } from "../ip/flow-hash.ts";
import { routeOutput } from "../ip/route-output.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import type { Trace } from "../trace.ts";
import { layOut } from "./lay-out.ts";
import { type Socket, type SocketError, sendError } from "./socket.ts";

/** What `ping` uses: sends echo requests and hears of the answers. */
export class PingSocket implements Socket {
  readonly netns: NetNamespace;
  readonly protocol: number = IPPROTO_ICMP;
  readonly localAddress: IpAddress | undefined = undefined;
  /** The echo identifier. */
  readonly localPort: number;
  readonly remoteAddress: IpAddress | undefined = undefined;
  readonly remotePort = 0;
  readonly state = "UNCONN";
  readonly owner: string;
  onReply: ((from: IpAddress, message: IcmpMessage) => void) | undefined = undefined;
  onError: ((error: SocketError) => void) | undefined = undefined;

  constructor(netns: NetNamespace, owner: string) {
    this.netns = netns;
    this.owner = owner;
    const { pings } = netns.sockets;
    let id = netns.kernel.random.below(0x10000);
    while (pings.on(id) !== undefined) id = (id + 1) & 0xffff;
    this.localPort = id;
    pings.add(this);
  }

  close(): void {
    this.netns.sockets.pings.remove(this);
  }

  /** Sends one echo request with `length` bytes of data and lets it run to its end. */
  send(
    dst: IpAddress,
    length: number,
    options: {
      readonly trace?: Trace | undefined;
      readonly ttl?: number;
      readonly dontFragment?: boolean;
      readonly src?: IpAddress;
    } = {},
  ): SocketError | undefined {
    const { netns } = this;
    const version = typeof dst === "number" ? 4 : 6;
    const protocol = version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    const route = routeOutput(netns, { dst, src: options.src, protocol });
    if (typeof route === "string") {
      return { errno: route, from: undefined, message: `no route to ${formatIp(dst)}` };
    }
    const type = version === 4 ? ICMP_ECHO : ICMPV6_ECHO_REQUEST;
    const message = IcmpMessage.echo(type, this.localPort, 1, new Data(length, filling(length)));
    const packet = new IpPacket(
      route.src,
      dst,
      protocol,
      message,
      options.ttl ?? netns.defaultTtl(version),
    );
    const skb = Skb.ofIp(packet, options.trace);
    layOut(skb, netns.pathMtu(route.dst, dst), options.dontFragment);
    skb.socket = this;
    skb.dst = route.dst;
    setLabelHash(skb);
    skb.trace?.steps.push({
      kind: "send",
      netns,
      packet: skb.number,
      socket: this,
      text: "echo request",
    });
    netns.ipLocalOut(skb);
    const refused = sendError(skb);
    netns.network.run();
    // net/ipv6/ping.c ping_v6_sendmsg does not ask what became of it.
    return version === 4 ? refused : undefined;
  }
}

/** What `ping` fills its messages with (ping/ping_common.c `fill` of iputils), but for the time at the start. */
const FILLING = Uint8Array.from({ length: 0xffff }, (_, i) => i);

function filling(length: number): Uint8Array {
  return FILLING.subarray(0, length);
}
