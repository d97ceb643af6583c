import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import type { NumericIdentity } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "./bpf-object.ts";
import { DROP_NO_NODE_ID, DROP_POLICY_AUTH_REQUIRED } from "./drop-reason.ts";

/** Whether two identities have shown each other who they are (`auth_lookup`). @param remoteNode absent for this one */
export function authLookup(
  ctx: TcContext,
  { maps }: BpfObject,
  localId: NumericIdentity,
  remoteId: NumericIdentity,
  remoteNode: IpAddress | undefined,
  authType: number,
): number {
  let remoteNodeId = 0;
  // Only IPv4 is looked at: an IPv6 tunnel endpoint's first word is no node.
  if (typeof remoteNode === "number") {
    remoteNodeId = ctx.lookup(maps.nodes, remoteNode)?.id ?? 0;
    if (remoteNodeId === 0) return DROP_NO_NODE_ID;
  }
  const key = { localSecLabel: localId, remoteSecLabel: remoteId, remoteNodeId, authType };
  const auth = ctx.lookup(maps.auth, key);
  if (auth === undefined || ctx.now >= auth.expiration) return DROP_POLICY_AUTH_REQUIRED;
  ctx.expires(auth.expiration);
  return TC_ACT_OK;
}
