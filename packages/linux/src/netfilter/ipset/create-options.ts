import { addressBits, formatIp, type IpFamily } from "@cnilab/net";
import { OptionWords, unknownArgument, usage } from "./command-line.ts";
import { parseNumber, rangeOf } from "./element-syntax.ts";
import type { IpsetOptions } from "./ipset.ts";
import { kernelRefusal, syntaxError } from "./ipset-error.ts";
import type { CreateOptionName, SetType } from "./set-type.ts";

/** Seconds that a timeout may have (`IPSET_MAX_TIMEOUT`: 2^31 milliseconds). */
export const MAX_TIMEOUT = 2147483;
/** Values of a bitmap (`IPSET_BITMAP_MAX_RANGE`). */
const MAX_RANGE = 65536;
/** Elements of a bucket (AHASH_MAX_SIZE of ip_set_hash_gen.h). */
const DEFAULT_BUCKETSIZE = 12;
const MIN_HASHSIZE = 64;
const MIN_LIST_SIZE = 4;

/** Reads what `create NAME TYPE` is followed by. @throws IpsetError */
export function parseCreateOptions(
  words: readonly string[],
  type: SetType,
  initval: number,
): IpsetOptions {
  const given = readWords(words, type);
  const family: IpFamily = parseFamily(given.get("family"));
  const number = (name: CreateOptionName, least: number, most: number): number | undefined => {
    const text = given.get(name);
    return text === undefined ? undefined : parseNumber(text, least, most);
  };
  if (type.options.includes("range") && !given.has("range")) {
    throw usage("Mandatory option `range' is missing");
  }
  const bucketsize = (number("bucketsize", 2, 255) ?? DEFAULT_BUCKETSIZE) & ~1;
  return {
    family,
    hashsize: powerOfTwo(number("hashsize", 0, 0xffffffff) ?? 1024),
    maxelem: number("maxelem", 0, 0xffffffff) ?? 65536,
    bucketsize: Math.min(bucketsize, DEFAULT_BUCKETSIZE),
    initval: number("initval", 0, 0xffffffff) ?? initval,
    netmask: parseNetmask(given.get("netmask"), family),
    range: parseRange(given.get("range"), type),
    size: Math.max(MIN_LIST_SIZE, number("size", 0, 0xffffffff) ?? 8),
    timeout: number("timeout", 0, MAX_TIMEOUT),
    counters: given.has("counters"),
    comment: given.has("comment"),
    forceadd: given.has("forceadd"),
  };
}

/** Options that have no value. */
const FLAGS: ReadonlySet<string> = new Set(["counters", "comment", "forceadd"]);

function readWords(words: readonly string[], type: SetType): Map<string, string> {
  const given = new Map<string, string>();
  const options = new OptionWords(words);
  for (let word = options.next(); word !== undefined; word = options.next()) {
    if (!(type.options as readonly string[]).includes(word)) throw unknownArgument(word);
    given.set(word, FLAGS.has(word) ? "" : options.value(word));
  }
  return given;
}

function parseFamily(text: string | undefined): IpFamily {
  switch (text) {
    case undefined:
    case "inet":
    case "ipv4":
    case "-4":
      return 4;
    case "inet6":
    case "ipv6":
    case "-6":
      return 6;
    default:
      throw syntaxError(`unknown inet family ${text}`);
  }
}

function parseNetmask(text: string | undefined, family: IpFamily): number | undefined {
  if (text === undefined) return undefined;
  const bits = addressBits(family);
  try {
    return parseNumber(text, 1, bits);
  } catch {
    throw syntaxError(`netmask is out of the inclusive range of 1-${bits}`);
  }
}

function parseRange(text: string | undefined, type: SetType): IpsetOptions["range"] {
  if (text === undefined) return undefined;
  if (type.fields[0] === "port") {
    const dash = text.indexOf("-");
    if (dash < 0) throw usage("Mandatory option `to' is missing");
    const first = parseNumber(text.slice(0, dash), 0, 65535);
    const last = parseNumber(text.slice(dash + 1), 0, 65535);
    return { from: Math.min(first, last), to: Math.max(first, last) };
  }
  const range = rangeOf(text, 4);
  if (range === undefined) throw usage("Mandatory option `to' is missing");
  const from = range.from as number;
  const to = range.to as number;
  if (to - from >= MAX_RANGE) {
    throw kernelRefusal("The range you specified exceeds the size limit of the set type");
  }
  return { from, to };
}

function powerOfTwo(size: number): number {
  let rounded = MIN_HASHSIZE;
  while (rounded < size) rounded *= 2;
  return rounded;
}

/** What `save` prints behind the type, and `list` as the header. */
export function formatCreateOptions(type: SetType, options: IpsetOptions): string {
  const words: string[] = [];
  for (const name of type.options) {
    switch (name) {
      case "family":
        words.push(`family ${options.family === 4 ? "inet" : "inet6"}`);
        break;
      case "range":
        words.push(`range ${formatRange(type, options)}`);
        break;
      case "hashsize":
      case "maxelem":
      case "bucketsize":
      case "size":
        words.push(`${name} ${options[name]}`);
        break;
      case "netmask":
      case "timeout":
        if (options[name] !== undefined) words.push(`${name} ${options[name]}`);
        break;
      case "counters":
      case "comment":
      case "forceadd":
        if (options[name]) words.push(name);
        break;
      case "initval":
        words.push(`initval 0x${options.initval.toString(16).padStart(8, "0")}`);
        break;
    }
  }
  return words.join(" ");
}

function formatRange(type: SetType, { range }: IpsetOptions): string {
  const { from, to } = range as { from: number; to: number };
  return type.fields[0] === "port" ? `${from}-${to}` : `${formatIp(from)}-${formatIp(to)}`;
}
