import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, SctpPacket, TcpSegment } from "@cnilab/net";
import {
  type Match,
  type MatchExtension,
  not,
  type OptionSpec,
  type OptionValues,
  type RuleContext,
} from "../extension.ts";
import { parameterProblem } from "../iptables-error.ts";
import { formatRange, parsePortRange, parseUint, type Range } from "../numbers.ts";
import type { Walk } from "../walk.ts";

const PORT_OPTIONS: readonly OptionSpec[] = [
  { name: "sport", aliases: ["source-port"], args: 1, invertible: true },
  { name: "dport", aliases: ["destination-port"], args: 1, invertible: true },
];

const FULL: Range = { min: 0, max: 0xffff };

/** Source and destination ports, as the tcp, udp and sctp matches have them. */
class PortTests {
  readonly src: Range;
  readonly srcInverted: boolean;
  readonly dst: Range;
  readonly dstInverted: boolean;

  constructor(values: OptionValues) {
    this.src = values.parsed("sport", parsePortRange) ?? FULL;
    this.srcInverted = values.isInverted("sport");
    this.dst = values.parsed("dport", parsePortRange) ?? FULL;
    this.dstInverted = values.isInverted("dport");
  }

  match(srcPort: number, dstPort: number): boolean {
    const { src, dst } = this;
    return (
      (srcPort >= src.min && srcPort <= src.max) !== this.srcInverted &&
      (dstPort >= dst.min && dstPort <= dst.max) !== this.dstInverted
    );
  }

  get dstPorts(): readonly number[] | undefined {
    return this.dst.min === this.dst.max && !this.dstInverted ? [this.dst.min] : undefined;
  }

  get text(): string {
    return (
      formatPorts("sport", this.src, this.srcInverted) +
      formatPorts("dport", this.dst, this.dstInverted)
    );
  }
}

function formatPorts(option: string, range: Range, inverted: boolean): string {
  if (range.min === 0 && range.max === 0xffff && !inverted) return "";
  return ` ${not(inverted)}--${option} ${formatRange(range)}`;
}

function demandProtocol(context: RuleContext, protocol: number, name: string): void {
  if (context.protocol === protocol && !context.protocolInverted) return;
  throw parameterProblem(`${name.toUpperCase()} match requires '-p ${name}'`);
}

/** In the order in which they are printed. */
const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"] as const;

class TcpMatch implements Match {
  readonly pure = true;
  readonly #ports: PortTests;
  readonly #flagMask: number;
  readonly #flags: number;
  readonly #flagsInverted: boolean;
  /** Number of a TCP option; 0 for none. */
  readonly #option: number;
  readonly #optionInverted: boolean;

  constructor(values: OptionValues) {
    this.#ports = new PortTests(values);
    const flags = values.find("tcp-flags");
    const syn = values.has("syn");
    this.#flagMask = syn ? 0x17 : parseTcpFlags(flags?.args[0] ?? "NONE");
    this.#flags = syn ? 0x02 : parseTcpFlags(flags?.args[1] ?? "NONE");
    this.#flagsInverted = syn ? values.isInverted("syn") : (flags?.inverted ?? false);
    this.#option = values.parsed("tcp-option", parseTcpOption) ?? 0;
    this.#optionInverted = values.isInverted("tcp-option");
  }

  get dstPorts(): readonly number[] | undefined {
    return this.#ports.dstPorts;
  }

