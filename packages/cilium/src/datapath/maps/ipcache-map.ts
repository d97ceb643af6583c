import type { Origin } from "@cnilab/core";
import { BpfLpmTrie, type BpfMapText, type Kernel, type LpmKey } from "@cnilab/linux";
import { addressBits, familyOf, formatIp, type IpAddress } from "@cnilab/net";
import { addressWords } from "./map-key.ts";

/** A range of addresses (`struct ipcache_key`). */
export interface IpcacheKey {
  readonly clusterId: number;
  readonly address: IpAddress;
  /** Of the address alone. */
  readonly prefixLength: number;
}

/** Who is behind it, and how it is reached (`struct remote_endpoint_info`). */
export interface RemoteEndpointInfo {
  readonly identity: number;
  /** The node behind which it is (`flag_has_tunnel_ep`). */
  readonly tunnelEndpoint?: IpAddress | undefined;
  /** 0 where nothing is encrypted. */
  readonly key: number;
  readonly skipTunnel: boolean;
  readonly remoteCluster?: boolean;
  readonly origin?: Origin | undefined;
}

/** Family and cluster stand before the address. */
const STATIC_PREFIX = 32;
export const IPCACHE_BITS: number = STATIC_PREFIX + 128;

/** `struct ipcache_key`: cluster, family, address. */
export function encodeIpcacheKey({ clusterId, address, prefixLength }: IpcacheKey): LpmKey {
  const family = typeof address === "number" ? 1 : 2;
  return {
    prefixLength: STATIC_PREFIX + prefixLength,
    words: addressWords(address, ((clusterId << 16) | family) >>> 0),
  };
}

/** A look-up's key. */
export function ipcacheKeyOf(address: IpAddress, clusterId = 0): IpcacheKey {
  return { clusterId, address, prefixLength: addressBits(familyOf(address)) };
}

export function ipcacheValueText(info: RemoteEndpointInfo): string {
  const { tunnelEndpoint } = info;
  const flags = [
    info.skipTunnel && "skiptunnel",
    tunnelEndpoint !== undefined && "hastunnel",
    typeof tunnelEndpoint === "object" && "ipv6tunnel",
    info.remoteCluster && "remotecluster",
  ].filter((flag) => typeof flag === "string");
  const endpoint = formatIp(tunnelEndpoint ?? 0);
  const words = flags.length === 0 ? "<none>" : flags.join(",");
  return `identity=${info.identity} encryptkey=${info.key} tunnelendpoint=${endpoint} flags=${words}`;
}

export type IpcacheMap = BpfLpmTrie<IpcacheKey, RemoteEndpointInfo>;

const TEXT: BpfMapText<IpcacheKey, RemoteEndpointInfo> = {
  key: (key) => `${formatIp(key.address)}/${key.prefixLength}`,
  value: ipcacheValueText,
  origin: (_key, info) => info.origin,
};

/** `cilium_ipcache_v2` (bpf/lib/eps.h). */
export function ipcacheMap(kernel: Kernel, maxEntries: number): IpcacheMap {
  return new BpfLpmTrie(kernel, {
    name: "cilium_ipcache_v2",
    maxEntries,
    bits: IPCACHE_BITS,
    encode: encodeIpcacheKey,
    text: TEXT,
  });
}
