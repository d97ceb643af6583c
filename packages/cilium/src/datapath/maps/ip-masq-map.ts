import { BpfLpmTrie, type BpfMapText, type Kernel } from "@cnilab/linux";
import { formatIp, type IpFamily, type Prefix } from "@cnilab/net";
import { addressWords } from "./map-key.ts";

export type IpMasqMap = BpfLpmTrie<Prefix, true>;

const TEXT: BpfMapText<Prefix, true> = {
  key: ({ address, length }) => `${formatIp(address)}/${length}`,
  value: () => "",
};

/** `cilium_ipmasq_v4` and 6: ranges that are not masqueraded to (bpf/lib/nat.h). */
export function ipMasqMap(kernel: Kernel, family: IpFamily): IpMasqMap {
  return new BpfLpmTrie<Prefix, true>(kernel, {
    name: `cilium_ipmasq_v${family}`,
    maxEntries: 16_384,
    bits: family === 4 ? 32 : 128,
    encode: ({ address, length }) => ({ prefixLength: length, words: addressWords(address) }),
    text: TEXT,
  });
}
