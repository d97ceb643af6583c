import type { Cluster } from "@cnilab/cluster";
import { formatIp } from "@cnilab/net";
import type { SeenSource } from "./finding.ts";

/** Who has the address that a server saw. */
export function seenSource(
  cluster: Cluster,
  address: string,
  own: ReadonlySet<string>,
): SeenSource {
  if (own.has(address)) return { address, who: "the client" };
  for (const { hostname, initNs } of cluster.network.kernels.values()) {
    for (const dev of initNs.devices) {
      if (dev.addresses.some((each) => formatIp(each.address) === address)) {
        return { address, who: `${hostname} ${dev.name}` };
      }
    }
  }
  return { address, who: address };
}
