import { messageOf, type NetDevice, type Trace } from "@cnilab/linux";
import {
  Data,
  type EthernetFrame,
  encodeEthernet,
  encodeIp,
  FragmentPayload,
  GenevePacket,
  IpPacket,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  type NetworkPacket,
  PcapngWriter,
  UdpDatagram,
  VxlanPacket,
} from "@cnilab/net";
import { placeOf } from "./hops.ts";

/** What a program's message is on the wire; `undefined` for those whose bytes are nobody's concern: they are zeros. */
export type MessageBytes = (message: unknown) => Uint8Array | undefined;

/**
 * A capture of every device that a trace passed, for Wireshark: one interface a device, named
 * `node/netns/device` (`host` for the node's own namespace). Times are those of the virtual clock.
 * @param bytesOf of messages in datagrams
 */
export function tracePcapng(trace: Trace, bytesOf?: MessageBytes): Uint8Array {
  const writer = new PcapngWriter();
  const devices = new Map<NetDevice, number>();
  for (const step of trace.steps) {
    if (step.kind !== "receive" && step.kind !== "transmit") continue;
    const { dev } = step;
    const frame = bytesOf === undefined ? step.frame : spelledOut(step.frame, bytesOf);
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

/** A copy of a frame in which messages are bytes. */
function spelledOut(frame: EthernetFrame, bytesOf: MessageBytes): EthernetFrame {
  const copy = frame.clone();
  spellOut(copy.payload, bytesOf);
  return copy;
}

function spellOut(packet: NetworkPacket, bytesOf: MessageBytes): void {
  if (!(packet instanceof IpPacket)) return;
  const { payload } = packet;
  if (payload instanceof IpPacket) spellOut(payload, bytesOf);
  if (payload instanceof FragmentPayload) spellOut(payload.whole, bytesOf);
  if (!(payload instanceof UdpDatagram)) return;
  const carried = payload.payload;
  if (carried instanceof VxlanPacket || carried instanceof GenevePacket) {
    spellOut(carried.frame.payload, bytesOf);
  }
  const message = messageOf(carried);
  const bytes = message === undefined ? undefined : bytesOf(message);
  if (bytes !== undefined && bytes.length <= carried.length) {
    payload.payload = new Data(carried.length, bytes);
  }
}
