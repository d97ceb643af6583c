import type { IpAddress } from "@cnilab/net";
import { NO_ADVERTISE, NO_EXPORT, NO_EXPORT_SUBCONFED } from "./community.ts";
import type { PeerConfig } from "./config.ts";
import { type FilterRoute, runFilter } from "./filter.ts";
import { ORIGIN_IGP, type PathAttributes } from "./path-attributes.ts";
import { type BgpSender, hopsOf, interfaceOf, type TableRoute } from "./route.ts";

/** What the peers have in common that are told the same. */
export interface ExportTarget {
  readonly config: PeerConfig;
  readonly isInternal: boolean;
  readonly rrClusterId: number;
  /** What it calls itself as next hop. */
  readonly sourceAddress: IpAddress;
}

/**
 * What a peer is told of a route; `undefined` for nothing. That a route does not go back to where it came from is seen to
 * elsewhere (proto/bgp/attrs.c `bgp_import_control`, then the export filter, then `bgp_encode_attrs`).
 */
export function exportRoute(route: TableRoute, target: ExportTarget): PathAttributes | undefined {
  const prepared =
    route.attributes === undefined
      ? ownAttributes(route, target)
      : passedOn(route, route.attributes, target);
  if (prepared === undefined) return undefined;
  const view = filterView(route, prepared);
  if (!runFilter(target.config.exportFilter, view)) return undefined;
  return {
    ...prepared,
    asPath: view.asPath,
    med: view.med,
    localPref: target.isInternal ? view.localPref : undefined,
    communities: view.communities,
    largeCommunities: view.largeCommunities,
  };
}

/** A route, and what BGP says of it, as filters see it. */
export function filterView(route: TableRoute, attributes: PathAttributes | undefined): FilterRoute {
  return {
    net: route.prefix,
    source: route.sender.source,
    ifname: interfaceOf(route),
    nextHop: attributes?.nextHop,
    origin: attributes?.origin ?? ORIGIN_IGP,
    krtTunnel: undefined,
    preference: route.preference,
    krtMetric: route.krtMetric,
    localPref: attributes?.localPref,
    med: attributes?.med,
    asPath: attributes?.asPath ?? [],
    communities: attributes?.communities ?? [],
    largeCommunities: attributes?.largeCommunities ?? [],
  };
}

/** `bgp_create_attrs`: of a route that begins here. */
function ownAttributes(route: TableRoute, target: ExportTarget): PathAttributes {
  const { config, isInternal, sourceAddress } = target;
  const [hop] = hopsOf(route) ?? [];
  const viaGateway = hop?.gateway !== undefined && (isInternal || config.nextHopKeep);
  return {
    origin: ORIGIN_IGP,
    asPath: isInternal ? [] : [config.localAs],
    nextHop: viaGateway && !config.nextHopSelf ? (hop.gateway as IpAddress) : sourceAddress,
    med: undefined,
    localPref: DEFAULT_LOCAL_PREF,
    communities: [],
    largeCommunities: [],
    originatorId: undefined,
    clusterList: [],
  };
}

/** `bgp_update_attrs`: of a route that another session brought. */
function passedOn(
  route: TableRoute,
  attributes: PathAttributes,
  target: ExportTarget,
): PathAttributes | undefined {
  const { config, isInternal, sourceAddress, rrClusterId } = target;
  const from = route.sender as BgpSender;
  const { communities, clusterList } = attributes;
  if (clusterList.includes(rrClusterId) && (config.rrClient || from.rrClient)) return undefined;
  if (communities.includes(NO_ADVERTISE)) return undefined;
  const stays = communities.includes(NO_EXPORT) || communities.includes(NO_EXPORT_SUBCONFED);
  if (stays && !isInternal) return undefined;
  const reflects = isInternal && from.isInternal;
  // What one internal peer told is no news to another, but by way of a reflector (RFC 4456).
  if (reflects && !config.rrClient && !from.rrClient) return undefined;
  const keepsNextHop = config.nextHopKeep || (isInternal && !config.nextHopSelf);
  const updated: PathAttributes = {
    ...attributes,
    asPath: isInternal ? attributes.asPath : [config.localAs, ...attributes.asPath],
    nextHop: keepsNextHop ? attributes.nextHop : sourceAddress,
    med: isInternal ? attributes.med : undefined,
    originatorId: isInternal ? attributes.originatorId : undefined,
    clusterList: isInternal ? clusterList : [],
  };
  if (!reflects) return updated;
  const list = [from.rrClient ? from.rrClusterId : rrClusterId, ...clusterList];
  const two = from.rrClient && config.rrClient && from.rrClusterId !== rrClusterId;
  return {
    ...updated,
    originatorId: attributes.originatorId ?? from.remoteId,
    clusterList: two ? [rrClusterId, ...list] : list,
  };
}

/** BIRD's `default bgp_local_pref`. */
export const DEFAULT_LOCAL_PREF = 100;
