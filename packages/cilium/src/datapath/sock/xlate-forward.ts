import type { SockAddrContext } from "@cnilab/linux";
import { familyOf, IPPROTO_TCP, IPV4_LOOPBACK, IPV6_LOOPBACK } from "@cnilab/net";
import { SVC_FLAG } from "../../services/service-flags.ts";
import { lbAffinityBackendId, lbUpdateAffinity } from "../lib/lb/affinity.ts";
import {
  type FoundService,
  hasFlag,
  isL7LoadBalancer,
  lbLookupBackend,
  lbLookupBackendSlot,
} from "../lib/lb/lookup-service.ts";
import { METRIC_EGRESS } from "../maps/metrics-map.ts";
import type { NodeDatapath } from "../node-datapath.ts";
import { inHostNs, ipv4In, ipv6Around, isSockProtocol, type SockAddr } from "./sock-addr.ts";
import {
  countSocketMetric,
  REASON_LB_NO_BACKEND,
  REASON_LB_NO_BACKEND_SLOT,
  REASON_LB_REVNAT_UPDATE,
} from "./sock-metrics.ts";
import {
  sendTraceSockNotify,
  XLATE_POST_DIRECTION_FWD,
  XLATE_PRE_DIRECTION_FWD,
} from "./trace-sock.ts";
import { sockLookupService, sockSkipXlate } from "./wildcard-lookup.ts";

/** A backend to go on with, or why there is none: of these EHOSTUNREACH and ENOMEM make the call fail. */
type Xlated = SockAddr | "ENXIO" | "ENOTSUP" | "EPERM" | "EHOSTUNREACH" | "ENOMEM" | undefined;

/**
 * Puts a backend in the place of the service that a call asks for (`__sock4_xlate_fwd`, `__sock6_xlate_fwd`).
 * @param udpOnly of sendmsg
 * @returns what the call fails with
 */
export function sockXlateForward(
  ctx: SockAddrContext,
  node: NodeDatapath,
  udpOnly: boolean,
): "EHOSTUNREACH" | "ENOMEM" | undefined {
  const result = xlate(ctx, node, udpOnly);
  if (result === "EHOSTUNREACH" || result === "ENOMEM") return result;
  if (typeof result === "object") {
    ctx.userIp = result.address;
    ctx.userPort = result.port;
  }
  return undefined;
}

function xlate(ctx: SockAddrContext, node: NodeDatapath, udpOnly: boolean): Xlated {
  if (node.config.lb.socket === "host-only" && !inHostNs(ctx)) return "ENXIO";
  if (!udpOnly && !isSockProtocol(ctx.protocol)) return "ENOTSUP";
  const asked: SockAddr = { address: ctx.userIp, port: ctx.userPort };
  if (typeof asked.address === "number") return xlateTo(ctx, node, asked);
  const result = node.config.enableIpv6 ? xlateTo(ctx, node, asked) : "ENXIO";
  const inside = ipv4In(asked.address);
  if (result !== "ENXIO" || inside === undefined || !node.config.enableIpv4) return result;
  // `sock6_xlate_v4_in_v6`
  const result4 = xlateTo(ctx, node, { address: inside, port: asked.port });
  if (typeof result4 !== "object") return result4;
  return { address: ipv6Around(result4.address as number), port: result4.port };
}

function xlateTo(ctx: SockAddrContext, node: NodeDatapath, asked: SockAddr): Xlated {
  const isHost = inHostNs(ctx);
  const address = { ...asked, protocol: ctx.protocol };
  const found = sockLookupService(ctx, node, address, isHost);
  if (found === undefined) return "ENXIO";
  const { svc } = found;
  const isL7 = isL7LoadBalancer(node, svc);
  if (svc.count === 0 && !isL7) return "EHOSTUNREACH";
  sendTraceSockNotify(ctx, node, XLATE_PRE_DIRECTION_FWD, asked);
  if (sockSkipXlate(ctx, node, svc, address)) return "EPERM";
  let backend: SockAddr | undefined;
  if (isL7) {
    // Policy is to be looked at behind the proxy. Packets of the node itself come by no program that would send them there.
    if (!isHost) return undefined;
    const loopback = typeof asked.address === "number" ? IPV4_LOOPBACK : IPV6_LOOPBACK;
    backend = { address: loopback, port: svc.l7LbProxyPort ?? 0 };
  } else {
    backend = chooseBackend(ctx, node, found);
    if (backend === undefined) return "EHOSTUNREACH";
    sendTraceSockNotify(ctx, node, XLATE_POST_DIRECTION_FWD, backend);
  }
  if (!updateRevNat(ctx, node, backend, asked, svc.revNat)) {
    countSocketMetric(node.maps.metrics, METRIC_EGRESS, REASON_LB_REVNAT_UPDATE);
    return "ENOMEM";
  }
  return backend;
}

/** As the client's network namespace was given before, else any. Never by Maglev: there is no connection to hash yet. */
function chooseBackend(
  ctx: SockAddrContext,
  node: NodeDatapath,
  found: FoundService,
): SockAddr | undefined {
  const { key, svc } = found;
  const isSticky = node.config.lb.sessionAffinity && hasFlag(svc, SVC_FLAG.affinity);
  const client = { netnsCookie: ctx.netnsCookie, family: familyOf(key.address) };
  if (isSticky) {
    const known = lbAffinityBackendId(ctx, node, found, client);
    const backend = known === 0 ? undefined : lbLookupBackend(ctx, node, found, known);
    if (backend !== undefined) return backend;
  }
  // `sock_select_slot`: a UDP socket may send again and again, and keeps its backend.
  const choice = ctx.protocol === IPPROTO_TCP ? ctx.random() : ctx.socketCookie;
  const id = lbLookupBackendSlot(ctx, node, found, (choice % svc.count) + 1);
  if (id === undefined) {
    countSocketMetric(node.maps.metrics, METRIC_EGRESS, REASON_LB_NO_BACKEND_SLOT);
    return undefined;
  }
  const backend = lbLookupBackend(ctx, node, found, id);
  if (backend === undefined) {
    countSocketMetric(node.maps.metrics, METRIC_EGRESS, REASON_LB_NO_BACKEND);
    return undefined;
  }
  if (isSticky) lbUpdateAffinity(ctx, node, found, client, id);
  return backend;
}

/** Remembers what the socket asked for, so that it is told of that (`sock4_update_revnat`). */
function updateRevNat(
  ctx: SockAddrContext,
  { maps }: NodeDatapath,
  backend: SockAddr,
  asked: SockAddr,
  revNat: number,
): boolean {
  const { reverseSk } = maps.lb(familyOf(asked.address));
  const key = { cookie: ctx.socketCookie, address: backend.address, port: backend.port };
  const known = ctx.lookup(reverseSk, key);
  const isSame =
    known?.address === asked.address && known.port === asked.port && known.revNat === revNat;
  return isSame || ctx.update(reverseSk, key, { ...asked, revNat }) === undefined;
}
