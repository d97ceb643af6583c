import type { Skb } from "../skb.ts";

/**
 * Readies a datagram for a path (`ip_append_data`, `__ip_make_skb` and their IPv6 counterparts). By default
 * (IP_PMTUDISC_WANT) what fits the path's MTU is not to be cut on the way, and what does not is laid out in packets
 * that do.
 * @param dontFragment true for IP_PMTUDISC_DO, false for IP_PMTUDISC_DONT
 */
export function layOut(skb: Skb, pathMtu: number, dontFragment: boolean | undefined): void {
  const { ip } = skb;
  const fits = ip.length <= pathMtu;
  ip.dontFragment = dontFragment ?? fits;
  skb.ignoreDf = dontFragment !== true; // ip_sk_ignore_df
  if (!fits && dontFragment === undefined) skb.fragmentSize = pathMtu;
}
