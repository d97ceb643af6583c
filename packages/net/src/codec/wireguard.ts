import { WireguardData, type WireguardHandshake } from "../wireguard.ts";

/** Type of a data message: four octets, then the receiver's index and a counter (WireGuard paper section 5.4.6). */
const MESSAGE_DATA = 4;

/**
 * Writes the type of a message. Indices, counters and what is encrypted are zeros: the model has no keys,
 * and nobody but the peer could read more out of a real one.
 */
export function writeWireguardType(
  octets: DataView,
  message: WireguardData | WireguardHandshake,
): void {
  octets.setUint32(0, message instanceof WireguardData ? MESSAGE_DATA : message.type, true);
}
