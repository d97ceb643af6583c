import { addressBits } from "@cnilab/net";
import type { TableFamily } from "./command.ts";
import { DATA_TYPES, type DataType, type DeviceNames, nameToValue } from "./data-type.ts";
import type {
  BinaryExpression,
  ConcatExpression,
  Expression,
  MapExpression,
  PayloadExpression,
  RangeExpression,
  SetReference,
  SymbolExpression,
  ValueExpression,
} from "./expression.ts";
import { type ProtocolName, TRANSPORT_PROTOCOLS } from "./header-field.ts";
import { isName, type KeyPart } from "./key-words.ts";
import type { NftSet } from "./nft-set.ts";
import { type Location, NftablesError } from "./nftables-error.ts";
import { CT_KEYS, META_KEYS } from "./packet-key.ts";

/** What the rules of a table are read with. */
export interface EvaluationScope {
  readonly family: TableFamily;
  readonly devices: DeviceNames;
  set(name: string): NftSet | undefined;
  /** The number by which rules of the table know a chain. */
  chainNumber(name: string): number;
}

/** The type of what an expression gives, and its size. */
export function typeOf(expression: Expression): KeyPart {
  switch (expression.kind) {
    case "value":
      return expression;
    case "payload":
      return expression.field;
    case "meta":
      return META_KEYS[expression.key];
    case "ct":
      return CT_KEYS[expression.key];
    case "fib":
      if (expression.presence) return { type: DATA_TYPES.boolean, bits: 8 };
      if (expression.result === "type") return { type: DATA_TYPES.fib_addrtype, bits: 32 };
      return expression.result === "oif"
        ? { type: DATA_TYPES.iface_index, bits: 32 }
        : { type: DATA_TYPES.ifname, bits: 128 };
    case "numgen":
    case "hash":
      return { type: DATA_TYPES.hostInteger, bits: 32 };
    case "binary":
      return typeOf(expression.left);
    case "prefix":
      return typeOf(expression.base);
    case "range":
      return typeOf(expression.from);
    case "map": {
      const { mappings } = expression;
      const data = mappings.kind === "setRef" ? mappings.set?.options.data : undefined;
      return data?.[0] ?? { type: DATA_TYPES.integer, bits: 0 };
    }
    default:
      return { type: DATA_TYPES.integer, bits: 0 };
  }
}

/** The parts of a concatenation; of anything else the one that it is. */
export function partsOf(expression: Expression): readonly Expression[] {
  return expression.kind === "concat" ? expression.parts : [expression];
}

/** The parts of a key made from an expression. */
export function keyPartsOf(expression: Expression): KeyPart[] {
  return partsOf(expression).map((part) => {
    const { type, bits } = typeOf(part);
    return { type, bits };
  });
}

const NETWORK_FAMILIES: Readonly<Partial<Record<TableFamily, readonly ProtocolName[]>>> = {
  ip: ["ip"],
  ip6: ["ip6"],
  inet: ["ip", "ip6"],
  arp: ["arp"],
};

/**
 * What a rule has said so far about the protocols of its packets: nft adds comparisons that are
 * missing, and refuses those that contradict (nft's `struct proto_ctx`).
 */
export class ProtocolContext {
  readonly family: TableFamily;
  network: ProtocolName | undefined;
  /** IP protocol number. */
  transport: number | undefined = undefined;
  link: ProtocolName | undefined = undefined;

  constructor(family: TableFamily) {
    this.family = family;
    const own = NETWORK_FAMILIES[family];
    this.network = own?.length === 1 ? own[0] : undefined;
  }

  /** What must be compared before a field is read; learns that it was. */
  dependency(expression: PayloadExpression, location: Location): Dependency | undefined {
    const { protocol, base } = expression.field;
    if (base === "network") return this.#networkDependency(protocol, location);
    if (base === "link") return undefined;
    if (protocol === "th") return undefined;
    const number = TRANSPORT_PROTOCOLS.get(protocol) as number;
    if (this.transport === number) return undefined;
    if (this.transport !== undefined) {
      const known = [...TRANSPORT_PROTOCOLS].find(([, n]) => n === this.transport)?.[0];
      throw new NftablesError(
        location,
        `conflicting protocols specified: ${known ?? "unknown"} vs. ${protocol}`,
      );
    }
    this.transport = number;
    return { key: "l4proto", value: BigInt(number) };
  }

