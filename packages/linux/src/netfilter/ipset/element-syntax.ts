import {
  addressBits,
  addToIp,
  compareIp,
  formatIp,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type IpFamily,
  type Mac,
  maskIp,
  Prefix,
  tryParseIp,
  tryParseMac,
} from "@cnilab/net";
import { protocolByName, protocolName } from "../protocol-names.ts";
import { serviceByName } from "../service-names.ts";
import { formatIcmp, parseIcmp } from "./icmp-names.ts";
import { IpsetError, syntaxError } from "./ipset-error.ts";
import type { ElementField, SetType } from "./set-type.ts";

/** What one part of an element says. */
export type FieldValue =
  | {
      readonly field: "ip";
      readonly from: IpAddress;
      readonly to: IpAddress;
      readonly plain: boolean;
    }
  | {
      readonly field: "net";
      /** Networks that make up what was written: several for a range. */
      readonly prefixes: readonly Prefix[];
    }
  | {
      readonly field: "port";
      readonly protocol: number;
      readonly from: number;
      readonly to: number;
      /** A range was written. */
      readonly range: boolean;
    }
  | { readonly field: "iface"; readonly name: string; readonly physdev: boolean }
  | { readonly field: "mac"; readonly mac: Mac }
  | { readonly field: "set"; readonly name: string };

const IPPROTO_UDPLITE = 136;
/** Protocols of which an element names a port. */
const PORT_PROTOCOLS: readonly number[] = [IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_UDPLITE];

/** Takes an element apart. @throws IpsetError */
export function parseElement(text: string, type: SetType, family: IpFamily): FieldValue[] {
  const parts = splitElement(text, type);
  return type.fields.map((field, i) => parseField(parts[i] as string, field, type, family, i));
}

function splitElement(text: string, type: SetType): string[] {
  const wanted = type.fields.length;
  const parts = text.split(",");
  const { name } = type;
  if (parts.length > wanted) {
    if (wanted === 1) {
      throw syntaxError(`Elem separator in ${text}, but settype ${name} supports none.`);
    }
    if (wanted === 2) {
      throw syntaxError(`Two elem separators in ${text}, but settype ${name} supports one.`);
    }
    throw syntaxError(`Three elem separators in ${text}, but settype ${name} supports two.`);
  }
  if (parts.length < 2 && wanted > 1) throw missing("Second", text);
  if (wanted > 1 && (parts[0] === "" || parts[1] === "")) throw missing("Second", text);
  if (wanted > 2 && (parts.length < 3 || parts[2] === "")) throw missing("Third", text);
  return parts;
}

function missing(which: string, text: string): Error {
  return syntaxError(`${which} element is missing from ${text}.`);
}

function parseField(
  text: string,
  field: ElementField,
  type: SetType,
  family: IpFamily,
  at: number,
): FieldValue {
  switch (field) {
    case "ip":
      return parseIpField(text, family, at === 0);
    case "net":
      return parseNetField(text, family);
    case "port":
      return parsePortField(text, type, family);
    case "iface":
      return parseIface(text);
    case "mac": {
      const mac = tryParseMac(text);
      if (mac === undefined) throw syntaxError(`cannot parse '${text}' as ethernet address`);
      return { field, mac };
    }
    case "set":
      checkSetName(text);
      return { field, name: text };
  }
}

export function checkSetName(name: string): void {
  if (name.length > 31) {
    throw syntaxError(`setname '${name}' is longer than 31 characters`);
  }
}

/** An address of the family, with or without brackets. */
export function parseAddress(text: string, family: IpFamily): IpAddress {
  const bare = text.replace(/^\[(.*)\]$/, "$1");
  const address = tryParseIp(bare);
  if (address === undefined || (typeof address === "number") !== (family === 4)) {
    throw syntaxError(`cannot parse ${text}: resolving to IPv${family} address failed`);
  }
  return address;
}

function parseIpField(text: string, family: IpFamily, mayRange: boolean): FieldValue {
  const range = rangeOf(text, family);
  if (range === undefined) {
    const address = parseAddress(text, family);
    return { field: "ip", from: address, to: address, plain: true };
  }
  if (!mayRange || family === 6) {
    throw syntaxError(`plain IP address must be supplied: ${text}`);
  }
  return { field: "ip", ...range, plain: false };
}

/** `A-B` or `A/LENGTH`; `undefined` for a single address. */
export function rangeOf(
  text: string,
  family: IpFamily,
): { readonly from: IpAddress; readonly to: IpAddress } | undefined {
  const dash = text.indexOf("-");
  if (dash >= 0) {
    const from = parseAddress(text.slice(0, dash), family);
    const to = parseAddress(text.slice(dash + 1), family);
    return compareIp(from, to) <= 0 ? { from, to } : { from: to, to: from };
  }
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const length = parseNumber(text.slice(slash + 1), 0, addressBits(family));
  const address = parseAddress(text.slice(0, slash), family);
  if (length === addressBits(family)) return { from: address, to: address };
  const prefix = new Prefix(address, length);
  return { from: prefix.address, to: prefix.last };
}

