import { GENEVE_HEADER_LENGTH, type GenevePacket } from "../geneve.ts";

/** EtherType of a bridged Ethernet frame, `ETH_P_TEB`. */
const TRANSPARENT_ETHERNET_BRIDGING = 0x6558;

export interface GeneveHeader {
  readonly vni: number;
  /** Octets with the options. */
  readonly length: number;
}

export function writeGeneveHeader(octets: DataView, { vni }: GenevePacket): void {
  octets.setUint16(2, TRANSPARENT_ETHERNET_BRIDGING);
  octets.setUint32(4, vni << 8);
}

/** RFC 8926 section 3.4. `undefined` for another version, and for what does not carry a frame. */
export function readGeneveHeader(octets: DataView): GeneveHeader | undefined {
  if (octets.byteLength < GENEVE_HEADER_LENGTH) return undefined;
  const version = octets.getUint8(0) >> 6;
  if (version !== 0 || octets.getUint16(2) !== TRANSPARENT_ETHERNET_BRIDGING) return undefined;
  const length = GENEVE_HEADER_LENGTH + (octets.getUint8(0) & 0x3f) * 4;
  return length > octets.byteLength ? undefined : { vni: octets.getUint32(4) >>> 8, length };
}
