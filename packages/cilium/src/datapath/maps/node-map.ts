import { BpfHash, type BpfMapText, type Kernel } from "@cnilab/linux";
import { formatIp, type IpAddress } from "@cnilab/net";

/** `struct node_value`. */
export interface NodeValue {
  readonly id: number;
  /** Of IPsec; 0 without. */
  readonly spi: number;
}

export type NodeMap = BpfHash<IpAddress, NodeValue>;

const TEXT: BpfMapText<IpAddress, NodeValue> = {
  key: formatIp,
  value: ({ id, spi }) => `nodeid=${id} spi=${spi}`,
};

/** `cilium_node_map_v2`: numbers of nodes by their addresses (bpf/lib/node.h). */
export function nodeMap(kernel: Kernel, maxEntries: number): NodeMap {
  return new BpfHash<IpAddress, NodeValue>(kernel, {
    name: "cilium_node_map_v2",
    maxEntries,
    pack: (address) => (typeof address === "number" ? address : 2 ** 32 + address.ordinal),
    text: TEXT,
  });
}
