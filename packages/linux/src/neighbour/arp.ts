import {
  ARP_REPLY,
  ARP_REQUEST,
  ArpPacket,
  BROADCAST_MAC,
  ETH_P_ARP,
  formatIp,
  type Ipv4Address,
  isLoopback,
  isMulticast,
  type Mac,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { type RouteScope, RT_SCOPE_HOST, RT_SCOPE_LINK } from "../fib/route.ts";
import { routeInput } from "../ip/route-input.ts";
import { routeOutput } from "../ip/route-output.ts";
import { selectAddress } from "../ip/source-address.ts";
import { PACKET_HOST, Skb } from "../skb.ts";
import type { Trace } from "../trace.ts";
import type { Neighbour } from "./neighbour.ts";

/** Asks for IPv4 addresses by ARP (`arp_solicit`). `unreachable` is IPv4's `link_failure`. */
export function arpSolicit(
  dev: NetDevice,
  ip: Ipv4Address,
  mac: Mac | undefined,
  cause: Skb | undefined,
): void {
  const announce = Math.max(dev.netns.sysctl.conf4All.arp_announce, dev.conf4.arp_announce);
  const src = cause?.isIp ? cause.ip.src : undefined;
  let sender: Ipv4Address | undefined;
  if (
    announce < 2 &&
    typeof src === "number" &&
    dev.netns.fib4.addressType(src) === "local" &&
    (announce === 0 || onLink(dev, ip, src))
  ) {
    sender = src;
  }
  sender ??= selectAddress(dev, ip, RT_SCOPE_LINK) ?? 0;
  sendArp(dev, ARP_REQUEST, ip, sender, mac ?? BROADCAST_MAC, 0, cause?.trace);
}

/** Tells all neighbours this device's MAC for an address (gratuitous ARP). */
export function announceIpv4(dev: NetDevice, ip: Ipv4Address): void {
  sendArp(dev, ARP_REQUEST, ip, ip, BROADCAST_MAC, 0, undefined);
}

function sendArp(
  dev: NetDevice,
  op: number,
  targetIp: Ipv4Address,
  senderIp: Ipv4Address,
  to: Mac,
  targetMac: Mac,
  trace: Trace | undefined,
): void {
  if (dev.noArp) return;
  const arp = new ArpPacket(op, dev.mac, senderIp, targetMac, targetIp);
  const skb = new Skb(ETH_P_ARP, arp, trace);
  skb.dstMac = to;
  skb.srcMac = dev.mac;
  dev.queueTransmit(skb);
}

/**
 * Whether {@link arpReceive} would do nothing with a message on this device: a question for somebody
 * else, from somebody unknown, or known by this very MAC. On a segment of thousands nearly every copy of a question is such.
 */
export function ignoresArp(dev: NetDevice, question: ArpPacket): boolean {
  const { op, targetIp, senderIp, senderMac } = question;
  if (op !== ARP_REQUEST || mayAnswerArp(dev, targetIp)) return false;
  return !learnsFrom(dev.neighbours?.get(senderIp), senderMac);
}

/**
 * Whether a question for an address may mean something to a device, whoever asks: the address is its machine's, it answers for others,
 * it learns from all, or somebody sees what comes in. Only configuration decides, see `Network.configuration`.
 */
export function mayAnswerArp(dev: NetDevice, targetIp: Ipv4Address): boolean {
  if (dev.receiveHandler !== undefined || dev.tc?.hearsArp === true || dev.xdp !== undefined)
    return true;
  if (dev.netns.packetSockets !== undefined) return true;
  const { conf4All } = dev.netns.sysctl;
  const { conf4, neighbours } = dev;
  return (
    conf4All.proxy_arp !== 0 ||
    conf4.proxy_arp !== 0 ||
    conf4.proxy_arp_pvlan !== 0 ||
    conf4All.arp_accept !== 0 ||
    conf4.arp_accept !== 0 ||
    (neighbours !== undefined && (neighbours.proxies.size > 0 || neighbours.layer !== undefined)) ||
    dev.netns.isLocalAddress(targetIp)
  );
}

/** Whether there is an entry, and a question from this MAC would change it (`neigh_update` with NUD_STALE). */
function learnsFrom(known: Neighbour | undefined, mac: Mac): boolean {
  return known !== undefined && !(known.valid && known.mac === mac);
}

/** Handles an ARP message (`arp_process`). */
export function arpReceive(dev: NetDevice, skb: Skb): void {
  const arp = skb.packet as ArpPacket;
  const { senderIp, targetIp, senderMac } = arp;
  const netns = dev.netns;
  const all = netns.sysctl.conf4All;
  const conf = dev.conf4;
  const localnet = all.route_localnet !== 0 || conf.route_localnet !== 0;
  if (isMulticast(targetIp) || (isLoopback(targetIp) && !localnet)) {
    dev.drop(skb, "IP_INVALID_DEST", `ARP for ${formatIp(targetIp)}`);
    return;
  }
  if (arp.op !== ARP_REQUEST && arp.op !== ARP_REPLY) {
    dev.drop(skb, "NOT_SPECIFIED", `ARP operation ${arp.op}`);
    return;
  }
  const learn = () =>
    netns.neighboursOf(dev).learn(senderIp, senderMac, "STALE", { create: true, override: "yes" });
  const reply = () => sendArp(dev, ARP_REPLY, senderIp, targetIp, senderMac, senderMac, skb.trace);
  if (senderIp === 0) {
    // Duplicate address detection (RFC 5227): answer, but learn nothing.
    if (
      arp.op === ARP_REQUEST &&
      netns.fib4.addressType(targetIp) === "local" &&
      !ignores(dev, senderIp, targetIp)
    ) {
      reply();
    }
    return;
  }
  if (arp.op === ARP_REQUEST) {
    const result = routeInput(dev, senderIp, targetIp, 0, skb.mark, 0, 0, 0);
    if (typeof result !== "string") {
      if (result.isLocal) {
        if (!ignores(dev, senderIp, targetIp) && !filters(dev, senderIp, targetIp)) {
          learn();
          reply();
        }
        return;
      }
      if (conf.forwarding !== 0 && result.type === "unicast") {
        const elsewhere = result.dev !== dev;
        const proxy = elsewhere && (all.proxy_arp !== 0 || conf.proxy_arp !== 0);
        const pvlan = !elsewhere && senderIp !== targetIp && conf.proxy_arp_pvlan !== 0;
        if (proxy || pvlan || (elsewhere && dev.neighbours?.proxies.has(targetIp))) {
          learn();
          const { proxyDelay } = dev.neigh4;
          const delay = skb.packetType === PACKET_HOST ? 0 : proxyDelay;
          if (delay === 0) {
            reply();
          } else {
            // The kernel waits a random time below proxy_delay, so that the real owner is faster.
            netns.network.later(netns.kernel.random.below(delay), reply);
          }
          return;
        }
      }
    }
  }
  const known = dev.neighbours?.get(senderIp);
  const accepts = Math.max(all.arp_accept, conf.arp_accept) !== 0;
  const gratuitous = isGratuitous(dev, arp);
  if (known === undefined && !(accepts && (gratuitous || arp.op === ARP_REPLY))) return;
  const neighbours = netns.neighboursOf(dev);
  // Of several answers the first one counts, so that proxies do not make the entry flap.
  const locked =
    known !== undefined && netns.network.clock.now <= known.updated + dev.neigh4.lockTime;
  const answered = arp.op === ARP_REPLY && skb.packetType === PACKET_HOST;
  neighbours.learn(senderIp, senderMac, answered ? "REACHABLE" : "STALE", {
    create: known === undefined,
    override: !locked || gratuitous ? "yes" : "no",
  });
}

/** `arp_is_garp`. */
function isGratuitous(
  dev: NetDevice,
  { op, senderIp, targetIp, senderMac, targetMac }: ArpPacket,
): boolean {
  if (senderIp !== targetIp) return false;
  if (op === ARP_REPLY && targetMac !== senderMac && targetMac !== 0) return false;
  return dev.netns.fib4.addressType(senderIp) === "unicast";
}

/** `arp_ignore`: whether the request is not to be answered although the address is this machine's. */
function ignores(dev: NetDevice, senderIp: Ipv4Address, targetIp: Ipv4Address): boolean {
  switch (Math.max(dev.netns.sysctl.conf4All.arp_ignore, dev.conf4.arp_ignore)) {
    case 1:
      return !confirms([dev], 0, targetIp, RT_SCOPE_HOST);
    case 2:
      return !confirms([dev], senderIp, targetIp, RT_SCOPE_HOST);
    case 3:
      return !confirms(dev.netns.devices, 0, targetIp, RT_SCOPE_LINK);
    case 8:
      return true;
    default:
      return false;
  }
}

/** `inet_confirm_addr`: whether one of the devices has `local`, with `peer` on its network. */
function confirms(
  devices: readonly NetDevice[],
  peer: Ipv4Address,
  local: Ipv4Address,
  scope: RouteScope,
): boolean {
  return devices.some((dev) =>
    dev.addresses4.some(
      (a) => a.address === local && a.scope <= scope && (peer === 0 || onLink(dev, peer, local)),
    ),
  );
}

/** `arp_filter`: whether the answer would leave by another device than the question came in by. */
function filters(dev: NetDevice, senderIp: Ipv4Address, targetIp: Ipv4Address): boolean {
  if (dev.netns.sysctl.conf4All.arp_filter === 0 && dev.conf4.arp_filter === 0) return false;
  const back = routeOutput(dev.netns, { dst: senderIp, src: targetIp });
  return typeof back === "string" || back.dst.dev !== dev;
}

/** `inet_addr_onlink`: whether both addresses are on one network of the device. */
function onLink(dev: NetDevice, x: Ipv4Address, y: Ipv4Address): boolean {
  return dev.addresses4.some(({ address, prefixLength }) => {
    if (typeof address !== "number") return false;
    const shift = 32 - prefixLength;
    const same = (z: Ipv4Address) => shift === 32 || (address ^ z) >>> shift === 0;
    return same(x) && same(y);
  });
}
