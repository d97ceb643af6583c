import type { CniIp, CniResult, CniRoute } from "@cnilab/core";
import {
  type InterfaceAddress,
  type IpAddress,
  ipv4Mask,
  Prefix,
  tryParseInterfaceAddress,
  tryParseIp,
} from "@cnilab/net";
import { failure } from "./failure.ts";

/** An address of a result as numbers. */
export interface ResultAddress extends InterfaceAddress {
  readonly gateway: IpAddress | undefined;
}

/** @throws CniError as Go's JSON decoder */
export function parseAddress(ip: CniIp): ResultAddress {
  const { address, length } = parseCidr(ip.address);
  return { address, length, gateway: ip.gateway === undefined ? undefined : parseGoIp(ip.gateway) };
}

/** @throws CniError */
export function parseCidr(text: string): InterfaceAddress {
  const parsed = tryParseInterfaceAddress(text);
  if (parsed === undefined) throw failure(`invalid CIDR address: ${text}`);
  return parsed;
}

/** @throws CniError */
export function parseGoIp(text: string): IpAddress {
  const ip = tryParseIp(text);
  if (ip === undefined) throw failure(`invalid IP address: ${text}`);
  return ip;
}

/** Where a route of a result goes; host bits do not count. @throws CniError */
export function routeDestination(route: CniRoute): Prefix {
  const { address, length } = parseCidr(route.dst);
  return new Prefix(address, length);
}

/** The addresses of a result. @throws CniError */
export function addressesOf(result: CniResult): ResultAddress[] {
  return (result.ips ?? []).map(parseAddress);
}

/** The network that an address is in. */
export function networkOf({ address, length }: InterfaceAddress): Prefix {
  return new Prefix(address, length);
}

/** The broadcast address that vishvananda/netlink gives an IPv4 address when nobody says another. */
export function broadcastOf({ address, length }: InterfaceAddress): IpAddress | undefined {
  if (typeof address !== "number" || length >= 31) return undefined;
  return (address | ~ipv4Mask(length)) >>> 0;
}

/** The mask of an address's network as Go prints it: `ffffff00`. */
export function maskText({ address, length }: InterfaceAddress): string {
  if (typeof address === "number") return ipv4Mask(length).toString(16).padStart(8, "0");
  const bits = (1n << 128n) - (1n << BigInt(128 - length));
  return bits.toString(16).padStart(32, "0");
}
