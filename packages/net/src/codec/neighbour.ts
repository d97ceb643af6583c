import {
  NDISC_NEIGHBOUR_ADVERTISEMENT,
  NDISC_NEIGHBOUR_SOLICITATION,
  NeighbourMessage,
} from "../icmp.ts";
import type { Mac } from "../mac.ts";
import { readIpv6, readMac, requireOctets, slice, writeIpv6, writeMac } from "./octets.ts";
import { PacketSyntaxError } from "./packet-syntax-error.ts";

// RFC 4861 sections 4.3, 4.4 and 4.6
const HEADER_LENGTH = 24;
const ND_OPT_SOURCE_LL_ADDR = 1;
const ND_OPT_TARGET_LL_ADDR = 2;
const ROUTER = 0x80;
const SOLICITED = 0x40;
const OVERRIDE = 0x20;

export function isNeighbourMessage(type: number): boolean {
  return type === NDISC_NEIGHBOUR_SOLICITATION || type === NDISC_NEIGHBOUR_ADVERTISEMENT;
}

/** Writes a message but for its checksum. */
export function writeNeighbourMessage(octets: DataView, message: NeighbourMessage): void {
  octets.setUint8(0, message.type);
  if (message.type === NDISC_NEIGHBOUR_ADVERTISEMENT) {
    const { router, solicited, override } = message;
    const flags = (router ? ROUTER : 0) | (solicited ? SOLICITED : 0) | (override ? OVERRIDE : 0);
    octets.setUint8(4, flags);
  }
  writeIpv6(octets, 8, message.target);
  if (message.linkLayerAddress === undefined) return;
  octets.setUint8(HEADER_LENGTH, linkLayerOption(message.type));
  octets.setUint8(HEADER_LENGTH + 1, 1);
  writeMac(octets, HEADER_LENGTH + 2, message.linkLayerAddress);
}

/** A message; other options, such as a nonce, are dropped. */
export function readNeighbourMessage(octets: DataView): NeighbourMessage {
  requireOctets(octets, HEADER_LENGTH, "ICMPv6");
  const type = octets.getUint8(0);
  const linkLayerAddress = readLinkLayerAddress(type, slice(octets, HEADER_LENGTH));
  const message = new NeighbourMessage(type, readIpv6(octets, 8), linkLayerAddress);
  if (type === NDISC_NEIGHBOUR_ADVERTISEMENT) {
    const flags = octets.getUint8(4);
    message.router = (flags & ROUTER) !== 0;
    message.solicited = (flags & SOLICITED) !== 0;
    message.override = (flags & OVERRIDE) !== 0;
  }
  return message;
}

function readLinkLayerAddress(type: number, options: DataView): Mac | undefined {
  let mac: Mac | undefined;
  for (let at = 0; at < options.byteLength; ) {
    requireOctets(slice(options, at), 8, "ICMPv6 option");
    const length = options.getUint8(at + 1) * 8;
    if (length === 0) {
      throw new PacketSyntaxError("ICMPv6", "bad option length", "an option of length 0");
    }
    requireOctets(slice(options, at), length, "ICMPv6 option");
    if (options.getUint8(at) === linkLayerOption(type) && length === 8) {
      mac ??= readMac(options, at + 2);
    }
    at += length;
  }
  return mac;
}

function linkLayerOption(type: number): number {
  return type === NDISC_NEIGHBOUR_SOLICITATION ? ND_OPT_SOURCE_LL_ADDR : ND_OPT_TARGET_LL_ADDR;
}
