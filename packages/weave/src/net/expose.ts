import { announceIpv4, KernelError, type NetNamespace } from "@cnilab/linux";
import { type InterfaceAddress, type Ipv4Address, ipv4Mask, Prefix } from "@cnilab/net";
import { exposeRules, WEAVE_BRIDGE } from "../bridge/bridge-rules.ts";

/** An address of the network for the node itself: processes reach pods by it, and pods what is beyond the node (net/expose.go). */
export function expose(
  netns: NetNamespace,
  { address, length }: InterfaceAddress,
  npc: boolean,
): void {
  const bridge = netns.device(WEAVE_BRIDGE);
  const broadcast = ((address as Ipv4Address) | ~ipv4Mask(length)) >>> 0;
  try {
    bridge.addAddress(address, length, { broadcast });
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== "EEXIST") throw error;
  }
  announceIpv4(bridge, address as Ipv4Address);
  netns.network.run();
  exposeRules(netns.iptables(4), new Prefix(address, length), npc);
}

/** Rules again for the addresses that the bridge has: after a restart, or when somebody has flushed them (net/bridge.go Reexpose). */
export function reexpose(netns: NetNamespace, npc: boolean): void {
  for (const { address, prefixLength: length } of netns.device(WEAVE_BRIDGE).addresses4) {
    expose(netns, { address, length }, npc);
  }
}
