import type { SockAddrContext } from "@cnilab/linux";
import { familyOf } from "@cnilab/net";
import { isL7LoadBalancer } from "../lib/lb/lookup-service.ts";
import { METRIC_INGRESS } from "../maps/metrics-map.ts";
import type { NodeDatapath } from "../node-datapath.ts";
import { inHostNs, ipv4In, ipv6Around, type SockAddr } from "./sock-addr.ts";
import { countSocketMetric, REASON_LB_REVNAT_STALE } from "./sock-metrics.ts";
import {
  sendTraceSockNotify,
  XLATE_POST_DIRECTION_REV,
  XLATE_PRE_DIRECTION_REV,
} from "./trace-sock.ts";
import { sockLookupService } from "./wildcard-lookup.ts";

/** Tells a socket of the service that it asked for, not of the backend (`__sock4_xlate_rev`, `__sock6_xlate_rev`). */
export function sockXlateReverse(ctx: SockAddrContext, node: NodeDatapath): void {
  const from: SockAddr = { address: ctx.userIp, port: ctx.userPort };
  const asked = askedFor(ctx, node, from);
  if (asked === undefined) return;
  ctx.userIp = asked.address;
  ctx.userPort = asked.port;
}

function askedFor(ctx: SockAddrContext, node: NodeDatapath, from: SockAddr): SockAddr | undefined {
  const { enableIpv4, enableIpv6 } = node.config;
  if (typeof from.address === "number") return serviceOf(ctx, node, from);
  const found = enableIpv6 ? serviceOf(ctx, node, from) : undefined;
  const inside = ipv4In(from.address);
  if (found !== undefined || inside === undefined || !enableIpv4) return found;
  // `sock6_xlate_rev_v4_in_v6`
  const found4 = serviceOf(ctx, node, { address: inside, port: from.port });
  return found4 && { address: ipv6Around(found4.address as number), port: found4.port };
}

function serviceOf(ctx: SockAddrContext, node: NodeDatapath, from: SockAddr): SockAddr | undefined {
  const { reverseSk } = node.maps.lb(familyOf(from.address));
  const key = { cookie: ctx.socketCookie, address: from.address, port: from.port };
  sendTraceSockNotify(ctx, node, XLATE_PRE_DIRECTION_REV, from);
  const known = ctx.lookup(reverseSk, key);
  if (known === undefined) return undefined;
  const { address, port, revNat } = known;
  const found = sockLookupService(
    ctx,
    node,
    { address, port, protocol: ctx.protocol },
    inHostNs(ctx),
  );
  const svc = found?.svc;
  if (svc?.revNat !== revNat || (svc.count === 0 && !isL7LoadBalancer(node, svc))) {
    ctx.delete(reverseSk, key);
    countSocketMetric(node.maps.metrics, METRIC_INGRESS, REASON_LB_REVNAT_STALE);
    return undefined;
  }
  sendTraceSockNotify(ctx, node, XLATE_POST_DIRECTION_REV, { address, port });
  return { address, port };
}
