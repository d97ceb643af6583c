import type { BpfContext } from "@cnilab/linux";
import { familyOf, type IpAddress } from "@cnilab/net";
import { LB_LOOKUP_SCOPE_EXT, LB_LOOKUP_SCOPE_INT } from "../../../services/frontend.ts";
import { SVC_FLAG } from "../../../services/service-flags.ts";
import type { LbBackend, LbService, LbServiceKey } from "../../maps/lb-maps.ts";
import type { NodeDatapath } from "../../node-datapath.ts";

/** `IPPROTO_ANY`: a service of all protocols. */
const IPPROTO_ANY = 0;

/** A service, and the key that it was found by: its backends' slots stand beside it. */
export interface FoundService {
  readonly key: LbServiceKey;
  readonly svc: LbService;
}

/** What is asked for (`struct lb4_key` as `lb4_fill_key` leaves it). */
export interface ServiceAddress {
  readonly address: IpAddress;
  readonly port: number;
  readonly protocol: number;
}

/**
 * The service at an address (`lb4_lookup_service`, `lb6_lookup_service`).
 * @param scopeSwitch asked from inside: where the two are not served alike, the service of the cluster's own
 */
export function lbLookupService(
  ctx: BpfContext,
  node: NodeDatapath,
  asked: ServiceAddress,
  scopeSwitch: boolean,
): FoundService | undefined {
  const found = lookupProtocols(ctx, node, asked, LB_LOOKUP_SCOPE_EXT);
  if (found === undefined || !scopeSwitch || !hasFlag(found.svc, SVC_FLAG.twoScopes)) return found;
  return lookupProtocols(ctx, node, asked, LB_LOOKUP_SCOPE_INT);
}

/** `__lb4_lookup_service`: of the protocol, else of any. */
function lookupProtocols(
  ctx: BpfContext,
  { maps, config }: NodeDatapath,
  { address, port, protocol }: ServiceAddress,
  scope: LbServiceKey["scope"],
): FoundService | undefined {
  const { services } = maps.lb(familyOf(address));
  const proto = config.lb.protocolDifferentiation ? protocol : IPPROTO_ANY;
  const key: LbServiceKey = { address, port, slot: 0, proto, scope };
  const svc = ctx.lookup(services, key);
  if (svc !== undefined) return { key, svc };
  if (proto === IPPROTO_ANY) return undefined;
  const any: LbServiceKey = { ...key, proto: IPPROTO_ANY };
  const anySvc = ctx.lookup(services, any);
  return anySvc && { key: any, svc: anySvc };
}

/** `lb4_lookup_backend_slot`; slots count from 1. @returns the backend's id */
export function lbLookupBackendSlot(
  ctx: BpfContext,
  { maps }: NodeDatapath,
  { key }: FoundService,
  slot: number,
): number | undefined {
  const { services } = maps.lb(familyOf(key.address));
  return ctx.lookup(services, { ...key, slot })?.backendId;
}

/** `lb4_lookup_backend` */
export function lbLookupBackend(
  ctx: BpfContext,
  { maps }: NodeDatapath,
  { key }: FoundService,
  id: number,
): LbBackend | undefined {
  return ctx.lookup(maps.lb(familyOf(key.address)).backends, id);
}

export function hasFlag({ flags }: LbService, flag: number): boolean {
  return (flags & flag) !== 0;
}

/** `lb4_svc_is_l7_loadbalancer`: a proxy of the node serves it. */
export function isL7LoadBalancer({ config }: NodeDatapath, svc: LbService): boolean {
  return config.lb.l7 && hasFlag(svc, SVC_FLAG.l7LoadBalancer) && (svc.l7LbProxyPort ?? 0) > 0;
}

/**
 * `lb4_svc_is_l7_punt_proxy`: what the node's proxy serves where the backend is this node's. The flag is that of a host port
 * on the loopback address (`SVC_FLAG_L7_DELEGATE`).
 */
export function isL7PuntProxy(svc: LbService): boolean {
  return !hasFlag(svc, SVC_FLAG.hostPort) && hasFlag(svc, SVC_FLAG.loopback);
}
