import type { NetNamespace } from "../net-namespace.ts";
import { directionOf, IP_CT_DIR_ORIGINAL, IP_CT_UNTRACKED } from "../netfilter/conntrack-entry.ts";
import type { Skb } from "../skb.ts";
import { IP_VS_CONN_F_NFCT, IP_VS_CONN_F_ONE_PACKET, type IpVsConn } from "./ip-vs-conn.ts";

// IPVS and connection tracking (net/netfilter/ipvs/ip_vs_nfct.c)

/**
 * Tells netfilter's connection where answers to a client's packet (or the packets that a server's
 * answer is about) will come from, or takes the packet away from it where `net.ipv4.vs.conntrack` is off.
 */
export function settleConntrack(skb: Skb, conn: IpVsConn, isRequest: boolean): void {
  if (conn.has(IP_VS_CONN_F_NFCT)) {
    updateConntrack(skb, conn, isRequest);
  } else if (skb.ct !== undefined) {
    skb.ct = undefined;
    skb.ctInfo = IP_CT_UNTRACKED;
  }
}

/** `ip_vs_update_conntrack` */
function updateConntrack(skb: Skb, conn: IpVsConn, isRequest: boolean): void {
  const { ct } = skb;
  if (ct === undefined || ct.isConfirmed) return;
  if (conn.forwarding !== "masq" || conn.has(IP_VS_CONN_F_ONE_PACKET)) return;
  if (directionOf(skb.ctInfo) !== IP_CT_DIR_ORIGINAL) return;
  ct.alterReply(
    isRequest
      ? { ...ct.reply, src: conn.daddr, srcPort: conn.dport }
      : { ...ct.reply, dst: conn.vaddr, dstPort: conn.vport },
  );
}

/** Whether netfilter has known the packet's connection before (`ip_vs_conn_uses_old_conntrack`). */
export function usesOldConntrack(skb: Skb): boolean {
  return skb.ct?.isConfirmed === true;
}

/** A connection has ended: netfilter's ends with it (`ip_vs_conn_drop_conntrack`). */
export function dropConntrack(netns: NetNamespace, conn: IpVsConn): void {
  if (conn.cport === 0 || conn.has(IP_VS_CONN_F_ONE_PACKET)) return;
  const { conntrack } = netns;
  const entry = conntrack?.find({
    protocol: conn.protocol,
    src: conn.caddr,
    srcPort: conn.cport,
    dst: conn.vaddr,
    dstPort: conn.vport,
  });
  if (entry !== undefined) conntrack?.end(entry);
}
