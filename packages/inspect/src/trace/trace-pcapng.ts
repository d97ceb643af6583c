import { HttpRequest, HttpResponse, messageOf, type NetDevice, type Trace } from "@cnilab/linux";
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
  TcpSegment,
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
  const messages = new StreamMessages();
  const devices = new Map<NetDevice, number>();
  for (const step of trace.steps) {
    if (step.kind !== "receive" && step.kind !== "transmit") continue;
    const { dev } = step;
    const frame = spelledOut(step.frame, messages, bytesOf);
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

/** Knows where in its message a segment begins, by the segment that began the message. */
class StreamMessages {
  /** Sequence numbers at which a message began: it may be passed on over several connections. */
  readonly #starts = new Map<object, number[]>();

  offset(message: object, length: number, seq: number): number {
    let starts = this.#starts.get(message);
    if (starts === undefined) {
      starts = [];
      this.#starts.set(message, starts);
    }
    for (const start of starts) {
      // Sequence numbers wrap.
      const offset = (seq - start) >>> 0;
      if (offset < length) return offset;
    }
    starts.push(seq);
    return 0;
  }
}

/** A copy of a frame in which messages are bytes. */
function spelledOut(
  frame: EthernetFrame,
  messages: StreamMessages,
  bytesOf?: MessageBytes,
): EthernetFrame {
  const copy = frame.clone();
  spellOut(copy.payload, messages, bytesOf);
  return copy;
}

function spellOut(packet: NetworkPacket, messages: StreamMessages, bytesOf?: MessageBytes): void {
  if (!(packet instanceof IpPacket)) return;
  const { payload } = packet;
  if (payload instanceof IpPacket) spellOut(payload, messages, bytesOf);
  if (payload instanceof FragmentPayload) spellOut(payload.whole, messages, bytesOf);
  if (payload instanceof TcpSegment) spellOutHttp(payload, messages);
  if (!(payload instanceof UdpDatagram)) return;
  const carried = payload.payload;
  if (carried instanceof VxlanPacket || carried instanceof GenevePacket) {
    spellOut(carried.frame.payload, messages, bytesOf);
  }
  const message = messageOf(carried);
  const bytes = message === undefined ? undefined : bytesOf?.(message);
  if (bytes !== undefined && bytes.length <= carried.length) {
    payload.payload = new Data(carried.length, bytes);
  }
}

/** What is said inside TLS stays zeros: nobody on the way reads it. */
function spellOutHttp(segment: TcpSegment, messages: StreamMessages): void {
  const message = messageOf(segment.payload);
  if (!(message instanceof HttpRequest || message instanceof HttpResponse)) return;
  const offset = messages.offset(message, message.wireLength, segment.seq);
  const text = message.text.slice(offset, offset + segment.payload.length);
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0) & 0xff);
  segment.payload = new Data(segment.payload.length, bytes);
}
