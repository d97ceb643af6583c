/** An option of an IPv4 header (RFC 791 §3.1), or of an IPv6 destination options header (RFC 8200 §4.2). Immutable. */
export interface IpOption {
  /** 8 bits. In IPv4 the first says whether all fragments have it, in IPv6 the first two what who does not know it does. */
  readonly type: number;
  /** What stands behind type and length. */
  readonly data: Uint8Array;
}

/** Of IPv4: all fragments have the option (`IPOPT_COPY`). */
export const IPOPT_COPY = 0x80;

/** Most packets have none, and share that. */
export const NO_IP_OPTIONS: readonly IpOption[] = [];

/** Bytes that options take before padding; each has two of its own. */
function lengthOf(options: readonly IpOption[]): number {
  let length = 0;
  for (const { data } of options) length += 2 + data.length;
  return length;
}

/** Bytes that options take in an IPv4 header: whole words. */
export function ipv4OptionsLength(options: readonly IpOption[]): number {
  return (lengthOf(options) + 3) & ~3;
}

/** Bytes of an IPv6 destination options header: a multiple of eight. */
export function ipv6OptionsLength(options: readonly IpOption[]): number {
  return options.length === 0 ? 0 : (2 + lengthOf(options) + 7) & ~7;
}
