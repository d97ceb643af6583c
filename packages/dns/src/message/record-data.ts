import { parseIpv4, parseIpv6 } from "@cnilab/net";
import { fqdn, isDomainName, nameLength } from "./name.ts";

/** What a field of a record's data is, and how long it is on the wire. */
type Field =
  /** A name; in `shared` ones servers may use pointers (RFC 3597 §4: only in types of RFC 1035). */
  | "name"
  | "sharedName"
  | "u8"
  | "u16"
  | "u32"
  | "ipv4"
  | "ipv6"
  | "string"
  | "strings"
  /** As a string, and written without quotes. */
  | "tag"
  /** All that follows as one string without length byte. */
  | "rest"
  | "hex";

const FIELDS: Readonly<Record<string, readonly Field[]>> = {
  A: ["ipv4"],
  AAAA: ["ipv6"],
  NS: ["sharedName"],
  CNAME: ["sharedName"],
  PTR: ["sharedName"],
  DNAME: ["name"],
  MX: ["u16", "sharedName"],
  SRV: ["u16", "u16", "u16", "name"],
  SOA: ["sharedName", "sharedName", "u32", "u32", "u32", "u32", "u32"],
  TXT: ["strings"],
  SPF: ["strings"],
  HINFO: ["string", "string"],
  NAPTR: ["u16", "u16", "string", "string", "string", "name"],
  CAA: ["u8", "tag", "rest"],
  DS: ["u16", "u8", "u8", "hex"],
  SSHFP: ["u8", "u8", "hex"],
  TLSA: ["u8", "u8", "u8", "hex"],
};
const LIMITS: Readonly<Record<string, number>> = { u8: 0xff, u16: 0xffff, u32: 0xffffffff };

/** Record types whose data is understood; of others only RFC 3597's `\# LENGTH HEX`. */
export function knowsData(type: string): boolean {
  return Object.hasOwn(FIELDS, type);
}

/**
 * The data of a record out of a zone file's words, in canonical presentation: names absolute, strings quoted.
 * @param words with their quotes
 * @param origin what names without a dot at the end are relative to
 * @returns the data, or what is wrong with it
 */
export function parseRecordData(
  type: string,
  words: readonly string[],
  origin: string,
): { readonly data: string } | { readonly problem: string } {
  if (words[0] === "\\#") return genericData(words.slice(1));
  const fields = FIELDS[type];
  if (fields === undefined) {
    return { problem: `data of type ${type} is not understood; write it as "\\# LENGTH HEX"` };
  }
  const out: string[] = [];
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i] as Field;
    const rest = words.slice(i);
    if (rest.length === 0) return { problem: `${type} has ${words.length} fields, too few` };
    if (field === "strings") {
      if (rest.some((word) => stringLength(word) > 256)) {
        return { problem: "a string is longer than 255 bytes" };
      }
      const odd = rest.find((word) => !isString(word));
      if (odd !== undefined) return { problem: `"${odd}" ends in a backslash` };
      return { data: [...out, ...rest.map(quoted)].join(" ") };
    }
    if (field === "hex") {
      const hex = rest.join("").toUpperCase();
      if (!/^([0-9A-F]{2})+$/.test(hex))
        return { problem: `"${rest.join(" ")}" is not hexadecimal` };
      return { data: [...out, hex].join(" ") };
    }
    const parsed = parseField(field, rest[0] as string, origin);
    if (parsed === undefined) return { problem: `"${rest[0]}" is not ${DESCRIPTIONS[field]}` };
    out.push(parsed);
  }
  if (words.length > fields.length)
    return { problem: `${type} has ${words.length} fields, too many` };
  return { data: out.join(" ") };
}

const DESCRIPTIONS: Readonly<Record<Field, string>> = {
  name: "a name",
  sharedName: "a name",
  u8: "a number up to 255",
  u16: "a number up to 65535",
  u32: "a number of 32 bits",
  ipv4: "an IPv4 address",
  ipv6: "an IPv6 address",
  string: "a string of up to 255 bytes",
  strings: "a string of up to 255 bytes",
  tag: "a word of letters and digits",
  rest: "a string",
  hex: "hexadecimal",
};

function parseField(field: Field, word: string, origin: string): string | undefined {
  switch (field) {
    case "name":
    case "sharedName": {
      const name = absoluteName(word, origin);
      return isDomainName(name) ? name : undefined;
    }
    case "u8":
    case "u16":
    case "u32": {
      const value =
        field === "u32" ? parseTtl(word) : /^[0-9]+$/.test(word) ? Number(word) : undefined;
      return value !== undefined && value <= (LIMITS[field] as number) ? String(value) : undefined;
    }
    case "ipv4":
      return parseIpv4(word) === undefined ? undefined : word;
    case "ipv6":
      return word.includes(":") ? parseIpv6(word)?.toString() : undefined;
    case "tag":
      return /^[A-Za-z0-9]+$/.test(word) ? word : undefined;
    case "string":
      return isString(word) && stringLength(word) <= 256 ? quoted(word) : undefined;
    default:
      return isString(word) ? quoted(word) : undefined;
  }
}