  #networkDependency(protocol: ProtocolName, location: Location): Dependency | undefined {
    if (this.network === protocol) return undefined;
    const possible = NETWORK_FAMILIES[this.family];
    if (this.network !== undefined || (possible !== undefined && !possible.includes(protocol))) {
      const known = this.network ?? this.family;
      throw new NftablesError(
        location,
        `conflicting protocols specified: ${known} vs. ${protocol}`,
      );
    }
    this.network = protocol;
    if (this.family === "inet") return { key: "nfproto", value: protocol === "ip" ? 2n : 10n };
    return { key: "protocol", value: ETHER_TYPES[protocol] as bigint };
  }

  /** Learns from a comparison that holds. */
  learn(left: Expression, value: bigint): void {
    if (left.kind === "meta") {
      if (left.key === "l4proto") this.transport = Number(value);
      if (left.key === "nfproto") this.network ??= value === 2n ? "ip" : "ip6";
      if (left.key === "protocol") this.#learnEtherType(value);
    } else if (left.kind === "ct") {
      if (left.key === "protocol") this.transport = Number(value);
    } else if (left.kind === "payload") {
      const { protocol, name } = left.field;
      if (name === "protocol" || name === "nexthdr") this.transport = Number(value);
      if (protocol === "ether" && name === "type") this.#learnEtherType(value);
    }
  }

  #learnEtherType(value: bigint): void {
    for (const [name, etherType] of Object.entries(ETHER_TYPES)) {
      if (etherType === value) this.network ??= name as ProtocolName;
    }
  }
}

const ETHER_TYPES: Readonly<Partial<Record<ProtocolName, bigint>>> = {
  ip: 0x0800n,
  arp: 0x0806n,
  ip6: 0x86ddn,
};

/** A comparison of `meta KEY` that a field needs before it. */
export interface Dependency {
  readonly key: "l4proto" | "nfproto" | "protocol";
  readonly value: bigint;
}

/** A constant of a known type from how it was written. */
export function evaluateSymbol(
  symbol: SymbolExpression,
  { type, bits }: KeyPart,
  scope: EvaluationScope,
): Expression {
  const { text, location } = symbol;
  if (isName(type) && !symbol.quoted && text === "") {
    throw new NftablesError(location, "Empty string is not allowed");
  }
  if (isName(type) && text.endsWith("*") && !text.endsWith("\\*")) {
    return wildcard(text.slice(0, -1), location);
  }
  const value = type.parse(isName(type) ? text.replace(/\\\*$/, "*") : text, scope.devices);
  if (value === undefined) throw new NftablesError(location, couldNotParse(type, text));
  const limit = (1n << BigInt(type === DATA_TYPES.boolean ? 1 : bits)) - 1n;
  if (bits > 0 && value > limit) {
    throw new NftablesError(
      location,
      type === DATA_TYPES.inet_service
        ? "Service out of range"
        : `Value ${value} exceeds valid range 0-${limit}`,
    );
  }
  return { kind: "value", type, value, bits };
}

function couldNotParse(type: DataType, text: string): string {
  if (type === DATA_TYPES.iface_index) return "Interface does not exist";
  if (type === DATA_TYPES.ipv4_addr || type === DATA_TYPES.ipv6_addr) {
    const other = type === DATA_TYPES.ipv4_addr ? DATA_TYPES.ipv6_addr : DATA_TYPES.ipv4_addr;
    return other.parse(text, NO_DEVICES) === undefined
      ? "Could not resolve hostname: Name or service not known"
      : "Could not resolve hostname: Address family for hostname not supported";
  }
  if (type === DATA_TYPES.inet_proto) return "Could not resolve protocol name";
  if (type === DATA_TYPES.inet_service) {
    return "Could not resolve service: Servname not supported for ai_socktype";
  }
  if (isName(type))
    return text === "" ? "Empty string is not allowed" : "String exceeds maximum length of 16";
  return `Could not parse ${DESCRIPTIONS[type.name] ?? type.name}`;
}

