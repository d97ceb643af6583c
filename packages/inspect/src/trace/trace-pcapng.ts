import type { NetDevice, Trace } from "@cnilab/linux";
import {
  encodeEthernet,
  encodeIp,
  IpPacket,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  PcapngWriter,
} from "@cnilab/net";
import { placeOf } from "./hops.ts";

/**
 * A capture of every device that a trace passed, for Wireshark: one interface a device, named
 * `node/netns/device` (`host` for the node's own namespace). Times are those of the virtual clock.
 */
export function tracePcapng(trace: Trace): Uint8Array {
  const writer = new PcapngWriter();
  const devices = new Map<NetDevice, number>();
  for (const step of trace.steps) {
    if (step.kind !== "receive" && step.kind !== "transmit") continue;
    const { dev, frame } = step;
    const packet = frame.payload;
    // A device without Ethernet carries IP packets, and nothing else has bytes there.
    if (!dev.isEthernet && !(packet instanceof IpPacket)) continue;
    let device = devices.get(dev);
    if (device === undefined) {
      device = writer.addDevice({
        name: `${placeOf(step.netns)}/${dev.name}`,
        linkType: dev.isEthernet ? LINKTYPE_ETHERNET : LINKTYPE_RAW,
        ...(dev.kind === "" ? {} : { description: dev.kind }),
      });
      devices.set(dev, device);
    }
    writer.addPacket({
      device,
      timeMs: step.time,
      bytes: dev.isEthernet ? encodeEthernet(frame) : encodeIp(packet as IpPacket),
      direction: step.kind === "receive" ? "inbound" : "outbound",
      comment: `packet #${step.packet} of the trace`,
    });
  }
  return writer.take();
}
