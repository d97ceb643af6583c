import type { IpAddress } from "@cnilab/net";
import { type HookNumber, NF_INET_LOCAL_IN, NF_INET_POST_ROUTING } from "../hooks.ts";

/** What NAT changes of a packet in the original direction (`enum nf_nat_manip_type`). */
export type NatManip = typeof NF_NAT_MANIP_SRC | typeof NF_NAT_MANIP_DST;
export const NF_NAT_MANIP_SRC = 0;
export const NF_NAT_MANIP_DST = 1;

/** Sources change where packets leave the stack, destinations where they enter it (`HOOK2MANIP`). */
export function manipOf(hook: HookNumber): NatManip {
  return hook === NF_INET_POST_ROUTING || hook === NF_INET_LOCAL_IN
    ? NF_NAT_MANIP_SRC
    : NF_NAT_MANIP_DST;
}

/** What to translate to (`struct nf_nat_range2`). What is absent stays as it is. */
export interface NatRange {
  readonly minAddress?: IpAddress | undefined;
  /** Where absent, {@link minAddress}. */
  readonly maxAddress?: IpAddress | undefined;
  /** Ports of TCP, UDP and SCTP, identifiers of ICMP. */
  readonly minPort?: number | undefined;
  /** Where absent, {@link minPort}. */
  readonly maxPort?: number | undefined;
  /** Ports are shifted: this one becomes {@link minPort} (`NF_NAT_RANGE_PROTO_OFFSET`). */
  readonly basePort?: number | undefined;
  /** The port search starts anywhere, whether the packet's own port is free or not. */
  readonly random?: boolean | undefined;
  readonly fullyRandom?: boolean | undefined;
  /** A client gets the same address whomever it talks to. */
  readonly persistent?: boolean | undefined;
}
