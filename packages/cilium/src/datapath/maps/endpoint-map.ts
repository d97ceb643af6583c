import type { Origin } from "@cnilab/core";
import { BpfHash, type BpfMapText, type Kernel } from "@cnilab/linux";
import { formatIp, formatMac, type IpAddress, type Mac } from "@cnilab/net";

/** It is this node itself. */
export const ENDPOINT_F_HOST = 1;
/** It is in the node's own network namespace. */
export const ENDPOINT_F_ATHOSTNS = 2;
export const ENDPOINT_MASK_HOST_DELIVERY: number = ENDPOINT_F_HOST | ENDPOINT_F_ATHOSTNS;

/** One of this node's endpoints (`struct endpoint_info`), by each of its addresses. */
export interface EndpointInfo {
  readonly ifindex: number;
  readonly lxcId: number;
  readonly flags: number;
  /** Of the endpoint's end of its pair of devices, and of the node's end. */
  readonly mac: Mac;
  readonly nodeMac: Mac;
  readonly secId: number;
  readonly parentIfindex: number;
  readonly origin?: Origin | undefined;
}

export function endpointInfoText(info: EndpointInfo): string {
  if ((info.flags & ENDPOINT_F_HOST) !== 0) return "(localhost)";
  const number = (value: number, width: number) => String(value).padEnd(width);
  const flags = info.flags.toString(16).toUpperCase().padStart(4, "0");
  return (
    `id=${number(info.lxcId, 5)} sec_id=${number(info.secId, 5)} flags=0x${flags} ` +
    `ifindex=${number(info.ifindex, 3)} mac=${formatMac(info.mac).toUpperCase()} ` +
    `nodemac=${formatMac(info.nodeMac).toUpperCase()} parent_ifindex=${number(info.parentIfindex, 3)}`
  );
}

export type EndpointMap = BpfHash<IpAddress, EndpointInfo>;

const TEXT: BpfMapText<IpAddress, EndpointInfo> = {
  key: (address) => `${formatIp(address)}:0`,
  value: endpointInfoText,
  origin: (_key, info) => info.origin,
};

/** `cilium_lxc` (bpf/lib/eps.h). */
export function endpointMap(kernel: Kernel, maxEntries: number): EndpointMap {
  return new BpfHash<IpAddress, EndpointInfo>(kernel, {
    name: "cilium_lxc",
    maxEntries,
    // Addresses of the two families must not be equal: those of IPv6 come above all of IPv4.
    pack: (address) => (typeof address === "number" ? address : 2 ** 32 + address.ordinal),
    text: TEXT,
  });
}
