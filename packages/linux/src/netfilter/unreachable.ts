import {
  hasRightChecksum,
  ICMP_DEST_UNREACH,
  ICMPV6_DEST_UNREACH,
  IPPROTO_SCTP,
} from "@cnilab/net";
import { icmpSend } from "../ip/icmp-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";

/**
 * Tells the sender of a packet that a rule rejects it (`nf_send_unreach`, `nf_send_unreach6`). Nobody is
 * told of a packet whose checksum is wrong, and that of a fragment mostly is: it is the whole packet's, and holds for
 * the first fragment only where the rest adds nothing, as zeros of an ICMP message do. Those are answered all the same
 * whose checksum somebody has looked at already, or nobody does (`nf_reject_verify_csum`).
 */
export function sendUnreachable(skb: Skb, netns: NetNamespace, code: number): void {
  const { isFragment, fragmentOffset, protocol, version } = skb.ip;
  const isSummed = protocol !== IPPROTO_SCTP || (version === 6 && fragmentOffset !== 0);
  if (isFragment && isSummed && !skb.checksumValid) {
    if (fragmentOffset !== 0 || !hasRightChecksum(skb.ip)) return;
  }
  icmpSend(skb, netns, version === 4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH, code);
}
