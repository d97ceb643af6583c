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
