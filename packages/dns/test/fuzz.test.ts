// Whatever users and the network hand in: an answer or one clear error, never a crash or a hang.
import { InputError } from "@cnilab/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  dataWords,
  isDomainName,
  labelsOf,
  messageLength,
  parseRecordData,
  parseResolvConf,
  queryOf,
  type ResourceRecord,
  replyTo,
  truncate,
} from "../src/index.ts";
import { parseZoneFile } from "../src/zone/zone-file.ts";
import { TestServer } from "./ask.ts";

const COREFILE_WORDS = [
  ".",
  ".:53",
  "{",
  "}",
  "\n",
  "\n",
  "\n",
  "(s)",
  "import",
  "s",
  "kubernetes",
  "cluster.local",
  "in-addr.arpa",
  "10.0.0.0/9",
  "pods",
  "insecure",
  "verified",
  "fallthrough",
  "ttl",
  "30",
  "-1",
  "cache",
  "success",
  "disable",
  "forward",
  "127.0.0.1:53",
  "max_fails",
  "hosts",
  "10.0.0.1",
  "name",
  "template",
  "ANY",
  "IN",
  "A",
  "answer",
  '"{{ .Name }} 60 IN A 1.2.3.4"',
  '"{{"',
  "match",
  "(",
  "(.*)",
  "rewrite",
  "stop",
  "exact",
  "{1}",
  "autopath",
  "@kubernetes",
  "file",
  "zone",
  "bind",
  "errors",
  "log",
  "loop",
  "loadbalance",
  "minimal",
  '"',
  "#",
  ",",
  "{$HOME}",
  "é",
  "serve_stale",
  "1h",
  "prefer",
  "policy",
  "random",
  "health",
  "whoami",
  "example.org:0",
  "a..b",
];
const COREFILE = fc
  .array(fc.constantFrom(...COREFILE_WORDS), { maxLength: 40 })
  .map((words) => words.join(" "));
