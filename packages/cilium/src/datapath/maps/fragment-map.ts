import { BpfLruHash, type BpfMapText, type Kernel } from "@cnilab/linux";
import { formatIp, type IpAddress, type IpFamily } from "@cnilab/net";
import { packPair } from "./map-key.ts";

/** Which packet a fragment is of (`struct ipv4_frag_id`). */
export interface FragmentId {
  readonly src: IpAddress;
  readonly dst: IpAddress;
  readonly id: number;
  readonly protocol: number;
}

/** What its first fragment said (`struct ipv4_frag_l4ports`). */
export interface FragmentPorts {
  readonly sport: number;
  readonly dport: number;
}

export type FragmentMap = BpfLruHash<FragmentId, FragmentPorts>;

const TEXT: BpfMapText<FragmentId, FragmentPorts> = {
  key: ({ src, dst, id }) => `${formatIp(src)} -> ${formatIp(dst)} ID=${id}`,
  value: ({ sport, dport }) => `${sport}, ${dport}`,
};

/** `cilium_ipv4_frag_datagrams` and 6: ports of packets in fragments (bpf/lib/ipfrag.h). */
export function fragmentMap(kernel: Kernel, family: IpFamily, maxEntries: number): FragmentMap {
  return new BpfLruHash<FragmentId, FragmentPorts>(kernel, {
    name: `cilium_ipv${family}_frag_datagrams`,
    maxEntries,
    pack: ({ src, dst, id, protocol }) => packPair(src, dst, id, protocol),
    text: TEXT,
  });
}
