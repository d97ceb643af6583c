import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6 } from "@cnilab/net";
import { TRACE_REASON } from "../../hubble/monitor-messages.ts";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "../lib/bpf-object.ts";
import { sendDropNotify } from "../lib/drop.ts";
import { DROP_UNKNOWN_L3 } from "../lib/drop-reason.ts";
import { lookupRemoteEndpoint } from "../lib/eps.ts";
import { isReserved, worldOf } from "../lib/identity.ts";
import { clearMeta } from "../lib/meta.ts";
import { sendTraceNotify, TRACE_PAYLOAD_LEN, TRACE_REASON_ENCRYPTED } from "../lib/trace.ts";
import { isWireguardPacket } from "../lib/wireguard.ts";
import { METRIC_INGRESS } from "../maps/metrics-map.ts";
import { handleIp } from "./handle-ip.ts";

/** What `cil_from_netdev` and `cil_from_host` do alike (`do_netdev`). */
export function doNetdev(
  ctx: TcContext,
  obj: BpfObject,
  identity: NumericIdentity,
  obsPoint: number,
  fromHost: boolean,
): number {
  clearMeta(ctx);
  const { config } = obj;
  const { protocol } = ctx;
  const tell = (src: NumericIdentity, reason: number): void => {
    const ifindex = ctx.ingressIfindex;
    const monitor = TRACE_PAYLOAD_LEN;
    sendTraceNotify(ctx, obj, obsPoint, { src, dst: 0, ifindex, reason, monitor });
  };
  const isIp =
    (protocol === ETH_P_IP && config.enableIpv4) || (protocol === ETH_P_IPV6 && config.enableIpv6);
  if (!isIp) {
    tell(RESERVED_IDENTITY.unknown, TRACE_REASON.unknown);
    if (protocol === ETH_P_ARP || !config.hostFirewall) return TC_ACT_OK;
    const direction = METRIC_INGRESS;
    return sendDropNotify(ctx, obj, { src: identity, reason: DROP_UNKNOWN_L3, direction });
  }
  const source = resolveSource(ctx, obj, identity, fromHost);
  const isEncrypted = !fromHost && isWireguardPacket(ctx.ip, obj, source.ipcache);
  tell(source.ipcache, isEncrypted ? TRACE_REASON_ENCRYPTED : TRACE_REASON.unknown);
  return handleIp(ctx, obj, source.identity, source.ipcache, fromHost);
}

/** Who sent a packet, and who has its address (`resolve_srcid_ipv4`, `resolve_srcid_ipv6`). */
export function resolveSource(
  ctx: TcContext,
  obj: BpfObject,
  given: NumericIdentity,
  fromHost: boolean,
): { readonly identity: NumericIdentity; readonly ipcache: NumericIdentity } {
  const { src } = ctx.ip;
  let identity = given;
  let ipcache: NumericIdentity = RESERVED_IDENTITY.unknown;
  // What proxies send has its identity.
  if (isReserved(given, obj)) {
    const info = lookupRemoteEndpoint(ctx, obj, src);
    if (info !== undefined) {
      ipcache = info.identity;
      // Of all masqueraded packets the address is the host's.
      if (ipcache !== RESERVED_IDENTITY.host) identity = ipcache;
    }
  }
  const isKnown = fromHost || obj.config.secctxFromIpcache;
  return { identity: isKnown ? identity : worldOf(src, obj), ipcache };
}
