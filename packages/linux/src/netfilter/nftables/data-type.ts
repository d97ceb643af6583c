import {
  bigIntToIpv6,
  formatIp,
  formatMac,
  ipv6ToBigInt,
  parseIpv4,
  parseIpv6,
  tryParseMac,
} from "@cnilab/net";
import { protocolByName, protocolName } from "../protocol-names.ts";
import { serviceByName } from "../service-names.ts";
import { formatTime, parseTime } from "./time.ts";

/** The devices of a namespace, by which `iif` and `oif` are known. */
export interface DeviceNames {
  index(name: string): number | undefined;
  name(index: number): string | undefined;
}

/** JSON as libnftables-json has it. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** How values of one kind are written: a datatype of nft (nft(8) DATA TYPES). */
export interface DataType {
  readonly name: string;
  /** 0 where the size depends on what is compared. */
  readonly bits: number;
  /** Names stand for bits, and several may be given: `established,related`. */
  readonly bitmask: boolean;
  /** How the kernel keeps values: a number of the machine, or bytes as they are on the wire. */
  readonly hostOrder: boolean;
  /** How many elements of a set stand on one line of a listing (expression.c calculate_delim). */
  readonly elementsPerLine: number;
  parse(text: string, devices: DeviceNames): bigint | undefined;
  format(value: bigint, devices: DeviceNames): string;
  /** As the end of a range, where names are not used. */
  formatNumeric(value: bigint, devices: DeviceNames): string;
  json(value: bigint, devices: DeviceNames): Json;
  /** Names of values, in the order in which the bits of a mask are printed. */
  readonly symbols: readonly (readonly [name: string, value: bigint])[];
}

interface DataTypeOptions {
  readonly bits: number;
  readonly bitmask?: boolean;
  readonly hostOrder?: boolean;
  readonly elementsPerLine?: number;
  readonly symbols?: Readonly<Record<string, number>>;
  readonly parse?: DataType["parse"];
  readonly format?: DataType["format"];
  readonly formatNumeric?: DataType["format"];
  /** A value that has no name. */
  readonly unknown?: (value: bigint) => string;
  readonly json?: DataType["json"];
}

/** An integer as nft reads it: decimal, 0x… or octal with a leading 0. */
export function parseInteger(text: string): bigint | undefined {
  if (/^0[0-7]+$/.test(text)) return BigInt(`0o${text.slice(1)}`);
  return /^(0x[0-9a-fA-F]+|0|[1-9][0-9]*)$/.test(text) ? BigInt(text) : undefined;
}

function jsonInteger(value: bigint): Json {
  return Number(value);
}

function dataType(name: string, options: DataTypeOptions): DataType {
  const symbols = Object.entries(options.symbols ?? {}).map(([k, v]) => [k, BigInt(v)] as const);
  const byName = new Map(symbols);
  const byValue = new Map(symbols.map(([k, v]) => [v, k] as const).reverse());
  const bitmask = options.bitmask ?? false;
  const number =
    options.unknown ?? ((value: bigint) => (bitmask ? `0x${value.toString(16)}` : `${value}`));
  const formatNumeric = options.formatNumeric ?? options.format ?? number;
  return {
    name,
    bits: options.bits,
    bitmask,
    hostOrder: options.hostOrder ?? false,
    elementsPerLine: options.elementsPerLine ?? 1,
    symbols,
    parse: options.parse ?? ((text) => byName.get(text) ?? parseInteger(text)),
    format: options.format ?? ((value) => byValue.get(value) ?? number(value)),
    formatNumeric,
    json: options.json ?? ((value) => byValue.get(value) ?? jsonInteger(value)),
  };
}

const ADDRESS_BYTES = 16n;

/** Interface names are 16 bytes, the first of which is the most significant here. */
export function nameToValue(name: string): bigint {
  let value = 0n;
  for (let i = 0; i < Number(ADDRESS_BYTES); i++) {
    value = (value << 8n) | BigInt(i < name.length ? name.charCodeAt(i) & 0xff : 0);
  }
  return value;
}

export function valueToName(value: bigint): string {
  let name = "";
  for (let shift = 120n; shift >= 0n; shift -= 8n) {
    const byte = Number((value >> shift) & 0xffn);
    if (byte === 0) break;
    name += String.fromCharCode(byte);
  }
  return name;
}

