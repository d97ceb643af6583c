import {
  GENEVE_HEADER_LENGTH,
  GENEVE_OPTION_HEADER_LENGTH,
  type GeneveOption,
  type GenevePacket,
} from "../geneve.ts";

/** EtherType of a bridged Ethernet frame, `ETH_P_TEB`. */
const TRANSPARENT_ETHERNET_BRIDGING = 0x6558;

export interface GeneveHeader {
  readonly vni: number;
  /** Octets with the options. */
  readonly length: number;
  readonly options: readonly GeneveOption[];
}

/** C: options of a type that must be known. */
const CRITICAL = 0x40;

/** @throws RangeError for options that the header's six bits of length cannot count */
export function writeGeneveHeader(octets: DataView, packet: GenevePacket): void {
  const { vni, options, headerLength } = packet;
  const words = (headerLength - GENEVE_HEADER_LENGTH) / 4;
  if (!Number.isInteger(words) || words > 0x3f) {
    throw new RangeError(`Geneve options are at most 63 words, not ${words}`);
  }
  octets.setUint8(0, words);
  octets.setUint8(1, options.some(({ type }) => type & 0x80) ? CRITICAL : 0);
  octets.setUint16(2, TRANSPARENT_ETHERNET_BRIDGING);
  octets.setUint32(4, vni << 8);
  let at = GENEVE_HEADER_LENGTH;
  for (const { optionClass, type, data } of options) {
    octets.setUint16(at, optionClass);
    octets.setUint8(at + 2, type);
    octets.setUint8(at + 3, data.length / 4);
    at += GENEVE_OPTION_HEADER_LENGTH;
    for (const byte of data) octets.setUint8(at++, byte);
  }
}

/** RFC 8926 section 3.4. `undefined` for another version, and for what does not carry a frame. */
export function readGeneveHeader(octets: DataView): GeneveHeader | undefined {
  if (octets.byteLength < GENEVE_HEADER_LENGTH) return undefined;
  const version = octets.getUint8(0) >> 6;
  if (version !== 0 || octets.getUint16(2) !== TRANSPARENT_ETHERNET_BRIDGING) return undefined;
  const length = GENEVE_HEADER_LENGTH + (octets.getUint8(0) & 0x3f) * 4;
  if (length > octets.byteLength) return undefined;
  const options = readOptions(octets, length);
  return options && { vni: octets.getUint32(4) >>> 8, length, options };
}

/** `undefined` where one is longer than all (`geneve_rx` takes them as they are; who reads them would not). */
function readOptions(octets: DataView, end: number): GeneveOption[] | undefined {
  const options: GeneveOption[] = [];
  for (let at = GENEVE_HEADER_LENGTH; at < end; ) {
    const optionClass = octets.getUint16(at);
    const type = octets.getUint8(at + 2);
    const length = (octets.getUint8(at + 3) & 0x1f) * 4;
    at += GENEVE_OPTION_HEADER_LENGTH;
    if (at + length > end) return undefined;
    const data = new Uint8Array(length);
    for (let i = 0; i < length; i++) data[i] = octets.getUint8(at + i);
    options.push({ optionClass, type, data });
    at += length;
  }
  return options;
}
