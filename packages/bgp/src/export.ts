import type { IpAddress } from "@cnilab/net";
import { NO_ADVERTISE, NO_EXPORT, NO_EXPORT_SUBCONFED } from "./community.ts";
import type { BirdRelease, PeerConfig } from "./config.ts";
import { type FilterRoute, runFilter } from "./filter.ts";
import { ORIGIN_IGP, type PathAttributes } from "./path-attributes.ts";
import { type BgpSender, hopsOf, interfaceOf, type TableRoute } from "./route.ts";

/** BIRD's `default bgp_local_pref`. */
export const DEFAULT_LOCAL_PREF = 100;

/** What the peers have in common that are told the same. */
export interface ExportTarget {
  readonly release: BirdRelease;
  readonly config: PeerConfig;
  readonly isInternal: boolean;
  readonly rrClusterId: number;
  /** What it calls itself as next hop. */
  readonly sourceAddress: IpAddress;
}

/**
 * What a peer is told of a route; `undefined` for nothing. That a route does not go back to where it came from is seen to
 * elsewhere. BIRD 1.6 prepends its AS before the export filter runs, BIRD 2 behind it.
 */
export function exportRoute(route: TableRoute, target: ExportTarget): PathAttributes | undefined {
  if (!mayLeave(route, target)) return undefined;
  const known = route.attributes ?? NOTHING;
  if (target.release === "1.6") {
    const attributes = filtered(route, asSpeaker(route, known, target), target);
    return attributes && asTold(attributes, target);
  }
  const attributes = filtered(route, known, target);
  if (attributes === undefined) return undefined;
  // Of other ASes' MEDs only one that the filter set goes on to further ones.
  const med = target.isInternal || attributes.med !== known.med ? attributes.med : undefined;
  return asTold({ ...asSpeaker(route, attributes, target), med }, target);
}

/** What BGP says of a route of another protocol, before somebody says something. */
const NOTHING: PathAttributes = {
  origin: ORIGIN_IGP,
  asPath: [],
  nextHop: 0,
  med: undefined,
  localPref: undefined,
  communities: [],
  largeCommunities: [],
  originatorId: undefined,
  clusterList: [],
};

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

function filtered(
  route: TableRoute,
  attributes: PathAttributes,
  { config }: ExportTarget,
): PathAttributes | undefined {
  const view = filterView(route, attributes);
  if (!runFilter(config.exportFilter, view)) return undefined;
  const { asPath, med, localPref, communities, largeCommunities } = view;
  return { ...attributes, asPath, med, localPref, communities, largeCommunities };
}

/** `bgp_import_control` (BIRD 2: `bgp_preexport`), but for what changes attributes. */
function mayLeave({ sender, attributes }: TableRoute, target: ExportTarget): boolean {
  if (attributes === undefined) return true;
  const { config, isInternal, rrClusterId } = target;
  const from = sender as BgpSender;
  const { communities, clusterList } = attributes;
  if (config.rrClient && clusterList.includes(rrClusterId)) return false;
  if (communities.includes(NO_ADVERTISE)) return false;
  const stays = communities.includes(NO_EXPORT) || communities.includes(NO_EXPORT_SUBCONFED);
  if (stays && !isInternal) return false;
  // What one internal peer told is no news to another, but by way of a reflector (RFC 4456).
  return !(isInternal && from.isInternal) || config.rrClient || from.rrClient;
}

/** What the speaker makes of a route that it passes on (proto/bgp/attrs.c `bgp_create_attrs`, `bgp_update_attrs`). */
function asSpeaker(
  route: TableRoute,
  attributes: PathAttributes,
  target: ExportTarget,
): PathAttributes {
  const { config, isInternal, sourceAddress } = target;
  const isOwn = route.attributes === undefined;
  const updated: PathAttributes = {
    ...attributes,
    asPath: isInternal ? attributes.asPath : [config.localAs, ...attributes.asPath],
    nextHop: isOwn ? ownNextHop(route, target) : attributes.nextHop,
    localPref: isOwn ? (attributes.localPref ?? DEFAULT_LOCAL_PREF) : attributes.localPref,
    // "Perhaps it would be better to undefine it."
    med: isInternal || isOwn || attributes.med === undefined ? attributes.med : 0,
  };
  if (isOwn) return updated;
  const keepsNextHop = !config.nextHopSelf && (config.nextHopKeep || isInternal);
  const nextHop = keepsNextHop ? attributes.nextHop : sourceAddress;
  const from = route.sender as BgpSender;
  if (!isInternal || !from.isInternal) return { ...updated, nextHop };
  return {
    ...updated,
    nextHop,
    originatorId: attributes.originatorId ?? from.remoteId,
    clusterList: clusterList(attributes, from, target),
  };
}

function ownNextHop(route: TableRoute, target: ExportTarget): IpAddress {
  const { release, config, isInternal, sourceAddress } = target;
  const gateway = hopsOf(route)?.[0]?.gateway;
  if (gateway === undefined || config.nextHopSelf) return sourceAddress;
  // `bgp_use_gateway` of BIRD 2 does not ask whether next hops are kept.
  const names = isInternal || (config.nextHopKeep && release === "1.6");
  return names ? gateway : sourceAddress;
}

/** The cluster's id is that of the side where the route enters or leaves it. */
function clusterList(
  { clusterList: known }: PathAttributes,
  from: BgpSender,
  { config, rrClusterId }: ExportTarget,
): readonly number[] {
  const list = [from.rrClient ? from.rrClusterId : rrClusterId, ...known];
  const two = from.rrClient && config.rrClient && from.rrClusterId !== rrClusterId;
  return two ? [rrClusterId, ...list] : list;
}

/** Without what does not go to another AS (`bgp_encode_attrs`). */
function asTold(attributes: PathAttributes, { isInternal }: ExportTarget): PathAttributes {
  if (isInternal) return attributes;
  return { ...attributes, localPref: undefined, originatorId: undefined, clusterList: [] };
}
