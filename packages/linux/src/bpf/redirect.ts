import type { NetDevice } from "../device/net-device.ts";
import { Dst } from "../fib/dst.ts";
import { finishOutput2 } from "../ip/ip-output.ts";
import { routeOutput } from "../ip/route-output.ts";
import { dstPortOf, srcPortOf } from "../ip/transport.ts";
import type { Skb } from "../skb.ts";
import type { RedirectTarget, TcContext } from "./tc-context.ts";

/** How deep devices may send by way of each other (`XMIT_RECURSION_LIMIT`). */
const XMIT_RECURSION_LIMIT = 8;

/** Sends a packet where a program of tc said (`skb_do_redirect`, net/core/filter.c). */
export function doRedirect(ctx: TcContext): void {
  const { skb, target, netns } = ctx;
  const from = ctx.dev;
  if (target === undefined) {
    lose(skb, from, `${ctx.program.name} says redirect, but not where to`);
    return;
  }
  const dev = netns.findDeviceByIndex(target.ifindex);
  if (dev === undefined) {
    lose(skb, from, `redirect to ifindex ${target.ifindex}: there is no such device`);
    return;
  }
  const { bpf } = netns.kernel;
  if (bpf.redirects >= XMIT_RECURSION_LIMIT) {
    lose(skb, from, "recursion limit reached: programs redirect to each other");
    return;
  }
  bpf.redirects++;
  try {
    if (target.how === "peer") toPeer(skb, from, dev);
    else if (target.how === "ingress") intoDevice(skb, dev);
    else if (target.how === "neigh") toNeighbour(skb, from, dev, target);
    else outOf(ctx, dev);
  } finally {
    bpf.redirects--;
  }
}

/** `__bpf_redirect_common`, `__bpf_redirect_no_mac` with `__bpf_tx_skb`: out as from any sender, its programs included. */
function outOf(ctx: TcContext, dev: NetDevice): void {
  if (dev.isEthernet && !ctx.hasMacHeader) {
    lose(ctx.skb, ctx.dev, `redirect to ${dev.name} without an Ethernet header`);
    return;
  }
  dev.queueTransmit(ctx.skb);
}

/** `__bpf_rx_skb`: into the device's queue, as if it had come from its other end. */
function intoDevice(skb: Skb, dev: NetDevice): void {
  if (!dev.up) {
    dev.rxDropped++;
    lose(skb, dev, `redirect into ${dev.name}, which is down`);
    return;
  }
  skb.scrub(false);
  skb.priority = 0;
  if (dev.isEthernet) dev.classify(skb);
  dev.network.enqueue(dev, skb);
}

/** The other end of the pair takes it at once, without a way through queues (`BPF_F_PEER`). */
function toPeer(skb: Skb, from: NetDevice, dev: NetDevice): void {
  const peer = dev.peerDevice;
  if (peer === undefined || !peer.up || peer.netns === from.netns) {
    const why =
      peer === undefined
        ? "has no other end"
        : peer.up
          ? "has its other end in the same namespace"
          : "has its other end down";
    lose(skb, from, `redirect to the peer of ${dev.name}, which ${why}`);
    return;
  }
  skb.scrub(false);
  dev.network.receive(peer, skb);
}

/** The neighbour is asked for if need be, and its MAC put in (`__bpf_redirect_neigh`). */
function toNeighbour(skb: Skb, from: NetDevice, dev: NetDevice, target: RedirectTarget): void {
  if (!skb.isIp) {
    lose(skb, from, `redirect to a neighbour on ${dev.name} of what is no IP packet`);
    return;
  }
  const { ip } = skb;
  const { netns } = dev;
  let dst: Dst;
  if (target.nextHop !== undefined) {
    dst = new Dst("unicast", dev, target.nextHop, undefined);
  } else {
    const route = routeOutput(netns, {
      dst: ip.dst,
      src: ip.src,
      oif: dev,
      mark: skb.mark,
      tos: ip.tos,
      protocol: ip.protocol,
      srcPort: srcPortOf(ip),
      dstPort: dstPortOf(ip),
      anySource: true,
    });
    if (typeof route === "string") {
      lose(skb, from, `redirect to a neighbour on ${dev.name}: no route`);
      return;
    }
    dst = route.dst.isLocal ? new Dst("unicast", dev, undefined, undefined) : route.dst;
  }
  skb.dst = dst;
  skb.dev = dev;
  finishOutput2(skb, netns);
}

function lose(skb: Skb, dev: NetDevice, detail: string): void {
  dev.network.drop(skb, dev.netns, "NOT_SPECIFIED", dev, detail);
}
