import type { ResourceRecord } from "./message.ts";
import { isDomainName } from "./name.ts";
import { absoluteName, parseRecordData, parseTtl } from "./record-data.ts";
import { typeNumber } from "./record-types.ts";

export interface RecordDefaults {
  readonly origin: string;
  /** Of the record before, for a line that begins with a blank. */
  readonly owner?: string | undefined;
  readonly ttl?: number | undefined;
}

/**
 * One record as in a zone file, `NAME [TTL] [CLASS] TYPE DATA` with TTL and class in either order (RFC 1035 §5.1).
 * @param words of the line; an empty first word stands for a blank in place of the name
 */
export function parseRecord(
  words: readonly string[],
  { origin, owner, ttl: defaultTtl }: RecordDefaults,
): ResourceRecord | { readonly problem: string } {
  const [first = "", ...rest] = words;
  const name = first === "" ? owner : absoluteName(first, origin);
  if (name === undefined) return { problem: "a record without a name has none before it" };
  if (!isDomainName(name)) return { problem: `"${first}" is not a name` };
  let ttl = defaultTtl;
  for (;;) {
    const word = rest[0];
    if (word === undefined) return { problem: "a record has no type" };
    const seconds = parseTtl(word);
    if (seconds !== undefined) ttl = seconds;
    else if (/^(IN|CH|HS|CS)$/i.test(word)) {
      if (!/^IN$/i.test(word)) return { problem: `class ${word} is not served, only IN` };
    } else break;
    rest.shift();
  }
  const type = (rest.shift() as string).toUpperCase();
  if (typeNumber(type) === undefined) return { problem: `"${type}" is not a record type` };
  const parsed = parseRecordData(type, rest, origin);
  if ("problem" in parsed) return parsed;
  // 3600 is miekg/dns' default, where neither $TTL nor a record says one.
  return { name, ttl: ttl ?? 3600, type, data: parsed.data };
}
