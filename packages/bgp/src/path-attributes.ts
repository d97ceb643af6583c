import type { IpAddress } from "@cnilab/net";
import type { LargeCommunity, StandardCommunity } from "./community.ts";

/** Smaller is better (RFC 4271 §5.1.1). */
export type BgpOrigin = 0 | 1 | 2;
export const ORIGIN_IGP: BgpOrigin = 0;
export const ORIGIN_EGP: BgpOrigin = 1;
export const ORIGIN_INCOMPLETE: BgpOrigin = 2;

/** What an UPDATE says of its prefixes. Immutable, and shared by all who hear it. */
export interface PathAttributes {
  readonly origin: BgpOrigin;
  /** One AS_SEQUENCE, the neighbour first. Nobody here aggregates, so there are no sets. */
  readonly asPath: readonly number[];
  readonly nextHop: IpAddress;
  readonly med: number | undefined;
  readonly localPref: number | undefined;
  readonly communities: readonly StandardCommunity[];
  readonly largeCommunities: readonly LargeCommunity[];
  /** Router id of who brought the route into the AS, once a route reflector has passed it on. */
  readonly originatorId: number | undefined;
  /** Of reflectors that passed it on, the last one first. */
  readonly clusterList: readonly number[];
}

/** Bytes that these take in an UPDATE, with four-byte AS numbers. */
export function attributesLength(attributes: PathAttributes): number {
  const { asPath, nextHop, communities, largeCommunities, clusterList } = attributes;
  const isIpv6 = typeof nextHop !== "number";
  let length = 4 + 3 + (asPath.length > 0 ? 2 + 4 * asPath.length : 0);
  // IPv6 prefixes and their next hop go into MP_REACH_NLRI (RFC 4760).
  length += isIpv6 ? 4 + 2 + 1 + 1 + 16 + 1 : 7;
  if (attributes.med !== undefined) length += 7;
  if (attributes.localPref !== undefined) length += 7;
  if (communities.length > 0) length += 3 + 4 * communities.length;
  if (largeCommunities.length > 0) length += 3 + 12 * largeCommunities.length;
  if (attributes.originatorId !== undefined) length += 7;
  if (clusterList.length > 0) length += 3 + 4 * clusterList.length;
  return length;
}

export function sameAttributes(x: PathAttributes, y: PathAttributes): boolean {
  return (
    x === y ||
    (x.nextHop === y.nextHop &&
      x.localPref === y.localPref &&
      x.med === y.med &&
      x.origin === y.origin &&
      x.originatorId === y.originatorId &&
      sameNumbers(x.asPath, y.asPath) &&
      sameNumbers(x.communities, y.communities) &&
      sameNumbers(x.clusterList, y.clusterList) &&
      x.largeCommunities.length === y.largeCommunities.length &&
      x.largeCommunities.every((c, i) => sameNumbers(c, y.largeCommunities[i] as LargeCommunity)))
  );
}

function sameNumbers(x: readonly number[], y: readonly number[]): boolean {
  return x === y || (x.length === y.length && x.every((n, i) => n === y[i]));
}
