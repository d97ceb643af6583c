import {
  ETH_P_IP,
  ETH_P_IPV6,
  formatIp,
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  ICMP_HOST_UNREACH,
  ICMP_TIME_EXCEEDED,
  ICMPV6_ADDR_UNREACH,
  ICMPV6_DEST_UNREACH,
  ICMPV6_PKT_TOOBIG,
  IPPROTO_IPIP,
  IPPROTO_IPV6,
  type IpAddress,
  IpPacket,
  type Ipv4Address,
} from "@cnilab/net";
import { icmpNdoSend, icmpSend } from "../ip/icmp-error.ts";
import { sendVia } from "../ip/ip-output.ts";
import { routeOutput } from "../ip/route-output.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { type DeviceOptions, NetDevice } from "./net-device.ts";

export interface IpTunnelOptions extends DeviceOptions {
  readonly kind?: "ipip" | "sit";
  readonly local?: Ipv4Address;
  /** Absent: to whatever gateway the route names. */
  readonly remote?: Ipv4Address;
  readonly link?: NetDevice;
  /** 0: the inner packet's. */
  readonly ttl?: number;
  /** Outer packets must not be cut; the kernel's default. */
  readonly pathMtuDiscovery?: boolean;
}

/** RFC 791 and RFC 8200: what every link carries. */
const IPV4_MIN_MTU = 68;
const IPV6_MIN_MTU = 1280;
/** Milliseconds for which senders are told of an error that came back. */
const IPTUNNEL_ERR_TIMEO = 30_000;

/** IP in IPv4: `ipip` carries IPv4, `sit` carries IPv6 (kernel net/ipv4/ip_tunnel.c). */
export class IpTunnel extends NetDevice {
  readonly kind: "ipip" | "sit";
  readonly local: Ipv4Address;
  readonly remote: Ipv4Address;
  readonly link: NetDevice | undefined;
  readonly ttl: number;
  readonly pathMtuDiscovery: boolean;
  readonly underlay: NetNamespace;
  /** Errors about its packets that no sender has been told of (`err_count`), and when the last one came. */
  #errors = 0;
  #lastError = 0;

  constructor(netns: NetNamespace, options: IpTunnelOptions) {
    super(netns, options, (options.link?.mtu ?? 1500) - 20);
    this.kind = options.kind ?? "ipip";
    this.local = options.local ?? 0;
    this.remote = options.remote ?? 0;
    this.link = options.link;
    this.ttl = options.ttl ?? 0;
    this.pathMtuDiscovery = options.pathMtuDiscovery ?? true;
    this.underlay = netns;
  }

  override get needsHeadroom(): boolean {
    return true;
  }

  override get isEthernet(): boolean {
    return false;
  }

  override get noArp(): boolean {
    return true;
  }

  protected override ownFlags(): string[] {
    return this.remote === 0 ? ["NOARP"] : ["POINTOPOINT", "NOARP"];
  }

  /** `ip_tunnel_xmit`, `ipip6_tunnel_xmit`. */
  protected transmit(skb: Skb): void {
    const inner = skb.ip;
    if (!skb.isIp || inner.version !== (this.kind === "ipip" ? 4 : 6)) {
      this.drop(skb, "UNHANDLED_PROTO", `${this.kind} does not carry this packet`);
      return;
    }
    const gateway = skb.dst?.gateway ?? inner.dst;
    const remote = this.remote !== 0 ? this.remote : typeof gateway === "number" ? gateway : 0;
    const netns = this.underlay;
    const protocol = this.kind === "ipip" ? IPPROTO_IPIP : IPPROTO_IPV6;
    const route = routeOutput(netns, {
      dst: remote,
      src: this.local === 0 ? undefined : this.local,
      oif: this.link,
      protocol,
    });
    if (typeof route === "string") {
      if (this.kind === "sit") this.#tellUnreachable(skb);
      this.drop(skb, "IP_OUTNOROUTES", `no route to tunnel endpoint ${formatIp(remote)}`);
      return;
    }
    if (route.dst.dev === this) {
      this.drop(
        skb,
        "IP_OUTNOROUTES",
        `the route to ${formatIp(remote)} leads into the tunnel itself`,
      );
      return;
    }
    const room = netns.pathMtu(route.dst, remote) - 20;
    const dontFragment = this.kind === "ipip" ? this.#fitIpv4(skb, room) : this.#fitIpv6(skb, room);
    if (dontFragment === undefined) {
      this.drop(skb, "PKT_TOO_BIG", `${inner.length} bytes do not fit the tunnel's ${room}`);
      return;
    }
    this.#reportErrors(skb);
    const ttl = this.ttl || inner.ttl;
    const outer = new IpPacket(route.src, remote, protocol, inner, ttl);
    outer.tos = inner.tos & 3;
    outer.dontFragment = dontFragment;
    skb.trace?.steps.push({
      kind: "encapsulate",
      netns: this.netns,
      packet: skb.number,
      dev: this,
      outer: outer.withPayload(inner),
      protocol: this.kind === "ipip" ? "IP in IP" : "IPv6 in IPv4",
    });
    skb.scrub(netns !== this.netns);
    if (skb.ip.version === 4) skb.forgetFragments();
    skb.packet = outer;
    skb.etherType = ETH_P_IP;
    sendVia(skb, netns, route.dst, this);
    skb.sendErrno = undefined; // what becomes of the outer packet is nothing to the sender (NETDEV_TX_OK)
  }

