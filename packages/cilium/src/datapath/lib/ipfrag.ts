import type { TcContext } from "@cnilab/linux";
import {
  FragmentPayload,
  type IpPacket,
  type Payload,
  SctpPacket,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";
import { METRIC_EGRESS, METRIC_INGRESS } from "../maps/metrics-map.ts";
import type { BpfObject } from "./bpf-object.ts";
import { DROP_CT_INVALID_HDR, DROP_FRAG_NOSUPPORT, DROP_FRAG_NOT_FOUND } from "./drop-reason.ts";
import { REASON_FRAG_PACKET_UPDATE, updateMetrics } from "./metrics.ts";

/** `ipfrag_has_l4_header`: not so behind the first fragment. */
export function hasL4Header(ip: IpPacket): boolean {
  return ip.fragmentOffset === 0;
}

/** The transport header of a packet, or of its first fragment. */
export function l4Of(ip: IpPacket): Payload {
  const { payload } = ip;
  return payload instanceof FragmentPayload ? payload.whole.payload : payload;
}

/** Ports of a packet, as its header has them. */
export interface L4Ports {
  readonly sport: number;
  readonly dport: number;
}

/**
 * Ports, which all fragments of a packet have from its first one (`ipv4_load_l4_ports`, `ipv4_handle_fragmentation`).
 * @returns a reason to drop it, where there are none
 */
export function loadL4Ports(
  ctx: TcContext,
  obj: BpfObject,
  ip: IpPacket,
  ingress: boolean,
): L4Ports | number {
  const { maps, config } = obj;
  if (!hasL4Header(ip)) {
    if (!config.fragmentsTracking) return DROP_FRAG_NOSUPPORT;
    return ctx.lookup(maps.fragments(ip.version), fragmentIdOf(ip)) ?? DROP_FRAG_NOT_FOUND;
  }
  const l4 = l4Of(ip);
  if (!(l4 instanceof TcpSegment || l4 instanceof UdpDatagram || l4 instanceof SctpPacket)) {
    return DROP_CT_INVALID_HDR;
  }
  const ports = { sport: l4.srcPort, dport: l4.dstPort };
  if (ip.isFragment && config.fragmentsTracking) {
    const errno = ctx.update(maps.fragments(ip.version), fragmentIdOf(ip), ports);
    if (errno !== undefined) {
      const direction = ingress ? METRIC_INGRESS : METRIC_EGRESS;
      updateMetrics(ctx, obj, direction, REASON_FRAG_PACKET_UPDATE);
    }
  }
  return ports;
}

function fragmentIdOf({ src, dst, id, protocol }: IpPacket) {
  return { src, dst, id, protocol };
}
