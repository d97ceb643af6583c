// Domain names in presentation format (RFC 1035 §5.1): absolute names end in a dot, the root is ".", a dot within a label
// is written "\." and any byte may be written "\DDD".

import { bigIntToIpv6, formatIp, type IpAddress, ipv6ToBigInt, tryParseIp } from "@cnilab/net";

/** Bytes of a name and of a label on the wire at most, RFC 1035 §2.3.4. */
const MAX_NAME = 255;
const MAX_LABEL = 63;

/** The name with its dot at the end. */
export function fqdn(name: string): string {
  return endsInDot(name) ? name : `${name}.`;
}

/** Absolute and in lower case, which is how names are compared. */
export function normalizeName(name: string): string {
  return fqdn(name).toLowerCase();
}

/** Whether the name ends in a dot that separates labels, not in an escaped one. */
function endsInDot(name: string): boolean {
  if (!name.endsWith(".")) return false;
  let backslashes = 0;
  for (let i = name.length - 2; i >= 0 && name[i] === "\\"; i--) backslashes++;
  return backslashes % 2 === 0;
}

/** The labels from the left, without the root's. */
export function labelsOf(name: string): string[] {
  if (name === "." || name === "") return [];
  if (!name.includes("\\")) {
    const labels = name.split(".");
    if (labels.at(-1) === "") labels.pop();
    return labels;
  }
  const labels: string[] = [];
  let start = 0;
  for (let i = 0; i < name.length; i++) {
    if (name[i] === "\\") i++;
    else if (name[i] === ".") {
      labels.push(name.slice(start, i));
      start = i + 1;
    }
  }
  if (start < name.length) labels.push(name.slice(start));
  return labels;
}

/** Where the next label begins, or the name's length after the last one. */
export function nextLabel(name: string, from: number): number {
  for (let i = from; i < name.length; i++) {
    if (name[i] === "\\") i++;
    else if (name[i] === ".") return i + 1;
  }
  return name.length;
}

/** Whether `name` is `zone` or below it; both absolute and in lower case. */
export function isSubdomain(zone: string, name: string): boolean {
  if (zone === ".") return true;
  if (!name.endsWith(zone)) return false;
  const at = name.length - zone.length;
  if (at === 0) return true;
  if (name[at - 1] !== ".") return false;
  // The dot before the zone may be an escaped one, which is part of a label.
  return at < 2 || name[at - 2] !== "\\" || endsInDot(name.slice(0, at));
}

/** The longest of `zones` that the name is in, if any. */
export function longestZone(zones: readonly string[], name: string): string | undefined {
  let longest: string | undefined;
  for (const zone of zones) {
    if ((longest === undefined || zone.length > longest.length) && isSubdomain(zone, name)) {
      longest = zone;
    }
  }
  return longest;
}

/** What stands before the zone, without the dot between them; `name` must be in the zone. */
export function relativeTo(zone: string, name: string): string {
  if (zone === ".") return name.slice(0, -1);
  return name.length === zone.length ? "" : name.slice(0, name.length - zone.length - 1);
}

/** Labels and names put together to an absolute name. */
export function joinNames(...parts: readonly string[]): string {
  const kept = parts.filter((part) => part !== "" && part !== ".");
  return kept.length === 0 ? "." : fqdn(kept.join("."));
}

/** Bytes of one label on the wire, without its length byte. */
function labelLength(label: string): number {
  if (!label.includes("\\")) return asciiLength(label);
  let bytes = 0;
  for (let i = 0; i < label.length; i++) {
    if (label[i] === "\\") i += /^[0-9]{3}$/.test(label.slice(i + 1, i + 4)) ? 3 : 1;
    else if (label.charCodeAt(i) > 127) {
      bytes += utf8Length(label.codePointAt(i) as number) - 1;
      if ((label.codePointAt(i) as number) > 0xffff) i++;
    }
    bytes++;
  }
  return bytes;
}

