import { BpfLruHash, type BpfMapText, type Kernel } from "@cnilab/linux";
import { formatIp, formatMac, type IpAddress, type IpFamily, type Mac } from "@cnilab/net";
import { addressNumber } from "./map-key.ts";

export type NeighbourMap = BpfLruHash<IpAddress, Mac>;

const TEXT: BpfMapText<IpAddress, Mac> = { key: formatIp, value: formatMac };

/** `cilium_nodeport_neigh4` and 6: MACs of clients, as their packets came (bpf/lib/neigh.h). */
export function neighbourMap(kernel: Kernel, family: IpFamily, maxEntries: number): NeighbourMap {
  return new BpfLruHash(kernel, {
    name: `cilium_nodeport_neigh${family}`,
    maxEntries,
    pack: addressNumber,
    text: TEXT,
  });
}
