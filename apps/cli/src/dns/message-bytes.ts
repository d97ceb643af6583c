import {
  type DnsFlags,
  type DnsMessage,
  dataWords,
  fqdn,
  RCODES,
  type Rcode,
  type ResourceRecord,
  typeName,
  typeNumber,
} from "@cnilab/dns/server";
import { formatIp, parseIp } from "@cnilab/net";
import dnsPacket from "dns-packet";
import { compressNames } from "./compress-names.ts";

/** Where the flags stand in the header's second word, RFC 1035 §4.1.1. */
const FLAG_BITS: readonly (readonly [keyof DnsFlags, number])[] = [
  ["aa", 1 << 10],
  ["tc", 1 << 9],
  ["rd", 1 << 8],
  ["ra", 1 << 7],
  ["ad", 1 << 5],
  ["cd", 1 << 4],
];
const QR = 1 << 15;
const OPCODES: readonly string[] = ["QUERY", "IQUERY", "STATUS", "OPCODE3", "NOTIFY", "UPDATE"];
const CLASSES: Readonly<Record<string, number>> = { IN: 1, CS: 2, CH: 3, HS: 4, ANY: 255 };
const HEADER = 12;
const BADVERS = 16;
/** A record as dns-packet has it: its types are of unions that its own code does not tell apart. */
type PacketRecord = Record<string, unknown> & {
  name: string;
  type: string;
  ttl?: number;
  data?: unknown;
};

/** Bytes that are no DNS message. */
export class MessageBytesError extends Error {
  override readonly name = "MessageBytesError";
}

export function encodeMessage(message: DnsMessage): Uint8Array {
  const { id, flags, rcode } = message;
  const bits = FLAG_BITS.reduce((sum, [flag, bit]) => (flags[flag] === true ? sum | bit : sum), 0);
  const code = rcode === "BADVERS" ? BADVERS : RCODES.indexOf(rcode);
  const opcode = Math.max(OPCODES.indexOf(message.opcode ?? "QUERY"), 0);
  const packet = {
    id,
    type: flags.qr ? "response" : "query",
    flags: bits | (opcode << 11) | (code & 15),
    questions: message.question.map(({ name, type, class: dnsClass }) => ({
      name: packetName(name),
      type: packetType(type),
      class: packetClass(dnsClass),
    })),
    answers: message.answer.map(packetRecord),
    authorities: message.authority.map(packetRecord),
    additionals: [...message.additional.map(packetRecord), ...packetOpt(message, code)],
  };
  const bytes = dnsPacket.encode(packet as unknown as dnsPacket.Packet);
  return message.compressed === true ? compressNames(bytes) : bytes;
}

function packetOpt({ edns }: DnsMessage, code: number): PacketRecord[] {
  if (edns === undefined) return [];
  const flags = edns.do === true ? 0x8000 : 0;
  return [
    {
      name: ".",
      type: "OPT",
      udpPayloadSize: edns.udpSize,
      extendedRcode: code >> 4,
      ednsVersion: edns.version ?? 0,
      flags,
      options: [],
    },
  ];
}

function packetName(name: string): string {
  return name === "." ? "." : name.replace(/\.$/, "");
}

function packetType(type: string): string {
  return dnsPacketKnows(type) ? type : `UNKNOWN_${typeNumber(type) ?? 0}`;
}

const PACKET_TYPES = new Set(
  "A AAAA NS CNAME PTR DNAME MX SRV SOA TXT HINFO NAPTR CAA DS SSHFP TLSA ANY AXFR IXFR".split(" "),
);

function dnsPacketKnows(type: string): boolean {
  return PACKET_TYPES.has(type);
}

function packetClass(dnsClass = "IN"): string {
  const number = CLASSES[dnsClass] ?? Number(/^CLASS(\d+)$/.exec(dnsClass)?.[1] ?? 1);
  return ["", "IN", "CS", "CH", "HS"][number] || (number === 255 ? "ANY" : `UNKNOWN_${number}`);
}

function packetRecord({ name, ttl, type, data, class: dnsClass }: ResourceRecord): PacketRecord {
  const words = dataWords(data);
  const generic = words[0] === "\\#" || !dnsPacketKnows(type);
  return {
    name: packetName(name),
    ttl,
    class: packetClass(dnsClass),
    type: generic ? `UNKNOWN_${typeNumber(type) ?? 0}` : type,
    data: generic ? Buffer.from(words.slice(2).join(""), "hex") : packetData(type, words),
  };
}

