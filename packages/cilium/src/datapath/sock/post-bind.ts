import type { SockContext } from "@cnilab/linux";
import { IPV4_ANY, type IpAddress } from "@cnilab/net";
import { SVC_FLAG } from "../../services/service-flags.ts";
import { hasFlag, isL7PuntProxy, lbLookupService } from "../lib/lb/lookup-service.ts";
import type { NodeDatapath } from "../node-datapath.ts";
import { inHostNs, ipv4In, isSockProtocol } from "./sock-addr.ts";
import { sockWildcardLookup } from "./wildcard-lookup.ts";

/** Whether a program of the node wants a port that a Service has, and would take its traffic (`__sock4_post_bind`, `__sock6_post_bind`). */
export function isServicePort(ctx: SockContext, node: NodeDatapath): boolean {
  if (!isSockProtocol(ctx.socket.protocol) || !inHostNs(ctx)) return false;
  const address = ctx.localAddress ?? IPV4_ANY;
  const found = serviceAt(ctx, node, address);
  if (found !== undefined) return found;
  const inside = ipv4In(address);
  return inside !== undefined && (serviceAt(ctx, node, inside) ?? false);
}

/** @returns `undefined` where there is no service at all */
function serviceAt(ctx: SockContext, node: NodeDatapath, address: IpAddress): boolean | undefined {
  const asked = { address, port: ctx.localPort, protocol: ctx.socket.protocol };
  const found =
    lbLookupService(ctx, node, asked, true) ??
    sockWildcardLookup(ctx, node, asked, {
      includeRemoteHosts: false,
      outsideRange: false,
      inHostNs: true,
    });
  if (found === undefined) return undefined;
  const { svc } = found;
  const exposed = SVC_FLAG.nodePort | SVC_FLAG.externalIp | SVC_FLAG.loadBalancer;
  // The node's proxy itself may.
  return hasFlag(svc, exposed) && !hasFlag(svc, SVC_FLAG.l7LoadBalancer) && !isL7PuntProxy(svc);
}
