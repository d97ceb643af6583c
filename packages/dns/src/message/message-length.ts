import type { DnsMessage, ResourceRecord } from "./message.ts";
import { nameLength, nextLabel } from "./name.ts";
import { dataLength } from "./record-data.ts";

const HEADER = 12;
/** Type, class, TTL and the length of the data. */
const RECORD_FIXED = 10;
/** An OPT record without options: the root's name and the fixed part. */
const OPT = 1 + RECORD_FIXED;
/** Where a pointer can still point to: it has 14 bits. */
const MAX_POINTER = 0x4000;

/** Names that stand at a place where a pointer can refer to them. */
class Compression {
  readonly #seen = new Set<string>();

  /** Bytes that the name takes at this offset; it can be pointed to from then on. */
  add(name: string, offset: number): number {
    for (let from = 0; from < name.length; from = nextLabel(name, from)) {
      const rest = name.slice(from);
      if (rest === ".") break;
      if (this.#seen.has(rest)) return wireOffset(name, from) + 2;
      if (offset + from < MAX_POINTER) this.#seen.add(rest);
    }
    return nameLength(name);
  }

  /** Bytes of a name that must not be shortened itself, but can be pointed to. */
  addWhole(name: string, offset: number): number {
    this.add(name, offset);
    return nameLength(name);
  }
}

/** Bytes before the label that begins at `from`. */
function wireOffset(name: string, from: number): number {
  return from === 0 ? 0 : nameLength(name.slice(0, from)) - 1;
}

/** Bytes of the message on the wire. */
export function messageLength(message: DnsMessage): number {
  const compression = message.compressed === true ? new Compression() : undefined;
  let bytes = HEADER;
  for (const { name } of message.question) bytes += nameBytes(name, bytes, compression) + 4;
  for (const record of message.answer) bytes += recordLength(record, bytes, compression);
  for (const record of message.authority) bytes += recordLength(record, bytes, compression);
  for (const record of message.additional) bytes += recordLength(record, bytes, compression);
  return message.edns === undefined ? bytes : bytes + OPT;
}

function nameBytes(name: string, offset: number, compression: Compression | undefined): number {
  return compression === undefined ? nameLength(name) : compression.add(name, offset);
}

function recordLength(record: ResourceRecord, offset: number, compression?: Compression): number {
  if (compression === undefined) {
    return nameLength(record.name) + RECORD_FIXED + dataLength(record.type, record.data);
  }
  const at = offset + compression.add(record.name, offset) + RECORD_FIXED;
  const bytes = dataLength(
    record.type,
    record.data,
    (name) => compression.add(name, at),
    (name) => compression.addWhole(name, at),
  );
  return at + bytes - offset;
}

/**
 * Makes a message fit into `size` bytes, as CoreDNS does (miekg/dns `msg_truncate.go` Truncate): as it is where it fits; else
 * with names shortened by pointers and as many records as there is room for, and TC set if some are left out.
 */
export function truncate(message: DnsMessage, size: number): DnsMessage {
  const limit = Math.max(size, 512);
  if (messageLength(message) <= limit) return message;
  const room = limit - (message.edns === undefined ? 0 : OPT);
  const compression = new Compression();
  let bytes = HEADER;
  for (const { name } of message.question) bytes += compression.add(name, bytes) + 4;
  const fitting = (records: readonly ResourceRecord[]): readonly ResourceRecord[] => {
    if (bytes >= room) return [];
    for (let i = 0; i < records.length; i++) {
      bytes += recordLength(records[i] as ResourceRecord, bytes, compression);
      if (bytes > room) {
        // Nothing shorter may follow in its place.
        bytes = room;
        return records.slice(0, i);
      }
    }
    return records;
  };
  const answer = fitting(message.answer);
  const authority = fitting(message.authority);
  const additional = fitting(message.additional);
  const cut =
    answer.length < message.answer.length ||
    authority.length < message.authority.length ||
    additional.length < message.additional.length;
  return {
    ...message,
    flags: { ...message.flags, tc: message.flags.tc || cut },
    answer,
    authority,
    additional,
    compressed: true,
  };
}
