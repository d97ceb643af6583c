import type { TcContext } from "@cnilab/linux";
import { SVC_FLAG } from "../../../services/service-flags.ts";
import type { CtMap, CtTuple } from "../../maps/conntrack-map.ts";
import type { LbBackend } from "../../maps/lb-maps.ts";
import type { BpfObject } from "../bpf-object.ts";
import {
  CT_ENTRY_SVC,
  CT_NEW,
  CT_REPLY,
  CT_SERVICE,
  ctCreate,
  ctLazyLookup,
  ctUpdateSvcEntry,
  SCOPE_REVERSE,
} from "../conntrack.ts";
import type { CtState } from "../ct-state.ts";
import { DROP_NO_SERVICE, DROP_PUNT_PROXY, DROP_UNKNOWN_CT } from "../drop-reason.ts";
import { lookupEndpoint } from "../eps.ts";
import { unknownTrace } from "../trace.ts";
import { lbAffinityBackendId, lbUpdateAffinity } from "./affinity.ts";
import { type FoundService, hasFlag, isL7PuntProxy, lbLookupBackend } from "./lookup-service.ts";
import { lbSelectBackendId } from "./select-backend.ts";
import { rewriteDestination, rewriteSource } from "./translate.ts";

/** `BE_STATE_ACTIVE` */
const BE_STATE_ACTIVE = 0;

/** The packet is for a proxy of this node: it goes to the stack. */
export const LB_PUNT_TO_STACK: number = DROP_PUNT_PROXY;

/**
 * Sends a packet for a service on to a backend: the one that its connection has, else one that is chosen, and remembered by
 * an entry of the service's own (`lb4_local`, `lb6_local`). The tuple gets the backend in the place of the service.
 * @param skipXlate the packet itself stays as it is
 * @returns 0, `LB_PUNT_TO_STACK` or a reason to drop
 */
export function lbLocal(
  ctx: TcContext,
  obj: BpfObject,
  map: CtMap,
  found: FoundService,
  tuple: CtTuple,
  state: CtState,
  skipXlate: boolean,
): number {
  const { svc } = found;
  const { flags, saddr } = tuple;
  state.revNatIndex = svc.revNat;
  const chosen = chooseBackend(ctx, obj, map, found, tuple, state);
  tuple.flags = flags;
  if (typeof chosen === "number") return chosen;
  const { backend, id } = chosen;
  if (isSticky(obj, found)) lbUpdateAffinity(ctx, obj, found, { address: saddr }, id);
  // It would come from its own address, which nobody believes: it gets another source. Not so for IPv6.
  const isLooped = obj.source === "lxc" && typeof saddr === "number" && saddr === backend.address;
  if (isLooped) state.loopback = true;
  else tuple.daddr = backend.address;
  if (isL7PuntProxy(svc) && lookupEndpoint(ctx, obj, backend.address) !== undefined) {
    return LB_PUNT_TO_STACK;
  }
  if (skipXlate) return 0;
  if (backend.port !== 0) tuple.sport = backend.port;
  const ret = rewriteDestination(ctx, backend.address, backend.port);
  if (ret !== 0 || !isLooped) return ret;
  return rewriteSource(ctx, obj.config.serviceLoopbackIpv4, 0);
}

interface ChosenBackend {
  readonly backend: LbBackend;
  readonly id: number;
}

function chooseBackend(
  ctx: TcContext,
  obj: BpfObject,
  map: CtMap,
  found: FoundService,
  tuple: CtTuple,
  state: CtState,
): ChosenBackend | number {
  const { ip } = ctx;
  const { svc } = found;
  // What is told of it is up to the look-up of the connection itself.
  const ret = ctLazyLookup(
    ctx,
    obj,
    map,
    tuple,
    ip,
    CT_SERVICE,
    SCOPE_REVERSE,
    CT_ENTRY_SVC,
    state,
    unknownTrace(),
  );
  if (ret < 0) return ret;
  if (ret === CT_NEW) {
    if (svc.count === 0) return DROP_NO_SERVICE;
    const chosen = knownToClient(ctx, obj, found, tuple) ?? select(ctx, obj, found, tuple);
    if (chosen === undefined) return DROP_NO_SERVICE;
    state.backendId = chosen.id;
    const created = ctCreate(ctx, obj, map, undefined, tuple, CT_SERVICE, state);
    return created < 0 ? created : chosen;
  }
  if (ret !== CT_REPLY) return DROP_UNKNOWN_CT;
  const id = state.backendId;
  const backend = lbLookupBackend(ctx, obj, found, id);
  // Connections of one that is going run on; new ones from the same port go to others.
  if (backend !== undefined && (backend.state === BE_STATE_ACTIVE || !state.syn)) {
    return { backend, id };
  }
  if (svc.count === 0) return DROP_NO_SERVICE;
  const other = select(ctx, obj, found, tuple);
  if (other === undefined) return DROP_NO_SERVICE;
  state.revNatIndex = svc.revNat;
  ctUpdateSvcEntry(ctx, map, tuple, other.id, svc.revNat);
  return other;
}

function isSticky({ config }: BpfObject, { svc }: FoundService): boolean {
  return config.lb.sessionAffinity && hasFlag(svc, SVC_FLAG.affinity);
}

function knownToClient(
  ctx: TcContext,
  obj: BpfObject,
  found: FoundService,
  { saddr }: CtTuple,
): ChosenBackend | undefined {
  if (!isSticky(obj, found)) return undefined;
  const id = lbAffinityBackendId(ctx, obj, found, { address: saddr });
  const backend = id === 0 ? undefined : lbLookupBackend(ctx, obj, found, id);
  return backend && { backend, id };
}

function select(
  ctx: TcContext,
  obj: BpfObject,
  found: FoundService,
  tuple: CtTuple,
): ChosenBackend | undefined {
  const id = lbSelectBackendId(ctx, obj, found, tuple);
  const backend = lbLookupBackend(ctx, obj, found, id);
  return backend && { backend, id };
}
