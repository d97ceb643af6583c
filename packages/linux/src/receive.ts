import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, ETHERNET_HEADER_LENGTH } from "@cnilab/net";
import type { NetDevice } from "./device/net-device.ts";
import { ipReceive } from "./ip/ip-input.ts";
import { arpReceive } from "./neighbour/arp.ts";
import { PACKET_OTHERHOST, type Skb } from "./skb.ts";
import { ETH_P_ALL, tapFrame } from "./socket/packet-socket.ts";

/** A frame arrives at a device (`netif_receive_skb`). */
export function netifReceive(dev: NetDevice, skb: Skb): void {
  skb.dev = dev;
  if (!dev.up) {
    dev.drop(skb, "DEV_READY", `${dev.name} is down`);
    return;
  }
  const bytes = skb.packet.length + (dev.isEthernet ? ETHERNET_HEADER_LENGTH : 0);
  dev.rxPackets++;
  dev.rxBytes += bytes;
  const { network } = dev;
  network.recording?.count(dev, true, bytes);
  if (skb.trace !== undefined) dev.traceFrame("receive", skb);
  network.tracepoints?.netifReceiveSkb(dev, skb);
  skb.iif = dev;
  if (dev.xdp !== undefined && !dev.xdp.run(skb)) return;
  if (dev.netns.packetSockets !== undefined) tapFrame(dev, skb, ETH_P_ALL);
  if (dev.tc !== undefined && !dev.tc.ingress(skb)) return;
  const tunnel = skb.bpf?.tunnelRx;
  skb.bpf = undefined; // what follows uses the room (skb->cb), and its own route
  if (dev.receiveHandler?.handle(dev, skb, tunnel)) return;
  if (dev.netns.packetSockets !== undefined) tapFrame(dev, skb, skb.etherType);
  switch (skb.etherType) {
    case ETH_P_IP:
    case ETH_P_IPV6:
      ipReceive(dev, skb);
      return;
    case ETH_P_ARP:
      if (skb.packetType !== PACKET_OTHERHOST && !dev.noArp) arpReceive(dev, skb);
      return;
    default:
      dev.drop(skb, "UNHANDLED_PROTO", `EtherType 0x${skb.etherType.toString(16)}`);
  }
}