function parseNetField(text: string, family: IpFamily): FieldValue {
  const dash = text.indexOf("-");
  if (dash >= 0) {
    if (family === 6) throw syntaxError(`IP address or IP/cidr must be specified: ${text}`);
    const { from, to } = rangeOf(text, family) as { from: IpAddress; to: IpAddress };
    return { field: "net", prefixes: rangeToPrefixes(from, to) };
  }
  const slash = text.indexOf("/");
  const bits = addressBits(family);
  const length = slash < 0 ? bits : parseNumber(text.slice(slash + 1), 0, bits);
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash), family);
  return { field: "net", prefixes: [new Prefix(address, length)] };
}

/** The fewest networks that make up a range (`ip_set_range_to_cidr`). */
export function rangeToPrefixes(from: IpAddress, to: IpAddress): Prefix[] {
  const prefixes: Prefix[] = [];
  for (let at = from; compareIp(at, to) <= 0; ) {
    let length = 32;
    while (length > 0) {
      const wider = length - 1;
      if (maskIp(at, wider) !== at || compareIp(new Prefix(at, wider).last, to) > 0) break;
      length = wider;
    }
    const prefix = new Prefix(at, length);
    prefixes.push(prefix);
    if (compareIp(prefix.last, to) >= 0) break;
    at = addToIp(prefix.last, 1);
  }
  return prefixes;
}

/** @throws IpsetError in ipset's words */
export function parseNumber(text: string, least: number, most: number): number {
  if (!/^-?(0x[0-9a-fA-F]+|[0-9]+)$/.test(text))
    throw syntaxError(`'${text}' is invalid as number`);
  const value = Number(text);
  if (value < least || value > most) {
    throw syntaxError(`'${text}' is out of range ${least}-${most}`);
  }
  return value;
}

function parsePortField(text: string, type: SetType, family: IpFamily): FieldValue {
  const colon = text.indexOf(":");
  // The protocol of a bitmap of ports is taken and not kept.
  const isBitmap = type.method === "bitmap";
  const protocolText = colon < 0 ? "tcp" : text.slice(0, colon);
  const value = text.slice(colon + 1);
  const protocol = parseProtocol(protocolText);
  if (!isBitmap && (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6)) {
    return icmpField(value, protocol, family);
  }
  if (!isBitmap && !PORT_PROTOCOLS.includes(protocol)) {
    if (value !== "0") {
      throw syntaxError(`Protocol ${protocolText} can be used with pseudo port value 0 only.`);
    }
    return { field: "port", protocol, from: 0, to: 0, range: false };
  }
  const dash = value.indexOf("-", 1);
  const from = parsePort(dash < 0 ? value : value.slice(0, dash), protocolText);
  const to = dash < 0 ? from : parsePort(value.slice(dash + 1), protocolText);
  return {
    field: "port",
    protocol,
    from: Math.min(from, to),
    to: Math.max(from, to),
    range: dash >= 0,
  };
}

function icmpField(value: string, protocol: number, family: IpFamily): FieldValue {
  const of: IpFamily = protocol === IPPROTO_ICMP ? 4 : 6;
  const label = of === 4 ? "ICMP" : "ICMPv6";
  if (of !== family) {
    const inet = of === 4 ? "inet" : "inet6";
    throw syntaxError(`Protocol ${label} can be used with family ${inet} only`);
  }
  const port = parseIcmp(of, value);
  if (port === undefined) {
    throw new IpsetError(`Cannot parse ${value} as an ${label} type/code.`);
  }
  return { field: "port", protocol, from: port, to: port, range: false };
}

function parseProtocol(text: string): number {
  const name = text === "icmpv6" ? "ipv6-icmp" : text;
  const protocol = /^[0-9]{1,3}$/.test(text) ? Number(text) : protocolByName(name);
  if (protocol === undefined || protocol > 255 || protocol === 0) {
    throw syntaxError(`cannot parse '${text}' as a protocol`);
  }
  return protocol;
}

function parsePort(text: string, protocol: string): number {
  const service = serviceByName(text);
  if (service !== undefined) return service;
  try {
    return parseNumber(text, 0, 65535);
  } catch {
    throw syntaxError(`cannot parse '${text}' as a ${protocol} port`);
  }
}

function parseIface(text: string): FieldValue {
  const physdev = text.startsWith("physdev:");
  const name = physdev ? text.slice("physdev:".length) : text;
  if (name.length > 15) throw syntaxError(`interface name '${name}' is longer than 15 characters`);
  return { field: "iface", name, physdev };
}

// What `save` prints of each part

export function formatPort(protocol: number, port: number, family: IpFamily): string {
  const name = protocolName(protocol) ?? String(protocol);
  if (protocol === IPPROTO_ICMP) return `${name}:${formatIcmp(4, port)}`;
  if (protocol === IPPROTO_ICMPV6 && family === 6) return `${name}:${formatIcmp(6, port)}`;
  return `${name}:${port}`;
}

/** An element as it was written, but for ports, which always have their protocol. */
export function spellElement(
  text: string,
  values: readonly FieldValue[],
  type: SetType,
  family: IpFamily,
): string {
  if (type.method !== "hash") return text;
  const parts = text.split(",");
  return values
    .map((value, i) =>
      value.field === "port" ? formatPort(value.protocol, value.from, family) : parts[i],
    )
    .join();
}

export function formatNet(address: IpAddress, length: number): string {
  const isHost = length === (typeof address === "number" ? 32 : 128);
  return isHost ? formatIp(address) : `${formatIp(address)}/${length}`;
}