function genericData(
  words: readonly string[],
): { readonly data: string } | { readonly problem: string } {
  const hex = words.slice(1).join("").toUpperCase();
  if (!/^[0-9]+$/.test(words[0] ?? "") || !/^([0-9A-F]{2})*$/.test(hex)) {
    return { problem: `"\\# ${words.join(" ")}" is not a length and hexadecimal data` };
  }
  if (hex.length !== 2 * Number(words[0])) return { problem: `the data is not ${words[0]} bytes` };
  return { data: hex === "" ? "\\# 0" : `\\# ${words[0]} ${hex}` };
}

/** `@` is the origin, a name without a dot at the end is relative to it. */
export function absoluteName(word: string, origin: string): string {
  if (word === "@") return origin;
  if (fqdn(word) === word) return word;
  return origin === "." ? `${word}.` : `${word}.${origin}`;
}

/** Seconds, also as BIND writes them: `1h30m`, `2d`, `1w`. */
export function parseTtl(text: string): number | undefined {
  if (/^[0-9]+$/.test(text)) return Number(text) <= 0xffffffff ? Number(text) : undefined;
  if (!/^([0-9]+[smhdw])+$/i.test(text)) return undefined;
  const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
  let seconds = 0;
  for (const [, count, unit] of text.matchAll(/([0-9]+)([smhdw])/gi)) {
    seconds += Number(count) * (units[(unit as string).toLowerCase()] as number);
  }
  return seconds <= 0xffffffff ? seconds : undefined;
}

function quoted(word: string): string {
  if (isQuoted(word)) return word;
  return `"${word.replace(/\\.|"/gs, (part) => (part === '"' ? '\\"' : part))}"`;
}

function isQuoted(word: string): boolean {
  return /^"(?:[^"\\]|\\.)*"$/s.test(word);
}

/** Whether a word can be a string: a backslash at its end would take the quote after it away. */
function isString(word: string): boolean {
  return isQuoted(word) || !/(^|[^\\])(\\\\)*\\$/.test(word);
}

/** Bytes of a string on the wire, with its length byte. */
function stringLength(word: string): number {
  const text = isQuoted(word) ? word.slice(1, -1) : word;
  let bytes = 1;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\") i += /^[0-9]{3}$/.test(text.slice(i + 1, i + 4)) ? 3 : 1;
    else if (text.charCodeAt(i) > 127) bytes += text.charCodeAt(i) > 0x7ff ? 2 : 1;
    bytes++;
  }
  return bytes;
}

/** The words of data in presentation format; quoted strings keep their quotes and blanks. */
export function dataWords(data: string): string[] {
  if (!data.includes('"')) return data.split(" ");
  return data.match(/"(?:[^"\\]|\\.)*"|\S+/gs) ?? [];
}

/**
 * Bytes of the data on the wire.
 * @param shared how long a name is that may be a pointer; without it no name is
 * @param whole how long a name is that may not
 */
export function dataLength(
  type: string,
  data: string,
  shared: (name: string) => number = nameLength,
  whole: (name: string) => number = nameLength,
): number {
  // The most frequent ones, without taking them apart.
  if (type === "A") return 4;
  if (type === "AAAA") return 16;
  const words = dataWords(data);
  if (words[0] === "\\#") return Number(words[1]);
  let bytes = 0;
  const fields = FIELDS[type];
  if (fields === undefined) return data.length;
  fields.forEach((field, i) => {
    const word = words[i] ?? "";
    if (field === "name") bytes += whole(word);
    else if (field === "sharedName") bytes += shared(word);
    else if (field === "u8") bytes += 1;
    else if (field === "u16") bytes += 2;
    else if (field === "u32") bytes += 4;
    else if (field === "ipv4") bytes += 4;
    else if (field === "ipv6") bytes += 16;
    else if (field === "string" || field === "tag") bytes += stringLength(word);
    else if (field === "strings") for (const each of words.slice(i)) bytes += stringLength(each);
    else if (field === "rest") bytes += stringLength(word) - 1;
    else bytes += words.slice(i).join("").length / 2;
  });
  return bytes;
}

/** Where the name that a record points to stands among the words of its data, and that name. */
export function targetOf(type: string, data: string): string | undefined {
  const at = TARGETS[type];
  return at === undefined ? undefined : dataWords(data)[at];
}

/** The data with another name to point to. */
export function withTarget(type: string, data: string, target: string): string {
  const at = TARGETS[type];
  if (at === undefined) return data;
  const words = dataWords(data);
  words[at] = target;
  return words.join(" ");
}

const TARGETS: Readonly<Record<string, number>> = {
  SRV: 3,
  MX: 1,
  CNAME: 0,
  NS: 0,
  DNAME: 0,
  NAPTR: 5,
  SOA: 0,
  PTR: 0,
};