/** Words of nft's own for what /etc/protocols calls otherwise. */
const PROTOCOL_ALIASES: Readonly<Record<string, string>> = { comp: "ipcomp", icmpv6: "ipv6-icmp" };

/** As getnameinfo(3): an address whose first 96 bits are 0 ends like an IPv4 address. */
function formatIpv6(value: bigint): string {
  if (value >> 32n === 0n && value >> 16n !== 0n) return `::${formatIp(Number(value))}`;
  return bigIntToIpv6(value).toString();
}

/** A handle of traffic control: `MAJOR:MINOR` in hexadecimal, or a number. */
function parseClassId(text: string): bigint | undefined {
  if (text === "root") return 0xffffffffn;
  if (text === "none") return 0n;
  const match = /^([0-9a-f]{0,4}):([0-9a-f]{0,4})$/.exec(text);
  if (match === null) return parseInteger(text);
  return (BigInt(`0x${match[1] || "0"}`) << 16n) | BigInt(`0x${match[2] || "0"}`);
}

function formatClassId(value: bigint): string {
  if (value === 0xffffffffn) return "root";
  if (value === 0n) return "none";
  const [major, minor] = [value >> 16n, value & 0xffffn];
  return `${major.toString(16)}:${minor.toString(16)}`;
}

function parsePort(text: string): bigint | undefined {
  const number = parseInteger(text);
  if (number !== undefined) return number;
  const service = serviceByName(text);
  return service === undefined ? undefined : BigInt(service);
}

function hex8(value: bigint): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}

const integer: DataType = dataType("integer", { bits: 0, elementsPerLine: 5 });
/** Integers that the kernel makes itself, as lengths and identifiers of sockets. */
const hostInteger: DataType = dataType("integer", {
  bits: 32,
  hostOrder: true,
  elementsPerLine: 5,
});

function symbolic(
  name: string,
  bits: number,
  symbols: Readonly<Record<string, number>>,
  options: Partial<DataTypeOptions> = {},
): DataType {
  return dataType(name, { bits, symbols, ...options });
}

const ifname = (bits: number): DataTypeOptions => ({
  bits,
  hostOrder: true,
  parse: (text) => (text === "" || text.length > 15 ? undefined : nameToValue(text)),
  // A name that ends with an asterisk is told from a beginning of names.
  format: (value) => `"${valueToName(value).replace(/\*$/, "\\*")}"`,
  json: (value) => valueToName(value),
});

/** Names as `type NAME` of a set has them, and `hostInteger`. */
export type DataTypeName =
  | "integer"
  | "hostInteger"
  | "ipv4_addr"
  | "ipv6_addr"
  | "ether_addr"
  | "ether_type"
  | "inet_proto"
  | "inet_service"
  | "mark"
  | "ifname"
  | "iface_index"
  | "ct_state"
  | "ct_dir"
  | "ct_status"
  | "tcp_flag"
  | "nf_proto"
  | "pkt_type"
  | "fib_addrtype"
  | "icmp_type"
  | "icmpv6_type"
  | "icmp_code"
  | "icmpv6_code"
  | "icmpx_code"
  | "dscp"
  | "ecn"
  | "arp_op"
  | "uid"
  | "gid"
  | "time"
  | "classid"
  | "boolean"
  | "verdict";

