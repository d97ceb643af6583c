import { ETH_P_IP, ETH_P_IPV6 } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { NF_INET_POST_ROUTING, NFPROTO_BRIDGE, nfHook } from "../netfilter/hooks.ts";
import type { Skb } from "../skb.ts";

/** Behind the bridge's PREROUTING (`br_handle_frame_finish`). */
export function bridgeForwardFrame(skb: Skb): void {
  skb.dev?.master?.forwardFrame(skb);
}

/** Behind the bridge's INPUT: the frame comes in once more, by the bridge itself. */
export function bridgePassUp(skb: Skb): void {
  const bridge = skb.dev?.master;
  if (bridge !== undefined) bridge.network.receive(bridge, skb);
}

/** Behind the bridge's FORWARD or OUTPUT (`br_forward_finish`). */
export function bridgeForwardFinish(skb: Skb, netns: NetNamespace): void {
  nfHook(netns, NFPROTO_BRIDGE, NF_INET_POST_ROUTING, skb, undefined, skb.dev, bridgePush);
}

/** The frame leaves by its port (`br_dev_queue_push_xmit`). */
export function bridgePush(skb: Skb): void {
  const dev = skb.dev as NetDevice;
  // Only br_netfilter cuts packets, and it does so before they come here.
  if (skb.packet.length > dev.mtu) {
    dev.txDropped++;
    const what = skb.etherType === ETH_P_IP || skb.etherType === ETH_P_IPV6 ? "packet" : "frame";
    dev.drop(
      skb,
      "PKT_TOO_BIG",
      `${skb.packet.length} byte ${what}, MTU ${dev.mtu} of ${dev.name}`,
    );
    return;
  }
  dev.queueTransmit(skb);
}
