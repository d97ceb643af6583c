import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { ARP_REPLY, ARP_REQUEST, ArpPacket, BROADCAST_MAC, ETH_P_ARP } from "@cnilab/net";
import type { BpfObject } from "./bpf-object.ts";

/**
 * Answers an endpoint's ARP for whatever address but its own with the MAC of the node's end (`tail_handle_arp` of
 * bpf_lxc.c): it may still know a router of before.
 */
export function handleArp(ctx: TcContext, obj: BpfObject): number {
  const { arp } = ctx;
  const asked = ctx.dstMac === BROADCAST_MAC || ctx.dstMac === obj.interfaceMac;
  if (arp.op !== ARP_REQUEST || !asked) return TC_ACT_OK;
  if (arp.targetIp === obj.endpoint?.ipv4) return TC_ACT_OK;
  const { interfaceMac } = obj;
  const { srcMac } = ctx;
  const reply = new ArpPacket(ARP_REPLY, interfaceMac, arp.targetIp, srcMac, arp.senderIp);
  ctx.replace(ETH_P_ARP, reply);
  ctx.srcMac = interfaceMac;
  ctx.dstMac = srcMac;
  return ctx.redirect(ctx.ifindex);
}
