import type { Pod } from "@cnilab/core";
import { formatIp, type IpAddress } from "@cnilab/net";
import type { IPAMBlockSpec } from "../api/v3.ts";
import {
  addressAt,
  attributeAt,
  sanitizeHandle,
  sequenceNumberOf,
  WINDOWS_RESERVED_HANDLE,
} from "./allocation-block.ts";

/** An address that is handed out, with what the collector of leaks goes by (kube-controllers/pkg/controllers/node/ipam_allocation.go). */
export interface Allocation {
  readonly address: IpAddress;
  readonly handle: string;
  readonly sequenceNumber: number;
  readonly block: string;
  /** Whom it is for; empty where that is not said. */
  readonly node: string;
  readonly use: "pod" | "tunnel" | "windows" | "unknown";
  /** `namespace/name` */
  readonly podKey: string;
}

const TUNNELS: ReadonlySet<string> = new Set([
  "ipipTunnelAddress",
  "vxlanTunnelAddress",
  "vxlanV6TunnelAddress",
  "wireguardTunnelAddress",
  "wireguardV6TunnelAddress",
]);

/** What is handed out of a block, without what cools down. */
export function allocationsOf(block: IPAMBlockSpec): Allocation[] {
  const allocations: Allocation[] = [];
  for (let ordinal = 0; ordinal < block.allocations.length; ordinal++) {
    const attribute = attributeAt(block, ordinal);
    if (attribute === undefined || attribute.releasedAt !== undefined) continue;
    const { handle_id = "", secondary = {} } = attribute;
    const { node = "", pod = "", namespace = "", type = "" } = secondary;
    allocations.push({
      address: addressAt(block, ordinal),
      handle: sanitizeHandle(handle_id),
      sequenceNumber: sequenceNumberOf(block, ordinal),
      block: block.cidr,
      node,
      use:
        handle_id === WINDOWS_RESERVED_HANDLE
          ? "windows"
          : pod !== "" && namespace !== ""
            ? "pod"
            : TUNNELS.has(type)
              ? "tunnel"
              : "unknown",
      podKey: `${namespace}/${pod}`,
    });
  }
  return allocations;
}

/** The same address of the same handle is the same allocation. */
export function allocationId({ handle, address }: Pick<Allocation, "handle" | "address">): string {
  return `${handle}/${formatIp(address)}`;
}

/**
 * Whether a pod still has its address, as far as anybody can tell (ipam.go allocationIsValid).
 * @param node that the address was handed out on, where it is there
 */
export function podHolds(
  pod: Pod | undefined,
  { address }: Allocation,
  node: string | undefined,
): boolean {
  if (pod === undefined) return false;
  const { spec, status } = pod;
  if (spec.nodeName !== undefined && node !== undefined && spec.nodeName !== node) return false;
  const ips = status?.podIPs ?? [];
  // The kubelet has not said yet.
  if (!status?.podIP || ips.length === 0) return true;
  // What has finished has an endpoint without addresses (fact sheet calico.md §1).
  if (status.phase === "Failed" || status.phase === "Succeeded") return false;
  const text = formatIp(address);
  return ips.some(({ ip }) => ip === text);
}
