import {
  formatIp,
  type IpAddress,
  type IpFamily,
  Ipv6Address,
  isUnspecified,
  maskIp,
  Prefix,
  tryParseIp,
} from "@cnilab/net";
import { protocolByName, protocolName } from "../protocol-names.ts";
import { not } from "./extension.ts";
import { parameterProblem } from "./iptables-error.ts";
import { parseUint } from "./numbers.ts";
import type { Walk } from "./walk.ts";

/** `-s` or `-d`: an address and the bits of it that count. */
export interface AddressTest {
  /** Bits that do not count are zero. */
  readonly address: IpAddress;
  readonly mask: IpAddress;
  readonly inverted: boolean;
}

/** `-i` or `-o`: a device name, or the start of one. */
export interface InterfaceTest {
  readonly name: string;
  /** The name ended in `+`: every device that starts so. */
  readonly isPrefix: boolean;
  readonly inverted: boolean;
}

/** `-p`; 0 stands for every protocol. */
export interface ProtocolTest {
  readonly protocol: number;
  readonly inverted: boolean;
}

/** The conditions that every rule can have without `-m` (`struct ipt_ip`). */
export class HeaderMatch {
  readonly src: AddressTest | undefined;
  readonly dst: AddressTest | undefined;
  readonly in: InterfaceTest | undefined;
  readonly out: InterfaceTest | undefined;
  readonly protocol: ProtocolTest | undefined;
  /** `-f`: fragments but the first; false for `! -f`. */
  readonly fragment: boolean | undefined;

  constructor(parts: {
    readonly src?: AddressTest | undefined;
    readonly dst?: AddressTest | undefined;
    readonly in?: InterfaceTest | undefined;
    readonly out?: InterfaceTest | undefined;
    readonly protocol?: ProtocolTest | undefined;
    readonly fragment?: boolean | undefined;
  }) {
    this.src = parts.src;
    this.dst = parts.dst;
    this.in = parts.in;
    this.out = parts.out;
    this.protocol = parts.protocol;
    this.fragment = parts.fragment;
  }

  matches(walk: Walk): boolean {
    const { packet } = walk;
    if (this.dst !== undefined && !matchesAddress(this.dst, packet.dst)) return false;
    if (this.src !== undefined && !matchesAddress(this.src, packet.src)) return false;
    if (this.in !== undefined && !matchesInterface(this.in, walk.in)) return false;
    if (this.out !== undefined && !matchesInterface(this.out, walk.out)) return false;
    const { protocol } = this;
    if (
      protocol !== undefined &&
      (protocol.protocol === packet.protocol || protocol.protocol === 0) === protocol.inverted
    ) {
      return false;
    }
    return this.fragment === undefined || (packet.fragmentOffset !== 0) === this.fragment;
  }

  /** `! -s 0.0.0.0/0`, which the kernel refuses: it would compare no bits. */
  get excludesAllAddresses(): boolean {
    return [this.src, this.dst].some((test) => test?.inverted === true && isUnspecified(test.mask));
  }

  /** As iptables-save prints it. */
  get text(): string {
    const parts: string[] = [];
    if (this.src !== undefined)
      parts.push(`${not(this.src.inverted)}-s ${formatAddress(this.src)}`);
    if (this.dst !== undefined)
      parts.push(`${not(this.dst.inverted)}-d ${formatAddress(this.dst)}`);
    if (this.in !== undefined) parts.push(`${not(this.in.inverted)}-i ${formatInterface(this.in)}`);
    if (this.out !== undefined) {
      parts.push(`${not(this.out.inverted)}-o ${formatInterface(this.out)}`);
    }
    const { protocol } = this;
    if (protocol !== undefined) {
      parts.push(`${not(protocol.inverted)}-p ${formatProtocol(protocol.protocol)}`);
    }
    if (this.fragment !== undefined) parts.push(`${not(!this.fragment)}-f`);
    return parts.join(" ");
  }
}

function matchesAddress(test: AddressTest, address: IpAddress): boolean {
  const { mask } = test;
  if (typeof mask === "number") {
    return (((address as number) & mask) >>> 0 === test.address) !== test.inverted;
  }
  const want = test.address as Ipv6Address;
  const { a, b, c, d } = address as Ipv6Address;
  const equal =
    (a & mask.a) >>> 0 === want.a &&
    (b & mask.b) >>> 0 === want.b &&
    (c & mask.c) >>> 0 === want.c &&
    (d & mask.d) >>> 0 === want.d;
  return equal !== test.inverted;
}

/** Whether a device of this name, empty for none, is asked for. */
export function matchesInterface(test: InterfaceTest, name: string): boolean {
  const equal = test.isPrefix ? name.startsWith(test.name) : name === test.name;
  return equal !== test.inverted;
}

