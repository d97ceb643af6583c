import { BpfLruHash, type BpfMapText, type Kernel } from "@cnilab/linux";
import { formatEndpoint, type IpAddress, type IpFamily } from "@cnilab/net";
import { type CtTuple, packTuple, TUPLE_F_IN } from "./conntrack-map.ts";
import { protocolText } from "./map-key.ts";

/** What an address and port become (`struct ipv4_nat_entry`); the key's flag says source or destination. */
export interface NatEntry {
  readonly toAddress: IpAddress;
  readonly toPort: number;
  /** Virtual seconds. */
  readonly created: number;
  /** It is for connection tracking's sake, too, so that it goes with the connection. */
  readonly needsCt: boolean;
}

export type SnatMap = BpfLruHash<CtTuple, NatEntry>;

const TEXT: BpfMapText<CtTuple, NatEntry> = {
  key(key: CtTuple): string {
    const way = (key.flags & TUPLE_F_IN) !== 0 ? "IN" : "OUT";
    const from = formatEndpoint(key.saddr, key.sport);
    return `${protocolText(key.nexthdr)} ${way} ${from} -> ${formatEndpoint(key.daddr, key.dport)}`;
  },
  value(entry: NatEntry, key: CtTuple): string {
    const which = (key.flags & TUPLE_F_IN) !== 0 ? "DST" : "SRC";
    const to = formatEndpoint(entry.toAddress, entry.toPort);
    return `XLATE_${which} ${to} Created=${entry.created} NeedsCT=${Number(entry.needsCt)}`;
  },
};

/** `cilium_snat_v4_external` and 6 (bpf/lib/nat.h). */
export function snatMap(kernel: Kernel, family: IpFamily, maxEntries: number): SnatMap {
  const name = `cilium_snat_v${family}_external`;
  return new BpfLruHash(kernel, { name, maxEntries, pack: packTuple, text: TEXT });
}