  matches(walk: Walk): boolean {
    const segment = walk.transport;
    if (!(segment instanceof TcpSegment)) return false;
    if (!this.#ports.match(segment.srcPort, segment.dstPort)) return false;
    if (((segment.flags & this.#flagMask) === this.#flags) === this.#flagsInverted) return false;
    if (this.#option === 0) return true;
    // The maximum segment size is the only option that segments have here.
    return (this.#option === TCPOPT_MSS && segment.mss > 0) !== this.#optionInverted;
  }

  get text(): string {
    let text = `-m tcp${this.#ports.text}`;
    if (this.#option !== 0) text += ` ${not(this.#optionInverted)}--tcp-option ${this.#option}`;
    if (this.#flagMask !== 0 || this.#flagsInverted) {
      const flags = `${formatTcpFlags(this.#flagMask)} ${formatTcpFlags(this.#flags)}`;
      text += ` ${not(this.#flagsInverted)}--tcp-flags ${flags}`;
    }
    return text;
  }
}

const TCPOPT_MSS = 2;

function parseTcpOption(text: string): number {
  const option = parseUint(text, 255);
  if (option === undefined || option === 0) throw parameterProblem(`Bad TCP option "${text}"`);
  return option;
}

function parseTcpFlags(text: string): number {
  let flags = 0;
  for (const word of text.split(",")) {
    const name = word.toUpperCase();
    const bit = TCP_FLAGS.indexOf(name as (typeof TCP_FLAGS)[number]);
    if (bit >= 0) flags |= 1 << bit;
    else if (name === "ALL") flags |= 0x3f;
    else if (name !== "NONE") throw parameterProblem(`Unknown TCP flag \`${word}'`);
  }
  return flags;
}

function formatTcpFlags(flags: number): string {
  return TCP_FLAGS.filter((_, bit) => flags & (1 << bit)).join(",") || "NONE";
}

export const tcp: MatchExtension = {
  names: ["tcp"],
  options: [
    ...PORT_OPTIONS,
    { name: "syn", args: 0, invertible: true },
    { name: "tcp-flags", args: 2, invertible: true },
    { name: "tcp-option", args: 1, invertible: true },
  ],
  parse(values, context) {
    demandProtocol(context, IPPROTO_TCP, "tcp");
    return new TcpMatch(values);
  },
};

class UdpMatch implements Match {
  readonly pure = true;
  readonly #ports: PortTests;

  constructor(values: OptionValues) {
    this.#ports = new PortTests(values);
  }

  get dstPorts(): readonly number[] | undefined {
    return this.#ports.dstPorts;
  }

  matches(walk: Walk): boolean {
    const { srcPort, dstPort } = walk;
    return srcPort >= 0 && this.#ports.match(srcPort, dstPort);
  }

  get text(): string {
    return `-m udp${this.#ports.text}`;
  }
}

export const udp: MatchExtension = {
  names: ["udp"],
  options: PORT_OPTIONS,
  parse(values, context) {
    demandProtocol(context, IPPROTO_UDP, "udp");
    return new UdpMatch(values);
  },
};

/** Chunk types by number (RFC 9260 section 3.2), in the order in which they are printed. */
const CHUNK_TYPES: readonly (readonly [string, number])[] = [
  ["DATA", 0],
  ["INIT", 1],
  ["INIT_ACK", 2],
  ["SACK", 3],
  ["HEARTBEAT", 4],
  ["HEARTBEAT_ACK", 5],
  ["ABORT", 6],
  ["SHUTDOWN", 7],
  ["SHUTDOWN_ACK", 8],
  ["ERROR", 9],
  ["COOKIE_ECHO", 10],
  ["COOKIE_ACK", 11],
  ["ECN_ECNE", 12],
  ["ECN_CWR", 13],
  ["SHUTDOWN_COMPLETE", 14],
  ["I_DATA", 64],
  ["RE_CONFIG", 130],
  ["PAD", 132],
  ["ASCONF", 193],
  ["ASCONF_ACK", 128],
  ["FORWARD_TSN", 192],
  ["I_FORWARD_TSN", 194],
];

const CHUNK_MODES = ["all", "any", "only"];

class SctpMatch implements Match {
  readonly pure = true;
  readonly #ports: PortTests;
  readonly #chunkMode: string | undefined;
  readonly #chunks: ReadonlySet<number>;
  readonly #chunksInverted: boolean;

  constructor(values: OptionValues) {
    this.#ports = new PortTests(values);
    const [mode, list] = values.find("chunk-types")?.args ?? [];
    if (mode !== undefined && !CHUNK_MODES.includes(mode)) {
      throw parameterProblem(
        '--chunk-types requires two args, the first of which must be "all", "any" or "only"',
      );
    }
    this.#chunkMode = mode;
    this.#chunks = new Set(list === undefined ? [] : list.split(",").map(parseChunkType));
    this.#chunksInverted = values.isInverted("chunk-types");
  }

  get dstPorts(): readonly number[] | undefined {
    return this.#ports.dstPorts;
  }

  matches(walk: Walk): boolean {
    const packet = walk.transport;
    if (!(packet instanceof SctpPacket)) return false;
    if (!this.#ports.match(packet.srcPort, packet.dstPort)) return false;
    if (this.#chunkMode === undefined) return true;
    // A packet has one chunk here, so "all" asks for no other type than that.
    const has =
      this.#chunks.has(packet.chunkType) && (this.#chunkMode !== "all" || this.#chunks.size === 1);
    return has !== this.#chunksInverted;
  }

  get text(): string {
    const text = `-m sctp${this.#ports.text}`;
    if (this.#chunkMode === undefined) return text;
    const all = this.#chunks.size === CHUNK_TYPES.length;
    const names = CHUNK_TYPES.filter(([, type]) => this.#chunks.has(type)).map(([name]) => name);
    return `${text} ${not(this.#chunksInverted)}--chunk-types ${this.#chunkMode} ${all ? "ALL" : names.join()}`;
  }
}

function parseChunkType(text: string): number {
  const found = CHUNK_TYPES.find(([name]) => name === text.toUpperCase());
  if (found === undefined) throw parameterProblem(`Unknown sctp chunk type "${text}"`);
  return found[1];
}

export const sctp: MatchExtension = {
  names: ["sctp"],
  options: [...PORT_OPTIONS, { name: "chunk-types", args: 2, invertible: true }],
  parse(values, context) {
    demandProtocol(context, IPPROTO_SCTP, "sctp");
    return new SctpMatch(values);
  },
};

const MULTIPORT_PROTOCOLS = [6, 17, 136, 132, 33];
/** Entries of `struct xt_multiport_v1`; a range takes two. */
const MAX_MULTIPORTS = 15;

class MultiportMatch implements Match {
  readonly pure = true;
  readonly #option: "sports" | "dports" | "ports";
  readonly #ranges: readonly Range[];
  readonly #inverted: boolean;

  constructor(option: "sports" | "dports" | "ports", ranges: readonly Range[], inverted: boolean) {
    this.#option = option;
    this.#ranges = ranges;
    this.#inverted = inverted;
  }

  get dstPorts(): readonly number[] | undefined {
    if (this.#option !== "dports" || this.#inverted) return undefined;
    return this.#ranges.every((r) => r.min === r.max) ? this.#ranges.map((r) => r.min) : undefined;
  }

  matches(walk: Walk): boolean {
    const { srcPort } = walk;
    if (srcPort < 0) return false;
    const found =
      (this.#option !== "dports" && this.#includes(srcPort)) ||
      (this.#option !== "sports" && this.#includes(walk.dstPort));
    return found !== this.#inverted;
  }

  #includes(port: number): boolean {
    for (const range of this.#ranges) if (port >= range.min && port <= range.max) return true;
    return false;
  }

  get text(): string {
    const ports = this.#ranges.map(formatRange).join();
    return `-m multiport ${not(this.#inverted)}--${this.#option} ${ports}`;
  }
}

export const multiport: MatchExtension = {
  names: ["multiport"],
  options: [
    { name: "sports", aliases: ["source-ports"], args: 1, invertible: true },
    { name: "dports", aliases: ["destination-ports"], args: 1, invertible: true },
    { name: "ports", args: 1, invertible: true },
  ],
  parse(values, context) {
    if (context.protocolInverted || !MULTIPORT_PROTOCOLS.includes(context.protocol)) {
      throw parameterProblem(
        "multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'",
      );
    }
    const given = (["sports", "dports", "ports"] as const).filter((name) => values.has(name));
    const [option] = given;
    if (option === undefined) throw parameterProblem("multiport expection an option");
    if (given.length > 1)
      throw parameterProblem("multiport: only one of --sports, --dports and --ports is allowed");
    const ranges = values.required(option).split(",").map(parsePortRange);
    const entries = ranges.reduce((sum, range) => sum + (range.min === range.max ? 1 : 2), 0);
    if (entries > MAX_MULTIPORTS) throw parameterProblem("too many ports specified");
    return new MultiportMatch(option, ranges, values.isInverted(option));
  },
};
