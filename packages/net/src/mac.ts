import { type IpAddress, isMulticast } from "./ip-address.ts";
import { Ipv6Address } from "./ipv6-address.ts";

/** An Ethernet address as an unsigned 48-bit number: 02:00:00:00:00:01 is 0x020000000001. */
export type Mac = number;

export const BROADCAST_MAC: Mac = 0xffffffffffff;
export const ZERO_MAC: Mac = 0;

const HIGH = 2 ** 32;

export function formatMac(mac: Mac): string {
  let rest = mac;
  for (let at = MAC_LENGTH - 1; at > 0; at -= 3) {
    const octet = rest % 256;
    codes[at] = HEX.charCodeAt(octet & 15);
    codes[at - 1] = HEX.charCodeAt(octet >> 4);
    rest = (rest - octet) / 256;
  }
  return String.fromCharCode(...codes);
}

const HEX = "0123456789abcdef";
const MAC_LENGTH = 17;
// One array for all: of it, `String.fromCharCode` makes a string in one piece.
const codes: number[] = new Array(MAC_LENGTH).fill(":".charCodeAt(0));

/** Parses six hexadecimal octets separated by colons, or `undefined`. */
export function tryParseMac(text: string): Mac | undefined {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) return undefined;
  return Number.parseInt(text.replaceAll(":", ""), 16);
}

/** Whether the group bit is set: multicast or broadcast. */
export function isGroupMac(mac: Mac): boolean {
  return (Math.floor(mac / 2 ** 40) & 1) === 1;
}

/** The Ethernet address that an IP multicast group maps to (RFC 1112 section 6.4, RFC 2464 section 7). */
export function multicastMac(group: IpAddress): Mac {
  if (!isMulticast(group)) throw new RangeError("not a multicast address");
  return typeof group === "number" ? 0x01005e000000 + (group & 0x7fffff) : 0x3333 * HIGH + group.d;
}

/** A random unicast, locally administered address out of 48 random bits. */
export function localMac(random48: number): Mac {
  const first = ((Math.floor(random48 / 2 ** 40) & 0xfe) | 0x02) * 2 ** 40;
  return first + (random48 % 2 ** 40);
}

/** The fe80::/64 address that a device makes from its MAC (modified EUI-64, RFC 4291 appendix A). */
export function linkLocalFromMac(mac: Mac): Ipv6Address {
  const high = Math.floor(mac / 2 ** 24);
  const c = ((high ^ 0x020000) << 8) | 0xff;
  const d = 0xfe000000 | (mac % 2 ** 24);
  return Ipv6Address.of(0xfe800000, 0, c, d);
}
