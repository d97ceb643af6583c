import type { IpAddress } from "@cnilab/net";

/** How a packet relates to its connection (`enum ip_conntrack_info`). */
export type ConntrackInfo = 0 | 1 | 2 | 3 | 4 | 7;
export const IP_CT_ESTABLISHED = 0;
export const IP_CT_RELATED = 1;
export const IP_CT_NEW = 2;
export const IP_CT_ESTABLISHED_REPLY = 3;
export const IP_CT_RELATED_REPLY = 4;
export const IP_CT_UNTRACKED = 7;

// Bits of a connection's status (include/uapi/linux/netfilter/nf_conntrack_common.h)
export const IPS_EXPECTED: number = 1 << 0;
export const IPS_SEEN_REPLY: number = 1 << 1;
export const IPS_ASSURED: number = 1 << 2;
export const IPS_CONFIRMED: number = 1 << 3;
export const IPS_SRC_NAT: number = 1 << 4;
export const IPS_DST_NAT: number = 1 << 5;
export const IPS_SRC_NAT_DONE: number = 1 << 7;
export const IPS_DST_NAT_DONE: number = 1 << 8;
export const IPS_DYING: number = 1 << 9;

/** One direction of a connection (`struct nf_conntrack_tuple`). */
export interface Tuple {
  readonly protocol: number;
  readonly src: IpAddress;
  readonly dst: IpAddress;
  /** For ICMP: the echo identifier. */
  readonly srcPort: number;
  /** For ICMP: type in the high byte, code in the low. */
  readonly dstPort: number;
}

/** One connection (`struct nf_conn`). */
export interface ConntrackEntry {
  /** `IPS_…` bits. */
  status: number;
  mark: number;
  readonly zone: number;
  /** As the first packet was sent. */
  readonly original: Tuple;
  /** As answers come, before NAT is undone. */
  readonly reply: Tuple;
  /** The connection that an expected one belongs to. */
  readonly master: ConntrackEntry | undefined;
}