function packetData(type: string, words: readonly string[]): unknown {
  const text = (i: number): string => words[i] ?? "";
  const number = (i: number): number => Number(text(i));
  const name = (i: number): string => packetName(text(i));
  const rest = (i: number): Buffer => Buffer.from(words.slice(i).join(""), "hex");
  switch (type) {
    case "NS":
    case "CNAME":
    case "PTR":
    case "DNAME":
      return name(0);
    case "MX":
      return { preference: number(0), exchange: name(1) };
    case "SRV":
      return { priority: number(0), weight: number(1), port: number(2), target: name(3) };
    case "SOA":
      return {
        mname: name(0),
        rname: name(1),
        serial: number(2),
        refresh: number(3),
        retry: number(4),
        expire: number(5),
        minimum: number(6),
      };
    case "TXT":
      return words.map(stringBytes);
    case "HINFO":
      return { cpu: stringBytes(text(0)).toString(), os: stringBytes(text(1)).toString() };
    case "NAPTR":
      return {
        order: number(0),
        preference: number(1),
        flags: stringBytes(text(2)).toString(),
        services: stringBytes(text(3)).toString(),
        regexp: stringBytes(text(4)).toString(),
        replacement: name(5),
      };
    case "CAA":
      return {
        flags: number(0),
        tag: stringBytes(text(1)).toString(),
        value: stringBytes(text(2)).toString(),
      };
    case "DS":
      return { keyTag: number(0), algorithm: number(1), digestType: number(2), digest: rest(3) };
    case "SSHFP":
      return { algorithm: number(0), hash: number(1), fingerprint: text(2).toLowerCase() };
    case "TLSA":
      return {
        usage: number(0),
        selector: number(1),
        matchingType: number(2),
        certificate: rest(3),
      };
    default:
      return text(0);
  }
}

/** Bytes of a quoted string of a zone file. */
function stringBytes(word: string): Buffer {
  const text = word.startsWith('"') ? word.slice(1, -1) : word;
  const parts: Buffer[] = [];
  for (const [, escaped, char] of text.matchAll(/\\(\d{3}|.)|([^\\]+)/gsu)) {
    if (escaped === undefined) parts.push(Buffer.from(char ?? ""));
    else
      parts.push(
        /^\d{3}$/.test(escaped) ? Buffer.from([Number(escaped) & 255]) : Buffer.from(escaped),
      );
  }
  return Buffer.concat(parts);
}

/** @throws MessageBytesError */
export function decodeMessage(bytes: Uint8Array): DnsMessage {
  let packet: ReturnType<typeof dnsPacket.decode>;
  try {
    packet = dnsPacket.decode(Buffer.from(bytes));
  } catch (error) {
    throw new MessageBytesError((error as Error).message);
  }
  const word = ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
  const flags = Object.fromEntries(
    [...FLAG_BITS, ["qr", QR] as const].map(([flag, bit]) => [flag, (word & bit) !== 0]),
  ) as unknown as DnsFlags;
  const additional = (packet.additionals ?? []) as unknown as PacketRecord[];
  const opt = additional.find(({ type }) => type === "OPT");
  const code = (word & 15) | (Number(opt?.["extendedRcode"] ?? 0) << 4);
  const opcode = OPCODES[(word >> 11) & 15] ?? "QUERY";
  const rcode: Rcode = code === BADVERS ? "BADVERS" : (RCODES[code] ?? "SERVFAIL");
  const records = (list: unknown): ResourceRecord[] =>
    ((list ?? []) as PacketRecord[]).filter(({ type }) => type !== "OPT").map(recordOf);
  return {
    id: packet.id ?? 0,
    ...(opcode === "QUERY" ? {} : { opcode }),
    flags,
    rcode,
    question: ((packet.questions ?? []) as { name: string; type: string; class?: string }[]).map(
      ({ name, type, class: dnsClass }) => ({
        name: fqdn(name),
        type: typeOf(type),
        ...classOf(dnsClass),
      }),
    ),
    answer: records(packet.answers),
    authority: records(packet.authorities),
    additional: records(additional),
    ...(opt === undefined
      ? {}
      : {
          edns: {
            udpSize: Number(opt["udpPayloadSize"]),
            do: opt["flag_do"] === true,
            version: Number(opt["ednsVersion"]),
          },
        }),
  };
}

function classOf(dnsClass = "IN"): { readonly class?: string } {
  const number = /^UNKNOWN_(\d+)$/.exec(dnsClass)?.[1];
  if (number !== undefined) return { class: `CLASS${number}` };
  return dnsClass === "IN" ? {} : { class: dnsClass };
}

function typeOf(type: string): string {
  const number = /^UNKNOWN_(\d+)$/.exec(type)?.[1];
  return number === undefined ? type : typeName(Number(number));
}

function recordOf({ name, ttl = 0, type, data }: PacketRecord): ResourceRecord {
  return { name: fqdn(name), ttl, type: typeOf(type), data: presentationOf(type, data) };
}

