import type { SockAddrContext } from "@cnilab/linux";
import { IPPROTO_TCP, type IpAddress, isLinkLocal, isLoopback } from "@cnilab/net";
import { MESSAGE_TYPE } from "../../hubble/monitor-messages.ts";
import type { NodeDatapath } from "../node-datapath.ts";
import type { SockAddr } from "./sock-addr.ts";

// `enum xlate_point` (bpf/lib/trace_sock.h)
export const XLATE_PRE_DIRECTION_FWD = 1;
export const XLATE_POST_DIRECTION_FWD = 2;
export const XLATE_PRE_DIRECTION_REV = 3;
export const XLATE_POST_DIRECTION_REV = 4;

/** `send_trace_sock_notify4`, `send_trace_sock_notify6` */
export function sendTraceSockNotify(
  ctx: SockAddrContext,
  { maps, config }: NodeDatapath,
  point: 1 | 2 | 3 | 4,
  { address, port }: SockAddr,
): void {
  if (!maps.events.isRead) return;
  const from = podAddress(ctx, address);
  if (from === undefined) return;
  ctx.output(maps.events, {
    type: MESSAGE_TYPE["trace-sock"],
    node: config.nodeName,
    time: ctx.now,
    point,
    protocol: ctx.protocol === IPPROTO_TCP ? "TCP" : "UDP",
    from,
    cookie: ctx.socketCookie,
    dstIp: address,
    dstPort: port,
  });
}

/** The agent finds the pod by the socket's control group; here its network namespace says as much. */
function podAddress({ netns }: SockAddrContext, like: IpAddress): IpAddress | undefined {
  for (const dev of netns.devices) {
    const addresses = typeof like === "number" ? dev.addresses4 : dev.addresses6;
    const found = addresses.find(({ address }) => !isLoopback(address) && !isLinkLocal(address));
    if (found !== undefined) return found.address;
  }
  return undefined;
}
