import { SLEEVE_PACKET_OVERHEAD, type SleeveFrame, type SleevePacket } from "../sleeve.ts";
import { writeMac } from "./octets.ts";

/** The first bit of a sealed packet's sequence number (weave router/frame_crypto.go NaClEncryptor.Bytes). */
const DF_FLAG = 0x80000000;

/** Writes what is to be read of any packet; what is encrypted stays zeros, as the model has no keys. */
export function writeSleeveHeader(octets: DataView, { sender, seal }: SleevePacket): void {
  writeMac(octets, 0, sender);
  if (seal === undefined) return;
  const { sequence, dontFragment } = seal;
  const high = Math.floor(sequence / 2 ** 32);
  octets.setUint32(SLEEVE_PACKET_OVERHEAD, dontFragment ? high + DF_FLAG : high);
  octets.setUint32(SLEEVE_PACKET_OVERHEAD + 4, sequence >>> 0);
}

export function writeSleeveFrameHeader(octets: DataView, { src, dst, frame }: SleeveFrame): void {
  writeMac(octets, 0, src);
  writeMac(octets, 6, dst);
  octets.setUint16(12, frame.length);
}
