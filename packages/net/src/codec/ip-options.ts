import { type IpOption, NO_IP_OPTIONS } from "../ip-option.ts";
import { bytesOf, slice } from "./octets.ts";

// Padding: of IPv4 the end of the list and one that does nothing (RFC 791 §3.1), of IPv6 Pad1 and PadN (RFC 8200 §4.2).
const IPOPT_END = 0;
const IPOPT_NOOP = 1;
const IPV6_TLV_PAD1 = 0;
const IPV6_TLV_PADN = 1;

/** Writes the options of an IPv4 header; the rest is left as it is. */
export function writeIpv4Options(octets: DataView, options: readonly IpOption[]): void {
  write(octets, options, 2);
}

/** Writes an IPv6 destination options header; what the options leave of it is padding. */
export function writeDestinationOptions(
  octets: DataView,
  nextHeader: number,
  options: readonly IpOption[],
): void {
  octets.setUint8(0, nextHeader);
  octets.setUint8(1, octets.byteLength / 8 - 1);
  write(slice(octets, 2), options, 0);
}

/** @param counted how many of an option's first two octets its length counts */
function write(octets: DataView, options: readonly IpOption[], counted: number): void {
  const bytes = bytesOf(octets);
  let at = 0;
  for (const { type, data } of options) {
    bytes[at] = type;
    bytes[at + 1] = data.length + counted;
    bytes.set(data, at + 2);
    at += 2 + data.length;
  }
}

/** What follows a malformed option is not read. */
export function readIpv4Options(octets: DataView): readonly IpOption[] {
  return read(octets, 2, (type) => (type === IPOPT_NOOP ? 1 : type === IPOPT_END ? Infinity : 0));
}

/** Options of a destination options header, without its first two octets. */
export function readDestinationOptions(octets: DataView): readonly IpOption[] {
  const options = read(octets, 0, (type) => (type === IPV6_TLV_PAD1 ? 1 : 0));
  const told = options.filter(({ type }) => type !== IPV6_TLV_PADN);
  return told.length === 0 ? NO_IP_OPTIONS : told;
}

/** @param skip how far to go on from an option of a type that is no more than that; 0 for those with a length */
function read(
  octets: DataView,
  counted: number,
  skip: (type: number) => number,
): readonly IpOption[] {
  const options: IpOption[] = [];
  for (let at = 0; at < octets.byteLength; ) {
    const type = octets.getUint8(at);
    const skipped = skip(type);
    if (skipped > 0) {
      at += skipped;
      continue;
    }
    if (at + 2 > octets.byteLength) break;
    const end = at + 2 - counted + octets.getUint8(at + 1);
    if (end < at + 2 || end > octets.byteLength) break;
    options.push({ type, data: bytesOf(slice(octets, at + 2, end)).slice() });
    at = end;
  }
  return options.length === 0 ? NO_IP_OPTIONS : options;
}
