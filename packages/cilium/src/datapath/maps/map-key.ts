import type { IpAddress } from "@cnilab/net";

/** 32 bits that stand for an address among those of its family. */
export function addressNumber(address: IpAddress): number {
  return typeof address === "number" ? address : address.ordinal;
}

/** Two addresses and 64 bits more, as a short string: hash maps take it for equal keys. */
export function packPair(x: IpAddress, y: IpAddress, ports: number, rest: number): string {
  const a = addressNumber(x);
  const b = addressNumber(y);
  return String.fromCharCode(
    a >>> 16,
    a & 0xffff,
    b >>> 16,
    b & 0xffff,
    ports >>> 16,
    ports & 0xffff,
    rest >>> 16,
    rest & 0xffff,
  );
}

/** An address and 48 bits more. */
export function packAddress(address: IpAddress, high: number, middle: number, low: number): string {
  const a = addressNumber(address);
  return String.fromCharCode(a >>> 16, a & 0xffff, high, middle, low);
}

/** The 32-bit words of an address, behind those of `before`. */
export function addressWords(address: IpAddress, ...before: readonly number[]): number[] {
  if (typeof address === "number") return [...before, address];
  return [...before, address.a, address.b, address.c, address.d];
}

export function protocolText(protocol: number): string {
  return PROTOCOL_NAMES[protocol] ?? String(protocol);
}

/** As pkg/u8proto names them. */
const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  0: "ANY",
  1: "ICMP",
  6: "TCP",
  17: "UDP",
  58: "ICMPv6",
  132: "SCTP",
};
