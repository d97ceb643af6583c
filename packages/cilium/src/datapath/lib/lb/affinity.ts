import type { BpfContext } from "@cnilab/linux";
import { familyOf, IPV4_ANY, IPV6_ANY, type IpAddress, type IpFamily } from "@cnilab/net";
import type { LbAffinityKey } from "../../maps/lb-maps.ts";
import type { NodeDatapath } from "../../node-datapath.ts";
import type { FoundService } from "./lookup-service.ts";

/** Whom a service keeps to one backend: an address on the wire, or a network namespace with its cookie. */
export type AffinityClient =
  | { readonly address: IpAddress }
  | { readonly netnsCookie: number; readonly family: IpFamily };

/**
 * The backend that a client was given before (`__lb4_affinity_backend_id`). Another is chosen once the time is over, or
 * where the service has it no longer.
 * @returns its id, 0 where there is none
 */
export function lbAffinityBackendId(
  ctx: BpfContext,
  { maps }: NodeDatapath,
  { key: { address }, svc }: FoundService,
  client: AffinityClient,
): number {
  const { affinity } = maps.lb(familyOf(address));
  const key = affinityKey(client, svc.revNat);
  const found = ctx.lookup(affinity, key);
  if (found === undefined) return 0;
  const now = seconds(ctx);
  // Sticky for [last used, last used + timeout).
  const isOver = found.lastUsed + svc.affinityTimeout <= now;
  const { backendId } = found;
  if (isOver || ctx.lookup(maps.affinityMatch, { revNat: svc.revNat, backendId }) === undefined) {
    ctx.delete(affinity, key);
    return 0;
  }
  ctx.unrepeatable();
  found.lastUsed = now;
  return backendId;
}

/** `__lb4_update_affinity` */
export function lbUpdateAffinity(
  ctx: BpfContext,
  { maps }: NodeDatapath,
  { key: { address }, svc }: FoundService,
  client: AffinityClient,
  backendId: number,
): void {
  const { affinity } = maps.lb(familyOf(address));
  ctx.update(affinity, affinityKey(client, svc.revNat), { lastUsed: seconds(ctx), backendId });
}

function affinityKey(client: AffinityClient, revNat: number): LbAffinityKey {
  if ("address" in client) return { client: client.address, netnsCookie: 0, revNat };
  const none = client.family === 4 ? IPV4_ANY : IPV6_ANY;
  return { client: none, netnsCookie: client.netnsCookie, revNat };
}

/** `bpf_mono_now` */
function seconds(ctx: BpfContext): number {
  return Math.floor(ctx.now / 1000);
}
