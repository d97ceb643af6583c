import type { TcContext } from "@cnilab/linux";
import { addressBits, Prefix } from "@cnilab/net";
import type { CtTuple } from "../../maps/conntrack-map.ts";
import { ENDPOINT_F_HOST } from "../../maps/endpoint-map.ts";
import type { BpfObject } from "../bpf-object.ts";
import { CT_EGRESS, ctExtractPorts, ctIsReply } from "../conntrack.ts";
import { DROP_CT_UNKNOWN_PROTO } from "../drop-reason.ts";
import { lookupEndpoint, lookupRemoteEndpoint } from "../eps.ts";
import { isRemoteNode } from "../identity.ts";
import { NAT_PUNT_TO_STACK, type NatTarget } from "./nat-target.ts";

/** `NAT_NEEDED` */
export const NAT_NEEDED = 1;

/**
 * Whether a packet that leaves by a device of the node gets that device's address for its source
 * (`snat_v4_needs_masquerade`, `snat_v6_needs_masquerade`). `target` is told which.
 * @returns `NAT_NEEDED`, `NAT_PUNT_TO_STACK` or a reason to drop
 */
export function needsMasquerade(
  ctx: TcContext,
  obj: BpfObject,
  tuple: CtTuple,
  target: NatTarget,
): number {
  const { config, maps, source } = obj;
  const { version } = ctx.ip;
  const isOn = version === 4 ? config.bpfMasqueradeIpv4 : config.bpfMasqueradeIpv6;
  const addresses = version === 4 ? config.masqueradeIpv4 : config.masqueradeIpv6;
  const masquerade = addresses.get(obj.interfaceIfindex);
  if (!isOn || source !== "host" || masquerade === undefined) return NAT_PUNT_TO_STACK;
  // The node's own connections have ports that others' could be given: they are mapped to themselves, or to another port.
  if (tuple.saddr === masquerade) {
    target.address = masquerade;
    target.needsCt = true;
    return NAT_NEEDED;
  }
  const local = lookupEndpoint(ctx, obj, tuple.saddr);
  if (local !== undefined) {
    target.fromLocalEndpoint = true;
    const err = ctExtractPorts(ctx, obj, ctx.ip, CT_EGRESS, tuple);
    if (err < 0 && err !== DROP_CT_UNKNOWN_PROTO) return err;
    if (err === 0) {
      // Who answers has not asked: outside it is known by its own address.
      if (ctIsReply(ctx, maps.ct(tuple.daddr, tuple.nexthdr), tuple)) return NAT_PUNT_TO_STACK;
      tuple.dport = 0;
      tuple.sport = 0;
    }
  }
  const exclusion = version === 4 ? config.snatExclusionIpv4 : config.snatExclusionIpv6;
  if (exclusion?.contains(tuple.daddr)) return NAT_PUNT_TO_STACK;
  if (local !== undefined && (local.flags & ENDPOINT_F_HOST) !== 0) return NAT_PUNT_TO_STACK;
  if (config.ipMasqAgent) {
    const key = new Prefix(tuple.daddr, addressBits(version));
    if (ctx.lookup(maps.ipMasq(version), key) !== undefined) return NAT_PUNT_TO_STACK;
  }
  const remote = lookupRemoteEndpoint(ctx, obj, tuple.daddr);
  if (remote !== undefined && isRemoteNode(remote.identity)) {
    // Between nodes pods' addresses are known where there is no tunnel. With one such packets do not go through it.
    if (!config.tunnelMode || remote.skipTunnel) return NAT_PUNT_TO_STACK;
  }
  if (local === undefined) return NAT_PUNT_TO_STACK;
  target.address = masquerade;
  return NAT_NEEDED;
}
