import type { L4Proto } from "../api/v2/rule.ts";
import type { NumericIdentity } from "../identity/numeric-identity.ts";

export type TrafficDirection = "ingress" | "egress";

/** Ports of a protocol, as an LPM trie has them (pkg/policy/types/types.go LPMKey). */
export interface PolicyPorts {
  readonly direction: TrafficDirection;
  /** 0 is any. */
  readonly protocol: number;
  /** The first of them. */
  readonly port: number;
  /** Of 16 bits; 0 is every port. */
  readonly portPrefixLength: number;
}

/** A key of an endpoint's policy map. Identity 0 is anybody. */
export interface PolicyMapKey extends PolicyPorts {
  readonly identity: NumericIdentity;
}

/** Numbers of protocols in policy maps. */
const PROTOCOLS: Readonly<Record<L4Proto, number>> = {
  ANY: 0,
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  ICMPv6: 58,
  SCTP: 132,
};

export function protocolNumber(protocol: L4Proto): number {
  return PROTOCOLS[protocol];
}

/** One number for each {@link PolicyPorts}. */
export function portsCode(ports: PolicyPorts): number {
  const { direction, protocol, port, portPrefixLength } = ports;
  return (direction === "egress" ? 1 << 29 : 0) | (protocol << 21) | (port << 5) | portPrefixLength;
}

/** Bits that count: direction, protocol, port. */
export function prefixLength({ protocol, portPrefixLength }: PolicyPorts): number {
  return protocol === 0 ? 1 : 9 + portPrefixLength;
}

export function coversPorts(wide: PolicyPorts, narrow: PolicyPorts): boolean {
  if (wide.direction !== narrow.direction) return false;
  if (wide.protocol === 0) return true;
  return (
    wide.protocol === narrow.protocol &&
    wide.portPrefixLength <= narrow.portPrefixLength &&
    (narrow.port & portMask(wide.portPrefixLength)) === wide.port
  );
}

export function portMask(length: number): number {
  return (0xffff << (16 - length)) & 0xffff;
}

export function lastPort({ port, portPrefixLength }: PolicyPorts): number {
  return port | (~portMask(portPrefixLength) & 0xffff);
}
