import {
  addressBits,
  addToIp,
  compareIp,
  familyOf,
  formatIp,
  type InterfaceAddress,
  type IpAddress,
  type IpFamily,
  Prefix,
} from "@cnilab/net";
import { failure } from "../failure.ts";
import { parseCidr, parseGoIp } from "../parsed-result.ts";

/** A range as it stands in a configuration. */
export interface RangeConfig {
  readonly subnet?: string;
  readonly rangeStart?: string;
  readonly rangeEnd?: string;
  readonly gateway?: string;
}

/** Addresses of one subnet that may be handed out, ends included. */
export interface Range {
  readonly subnet: Prefix;
  readonly start: IpAddress;
  readonly end: IpAddress;
  readonly gateway: IpAddress;
}

/** Ranges that stand for each other: one address comes out of the whole set. */
export type RangeSet = readonly Range[];

/** A range whose texts are understood, sensible or not. */
interface DecodedRange {
  readonly subnet: InterfaceAddress | undefined;
  readonly rangeStart: IpAddress | undefined;
  readonly rangeEnd: IpAddress | undefined;
  readonly gateway: IpAddress | undefined;
}

/** @throws CniError as Go's JSON decoder */
export function decodeRange(config: RangeConfig): DecodedRange {
  const ip = (text: string | undefined) => (text ? parseGoIp(text) : undefined);
  return {
    subnet: config.subnet === undefined ? undefined : parseCidr(config.subnet),
    rangeStart: ip(config.rangeStart),
    rangeEnd: ip(config.rangeEnd),
    gateway: ip(config.gateway),
  };
}

/** Fills in what is missing, and refuses what makes no sense (host-local allocator/range.go Canonicalize). @throws CniError */
function canonicalRange({ subnet: given, gateway, rangeStart, rangeEnd }: DecodedRange): Range {
  if (given === undefined) throw failure("IP <nil> not v4 nor v6");
  const family = familyOf(given.address);
  if (given.length > addressBits(family) - 2) {
    throw failure(`Network ${cidrText(given)} too small to allocate from`);
  }
  const subnet = new Prefix(given.address, given.length);
  if (subnet.address !== given.address) {
    throw failure(
      `Network has host bits set. For a subnet mask of length ${given.length} the network address is ${formatIp(subnet.address)}`,
    );
  }
  const first = addToIp(subnet.address, 1);
  const bounds: Bounds = { subnet, start: rangeStart, end: rangeEnd };
  if (rangeStart !== undefined && !isWithin(bounds, rangeStart)) {
    throw failure(`RangeStart ${formatIp(rangeStart)} not in network ${subnet}`);
  }
  const start = rangeStart ?? first;
  if (rangeEnd !== undefined && !isWithin({ ...bounds, start }, rangeEnd)) {
    throw failure(`RangeEnd ${formatIp(rangeEnd)} not in network ${subnet}`);
  }
  return { subnet, start, end: rangeEnd ?? lastOf(subnet, family), gateway: gateway ?? first };
}

/** All but the broadcast address, which IPv6 does not have. */
function lastOf(subnet: Prefix, family: IpFamily): IpAddress {
  return family === 4 ? addToIp(subnet.last, -1) : subnet.last;
}

function cidrText({ address, length }: InterfaceAddress): string {
  return `${formatIp(address)}/${length}`;
}

interface Bounds {
  readonly subnet: Prefix;
  readonly start: IpAddress | undefined;
  readonly end: IpAddress | undefined;
}

function isWithin({ subnet, start, end }: Bounds, address: IpAddress): boolean {
  return (
    subnet.contains(address) &&
    (start === undefined || compareIp(address, start) >= 0) &&
    (end === undefined || compareIp(address, end) <= 0)
  );
}

export function rangeContains(range: Range, address: IpAddress): boolean {
  return (
    range.subnet.contains(address) &&
    compareIp(address, range.start) >= 0 &&
    compareIp(address, range.end) <= 0
  );
}

function rangesOverlap(x: Range, y: Range): boolean {
  return (
    rangeContains(x, y.start) ||
    rangeContains(x, y.end) ||
    rangeContains(y, x.start) ||
    rangeContains(y, x.end)
  );
}

/** @throws CniError */
export function canonicalRangeSet(configs: readonly DecodedRange[]): RangeSet {
  if (configs.length === 0) throw failure("empty range set");
  const set: Range[] = [];
  for (const config of configs) {
    const range = canonicalRange(config);
    const first = set[0] ?? range;
    if (range.subnet.family !== first.subnet.family) throw failure("mixed address families");
    set.push(range);
  }
  for (const [i, range] of set.entries()) {
    const other = set.slice(i + 1).find((r) => rangesOverlap(range, r));
    if (other !== undefined) {
      throw failure(`subnets ${rangeText(range)} and ${rangeText(other)} overlap`);
    }
  }
  return set;
}

/** The range of a set that an address is in. */
export function rangeFor(set: RangeSet, address: IpAddress): Range | undefined {
  return set.find((range) => rangeContains(range, address));
}

export function setsOverlap(x: RangeSet, y: RangeSet): boolean {
  return x.some((range) => y.some((other) => rangesOverlap(range, other)));
}

export function rangeSetText(set: RangeSet): string {
  return set.map(rangeText).join(",");
}

function rangeText(range: Range): string {
  return `${formatIp(range.start)}-${formatIp(range.end)}`;
}