function asciiLength(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.codePointAt(i) as number;
    bytes += utf8Length(code);
    if (code > 0xffff) i++;
  }
  return bytes;
}

function utf8Length(code: number): number {
  if (code < 0x80) return 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}

/** Bytes of the name on the wire, uncompressed. */
export function nameLength(name: string): number {
  if (name === "." || name === "") return 1;
  // Without escapes each dot is a length byte, and the first label's length byte is the root's.
  if (!name.includes("\\")) return asciiLength(name) + (endsInDot(name) ? 1 : 2);
  return labelsOf(name).reduce((sum, label) => sum + 1 + labelLength(label), 1);
}

/** Whether the text can be a name on the wire. */
export function isDomainName(text: string): boolean {
  return domainNameProblem(text) === undefined;
}

/** Why the text cannot be a name on the wire; `undefined` where it can. */
export function domainNameProblem(text: string): string | undefined {
  if (text === ".") return undefined;
  if (text === "") return "it is empty";
  if (/(^|[^\\])\.\./.test(text) || text.startsWith(".")) return EMPTY_LABEL;
  if (/\\$/.test(text) && !/\\\\$/.test(text)) return "it ends in a backslash";
  for (const label of labelsOf(text)) {
    if (label === "") return EMPTY_LABEL;
    const bytes = labelLength(label);
    if (bytes > MAX_LABEL) return `it has a label of ${bytes} bytes (${MAX_LABEL} at most)`;
  }
  const bytes = nameLength(text);
  return bytes > MAX_NAME ? `it takes ${bytes} bytes (${MAX_NAME} at most)` : undefined;
}

const EMPTY_LABEL = "it has an empty label";

/** The name that PTR records of an address have. */
export function reverseName(address: IpAddress): string {
  if (typeof address === "number")
    return `${formatIp(address).split(".").reverse().join(".")}.in-addr.arpa.`;
  return `${[...hexDigits(address)].reverse().join(".")}.ip6.arpa.`;
}

function hexDigits(address: Exclude<IpAddress, number>): string {
  return ipv6ToBigInt(address).toString(16).padStart(32, "0");
}

export function isReverseName(name: string): boolean {
  return name.endsWith(".in-addr.arpa.") || name.endsWith(".ip6.arpa.");
}

/** The address that a whole reverse name (in lower case) stands for. */
export function addressOfReverseName(name: string): IpAddress | undefined {
  if (name.endsWith(".in-addr.arpa.")) {
    const digits = name.slice(0, -".in-addr.arpa.".length).split(".");
    return digits.length === 4 ? tryParseIp(digits.reverse().join(".")) : undefined;
  }
  if (!name.endsWith(".ip6.arpa.")) return undefined;
  const digits = name.slice(0, -".ip6.arpa.".length).split(".");
  if (digits.length !== 32 || !digits.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined;
  return bigIntToIpv6(BigInt(`0x${digits.reverse().join("")}`));
}

/**
 * The reverse zones of a range: one where its length ends at an octet (IPv4) or a nibble (IPv6), else as many as it takes.
 * @param address the range's first address
 * @param length of its prefix
 */
export function reverseZones(address: IpAddress, length: number): string[] {
  const v4 = typeof address === "number";
  const unit = v4 ? 8 : 4;
  const kept = Math.ceil(length / unit);
  const count = 2 ** (kept * unit - length);
  const bits = v4 ? 32 : 128;
  const step = 1n << BigInt(bits - kept * unit);
  const first = v4 ? BigInt(address) : ipv6ToBigInt(address);
  return Array.from({ length: count }, (_, i) => {
    const value = first + step * BigInt(i);
    const name = reverseName(v4 ? Number(value) : bigIntToIpv6(value));
    let from = 0;
    for (let dropped = 0; dropped < bits / unit - kept; dropped++) from = nextLabel(name, from);
    return name.slice(from);
  });
}
