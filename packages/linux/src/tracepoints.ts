import type { NetDevice } from "./device/net-device.ts";
import type { DropReason } from "./drop-reason.ts";
import type { NetNamespace } from "./net-namespace.ts";
import type { FilterRule } from "./netfilter/filter-rule.ts";
import type { Skb } from "./skb.ts";

/**
 * What a program learns that attaches to the kernel's tracepoints (include/trace/events/net.h and skb.h): every packet of
 * every machine, as opposed to a `Trace`, which is of one. Packets go on and change: copy what is to be kept.
 */
export interface Tracepoints {
  /** A frame has come in at a device (`net:netif_receive_skb`). */
  netifReceiveSkb(dev: NetDevice, skb: Skb): void;
  /** A device is about to send a frame (`net:net_dev_start_xmit`). */
  netDevStartXmit(dev: NetDevice, skb: Skb): void;
  /** A packet has been dropped (`skb:kfree_skb`). */
  kfreeSkb(
    skb: Skb,
    netns: NetNamespace,
    reason: DropReason,
    dev: NetDevice | undefined,
    detail: string,
    rule: FilterRule | undefined,
  ): void;
}
