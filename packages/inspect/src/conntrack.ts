import {
  type ConntrackEntry,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IPS_ASSURED,
  IPS_SEEN_REPLY,
  type NetNamespace,
  type Tuple,
} from "@cnilab/linux";
import {
  formatIp,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpFamily,
} from "@cnilab/net";
import type { JsonObject, JsonValue } from "./json.ts";

export interface ConntrackOptions {
  /** `-f ipv4` or `-f ipv6`; both unless said otherwise. */
  readonly family?: IpFamily;
  /** `-o extended`: with the network protocol in front. */
  readonly extended?: boolean;
  /** `-o id`. */
  readonly ids?: boolean;
}

/** `conntrack -L` (conntrack-tools 1.4.7), without the line that counts the entries on stderr. */
export function conntrackText(netns: NetNamespace, options: ConntrackOptions = {}): string {
  return listed(netns, options)
    .map((entry) => `${conntrackLine(entry, options)}\n`)
    .join("");
}

/** One connection as `conntrack -L` prints it. */
export function conntrackLine(entry: ConntrackEntry, options: ConntrackOptions = {}): string {
  const { protocol, status } = entry;
  const words: string[] = [];
  if (options.extended) {
    const [name, number] = entry.family === 4 ? ["ipv4", 2] : ["ipv6", 10];
    words.push(`${name.padEnd(8)} ${number}`);
  }
  words.push(`${protocolText(protocol).padEnd(8)} ${protocol} ${seconds(entry)}`);
  const state = stateName(entry);
  if (state !== undefined) words.push(state);
  const [originalZone, replyZone] = [entry.zones & 0xffff, entry.zones >>> 16];
  const zones = originalZone === replyZone;
  words.push(tupleText(entry.original));
  if (!zones && originalZone !== 0) words.push(`zone-orig=${originalZone}`);
  words.push(...counterWords(entry, IP_CT_DIR_ORIGINAL));
  if ((status & IPS_SEEN_REPLY) === 0) words.push("[UNREPLIED]");
  words.push(tupleText(entry.reply));
  if (!zones && replyZone !== 0) words.push(`zone-reply=${replyZone}`);
  words.push(...counterWords(entry, IP_CT_DIR_REPLY));
  if ((status & IPS_ASSURED) !== 0) words.push("[ASSURED]");
  words.push(`mark=${entry.mark}`);
  if (zones && originalZone !== 0) words.push(`zone=${originalZone}`);
  words.push(`use=${entry.use}`);
  if (options.ids) words.push(`id=${entry.id}`);
  return words.join(" ");
}

/**
 * The same as data; the tool itself has XML only. `reply` is how answers come before NAT is undone;
 * `timeout` is in seconds.
 */
export function conntrackJson(netns: NetNamespace, options: ConntrackOptions = {}): JsonObject[] {
  return listed(netns, options).map((entry) => {
    const state = stateName(entry);
    const json: { [key: string]: JsonValue } = {
      family: entry.family === 4 ? "ipv4" : "ipv6",
      protocol: protocolText(entry.protocol),
      timeout: seconds(entry),
    };
    if (state !== undefined) json["state"] = state;
    json["original"] = tupleJson(entry.original);
    json["reply"] = tupleJson(entry.reply);
    json["unreplied"] = (entry.status & IPS_SEEN_REPLY) === 0;
    json["assured"] = (entry.status & IPS_ASSURED) !== 0;
    json["mark"] = entry.mark;
    json["zone"] = entry.zone;
    json["id"] = entry.id;
    for (const [name, direction] of [
      ["originalCounter", IP_CT_DIR_ORIGINAL],
      ["replyCounter", IP_CT_DIR_REPLY],
    ] as const) {
      const counter = entry.counter(direction);
      if (counter !== undefined) json[name] = { ...counter };
    }
    return json;
  });
}

function listed(netns: NetNamespace, { family }: ConntrackOptions): ConntrackEntry[] {
  netns.network.settleFlows();
  return [...(netns.conntrack?.entries() ?? [])].filter(
    (entry) => family === undefined || entry.family === family,
  );
}

function seconds(entry: ConntrackEntry): number {
  return Math.floor(entry.remainingMs / 1000);
}

/** Names of libnetfilter_conntrack (src/conntrack/proto.c). */
function protocolText(protocol: number): string {
  const names: Readonly<Record<number, string>> = {
    [IPPROTO_ICMP]: "icmp",
    [IPPROTO_TCP]: "tcp",
    [IPPROTO_UDP]: "udp",
    47: "gre",
    [IPPROTO_ICMPV6]: "icmpv6",
    [IPPROTO_SCTP]: "sctp",
  };
  return names[protocol] ?? "unknown";
}

const TCP_STATES = [
  "NONE",
  "SYN_SENT",
  "SYN_RECV",
  "ESTABLISHED",
  "FIN_WAIT",
  "CLOSE_WAIT",
  "LAST_ACK",
  "TIME_WAIT",
  "CLOSE",
  "SYN_SENT2",
];
const SCTP_STATES = [
  "NONE",
  "CLOSED",
  "COOKIE_WAIT",
  "COOKIE_ECHOED",
  "ESTABLISHED",
  "SHUTDOWN_SENT",
  "SHUTDOWN_RECD",
  "SHUTDOWN_ACK_SENT",
];

function stateName({ protocol, state }: ConntrackEntry): string | undefined {
  if (protocol === IPPROTO_TCP) return TCP_STATES[state] ?? "NONE";
  if (protocol === IPPROTO_SCTP) return SCTP_STATES[state] ?? "NONE";
  return undefined;
}

function tupleText(tuple: Tuple): string {
  return Object.entries(tupleJson(tuple))
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

function tupleJson({ protocol, src, dst, srcPort, dstPort }: Tuple): JsonObject {
  const ends = { src: formatIp(src), dst: formatIp(dst) };
  switch (protocol) {
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return { ...ends, type: dstPort >>> 8, code: dstPort & 255, id: srcPort };
    case IPPROTO_TCP:
    case IPPROTO_UDP:
    case IPPROTO_SCTP:
      return { ...ends, sport: srcPort, dport: dstPort };
    default:
      return ends;
  }
}

function counterWords(entry: ConntrackEntry, direction: 0 | 1): string[] {
  const counter = entry.counter(direction);
  return counter === undefined ? [] : [`packets=${counter.packets}`, `bytes=${counter.bytes}`];
}
