import type { TunnelKey } from "../bpf/skb-bpf.ts";
import type { Skb } from "../skb.ts";

/** What flows can ask for, as `ovs-fields(7)` names it. MACs and addresses are numbers, as everywhere. */
export type FlowField =
  | "tun_id"
  | "tun_src"
  | "tun_dst"
  | "tun_tos"
  | "tun_ttl"
  | "tun_flags"
  | "in_port"
  | "eth_src"
  | "eth_dst"
  | "eth_type";

/** `TUNNEL_CSUM`, `TUNNEL_KEY`, `TUNNEL_DONT_FRAGMENT` (include/uapi/linux/if_tunnel.h), as `tun_flags` has them. */
export const TUNNEL_CSUM = 1;
export const TUNNEL_KEY = 4;
export const TUNNEL_DONT_FRAGMENT = 256;

/** The port number of packets that came in by none (`DP_MAX_PORTS`). */
export const NO_PORT = 0xffff;

const ETH_P_802_2 = 4;

/** What a packet is looked up by (`struct sw_flow_key`). Without a tunnel `tun_dst` and all that belongs to it are 0. */
export type FlowKey = Readonly<Record<FlowField, number>>;

/** What a flow asks for: a value for all bits of a field, or for those of a mask. What is absent may be anything. */
export type FlowMatch = Readonly<Partial<Record<FlowField, number | MaskedValue>>>;

export interface MaskedValue {
  readonly value: number;
  readonly mask: number;
}

/** All bits of each field. */
export const EXACT: Readonly<Record<FlowField, number>> = {
  tun_id: 0xffffff,
  tun_src: 0xffffffff,
  tun_dst: 0xffffffff,
  tun_tos: 0xff,
  tun_ttl: 0xff,
  tun_flags: 0xffff,
  in_port: 0xffffffff,
  eth_src: 0xffffffffffff,
  eth_dst: 0xffffffffffff,
  eth_type: 0xffff,
};

export const FLOW_FIELDS: readonly FlowField[] = Object.keys(EXACT) as FlowField[];

/** What the headers of a packet and where it came from say (`ovs_flow_key_extract`). */
export function extractFlowKey(skb: Skb, inPort: number, tunnel: TunnelKey | undefined): FlowKey {
  return {
    tun_id: tunnel?.tunnelId ?? 0,
    tun_src: ipv4(tunnel?.remote),
    tun_dst: ipv4(tunnel?.local),
    tun_tos: tunnel?.tos ?? 0,
    tun_ttl: tunnel?.ttl ?? 0,
    tun_flags: tunnel === undefined ? 0 : TUNNEL_KEY,
    in_port: inPort,
    eth_src: skb.srcMac,
    eth_dst: skb.dstMac,
    // Below 0x600 it is a length (`parse_ethertype`).
    eth_type: skb.etherType < 0x600 ? ETH_P_802_2 : skb.etherType,
  };
}

/** Value and mask of a field of a match; a mask of 0 where it is absent. */
export function maskedField(match: FlowMatch, field: FlowField): MaskedValue {
  const asked = match[field];
  if (asked === undefined) return { value: 0, mask: 0 };
  if (typeof asked === "number") return { value: asked, mask: EXACT[field] };
  return { value: maskBits(asked.value, asked.mask), mask: asked.mask };
}

/** The key of a packet that has what a match names, and zeros elsewhere. */
export function flowKeyOf(match: FlowMatch): FlowKey {
  const key = {} as Record<FlowField, number>;
  for (const field of FLOW_FIELDS) key[field] = maskedField(match, field).value;
  return key;
}

/** `value & mask` for up to 48 bits. */
export function maskBits(value: number, mask: number): number {
  if (mask <= 0xffffffff && value <= 0xffffffff) return (value & mask) >>> 0;
  const high = Math.floor(value / HIGH) & Math.floor(mask / HIGH);
  return high * HIGH + ((value & mask) >>> 0);
}

const HIGH = 2 ** 32;

function ipv4(address: TunnelKey["local"]): number {
  return typeof address === "number" ? address : 0;
}
