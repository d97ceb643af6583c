import { announceIpv4, type Bridge, type NetNamespace, Veth } from "@cnilab/linux";
import { type InterfaceAddress, type Ipv4Address, ipv4Mask, Prefix } from "@cnilab/net";
import { configureArpCache, refuseRouterAdvertisements } from "./arp-cache.ts";

const HOST_PREFIX = "vethwepl";
/** What fits into a device's name behind the prefix. */
const ID_LENGTH = 15 - HOST_PREFIX.length;
const MULTICAST = "224.0.0.0/4";

export interface ContainerLink {
  readonly sandbox: NetNamespace;
  readonly id: string;
  /** Inside of the container. */
  readonly ifName: string;
  readonly bridge: Bridge;
  /** That of the bridge where it is 0. */
  readonly mtu: number;
  readonly hairpinMode: boolean;
  readonly address: InterfaceAddress;
}

/** Joins a container to the bridge, if it is not, and gives it the address (net/veth.go AttachContainer). @throws KernelError */
export function attachContainer(link: ContainerLink): void {
  const { sandbox, ifName, address } = link;
  if (sandbox.findDevice(ifName) === undefined) createAndAttachVeth(link);
  const dev = sandbox.device(ifName);
  if (!dev.hasAddress(address.address)) addAddress(link);
  else dev.setUp();
}

function createAndAttachVeth({ bridge, sandbox, id, ifName, ...link }: ContainerLink): void {
  const host = bridge.netns;
  const name = `${HOST_PREFIX}${id.slice(0, ID_LENGTH)}`;
  const mtu = link.mtu === 0 ? bridge.mtu : link.mtu;
  const [veth] = Veth.pair(host, { name, mtu }, sandbox, { name: ifName, mtu });
  try {
    veth.setMaster(bridge);
    refuseRouterAdvertisements(host, name);
    refuseRouterAdvertisements(sandbox, ifName);
    configureArpCache(sandbox, ifName);
    sandbox.iptables(4).append("filter", "INPUT", `-i ${ifName} -d ${MULTICAST} -j DROP`);
    veth.setUp();
    if (veth.bridgePort !== undefined) veth.bridgePort.hairpin = link.hairpinMode;
  } catch (error) {
    veth.remove();
    throw error;
  }
}

/** Multicast is for those of the same subnet. */
function addAddress({ sandbox, ifName, address: { address, length } }: ContainerLink): void {
  const dev = sandbox.device(ifName);
  const broadcast = ((address as Ipv4Address) | ~ipv4Mask(length)) >>> 0;
  dev.addAddress(address, length, { broadcast });
  const accept = `-i ${ifName} -s ${new Prefix(address, length)} -d ${MULTICAST} -j ACCEPT`;
  const iptables = sandbox.iptables(4);
  if (!iptables.check("filter", "INPUT", accept)) iptables.insert("filter", "INPUT", accept);
  dev.setUp();
  announceIpv4(dev, address as Ipv4Address);
  sandbox.network.run();
}
