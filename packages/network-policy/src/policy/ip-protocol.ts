import type { Protocol } from "@cnilab/core";

/** Protocols with ports, both ICMPs, and all others by their number (IANA "Protocol Numbers"). */
export type IpProtocol = Protocol | "ICMP" | "ICMPv6" | number;

/** Those that have ports, in the order of lists. */
export const PROTOCOLS: readonly Protocol[] = ["TCP", "UDP", "SCTP"];

/** ICMP's type and code in the place of a port, so that a type is a range of 256. */
export function icmpNumber(type: number, code: number): number {
  return type * 256 + code;
}

/** Everything that a protocol has in the place of ports. Nothing listens on port 0. */
export function allPorts(protocol: IpProtocol): {
  readonly first: number;
  readonly last: number;
} {
  return { first: (PROTOCOLS as readonly IpProtocol[]).includes(protocol) ? 1 : 0, last: 65_535 };
}

/** `TCP`, or `protocol 47`. */
export function protocolName(protocol: IpProtocol): string {
  return typeof protocol === "number" ? `protocol ${protocol}` : protocol;
}