/** Whether the test asks for exactly one address. */
export function isHostTest(test: AddressTest): boolean {
  const { mask } = test;
  if (test.inverted) return false;
  return typeof mask === "number" ? mask === 0xffffffff : mask === ALL_ONES;
}

/** Whether the test holds for every address. */
export function isWholeRange(test: AddressTest): boolean {
  const { mask } = test;
  return !test.inverted && isUnspecified(mask);
}

const ALL_ONES = Ipv6Address.of(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff);

/** The mask of a prefix length. */
export function prefixMask(family: IpFamily, length: number): IpAddress {
  return maskIp(family === 4 ? 0xffffffff : ALL_ONES, length);
}

/** `undefined` for a mask with holes. */
function prefixLength(mask: IpAddress): number | undefined {
  const words = typeof mask === "number" ? [mask] : [mask.a, mask.b, mask.c, mask.d];
  const bits = words.reduce((sum, word) => sum + Math.clz32(~word), 0);
  return prefixMask(typeof mask === "number" ? 4 : 6, bits) === mask ? bits : undefined;
}

/** `ADDRESS/LENGTH`, or `ADDRESS/MASK` for a mask with holes. */
export function formatAddress(test: {
  readonly address: IpAddress;
  readonly mask: IpAddress;
}): string {
  return `${formatIp(test.address)}/${prefixLength(test.mask) ?? formatIp(test.mask)}`;
}

function formatInterface(test: InterfaceTest): string {
  return test.isPrefix ? `${test.name}+` : test.name;
}

export function formatProtocol(protocol: number): string {
  return protocolName(protocol) ?? String(protocol);
}

/** `ADDRESS`, `ADDRESS/LENGTH` or `ADDRESS/MASK`. @throws Complaint */
export function parseAddress(
  text: string,
  family: IpFamily,
): { readonly address: IpAddress; readonly mask: IpAddress } {
  const slash = text.indexOf("/");
  const host = slash < 0 ? text : text.slice(0, slash);
  const address = parseHost(host, family);
  if (address === undefined) throw parameterProblem(`host/network \`${host}' not found`);
  const mask =
    slash < 0
      ? prefixMask(family, family === 4 ? 32 : 128)
      : parseMask(text.slice(slash + 1), family);
  return { address: and(address, mask), mask };
}

/** An address; of IPv4, trailing zero octets may be left out (`numeric_to_ipaddr` of xtables.c). */
export function parseHost(text: string, family: IpFamily): IpAddress | undefined {
  const short = family === 4 && /^[0-9]+(\.[0-9]+){0,2}$/.test(text);
  const octets = short ? text + ".0".repeat(4 - text.split(".").length) : text;
  const address = tryParseIp(octets);
  return address !== undefined && (typeof address === "number") === (family === 4)
    ? address
    : undefined;
}

function parseMask(text: string, family: IpFamily): IpAddress {
  const length = parseUint(text, family === 4 ? 32 : 128);
  const mask = length === undefined ? tryParseIp(text) : prefixMask(family, length);
  if (mask === undefined || (typeof mask === "number") !== (family === 4)) {
    throw parameterProblem(`invalid mask \`${text}' specified`);
  }
  return mask;
}

/** The bits that both have. */
export function and(x: IpAddress, y: IpAddress): IpAddress {
  if (typeof x === "number") return (x & (y as number)) >>> 0;
  const { a, b, c, d } = y as Ipv6Address;
  return Ipv6Address.of(x.a & a, x.b & b, x.c & c, x.d & d);
}

/** The prefix that a test without inversion asks for; `undefined` for a mask with holes. */
export function asPrefix(test: {
  readonly address: IpAddress;
  readonly mask: IpAddress;
}): Prefix | undefined {
  const length = prefixLength(test.mask);
  return length === undefined ? undefined : new Prefix(test.address, length);
}

/** A device name. @throws Complaint */
export function parseInterface(text: string, inverted: boolean): InterfaceTest {
  if (text.length > 15) {
    throw parameterProblem(`interface name \`${text}' must be shorter than IFNAMSIZ (15)`);
  }
  // The tool warns of these and lets them pass; no device can have such a name.
  if (/[/\s"]/.test(text)) {
    throw parameterProblem(
      `weird character in interface \`${text}' ('/' and ' ' are not allowed by the kernel)`,
    );
  }
  const isPrefix = text.endsWith("+");
  return { name: isPrefix ? text.slice(0, -1) : text, isPrefix, inverted };
}

/** An IP protocol by number or name. @throws Complaint */
export function parseProtocol(text: string): number {
  const name = text.toLowerCase();
  const protocol =
    parseUint(text, 255) ??
    (name === "all" ? 0 : name === "icmpv6" ? 58 : name === "mh" ? 135 : protocolByName(name));
  if (protocol === undefined) throw parameterProblem(`unknown protocol "${text}" specified`);
  return protocol;
}
