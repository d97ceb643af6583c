import {
  type DnsMessage,
  messageLength,
  parseRecordData,
  queryOf,
  type ResourceRecord,
  replyTo,
} from "@cnilab/dns";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decodeMessage,
  encodeMessage,
  MessageBytesError,
  receive,
} from "../src/dns/message-bytes.ts";

const LABEL = fc.stringMatching(/^[a-z0-9_-]{1,12}$/);
const NAME = fc.oneof(
  fc.constantFrom(".", "a.test.", "b.a.test.", "c.b.a.test.", "svc.cluster.local."),
  fc.array(LABEL, { minLength: 1, maxLength: 5 }).map((labels) => `${labels.join(".")}.`),
);
const U16 = fc.nat(0xffff).map(String);
const BYTE = fc.nat(0xff).map(String);
const STRING = fc.stringMatching(/^[ !#-[\]-~]{0,20}$/).map((text) => `"${text}"`);
const HEX = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map((bytes) => Buffer.from(bytes).toString("hex").toUpperCase());
/** Fields of each type's data. */
const DATA: Readonly<Record<string, readonly fc.Arbitrary<string>[]>> = {
  A: [fc.ipV4()],
  AAAA: [fc.ipV6()],
  NS: [NAME],
  CNAME: [NAME],
  PTR: [NAME],
  DNAME: [NAME],
  MX: [U16, NAME],
  SRV: [U16, U16, U16, NAME],
  SOA: [NAME, NAME, U16, U16, U16, U16, U16],
  TXT: [STRING, STRING],
  HINFO: [STRING, STRING],
  NAPTR: [U16, U16, STRING, STRING, STRING, NAME],
  CAA: [fc.constantFrom("0", "128"), fc.constantFrom("issue", "iodef"), STRING],
  DS: [U16, BYTE, BYTE, HEX],
  SSHFP: [fc.constant("1"), fc.constant("2"), fc.constant("AB".repeat(32))],
  TLSA: [BYTE, BYTE, BYTE, HEX],
};
const RECORD: fc.Arbitrary<ResourceRecord> = fc.oneof(
  ...Object.entries(DATA).map(([type, fields]) =>
    fc.tuple(NAME, fc.nat(100_000), ...fields).map(([name, ttl, ...words]) => {
      const parsed = parseRecordData(type, words as string[], ".");
      return {
        name: name as string,
        ttl: ttl as number,
        type,
        data: "data" in parsed ? parsed.data : "",
      };
    }),
  ),
  fc.tuple(NAME, HEX).map(([name, hex]) => ({
    name,
    ttl: 1,
    type: "TYPE65280",
    data: `\\# ${hex.length / 2} ${hex}`,
  })),
  fc
    .tuple(NAME, HEX)
    .map(([name, hex]) => ({ name, ttl: 1, type: "HTTPS", data: `\\# ${hex.length / 2} ${hex}` })),
);
const RECORDS = fc.array(RECORD, { maxLength: 6 });
const MESSAGE: fc.Arbitrary<DnsMessage> = fc
  .record({
    id: fc.nat(0xffff),
    name: NAME,
    type: fc.constantFrom("A", "SRV", "ANY", "HTTPS", "TYPE65280"),
    answer: RECORDS,
    authority: RECORDS,
    additional: RECORDS,
    rcode: fc.constantFrom("NOERROR", "NXDOMAIN", "REFUSED", "SERVFAIL", "BADVERS"),
    flags: fc.record({
      qr: fc.constant(true),
      aa: fc.boolean(),
      tc: fc.boolean(),
      rd: fc.boolean(),
      ra: fc.boolean(),
      ad: fc.boolean(),
      cd: fc.boolean(),
    }),
    compressed: fc.boolean(),
  })
  .map(({ id, name, type, ...rest }) => ({
    ...replyTo(queryOf(id, name, type)),
    ...rest,
    rcode: rest.rcode as DnsMessage["rcode"],
    // Only EDNS has room for the codes from 16 on.
    edns: { udpSize: 1232, do: false, version: 0 },
  }));

describe("messages as bytes", () => {
  test("come back as they were, and are as long as the model says", () => {
    fc.assert(
      fc.property(MESSAGE, (message) => {
        const bytes = encodeMessage(message);
        expect(bytes.length).toBe(messageLength(message));
        const { compressed: _, ...plain } = message;
        expect(decodeMessage(bytes)).toEqual(plain);
      }),
      { numRuns: 500 },
    );
  });

  test.each(["0:0:1::", "::1", "2001:db8::1:0:0:1", "1:0:0:2::"])(
    "keep the address %s as RFC 5952 writes it",
    (data) => {
      const query = queryOf(1, "web.", "AAAA");
      const answer = [{ name: "web.", ttl: 5, type: "AAAA" as const, data }];
      const bytes = encodeMessage({ ...replyTo(query), rcode: "NOERROR", answer });
      expect(decodeMessage(bytes).answer).toEqual(answer);
    },
  );

  test("of any kind lead to a message, a rejection or silence", () => {
    const query = encodeMessage(queryOf(1, "a.test.", "A", { udpSize: 1232 }));
    const spoiled = fc
      .tuple(
        fc.array(fc.tuple(fc.nat(query.length - 1), fc.nat(255)), { maxLength: 6 }),
        fc.nat(query.length),
      )
      .map(([changes, length]) => {
        const bytes = Uint8Array.from(query);
        for (const [at, value] of changes) bytes[at] = value;
        return bytes.subarray(0, length);
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), spoiled), (bytes) => {
        const received = receive(bytes);
        if (received.kind === "query")
          expect(received.query.question).toHaveLength(bytes.length > 12 ? 1 : 0);
        if (received.kind === "reject") expect(received.reply.length).toBe(12);
        try {
          decodeMessage(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(MessageBytesError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
