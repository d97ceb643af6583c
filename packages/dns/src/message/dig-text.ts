import { timestamp } from "@cnilab/core";
import { formatIp } from "@cnilab/net";
import type { DnsServerAddress } from "../transport.ts";
import type { DnsMessage, Question, ResourceRecord } from "./message.ts";
import { messageLength } from "./message-length.ts";

/** What dig tells in a line before an answer, or before it gives up. */
export interface DigSetback {
  readonly server: DnsServerAddress;
  readonly what: "truncated" | "timed out" | "connection refused" | "network unreachable";
}

export interface DigBegin {
  /** What stands after `dig`; absent for the second of several questions and those after it. */
  readonly args?: string;
  readonly setbacks?: readonly DigSetback[];
}

export interface DigContext extends DigBegin {
  readonly server: DnsServerAddress;
  /** Of the answer, in virtual milliseconds. */
  readonly at: number;
  /** Between question and answer, milliseconds. */
  readonly queryTimeMs: number;
}

/** Where TTL, class, type and data begin (dig.c: dns_master_stylecreate). */
const TTL_COLUMN = 24;
const CLASS_COLUMN = 32;
const TYPE_COLUMN = 40;
const DATA_COLUMN = 48;
const TAB = 8;
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
/** The release whose output this is. */
const VERSION = "DiG 9.18";

/** An answer as dig prints it. */
export function digText(answer: DnsMessage, context: DigContext): string {
  const { question, flags, edns } = answer;
  const set = (["qr", "aa", "tc", "rd", "ra", "ad", "cd"] as const).filter((flag) => flags[flag]);
  const counts = [
    ["QUERY", question.length],
    ["ANSWER", answer.answer.length],
    ["AUTHORITY", answer.authority.length],
    ["ADDITIONAL", answer.additional.length + (edns === undefined ? 0 : 1)],
  ].map(([name, count]) => `${name}: ${count}`);
  const lines = [...head(context), ";; Got answer:"];
  if (question.some(({ name }) => /(^|\.)local\.$/i.test(name))) {
    lines.push(
      ";; WARNING: .local is reserved for Multicast DNS",
      ";; You are currently testing what happens when an mDNS query is leaked to DNS",
    );
  }
  lines.push(
    `;; ->>HEADER<<- opcode: ${answer.opcode ?? "QUERY"}, status: ${answer.rcode}, id: ${answer.id}`,
    `;; flags: ${set.join(" ")}; ${counts.join(", ")}`,
  );
  if (flags.rd && !flags.ra) lines.push(";; WARNING: recursion requested but not available");
  lines.push("");
  if (edns !== undefined) {
    const { version = 0, udpSize } = edns;
    const ednsFlags = edns.do === true ? " do" : "";
    lines.push(
      ";; OPT PSEUDOSECTION:",
      `; EDNS: version: ${version}, flags:${ednsFlags}; udp: ${udpSize}`,
    );
  }
  if (question.length > 0) lines.push(";; QUESTION SECTION:", ...question.map(questionLine), "");
  for (const [title, records] of [
    ["ANSWER", answer.answer],
    ["AUTHORITY", answer.authority],
    ["ADDITIONAL", answer.additional],
  ] as const) {
    if (records.length > 0) lines.push(`;; ${title} SECTION:`, ...records.map(recordLine), "");
  }
  const { server, queryTimeMs, at } = context;
  const address = formatIp(server.address);
  lines.push(
    `;; Query time: ${Math.round(queryTimeMs)} msec`,
    `;; SERVER: ${address}#${server.port}(${address}) (${server.protocol.toUpperCase()})`,
    `;; WHEN: ${dateOf(at)}`,
    `;; MSG SIZE  rcvd: ${messageLength(answer)}`,
    "",
  );
  return `${lines.join("\n")}\n`;
}

/** What dig says where nobody answered. */
export function digFailureText(begin: DigBegin): string {
  return `${[...head(begin), ";; no servers could be reached"].join("\n")}\n`;
}

function head({ args, setbacks = [] }: DigBegin): string[] {
  const lines = setbacks.map(({ server, what }) =>
    what === "truncated"
      ? ";; Truncated, retrying in TCP mode."
      : `;; communications error to ${formatIp(server.address)}#${server.port}: ${what}`,
  );
  if (args === undefined) return lines;
  const servers = args.includes("@") ? ["; (1 server found)"] : [];
  lines.push("", `; <<>> ${VERSION} <<>> ${args}`, ...servers, ";; global options: +cmd");
  return lines;
}

function questionLine({ name, type, class: dnsClass = "IN" }: Question): string {
  return `;${columns([name, [CLASS_COLUMN, dnsClass], [TYPE_COLUMN, type]])}`;
}

function recordLine({ name, ttl, type, data, class: dnsClass = "IN" }: ResourceRecord): string {
  return columns([
    name,
    [TTL_COLUMN, String(ttl)],
    [CLASS_COLUMN, dnsClass],
    [TYPE_COLUMN, type],
    [DATA_COLUMN, data],
  ]);
}

/** Texts at their columns, or after one blank where there is no room (lib/dns/masterdump.c indent). */
function columns([first, ...rest]: readonly [string, ...(readonly [number, string])[]]): string {
  let line = first;
  let at = first.length;
  for (const [column, text] of rest) {
    const to = Math.max(column, at + 1);
    const tabs = Math.floor(to / TAB) - Math.floor(at / TAB);
    const from = tabs > 0 ? Math.floor(to / TAB) * TAB : at;
    line += "\t".repeat(tabs) + " ".repeat(to - from) + text;
    at = to + text.length;
  }
  return line;
}

/** As date(1): `Thu Jan 01 00:00:00 UTC 2026`. */
function dateOf(now: number): string {
  const [, year, month, day, time] = /^(\d+)-(\d+)-(\d+)T([\d:]+)Z$/.exec(
    timestamp(now),
  ) as unknown as [string, string, string, string, string];
  return `${DAYS[weekday(Number(year), Number(month), Number(day))]} ${MONTHS[Number(month) - 1]} ${day} ${time} UTC ${year}`;
}

/** 0 is Sunday; Sakamoto's method. */
function weekday(year: number, month: number, day: number): number {
  const shift = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4][month - 1] as number;
  const y = month < 3 ? year - 1 : year;
  return (y + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + shift + day) % 7;
}
