import type { EspPacket } from "../esp.ts";

/** Writes what is to be read of any packet; the rest stays zeros, as the model has no keys. */
export function writeEspHeader(octets: DataView, { spi, sequence }: EspPacket): void {
  octets.setUint32(0, spi);
  octets.setUint32(4, sequence >>> 0);
}
