import {
  IPPROTO_ICMPV6,
  IPV6_ANY,
  IpPacket,
  type Ipv6Address,
  ipv6,
  isLinkLocal,
  isMulticast,
  type Mac,
  NDISC_NEIGHBOUR_ADVERTISEMENT,
  NDISC_NEIGHBOUR_SOLICITATION,
  NeighbourMessage,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { Dst } from "../fib/dst.ts";
import { selectIpv6Address } from "../ip/source-address.ts";
import { PACKET_HOST, Skb } from "../skb.ts";
import type { Trace } from "../trace.ts";

/** The group in which a node listens for questions about an address: ff02::1:ffXX:XXXX (RFC 4291 section 2.7.1). */
export function solicitedNode(ip: Ipv6Address): Ipv6Address {
  return ipv6(0xff020000, 0, 1, 0xff000000 | (ip.d & 0xffffff));
}

const ALL_NODES = ipv6(0xff020000, 0, 0, 1);

/** Asks for an IPv6 address by neighbour discovery (`ndisc_solicit`). */
export function ndSolicit(
  dev: NetDevice,
  ip: Ipv6Address,
  mac: Mac | undefined,
  cause: Skb | undefined,
): void {
  const from = cause?.isIp ? cause.ip.src : undefined;
  const own =
    from !== undefined && typeof from !== "number" && dev.hasAddress(from) ? from : undefined;
  // Packets that are only passed on are asked for from the link-local address (ndisc_send_ns).
  const src = own ?? linkLocalOf(dev);
  if (src === undefined) return;
  const message = new NeighbourMessage(NDISC_NEIGHBOUR_SOLICITATION, ip, dev.mac);
  send(dev, message, src, mac === undefined ? solicitedNode(ip) : ip, cause?.trace);
}

/** `ipv6_get_lladdr`. */
function linkLocalOf(dev: NetDevice): Ipv6Address | undefined {
  for (const { address } of dev.addresses6) {
    if (typeof address !== "number" && isLinkLocal(address)) return address;
  }
  return undefined;
}

/** Tells all neighbours this device's MAC for an address (unsolicited advertisement). */
export function announceIpv6(dev: NetDevice, ip: Ipv6Address): void {
  const message = new NeighbourMessage(NDISC_NEIGHBOUR_ADVERTISEMENT, ip, dev.mac);
  message.router = dev.conf6.forwarding !== 0;
  message.override = true;
  send(dev, message, ip, ALL_NODES, undefined);
}

function send(
  dev: NetDevice,
  message: NeighbourMessage,
  src: Ipv6Address,
  dst: Ipv6Address,
  trace: Trace | undefined,
): void {
  const packet = new IpPacket(src, dst, IPPROTO_ICMPV6, message, 255);
  const skb = Skb.ofIp(packet, trace);
  skb.dev = dev; // POSTROUTING takes it for where the packet came by (ndisc_alloc_skb, ip6_output)
  skb.dst = new Dst(isMulticast(dst) ? "multicast" : "unicast", dev, undefined, undefined);
  dev.netns.ipLocalOut(skb);
}

/** Handles a neighbour solicitation or advertisement (`ndisc_recv_ns`, `ndisc_recv_na`). */
export function ndReceive(dev: NetDevice, skb: Skb, message: NeighbourMessage): void {
  // A router on the way would have lowered it: nobody off the link can take part (RFC 4861 section 7.1).
  if (skb.ip.ttl !== 255) {
    dev.drop(skb, "IP_INHDR", "neighbour discovery from off the link");
    return;
  }
  if (message.type === NDISC_NEIGHBOUR_SOLICITATION) receiveSolicitation(dev, skb, message);
  else receiveAdvertisement(dev, message);
}

function receiveSolicitation(dev: NetDevice, skb: Skb, message: NeighbourMessage): void {
  const { target } = message;
  const netns = dev.netns;
  const src = skb.ip.src as Ipv6Address;
  const own = dev.hasAddress(target);
  const forwards = dev.conf6.forwarding !== 0;
  const proxied =
    !own &&
    forwards &&
    (dev.conf6.proxy_ndp !== 0 || netns.sysctl.conf6All.proxy_ndp !== 0) &&
    netns.neighboursOf(dev).proxies.has(target);
  if (!own && !proxied) return;
  // Who asks this machine alone knows its MAC, and only wants to hear that it is still there.
  const all = isMulticast(skb.ip.dst);
  const mac = all ? dev.mac : undefined;
  const answer = new NeighbourMessage(NDISC_NEIGHBOUR_ADVERTISEMENT, target, mac);
  answer.router = forwards;
  answer.override = own && all;
  if (src === IPV6_ANY) {
    // Somebody checks whether the address is free: tell all.
    send(dev, answer, target, ALL_NODES, skb.trace);
    return;
  }
  if (message.linkLayerAddress !== undefined) {
    netns.neighboursOf(dev).learn(src, message.linkLayerAddress, "STALE", {
      create: true,
      override: "yes",
    });
  }
  answer.solicited = true;
  const source = own ? target : selectIpv6Address(netns, dev, src);
  if (source === undefined) return;
  const delay = proxied && skb.packetType !== PACKET_HOST ? dev.neigh6.proxyDelay : 0;
  if (delay === 0) {
    send(dev, answer, source, src, skb.trace);
  } else {
    // As ARP has it, so that the real owner is faster (`pneigh_enqueue`).
    netns.network.later(netns.kernel.random.below(delay), () => {
      send(dev, answer, source, src, skb.trace);
    });
  }
}

function receiveAdvertisement(dev: NetDevice, message: NeighbourMessage): void {
  if (dev.hasAddress(message.target)) return; // somebody else claims our address
  const neighbours = dev.netns.neighboursOf(dev);
  const known = neighbours.get(message.target);
  // Without a MAC it confirms the one that is known (`neigh_update`).
  const mac = message.linkLayerAddress ?? (known?.valid ? known.mac : undefined);
  if (mac === undefined) return;
  neighbours.learn(message.target, mac, message.solicited ? "REACHABLE" : "STALE", {
    create: false,
    override: message.override ? "yes" : "weak",
  });
}