/** For messages: what nft calls its types. */
const DESCRIPTIONS: Readonly<Record<string, string>> = {
  integer: "integer",
  mark: "packet mark",
  ct_state: "conntrack state",
  ct_dir: "conntrack direction",
  ct_status: "conntrack status",
  tcp_flag: "TCP flag",
  nf_proto: "netfilter protocol",
  pkt_type: "packet type",
  fib_addrtype: "fib address type",
  icmp_type: "ICMP type",
  icmpv6_type: "ICMPv6 type",
  icmp_code: "icmp code",
  icmpv6_code: "icmpv6 code",
  icmpx_code: "icmpx code",
  ether_type: "Ethernet protocol",
  ether_addr: "Ethernet address",
  uid: "user ID",
  gid: "group ID",
};

/** For layers and messages, where there is no namespace. */
export const NO_DEVICES: DeviceNames = { index: () => undefined, name: () => undefined };

function wildcard(text: string, location: Location): Expression {
  if (text === "") throw new NftablesError(location, "All-wildcard strings are not supported");
  const type = DATA_TYPES.ifname;
  return {
    kind: "prefix",
    base: { kind: "value", type, value: nameToValue(text), bits: 128 },
    length: text.length * 8,
  };
}

/** What stands on the right of something of a known type. */
export function evaluateOperand(
  operand: Expression,
  part: KeyPart,
  scope: EvaluationScope,
): Expression {
  switch (operand.kind) {
    case "symbol":
      return evaluateSymbol(operand, part, scope);
    case "prefix": {
      const base = evaluateOperand(operand.base, part, scope);
      if (operand.length > part.bits) {
        throw new NftablesError(
          operand.location as Location,
          `Prefix length ${operand.length} is invalid for type of ${part.bits} bits width`,
        );
      }
      return simplePrefix(base as ValueExpression, operand.length);
    }
    case "range":
      return evaluateRange(operand, part, scope);
    case "list":
      return evaluateMask(operand.items, part, scope);
    case "binary":
      return foldConstants({
        ...operand,
        left: evaluateOperand(operand.left, part, scope),
        right: evaluateOperand(operand.right, part, scope),
      });
    default:
      return operand;
  }
}

/** Host bits are cleared; a prefix of all bits is a value. */
function simplePrefix(base: ValueExpression, length: number): Expression {
  const host = BigInt(base.bits - length);
  const value = (base.value >> host) << host;
  return length === base.bits ? base : { kind: "prefix", base: { ...base, value }, length };
}

function evaluateRange(
  { from, to }: RangeExpression,
  part: KeyPart,
  scope: EvaluationScope,
): Expression {
  const low = evaluateOperand(from, part, scope);
  const high = evaluateOperand(to, part, scope);
  if (low.kind !== "value" || high.kind !== "value") {
    throw new NftablesError(locationOf(from), "ranges must be of values");
  }
  if (low.value > high.value)
    throw new NftablesError(locationOf(from), "Range has zero or negative size");
  return { kind: "range", from: low, to: high };
}

/** `new,established`: the bits of all. */
function evaluateMask(
  items: readonly Expression[],
  part: KeyPart,
  scope: EvaluationScope,
): Expression {
  let value = 0n;
  for (const item of items) {
    const evaluated = evaluateOperand(item, part, scope);
    if (!part.type.bitmask || evaluated.kind !== "value") {
      throw new NftablesError(
        locationOf(item),
        "only values of bit masks can be listed with commas",
      );
    }
    value |= evaluated.value;
  }
  return { kind: "value", type: part.type, value, bits: part.bits };
}

export function locationOf(expression: Expression): Location {
  switch (expression.kind) {
    case "symbol":
    case "verdict":
    case "set":
    case "setRef":
      return expression.location;
    case "prefix":
      return locationOf(expression.base);
    case "range":
      return locationOf(expression.from);
    case "list":
      return locationOf(expression.items[0] as Expression);
    case "concat":
      return locationOf(expression.parts[0] as Expression);
    case "binary":
      return locationOf(expression.left);
    default:
      return { line: 1, column: 1, lastColumn: 1 };
  }
}

const APPLY: Readonly<Record<BinaryExpression["operator"], (x: bigint, y: bigint) => bigint>> = {
  "&": (x, y) => x & y,
  "|": (x, y) => x | y,
  "^": (x, y) => x ^ y,
  "<<": (x, y) => x << y,
  ">>": (x, y) => x >> y,
};

function foldConstants(expression: BinaryExpression): Expression {
  const { left, right, operator } = expression;
  if (left.kind !== "value" || right.kind !== "value") return expression;
  const value = APPLY[operator](left.value, right.value) & ((1n << BigInt(left.bits)) - 1n);
  return { ...left, value };
}

