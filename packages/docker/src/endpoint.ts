import type { Random } from "@cnilab/core";
import { type NetNamespace, PacketSocket, Skb, Veth } from "@cnilab/linux";
import { ARP_REQUEST, ArpPacket, BROADCAST_MAC, ETH_P_ARP, type Ipv4Address } from "@cnilab/net";
import type { BridgeNetwork } from "./bridge-network.ts";
import type { ConnectSpec, Container, Endpoint } from "./container.ts";

/**
 * Gives a container an interface in a network: address, veth, bridge port, rules (libnetwork drivers/bridge `CreateEndpoint`, osl
 * `AddInterface`).
 * @throws DockerError, KernelError; all is as before then
 */
export function joinNetwork(
  container: Container,
  network: BridgeNetwork,
  spec: ConnectSpec,
  given: {
    readonly host: NetNamespace;
    readonly random: Random;
    readonly id: string;
    readonly hairpin: boolean;
    readonly dnsNames: readonly string[];
  },
): Endpoint {
  const { netns } = container;
  const { mtu } = network.options;
  const address = network.pool.request(spec.ip);
  const undo: (() => void)[] = [() => network.pool.release(address)];
  try {
    const address6 = network.pool6?.request(spec.ip6);
    if (address6 !== undefined) undo.push(() => network.pool6?.release(address6));
    const mac = spec.mac ?? netns.kernel.randomMac();
    const shared = mtu === undefined ? {} : { mtu };
    const [veth, device] = Veth.pair(
      given.host,
      { name: vethName(given.host, given.random), ...shared },
      netns,
      { name: freeInterfaceName(netns), mac, ...shared },
    );
    undo.push(() => device.remove());
    // Without an IPv6 address of the network it has none at all (osl/interface_linux.go `setInterfaceIPv6`).
    netns.sysctl.set(`net/ipv6/conf/${device.name}/disable_ipv6`, address6 === undefined ? 1 : 0);
    veth.setMaster(network.bridge);
    if (given.hairpin && veth.bridgePort !== undefined) veth.bridgePort.hairpin = true;
    veth.setUp();
    device.setUp();
    device.addAddress(address, network.subnet.length);
    if (address6 !== undefined && network.subnet6 !== undefined) {
      device.addAddress(address6, network.subnet6.length, { nodad: true });
    }
    for (const each of address6 === undefined ? [address] : [address, address6]) {
      undo.push(() => network.firewall?.removeEndpoint(each));
      network.firewall?.addEndpoint(each);
    }
    advertise(device, address);
    return {
      id: given.id,
      network,
      address,
      address6,
      mac,
      device,
      veth,
      spec,
      dnsNames: given.dnsNames,
      links: new Map((spec.links ?? []).map((link) => [link.alias, link.container])),
      gatewayPriority: spec.gatewayPriority ?? 0,
    };
  } catch (error) {
    for (const step of undo.reverse()) step();
    throw error;
  }
}

function vethName(host: NetNamespace, random: Random): string {
  for (;;) {
    const name = `veth${random
      .below(2 ** 28)
      .toString(16)
      .padStart(7, "0")}`;
    if (host.findDevice(name) === undefined) return name;
  }
}

function freeInterfaceName(netns: NetNamespace): string {
  for (let i = 0; ; i++) if (netns.findDevice(`eth${i}`) === undefined) return `eth${i}`;
}

/** Others may know the address by the MAC of who had it before (libnetwork osl `AdvertiseAddrs`). */
function advertise(device: Veth, address: Ipv4Address): void {
  const socket = new PacketSocket(device, ETH_P_ARP, "dockerd", () => {});
  const packet = new ArpPacket(ARP_REQUEST, device.mac, address, BROADCAST_MAC, address);
  const skb = new Skb(ETH_P_ARP, packet, undefined);
  skb.srcMac = device.mac;
  skb.dstMac = BROADCAST_MAC;
  socket.send(skb);
  socket.close();
  device.network.run();
}
