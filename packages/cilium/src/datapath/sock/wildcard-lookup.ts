import type { BpfContext } from "@cnilab/linux";
import { IPV4_ANY, IPV6_ANY, isLoopback } from "@cnilab/net";
import { RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import { SVC_FLAG } from "../../services/service-flags.ts";
import { isRemoteNode } from "../lib/identity.ts";
import {
  type FoundService,
  hasFlag,
  lbLookupService,
  type ServiceAddress,
} from "../lib/lb/lookup-service.ts";
import { ipcacheKeyOf } from "../maps/ipcache-map.ts";
import type { LbService } from "../maps/lb-maps.ts";
import type { NodeDatapath } from "../node-datapath.ts";

export interface WildcardOptions {
  /** Addresses of other nodes stand for this one's, too. */
  readonly includeRemoteHosts: boolean;
  /** Ports outside of the range of NodePorts, not those in it. */
  readonly outsideRange: boolean;
  readonly inHostNs: boolean;
}

/** The service on all of the node's addresses, where a node's address is asked for (`sock4_wildcard_lookup`). */
export function sockWildcardLookup(
  ctx: BpfContext,
  node: NodeDatapath,
  asked: ServiceAddress,
  { includeRemoteHosts, outsideRange, inHostNs }: WildcardOptions,
): FoundService | undefined {
  const { nodePort, nodePortMin, nodePortMax } = node.config.lb;
  if (!nodePort) return undefined;
  const { address, port, protocol } = asked;
  if ((port < nodePortMin || port > nodePortMax) !== outsideRange) return undefined;
  if (!(inHostNs && isLoopback(address))) {
    const info = ctx.lookup(node.maps.ipcache, ipcacheKeyOf(address));
    if (info === undefined) return undefined;
    const isNode =
      info.identity === RESERVED_IDENTITY.host ||
      (includeRemoteHosts && isRemoteNode(info.identity) && info.remoteCluster !== true);
    if (!isNode) return undefined;
  }
  const any = typeof address === "number" ? IPV4_ANY : IPV6_ANY;
  return lbLookupService(ctx, node, { address: any, port, protocol }, true);
}

/** A NodePort on any known node's address, or a host port on this one's (`sock4_wildcard_lookup_full`). */
export function sockWildcardLookupFull(
  ctx: BpfContext,
  node: NodeDatapath,
  asked: ServiceAddress,
  inHostNs: boolean,
): FoundService | undefined {
  const nodePort = sockWildcardLookup(ctx, node, asked, {
    includeRemoteHosts: true,
    outsideRange: false,
    inHostNs,
  });
  if (nodePort !== undefined && hasFlag(nodePort.svc, SVC_FLAG.nodePort)) return nodePort;
  const hostPort = sockWildcardLookup(ctx, node, asked, {
    includeRemoteHosts: false,
    outsideRange: true,
    inHostNs,
  });
  if (hostPort === undefined || !hasFlag(hostPort.svc, SVC_FLAG.hostPort)) return undefined;
  // One that is bound to the loopback address is for that alone.
  const forAll = !hasFlag(hostPort.svc, SVC_FLAG.loopback);
  return forAll || isLoopback(asked.address) ? hostPort : undefined;
}

/** The service of a call's address, with the wildcards' (`lb4_lookup_service` and what follows where it finds none). */
export function sockLookupService(
  ctx: BpfContext,
  node: NodeDatapath,
  asked: ServiceAddress,
  inHostNs: boolean,
): FoundService | undefined {
  return (
    lbLookupService(ctx, node, asked, true) ?? sockWildcardLookupFull(ctx, node, asked, inHostNs)
  );
}

/**
 * External addresses and host ports are translated where they are this node's own: or a Service could take somebody else's
 * address (`sock4_skip_xlate`).
 */
export function sockSkipXlate(
  ctx: BpfContext,
  { maps }: NodeDatapath,
  svc: LbService,
  { address }: ServiceAddress,
): boolean {
  if (hasFlag(svc, SVC_FLAG.nat46x64)) return true;
  const isForeign =
    hasFlag(svc, SVC_FLAG.externalIp) || (hasFlag(svc, SVC_FLAG.hostPort) && !isLoopback(address));
  if (!isForeign) return false;
  return ctx.lookup(maps.ipcache, ipcacheKeyOf(address))?.identity !== RESERVED_IDENTITY.host;
}