/** Something read off a packet, with the constants in it typed and its sets found. */
export class ExpressionEvaluator {
  readonly scope: EvaluationScope;
  readonly protocols: ProtocolContext;
  readonly #onDependency: (dependency: Dependency) => void;
  readonly #anonymousMap: (
    map: MapExpression,
    key: Expression,
    target: KeyPart | undefined,
  ) => SetReference;

  constructor(
    scope: EvaluationScope,
    protocols: ProtocolContext,
    onDependency: (dependency: Dependency) => void,
    anonymousMap: (
      map: MapExpression,
      key: Expression,
      target: KeyPart | undefined,
    ) => SetReference,
  ) {
    this.scope = scope;
    this.protocols = protocols;
    this.#onDependency = onDependency;
    this.#anonymousMap = anonymousMap;
  }

  /** @param target what constants and mapped values are, where the context says so */
  evaluate(expression: Expression, target: KeyPart | undefined, location: Location): Expression {
    switch (expression.kind) {
      case "symbol":
        if (target === undefined) {
          throw new NftablesError(expression.location, "No symbol type information");
        }
        return evaluateSymbol(expression, target, this.scope);
      case "payload": {
        const dependency = this.protocols.dependency(expression, location);
        if (dependency !== undefined) this.#onDependency(dependency);
        return expression;
      }
      case "ct":
        return this.#evaluateCt(expression, location);
      case "binary":
        return this.#evaluateBinary(expression, target, location);
      case "concat": {
        const parts = expression.parts.map((part) => this.evaluate(part, undefined, location));
        return { kind: "concat", parts } satisfies ConcatExpression;
      }
      case "hash": {
        if (expression.of === undefined) return expression;
        return { ...expression, of: this.evaluate(expression.of, undefined, location) };
      }
      case "map": {
        const key = this.evaluate(expression.key, undefined, location);
        const mappings =
          expression.mappings.kind === "setRef"
            ? this.resolve(expression.mappings)
            : this.#anonymousMap(expression, key, target);
        if (mappings.set?.options.isMap !== true) {
          throw new NftablesError(mappings.location, "Expression is not a map");
        }
        return { ...expression, key, mappings };
      }
      case "range":
      case "prefix":
        if (target === undefined)
          throw new NftablesError(location, "syntax error, unexpected range");
        return evaluateOperand(expression, target, this.scope);
      default:
        return expression;
    }
  }

  resolve(reference: SetReference): SetReference {
    const set = this.scope.set(reference.name);
    if (set === undefined) {
      throw new NftablesError(reference.location, "No such file or directory");
    }
    return { ...reference, set };
  }

  #evaluateCt(expression: Expression & { kind: "ct" }, location: Location): Expression {
    const { direction } = CT_KEYS[expression.key];
    if (direction === "needed" && expression.direction === undefined) {
      throw new NftablesError(
        location,
        `syntax error, unexpected newline, ct ${expression.key} needs a direction`,
      );
    }
    if (direction === "none" && expression.direction !== undefined) {
      throw new NftablesError(location, `ct ${expression.key} has no direction`);
    }
    const { transport } = this.protocols;
    if (expression.key.startsWith("proto-") && transport === undefined) {
      throw new NftablesError(location, "Can't parse symbolic invalid expressions");
    }
    return direction === "ignored" ? { ...expression, direction: undefined } : expression;
  }

  #evaluateBinary(
    { operator, left, right }: BinaryExpression,
    target: KeyPart | undefined,
    location: Location,
  ): Expression {
    const leftValue = this.evaluate(left, target, location);
    const part = target ?? typeOf(leftValue);
    const amount = { type: DATA_TYPES.integer, bits: 32 };
    const rightValue = this.evaluate(
      right,
      operator === "<<" || operator === ">>"
        ? amount
        : typeOf(leftValue).bits > 0
          ? typeOf(leftValue)
          : part,
      location,
    );
    return foldConstants({ kind: "binary", operator, left: leftValue, right: rightValue });
  }
}

/** The number of bits of an address of a table's family. */
export function addressPart(family: 4 | 6): KeyPart {
  const type = family === 4 ? DATA_TYPES.ipv4_addr : DATA_TYPES.ipv6_addr;
  return { type, bits: addressBits(family) };
}