function presentationOf(type: string, data: unknown): string {
  if (Buffer.isBuffer(data) && type !== "TXT") return hexOf(data);
  if (typeof data === "string") {
    // The library shortens the first zeros of an IPv6 address, where RFC 5952 has the longest run.
    if (type === "AAAA") return formatIp(parseIp(data));
    return type === "A" ? data : fqdn(data);
  }
  const field = (name: string): string => String((data as Record<string, unknown>)?.[name] ?? "");
  const fields = (...names: string[]): string => names.map(field).join(" ");
  const quoted = (name: string): string => JSON.stringify(field(name));
  const hex = (name: string): string =>
    Buffer.from((data as Record<string, Uint8Array>)[name] ?? [])
      .toString("hex")
      .toUpperCase();
  switch (type) {
    case "MX":
      return `${field("preference")} ${fqdn(field("exchange"))}`;
    case "SRV":
      return `${fields("priority", "weight", "port")} ${fqdn(field("target"))}`;
    case "SOA":
      return `${fqdn(field("mname"))} ${fqdn(field("rname"))} ${fields("serial", "refresh", "retry", "expire", "minimum")}`;
    case "TXT":
      return (Array.isArray(data) ? data : [data])
        .map((text) => quotedBytes(text as Buffer))
        .join(" ");
    case "HINFO":
      return `${quoted("cpu")} ${quoted("os")}`;
    case "NAPTR":
      return `${fields("order", "preference")} ${quoted("flags")} ${quoted("services")} ${quoted("regexp")} ${fqdn(field("replacement"))}`;
    case "CAA":
      return `${field("flags")} ${field("tag")} ${quoted("value")}`;
    case "DS":
      return `${fields("keyTag", "algorithm", "digestType")} ${hex("digest")}`;
    case "SSHFP":
      return `${fields("algorithm", "hash")} ${field("fingerprint").toUpperCase()}`;
    case "TLSA":
      return `${fields("usage", "selector", "matchingType")} ${hex("certificate")}`;
    default:
      // Of types whose data nothing here looks into, such as DNSKEY.
      return "\\# 0";
  }
}

function hexOf(bytes: Buffer): string {
  return bytes.length === 0
    ? "\\# 0"
    : `\\# ${bytes.length} ${bytes.toString("hex").toUpperCase()}`;
}

/** A string as zone files have it (RFC 1035 §5.1). */
function quotedBytes(bytes: Buffer): string {
  let out = "";
  for (const byte of bytes) {
    const char = String.fromCharCode(byte);
    if (char === '"' || char === "\\") out += `\\${char}`;
    else out += byte >= 32 && byte < 127 ? char : `\\${String(byte).padStart(3, "0")}`;
  }
  return `"${out}"`;
}

/** What to do with bytes that came to a server. */
export type Received =
  | { readonly kind: "query"; readonly query: DnsMessage }
  /** To be answered with these bytes: FORMERR or NOTIMP. */
  | { readonly kind: "reject"; readonly reply: Uint8Array }
  /** Not worth an answer: too short for a header, or an answer itself. */
  | { readonly kind: "ignore" };

/** Judges bytes as the server of miekg/dns does, `acceptfunc.go` and `server.go` serveDNS. */
export function receive(bytes: Uint8Array): Received {
  if (bytes.length < HEADER) return { kind: "ignore" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = view.getUint16(2);
  if ((word & QR) !== 0) return { kind: "ignore" };
  const opcode = OPCODES[(word >> 11) & 15];
  if (opcode !== "QUERY" && opcode !== "NOTIFY")
    return { kind: "reject", reply: rejection(bytes, 4) };
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) =>
    view.getUint16(at),
  ) as [number, number, number, number];
  if (questions !== 1 || answers > 1 || authorities > 1 || additionals > 2) {
    return { kind: "reject", reply: rejection(bytes, 1) };
  }
  // A header and nothing else is a message without questions, whatever it counts (msg.go unpack).
  const message = bytes.length > HEADER ? bytes : Uint8Array.from(bytes).fill(0, 4);
  try {
    return { kind: "query", query: decodeMessage(message) };
  } catch (error) {
    if (error instanceof MessageBytesError) return { kind: "reject", reply: rejection(bytes, 1) };
    throw error;
  }
}

/** The header alone, as an answer with this code. */
function rejection(bytes: Uint8Array, rcode: number): Uint8Array {
  const reply = new Uint8Array(HEADER);
  reply.set(bytes.subarray(0, 4));
  const opcode = rcode === 4 ? (bytes[2] as number) & 0x78 : 0;
  reply[2] = 0x80 | opcode | ((bytes[2] as number) & 1);
  reply[3] = rcode;
  return reply;
}
