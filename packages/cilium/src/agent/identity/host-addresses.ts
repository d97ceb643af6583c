import type { IpAddress } from "@cnilab/net";
import type { CiliumAgent } from "../cilium-agent.ts";

/** All that the machine answers to by itself (daemon/cmd/hostips-sync.go). */
export function hostAddresses({ node, devices, config }: CiliumAgent): readonly IpAddress[] {
  const own = [...devices.native, devices.host].flatMap((dev) =>
    config.families.flatMap((family) => dev.addressesOf(family).map(({ address }) => address)),
  );
  return [...new Set([...node.addresses, ...own])];
}