  /**
   * Whether the outer packet must not be cut, which the inner one may be without that being asked for;
   * `undefined` where that one does not fit (`tnl_update_pmtu`).
   */
  #fitIpv4(skb: Skb, room: number): boolean | undefined {
    const inner = skb.ip;
    const dontFragment = this.pathMtuDiscovery || inner.dontFragment;
    if (!dontFragment) return false;
    this.#learnInner(skb, room);
    if (!inner.dontFragment || inner.length <= room) return true;
    icmpNdoSend(skb, this.netns, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, room);
    return undefined;
  }

  /** The same for IPv6, which is owed {@link IPV6_MIN_MTU}: where there is less the outer packet may be cut. */
  #fitIpv6(skb: Skb, room: number): boolean | undefined {
    if (!this.pathMtuDiscovery) return false;
    if (room < IPV4_MIN_MTU) return undefined;
    const mtu = Math.max(room, IPV6_MIN_MTU);
    if (this.remote !== 0) this.#learnInner(skb, mtu);
    if (skb.ip.length <= mtu) return room >= IPV6_MIN_MTU;
    icmpNdoSend(skb, this.netns, ICMPV6_PKT_TOOBIG, 0, mtu);
    return undefined;
  }

  #learnInner({ dst, ip }: Skb, mtu: number): void {
    if (dst !== undefined && this.netns.pathMtu(dst, ip.dst) > mtu) {
      this.netns.learnPathMtu(ip.dst, mtu);
    }
  }

  /** Somebody on the way could not pass on a packet of the tunnel: later senders are told, one for each. */
  noteError(): void {
    const { now } = this.network.clock;
    this.#errors = now < this.#lastError + IPTUNNEL_ERR_TIMEO ? this.#errors + 1 : 1;
    this.#lastError = now;
    this.network.touch();
  }

  #reportErrors(skb: Skb): void {
    if (this.#errors === 0) return;
    this.network.recording?.unrepeatable();
    if (this.network.clock.now >= this.#lastError + IPTUNNEL_ERR_TIMEO) {
      this.#errors = 0;
      return;
    }
    this.#errors--;
    this.#tellUnreachable(skb);
  }

  /** `dst_link_failure` */
  #tellUnreachable(skb: Skb): void {
    if (skb.ip.version === 4) icmpSend(skb, this.netns, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH);
    else icmpSend(skb, this.netns, ICMPV6_DEST_UNREACH, ICMPV6_ADDR_UNREACH);
  }

  /** Whether this tunnel takes packets from `src` to `dst`; a better match is larger. */
  matches(src: IpAddress, dst: IpAddress, protocol: number): number {
    if (!this.up || protocol !== (this.kind === "ipip" ? IPPROTO_IPIP : IPPROTO_IPV6)) return 0;
    if (this.remote !== 0 && this.remote !== src) return 0;
    if (this.local !== 0 && this.local !== dst) return 0;
    return 1 + (this.remote === 0 ? 0 : 2) + (this.local === 0 ? 0 : 1);
  }
}

/** A packet inside an IPv4 packet for this machine (`ip_tunnel_rcv`). False: no tunnel takes it. */
export function tunnelReceive(skb: Skb, netns: NetNamespace): boolean {
  const outer = skb.ip;
  const inner = outer.payload;
  if (!(inner instanceof IpPacket)) return false;
  const best = tunnelOf(netns, outer.src, outer.dst, outer.protocol);
  if (best === undefined) return false;
  skb.trace?.steps.push({
    kind: "decapsulate",
    netns: best.netns,
    packet: skb.number,
    dev: best,
    outer: outer.withPayload(inner),
    protocol: best.kind === "ipip" ? "IP in IP" : "IPv6 in IPv4",
  });
  skb.scrub(best.netns !== best.underlay);
  if (inner.version === 4) skb.forgetFragments();
  skb.packet = inner;
  skb.etherType = inner.version === 4 ? ETH_P_IP : ETH_P_IPV6;
  netns.network.enqueue(best, skb);
  return true;
}

/** An ICMP error about a packet of a tunnel (`ipip_err`, `ipip6_err`). */
export function tunnelError(netns: NetNamespace, outer: IpPacket, type: number): void {
  const tunnel = tunnelOf(netns, outer.dst, outer.src, outer.protocol);
  if (tunnel === undefined) return;
  // ip6_err_gen_icmpv6_unreach would tell the sender in the name of an IPv4-mapped address, from which no route
  // is found (ip6_dst_lookup_tail): nobody hears of it.
  if (tunnel.kind === "sit" && outer.payload instanceof IpPacket) return;
  if (tunnel.remote === 0) return;
  if (tunnel.ttl === 0 && type === ICMP_TIME_EXCEEDED) return;
  tunnel.noteError();
}

/** The tunnel for packets from `src` to `dst`: the one that says most about them (`ip_tunnel_lookup`). */
function tunnelOf(
  netns: NetNamespace,
  src: IpAddress,
  dst: IpAddress,
  protocol: number,
): IpTunnel | undefined {
  let best: IpTunnel | undefined;
  let score = 0;
  for (const dev of netns.devices) {
    if (!(dev instanceof IpTunnel)) continue;
    const its = dev.matches(src, dst, protocol);
    if (its > score) {
      best = dev;
      score = its;
    }
  }
  return best;
}
