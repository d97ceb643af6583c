import type { IpPacket } from "./ip-packet.ts";
import type { Payload } from "./payload.ts";

/** Bytes of a WireGuard data message's header and authentication tag. */
export const WIREGUARD_DATA_OVERHEAD = 32;

/** An encrypted WireGuard data message; on the wire the packet inside is padded to 16 bytes. */
export class WireguardData implements Payload {
  /** Public key of the sender, as the receiver's index would identify it. */
  readonly senderKey: string;
  readonly packet: IpPacket;

  constructor(senderKey: string, packet: IpPacket) {
    this.senderKey = senderKey;
    this.packet = packet;
  }

  get length(): number {
    return WIREGUARD_DATA_OVERHEAD + Math.ceil(this.packet.length / 16) * 16;
  }

  clone(): WireguardData {
    return new WireguardData(this.senderKey, this.packet.clone());
  }
}

/** Message types (WireGuard paper section 5.4). */
export const WIREGUARD_INITIATION = 1;
export const WIREGUARD_RESPONSE = 2;

/** A message by which two ends agree on keys for data. */
export class WireguardHandshake implements Payload {
  readonly type: typeof WIREGUARD_INITIATION | typeof WIREGUARD_RESPONSE;
  /** Public key of the sender, which on the wire only the receiver can read. */
  readonly senderKey: string;
  /** The packet that waits for it: nothing on the wire, but who asks why that got nowhere wants to know. */
  readonly waiting: IpPacket;

  constructor(type: WireguardHandshake["type"], senderKey: string, waiting: IpPacket) {
    this.type = type;
    this.senderKey = senderKey;
    this.waiting = waiting;
  }

  get length(): number {
    return this.type === WIREGUARD_INITIATION ? 148 : 92;
  }

  clone(): WireguardHandshake {
    return new WireguardHandshake(this.type, this.senderKey, this.waiting.clone());
  }
}