/** More often one that can be read: plugins with arguments of their own, in one block. */
const BLOCK = fc
  .array(
    fc.tuple(
      fc.constantFrom(
        "kubernetes",
        "cache",
        "forward . 127.0.0.1:53",
        "hosts",
        "rewrite",
        "template IN A",
        "log",
        "errors",
        "autopath",
        "loadbalance",
        "bind 127.0.0.1",
      ),
      fc.array(fc.constantFrom(...COREFILE_WORDS.filter((word) => !/[{}\n"(]/.test(word))), {
        maxLength: 4,
      }),
    ),
    { maxLength: 4 },
  )
  .map((uses) => `. {\n${uses.map(([name, args]) => [name, ...args].join(" ")).join("\n")}\n}`);
const NAME = fc.oneof(
  fc.constantFrom(
    ".",
    "cluster.local.",
    "a.b.svc.cluster.local.",
    "1.0.0.10.in-addr.arpa.",
    "x\\.y.test.",
    "\\032.test.",
    "*.test.",
    "_._.test.",
  ),
  fc
    .array(fc.stringMatching(/^[a-zA-Z0-9_*-]{1,20}$/), { minLength: 1, maxLength: 8 })
    .map((labels) => `${labels.join(".")}.`),
  fc.string({ maxLength: 40 }),
);
const TYPE = fc.constantFrom(
  "A",
  "AAAA",
  "SRV",
  "TXT",
  "PTR",
  "CNAME",
  "SOA",
  "NS",
  "MX",
  "ANY",
  "DS",
  "HINFO",
  "AXFR",
  "TYPE65280",
);
const OBJECTS = `
{kind: Namespace, apiVersion: v1, metadata: {name: b}}
---
{kind: Service, apiVersion: v1, metadata: {name: a, namespace: b}, spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}}
---
{kind: Service, apiVersion: v1, metadata: {name: e, namespace: b}, spec: {type: ExternalName, externalName: e.test}}
`;

describe("fuzzing", () => {
  test("Corefiles: an answer or an error that says where", () => {
    fc.assert(
      fc.property(fc.oneof(COREFILE, BLOCK, fc.string()), NAME, TYPE, (corefile, name, type) => {
        let server: TestServer;
        try {
          server = new TestServer(corefile, OBJECTS, {
            files: { zone: "@ 1 IN SOA a b 1 1 1 1 1", s: "errors" },
          });
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
          const { message, where } = error as InputError;
          expect(where).toMatch(/^\S+(:\d+)?$/);
          expect(message.length).toBeGreaterThan(where.length + 5);
          return;
        }
        // Its own port is the only upstream: without an answer, as else every other case is a circle.
        server.silent.add(53);
        for (const { port } of server.dns.listeners) {
          const answer = server.ask(name, type, { port });
          if (answer !== undefined) expect(answer.flags.qr).toBe(true);
        }
        server.dns.close();
      }),
      { numRuns: 1500 },
    );
  });

  test("questions: every one is answered, within the size that the client takes", () => {
    const server = new TestServer(
      `. {
  cache 30
  rewrite name substring svc svc
  template IN ANY test {
    match "^(.*)[.]test[.]$"
    answer "{{ .Name }} 60 IN TXT \\"{{ index .Match 1 }}\\""
    fallthrough
  }
  autopath @kubernetes
  kubernetes cluster.local in-addr.arpa {
    pods verified
    fallthrough
    zonal
  }
  loadbalance
}`,
      OBJECTS,
    );
    fc.assert(
      fc.property(NAME, TYPE, fc.option(fc.nat(4096), { nil: undefined }), (name, type, edns) => {
        const answer = server.ask(name, type, edns === undefined ? {} : { edns });
        expect(answer?.question[0]).toEqual({ name, type });
        if (answer === undefined) return;
        expect(messageLength(answer)).toBeLessThanOrEqual(
          Math.max(edns ?? 0, 512) + name.length * 8,
        );
      }),
      { numRuns: 1000 },
    );
  });

  test("zone files: records, or an error with file and line", () => {
    const word = fc.constantFrom(
      "@",
      "a",
      "A",
      "IN",
      "60",
      "1h",
      "SOA",
      "NS",
      "TXT",
      '"x y"',
      '"',
      "(",
      ")",
      ";",
      "$TTL",
      "$ORIGIN",
      "$INCLUDE",
      "\\",
      "10.0.0.1",
      "::1",
      "MX",
      "SRV",
      "0",
      "b.c.",
      "TYPE1",
      "\\#",
      "4",
      "0a000001",
      " ",
      "\n",
      "\n",
      "\t",
    );
    const text = fc.oneof(
      fc.array(word, { maxLength: 30 }).map((words) => words.join(" ")),
      fc.string(),
    );
    fc.assert(
      fc.property(text, (zone) => {
        try {
          for (const record of parseZoneFile(zone, "test.", "zone", () => zone)) {
            expect(isDomainName(record.name)).toBe(true);
            expect(dataWords(record.data).length).toBeGreaterThan(0);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
          expect((error as InputError).where).toMatch(/^.+:\d+$/s);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("servers that ask each other in a circle: an answer in the end", () => {
    const server = new TestServer(
      ".:53 {\nforward . 127.0.0.1:54\n}\n.:54 {\nforward . 127.0.0.1\n}",
    );
    expect(server.line("a.test.")).toBe("SERVFAIL no-aa");
    server.dns.close();
  });

  test("resolv.conf: anything can be read", () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.constantFrom("nameserver ", "search ", "options ", "domain "),
        (text, keyword) => {
          const conf = parseResolvConf(`${keyword}${text}`);
          expect(conf.options.every(({ name }) => typeof name === "string")).toBe(true);
        },
      ),
    );
  });

  test("names: labels put together are the name again", () => {
    fc.assert(
      fc.property(NAME, (name) => {
        const labels = labelsOf(name);
        if (isDomainName(name) && name !== ".")
          expect(`${labels.join(".")}.`).toBe(name.endsWith(".") ? name : `${name}.`);
      }),
    );
  });

  test("what is cut fits, and is no longer than it was", () => {
    const record = fc.record({
      name: fc.constantFrom("a.test.", "b.a.test.", "c.d.e.f.test."),
      ttl: fc.nat(100),
      type: fc.constant("A"),
      data: fc.constant("10.0.0.1"),
    }) as fc.Arbitrary<ResourceRecord>;
    const records = fc.array(record, { maxLength: 60 });
    fc.assert(
      fc.property(
        records,
        records,
        records,
        fc.integer({ min: 512, max: 1500 }),
        fc.boolean(),
        (answer, authority, additional, size, edns) => {
          const message = {
            ...replyTo(queryOf(1, "b.a.test.", "A")),
            answer,
            authority,
            additional,
            ...(edns ? { edns: { udpSize: size } } : {}),
          };
          const cut = truncate(message, size);
          expect(messageLength(cut)).toBeLessThanOrEqual(size);
          const all =
            cut.answer.length === answer.length &&
            cut.authority.length === authority.length &&
            cut.additional.length === additional.length;
          expect(cut.flags.tc).toBe(!all);
          if (messageLength(message) <= size) expect(cut).toBe(message);
          expect(messageLength({ ...message, compressed: true })).toBeLessThanOrEqual(
            messageLength(message),
          );
        },
      ),
    );
  });

  test("data of records: what is read can be read again", () => {
    const type = fc.constantFrom(
      "A",
      "AAAA",
      "MX",
      "SRV",
      "TXT",
      "SOA",
      "CAA",
      "DS",
      "CNAME",
      "HINFO",
      "NAPTR",
      "TLSA",
      "X",
    );
    const words = fc.array(
      fc.oneof(
        fc.constantFrom("1", "10.0.0.1", "a.b.", "x", '"q"', "\\#", "0A"),
        fc.string({ minLength: 1, maxLength: 8 }),
      ),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(type, words, (kind, each) => {
        const parsed = parseRecordData(kind, each, "test.");
        if ("problem" in parsed) expect(parsed.problem).not.toBe("");
        else if (!each.some((word) => /\s|"/.test(word))) {
          expect(parseRecordData(kind, dataWords(parsed.data), "test.")).toEqual(parsed);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
