import type { TcContext } from "@cnilab/linux";
import { IPPROTO_TCP, TCP_SYN, TcpSegment } from "@cnilab/net";
import type { CtTuple } from "../../maps/conntrack-map.ts";
import type { BpfObject } from "../bpf-object.ts";
import {
  CT_EGRESS,
  CT_ENTRY_DSR,
  CT_ESTABLISHED,
  CT_NEW,
  ctCreate,
  ctLazyLookup,
  ctUpdateDsr,
  hasDsrEgressEntry,
  SCOPE_FORWARD,
} from "../conntrack.ts";
import { CtState } from "../ct-state.ts";
import { DROP_CT_INVALID_HDR, DROP_INVALID, DROP_UNKNOWN_CT } from "../drop-reason.ts";
import { worldOf } from "../identity.ts";
import { l4Of } from "../ipfrag.ts";
import { createDsrMapping } from "../nat/snat-mapping.ts";
import { unknownTrace } from "../trace.ts";
import { type DsrService, readDsrGeneveOption, readDsrIpOption } from "./dsr-option.ts";

/** What a packet from another node's load balancer says, or its connection's first one has said. */
export type DsrInfo = DsrService | "known" | undefined;

/** Whether services of packets like this one are named by options here, and by which. */
export function looksForDsr({ source, config }: BpfObject): boolean {
  const { dsrDispatch } = config.lb;
  return source === "overlay" ? dsrDispatch === "geneve" : dsrDispatch === "opt";
}

/** Reads which service was asked for (`nodeport_extract_dsr_v4`, `nodeport_extract_dsr_v6`). @returns a reason to drop, too */
export function extractDsr(ctx: TcContext, obj: BpfObject, tuple: CtTuple): DsrInfo | number {
  const { ip } = ctx;
  const isTcp = tuple.nexthdr === IPPROTO_TCP;
  const reversed = tuple.clone();
  const map = obj.maps.ct(tuple.daddr, tuple.nexthdr);
  if (isTcp) {
    const l4 = l4Of(ip);
    if (!(l4 instanceof TcpSegment)) return DROP_CT_INVALID_HDR;
    reversed.reverse();
    if ((l4.flags & TCP_SYN) === 0) {
      return hasDsrEgressEntry(ctx, map, reversed) ? "known" : undefined;
    }
  }
  const said =
    obj.source === "overlay"
      ? readDsrGeneveOption(ip.version, ctx.tunnelKey?.options ?? [])
      : readDsrIpOption(ip.version, ip.options);
  if (said !== undefined) return said;
  // It has been one before, and is so no longer.
  if (isTcp) ctUpdateDsr(ctx, map, reversed, false);
  return undefined;
}

/**
 * Remembers how a backend's answers are to look (`nodeport_dsr_ingress_ipv4`, `nodeport_dsr_ingress_ipv6`).
 * @returns 0, or a reason to drop
 */
export function dsrIngress(
  ctx: TcContext,
  obj: BpfObject,
  tuple: CtTuple,
  info: DsrService | "known",
): number {
  tuple.swapAddresses();
  tuple.swapPorts();
  const map = obj.maps.ct(tuple.daddr, tuple.nexthdr);
  const ret = ctLazyLookup(
    ctx,
    obj,
    map,
    tuple,
    ctx.ip,
    CT_EGRESS,
    SCOPE_FORWARD,
    CT_ENTRY_DSR,
    undefined,
    unknownTrace(),
  );
  if (ret < 0) return ret;
  if (ret === CT_ESTABLISHED) {
    // Only a SYN says it, and that starts the connection anew.
    if (tuple.nexthdr !== IPPROTO_TCP || info === "known") return 0;
  } else if (ret !== CT_NEW) {
    return DROP_UNKNOWN_CT;
  }
  if (info === "known") return DROP_INVALID;
  const state = new CtState();
  state.srcSecId = worldOf(ctx.ip.src, obj);
  state.dsrInternal = true;
  const created = ctCreate(ctx, obj, map, undefined, tuple, CT_EGRESS, state);
  if (created !== 0) return created;
  return createDsrMapping(ctx, obj, tuple, { toAddress: info.address, toPort: info.port });
}
