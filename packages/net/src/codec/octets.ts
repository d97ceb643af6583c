import { Ipv6Address } from "../ipv6-address.ts";
import type { Mac } from "../mac.ts";
import { Data } from "../payload.ts";
import { PacketSyntaxError } from "./packet-syntax-error.ts";

// Each layer is read through a view of its own bytes. A reader asks for the length of its header
// once; no access after that can fail.

/** @throws PacketSyntaxError when there are fewer than `length` octets */
export function requireOctets(octets: DataView, length: number, protocol: string): void {
  if (octets.byteLength < length) {
    throw new PacketSyntaxError(
      protocol,
      "truncated",
      `${octets.byteLength} of at least ${length} bytes`,
    );
  }
}

/** The octets from `from` up to but without `to`. */
export function slice(octets: DataView, from: number, to: number = octets.byteLength): DataView {
  return new DataView(octets.buffer, octets.byteOffset + from, to - from);
}

/** The same octets as bytes, not copied. */
export function bytesOf(octets: DataView): Uint8Array {
  return new Uint8Array(octets.buffer, octets.byteOffset, octets.byteLength);
}

/** A copy of the octets as payload. */
export function dataOf(octets: DataView): Data {
  return octets.byteLength === 0 ? Data.empty : Data.of(bytesOf(octets).slice());
}

export function readMac(octets: DataView, at: number): Mac {
  return octets.getUint16(at) * 2 ** 32 + octets.getUint32(at + 2);
}

export function writeMac(octets: DataView, at: number, mac: Mac): void {
  octets.setUint16(at, Math.floor(mac / 2 ** 32));
  octets.setUint32(at + 2, mac % 2 ** 32);
}

export function readIpv6(octets: DataView, at: number): Ipv6Address {
  return Ipv6Address.of(
    octets.getUint32(at),
    octets.getUint32(at + 4),
    octets.getUint32(at + 8),
    octets.getUint32(at + 12),
  );
}

export function writeIpv6(octets: DataView, at: number, { a, b, c, d }: Ipv6Address): void {
  octets.setUint32(at, a);
  octets.setUint32(at + 4, b);
  octets.setUint32(at + 8, c);
  octets.setUint32(at + 12, d);
}
