/** Type of a data message: four octets, then the receiver's index and a counter (WireGuard paper section 5.4.6). */
const MESSAGE_DATA = 4;

/**
 * Writes the header of a data message. Receiver, counter and what is encrypted are zeros: the model
 * has no keys, and nobody but the peer could read more out of a real one.
 */
export function writeWireguardHeader(octets: DataView): void {
  octets.setUint32(0, MESSAGE_DATA, true);
}