export const DATA_TYPES: Readonly<Record<DataTypeName, DataType>> = {
  integer,
  hostInteger,
  ipv4_addr: dataType("ipv4_addr", {
    bits: 32,
    elementsPerLine: 2,
    parse: (text) => {
      const address = parseIpv4(text);
      if (address !== undefined) return BigInt(address);
      // getaddrinfo takes a plain number for an address as well.
      return parseInteger(text);
    },
    format: (value) => formatIp(Number(value)),
    json: (value) => formatIp(Number(value)),
  }),
  ipv6_addr: dataType("ipv6_addr", {
    bits: 128,
    parse: (text) => {
      const address = parseIpv6(text);
      return address === undefined ? undefined : ipv6ToBigInt(address);
    },
    format: formatIpv6,
    json: formatIpv6,
  }),
  ether_addr: dataType("ether_addr", {
    bits: 48,
    parse: (text) => {
      const mac = tryParseMac(text);
      return mac === undefined ? undefined : BigInt(mac);
    },
    format: (value) => formatMac(Number(value)),
    json: (value) => formatMac(Number(value)),
  }),
  ether_type: symbolic(
    "ether_type",
    16,
    {
      ip: 0x0800,
      arp: 0x0806,
      ip6: 0x86dd,
      "8021q": 0x8100,
      "8021ad": 0x88a8,
      vlan: 0x8100,
    },
    {
      formatNumeric: (value) => `0x${value.toString(16).padStart(4, "0")}`,
    },
  ),
  inet_proto: dataType("inet_proto", {
    bits: 8,
    elementsPerLine: 5,
    parse: (text) => {
      const number = parseInteger(text);
      if (number !== undefined) return number;
      const protocol = protocolByName(PROTOCOL_ALIASES[text] ?? text);
      return protocol === undefined ? undefined : BigInt(protocol);
    },
    format: (value) => protocolName(Number(value)) ?? `${value}`,
    formatNumeric: (value) => `${value}`,
    json: (value) => protocolName(Number(value)) ?? jsonInteger(value),
  }),
  inet_service: dataType("inet_service", {
    bits: 16,
    elementsPerLine: 5,
    parse: parsePort,
    format: (value) => `${value}`,
    json: jsonInteger,
  }),
  mark: dataType("mark", {
    bits: 32,
    hostOrder: true,
    elementsPerLine: 5,
    parse: parseInteger,
    format: hex8,
    json: jsonInteger,
  }),
  ifname: dataType("ifname", ifname(128)),
  iface_index: dataType("iface_index", {
    bits: 32,
    hostOrder: true,
    elementsPerLine: 5,
    parse: (text, devices) => {
      const index = devices.index(text);
      return index === undefined ? parseInteger(text) : BigInt(index);
    },
    format: (value, devices) => {
      const name = devices.name(Number(value));
      return name === undefined ? `${value}` : `"${name}"`;
    },
    json: (value, devices) => devices.name(Number(value)) ?? `${value}`,
  }),
  ct_state: symbolic(
    "ct_state",
    32,
    { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 },
    { bitmask: true, hostOrder: true, elementsPerLine: 2 },
  ),
  ct_dir: symbolic("ct_dir", 8, { original: 0, reply: 1 }, { hostOrder: true, elementsPerLine: 5 }),
  ct_status: symbolic(
    "ct_status",
    32,
    { expected: 1, "seen-reply": 2, assured: 4, confirmed: 8, snat: 16, dnat: 32, dying: 512 },
    { bitmask: true, hostOrder: true, elementsPerLine: 2 },
  ),
  tcp_flag: symbolic(
    "tcp_flag",
    8,
    { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ecn: 64, cwr: 128 },
    { bitmask: true, elementsPerLine: 5 },
  ),
  nf_proto: symbolic("nf_proto", 8, { ipv4: 2, ipv6: 10 }, { hostOrder: true, elementsPerLine: 5 }),
  pkt_type: symbolic(
    "pkt_type",
    8,
    { host: 0, unicast: 0, broadcast: 1, multicast: 2, other: 3 },
    { hostOrder: true, elementsPerLine: 2 },
  ),
  fib_addrtype: symbolic(
    "fib_addrtype",
    32,
    {
      unspec: 0,
      unicast: 1,
      local: 2,
      broadcast: 3,
      anycast: 4,
      multicast: 5,
      blackhole: 6,
      unreachable: 7,
      prohibit: 8,
    },
    { hostOrder: true },
  ),
  icmp_type: symbolic("icmp_type", 8, {
    "echo-reply": 0,
    "destination-unreachable": 3,
    "source-quench": 4,
    redirect: 5,
    "echo-request": 8,
    "router-advertisement": 9,
    "router-solicitation": 10,
    "time-exceeded": 11,
    "parameter-problem": 12,
    "timestamp-request": 13,
    "timestamp-reply": 14,
    "info-request": 15,
    "info-reply": 16,
    "address-mask-request": 17,
    "address-mask-reply": 18,
  }),
  icmpv6_type: symbolic("icmpv6_type", 8, {
    "destination-unreachable": 1,
    "packet-too-big": 2,
    "time-exceeded": 3,
    "parameter-problem": 4,
    "echo-request": 128,
    "echo-reply": 129,
    "mld-listener-query": 130,
    "mld-listener-report": 131,
    "mld-listener-done": 132,
    "mld-listener-reduction": 132,
    "nd-router-solicit": 133,
    "nd-router-advert": 134,
    "nd-neighbor-solicit": 135,
    "nd-neighbor-advert": 136,
    "nd-redirect": 137,
    "router-renumbering": 138,
    "ind-neighbor-solicit": 141,
    "ind-neighbor-advert": 142,
    "mld2-listener-report": 143,
  }),
  icmp_code: symbolic("icmp_code", 8, {
    "net-unreachable": 0,
    "host-unreachable": 1,
    "prot-unreachable": 2,
    "port-unreachable": 3,
    "net-prohibited": 9,
    "host-prohibited": 10,
    "admin-prohibited": 13,
    "frag-needed": 4,
  }),
  icmpv6_code: symbolic("icmpv6_code", 8, {
    "no-route": 0,
    "admin-prohibited": 1,
    "addr-unreachable": 3,
    "port-unreachable": 4,
    "policy-fail": 5,
    "reject-route": 6,
  }),
  icmpx_code: symbolic("icmpx_code", 8, {
    "port-unreachable": 1,
    "admin-prohibited": 3,
    "no-route": 0,
    "host-unreachable": 2,
  }),
  dscp: symbolic(
    "dscp",
    6,
    {
      cs0: 0,
      cs1: 8,
      cs2: 16,
      cs3: 24,
      cs4: 32,
      cs5: 40,
      cs6: 48,
      cs7: 56,
      df: 0,
      be: 0,
      lephb: 1,
      af11: 10,
      af12: 12,
      af13: 14,
      af21: 18,
      af22: 20,
      af23: 22,
      af31: 26,
      af32: 28,
      af33: 30,
      af41: 34,
      af42: 36,
      af43: 38,
      va: 44,
      ef: 46,
    },
    {
      unknown: (value) => `0x${value.toString(16).padStart(2, "0")}`,
      formatNumeric: (value) => `0x${value.toString(16).padStart(2, "0")}`,
    },
  ),
  ecn: symbolic("ecn", 2, { "not-ect": 0, ect1: 1, ect0: 2, ce: 3 }),
  arp_op: symbolic(
    "arp_op",
    16,
    { request: 256 >> 8, reply: 2, rrequest: 3, rreply: 4, inrequest: 8, inreply: 9, nak: 10 },
    { elementsPerLine: 5 },
  ),
  uid: dataType("uid", {
    bits: 32,
    hostOrder: true,
    elementsPerLine: 5,
    parse: (text) => (text === "root" ? 0n : parseInteger(text)),
  }),
  gid: dataType("gid", {
    bits: 32,
    hostOrder: true,
    elementsPerLine: 5,
    parse: (text) => (text === "root" ? 0n : parseInteger(text)),
  }),
  time: dataType("time", {
    bits: 32,
    hostOrder: true,
    parse: (text) => {
      const ms = parseTime(text);
      return ms === undefined ? undefined : BigInt(ms);
    },
    format: (value) => formatTime(Number(value)),
    formatNumeric: (value) => `${value / 1000n}s`,
    json: (value) => Number(value / 1000n),
  }),
  classid: dataType("classid", {
    bits: 32,
    hostOrder: true,
    elementsPerLine: 5,
    parse: parseClassId,
    format: formatClassId,
    json: formatClassId,
  }),
  boolean: symbolic(
    "boolean",
    1,
    { exists: 1, missing: 0 },
    { hostOrder: true, json: (value) => value !== 0n },
  ),
  verdict: dataType("verdict", { bits: 0 }),
};

/** The type with this name, as `type ipv4_addr` of a set has it. */
export function dataTypeByName(name: string): DataType | undefined {
  if (name === "hostInteger" || !Object.hasOwn(DATA_TYPES, name)) return undefined;
  return DATA_TYPES[name as DataTypeName];
}
