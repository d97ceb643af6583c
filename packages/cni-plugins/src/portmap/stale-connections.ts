import type { NetNamespace } from "@cnilab/linux";
import { IPPROTO_UDP, type IpFamily } from "@cnilab/net";
import type { PortMapEntry } from "./portmap-config.ts";

/**
 * Forgets UDP connections to the ports: what was sent before there was a mapping would go on to where it
 * went then (plugins/meta/portmap deletePortmapStaleConnections).
 */
export function deleteStaleConnections(
  host: NetNamespace,
  entries: readonly PortMapEntry[],
  family: IpFamily,
): void {
  for (const { protocol, hostPort } of entries) {
    if (protocol.toLowerCase() !== "udp") continue;
    host.conntrack?.delete({ family, protocol: IPPROTO_UDP, original: { dstPort: hostPort } });
  }
}
