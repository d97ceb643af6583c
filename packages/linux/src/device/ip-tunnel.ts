import {
  ETH_P_IP,
  ETH_P_IPV6,
  formatIp,
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  ICMPV6_PKT_TOOBIG,
  IPPROTO_IPIP,
  IPPROTO_IPV6,
  type IpAddress,
  IpPacket,
  type Ipv4Address,
} from "@cnilab/net";
import { icmpSend } from "../ip/icmp-error.ts";
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

/** IP in IPv4: `ipip` carries IPv4, `sit` carries IPv6 (kernel net/ipv4/ip_tunnel.c). */
export class IpTunnel extends NetDevice {
  readonly kind: "ipip" | "sit";
  readonly local: Ipv4Address;
  readonly remote: Ipv4Address;
  readonly link: NetDevice | undefined;
  readonly ttl: number;
  readonly pathMtuDiscovery: boolean;
  readonly underlay: NetNamespace;

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

  override get isEthernet(): boolean {
    return false;
  }

  override get noArp(): boolean {
    return true;
  }

  protected override ownFlags(): string[] {
    return this.remote === 0 ? ["NOARP"] : ["POINTOPOINT", "NOARP"];
  }

  /** `ip_tunnel_xmit`. */
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
      mark: skb.mark,
      protocol,
    });
    if (typeof route === "string") {
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
    // tnl_update_pmtu: an inner packet that must not be cut and would not fit is sent back.
    const room = netns.pathMtu(route.dst, remote) - 20;
    const mustFit = inner.version === 6 || inner.dontFragment;
    if (this.pathMtuDiscovery && mustFit && inner.length > room) {
      if (skb.iif === undefined) this.netns.learnPathMtu(inner.dst, room);
      if (inner.version === 4) icmpSend(skb, this.netns, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, room);
      else icmpSend(skb, this.netns, ICMPV6_PKT_TOOBIG, 0, Math.max(room, 1280));
      this.drop(skb, "PKT_TOO_BIG", `${inner.length} bytes do not fit the tunnel's ${room}`);
      return;
    }
    const ttl = this.ttl || inner.ttl;
    const outer = new IpPacket(route.src, remote, protocol, inner, ttl);
    outer.tos = inner.tos & 3;
    outer.dontFragment = (this.pathMtuDiscovery && mustFit) || inner.dontFragment;
    skb.trace?.steps.push({
      kind: "encapsulate",
      netns: this.netns,
      packet: skb.number,
      dev: this,
      outer: outer.withPayload(inner),
      protocol: this.kind === "ipip" ? "IP in IP" : "IPv6 in IPv4",
    });
    skb.scrub(netns !== this.netns);
    skb.packet = outer;
    skb.etherType = ETH_P_IP;
    sendVia(skb, netns, route.dst);
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
  let best: IpTunnel | undefined;
  let score = 0;
  for (const dev of netns.devices) {
    if (!(dev instanceof IpTunnel)) continue;
    const its = dev.matches(outer.src, outer.dst, outer.protocol);
    if (its > score) {
      best = dev;
      score = its;
    }
  }
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
  skb.packet = inner;
  skb.etherType = inner.version === 4 ? ETH_P_IP : ETH_P_IPV6;
  netns.network.enqueue(best, skb);
  return true;
}
