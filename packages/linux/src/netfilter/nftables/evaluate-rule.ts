import type { RuleSpec, TableFamily } from "./command.ts";
import { DATA_TYPES, type DataType } from "./data-type.ts";
import {
  addressPart,
  type Dependency,
  type EvaluationScope,
  ExpressionEvaluator,
  evaluateOperand,
  keyPartsOf,
  locationOf,
  ProtocolContext,
  partsOf,
  typeOf,
} from "./evaluate-expression.ts";
import {
  addElements,
  evaluateElement,
  evaluateKey,
  intervalExpression,
  isInterval,
} from "./evaluate-set.ts";
import type {
  BinaryExpression,
  Expression,
  MapExpression,
  SetExpression,
  SetReference,
  ValueExpression,
} from "./expression.ts";
import { headerField, TRANSPORT_PROTOCOLS } from "./header-field.ts";
import type { KeyPart } from "./key-words.ts";
import { NftSet } from "./nft-set.ts";
import { type Location, NftablesError } from "./nftables-error.ts";
import type { Mangle, Match, Nat, Reject, SetUpdate, Statement } from "./statement.ts";

/** Makes the number of an anonymous set: each takes a handle of its table. */
export type NewHandle = () => number;

/**
 * Gives the statements of a rule as the kernel keeps them: constants typed, sets found or made,
 * what nft would add added.
 */
export function evaluateRule(
  rule: RuleSpec,
  scope: EvaluationScope,
  newHandle: NewHandle,
): Statement[] {
  return hideImplied(new RuleEvaluator(scope, newHandle).evaluate(rule.statements), scope.family);
}

class RuleEvaluator {
  readonly #scope: EvaluationScope;
  readonly #newHandle: NewHandle;
  readonly #protocols: ProtocolContext;
  readonly #expressions: ExpressionEvaluator;
  #done: Statement[] = [];
  #location: Location = { line: 1, column: 1, lastColumn: 1 };
  #sawPorts = false;

  constructor(scope: EvaluationScope, newHandle: NewHandle) {
    this.#scope = scope;
    this.#newHandle = newHandle;
    this.#protocols = new ProtocolContext(scope.family);
    this.#expressions = new ExpressionEvaluator(
      scope,
      this.#protocols,
      (dependency) => this.#done.push(this.#dependencyMatch(dependency)),
      (map, key, target) => this.#anonymousMap(map, key, target),
    );
  }

  evaluate(statements: readonly Statement[]): Statement[] {
    for (const statement of statements) {
      const evaluated = this.#statement(statement);
      this.#done.push(evaluated);
    }
    return this.#done;
  }

  #statement(statement: Statement): Statement {
    if ("location" in statement) this.#location = statement.location;
    switch (statement.kind) {
      case "match":
        return this.#match(statement);
      case "vmap": {
        const map = this.#evaluate(statement.map);
        return { ...statement, map };
      }
      case "mangle":
        return this.#mangle(statement);
      case "nat":
        return this.#nat(statement);
      case "reject":
        return this.#reject(statement);
      case "setUpdate":
        return this.#setUpdate(statement);
      case "queue": {
        const to =
          statement.to && this.#evaluate(statement.to, { type: DATA_TYPES.integer, bits: 16 });
        return { ...statement, to };
      }
      default:
        return statement;
    }
  }

  #evaluate(expression: Expression, target?: KeyPart): Expression {
    const evaluated = this.#expressions.evaluate(expression, target, this.#location);
    if (mentionsPorts(evaluated)) this.#sawPorts = true;
    return decodeTransport(evaluated, this.#protocols.transport);
  }

  #dependencyMatch({ key, value }: Dependency): Match {
    const left: Expression = { kind: "meta", key };
    const { type, bits } = typeOf(left);
    const right: Expression = { kind: "value", type, bits, value };
    return {
      kind: "match",
      operator: "==",
      left,
      right,
      implied: true,
      location: this.#location,
    };
  }

  #match(written: Match): Match {
    const match = withoutSingleSet(written);
    const { location } = match;
    let left = this.#evaluate(match.left);
    if (left.kind === "fib" && isPresence(match.right)) left = { ...left, presence: true };
    const parts = keyPartsOf(left);
    if (match.right.kind === "set" || match.right.kind === "setRef") {
      if (namesTransport(left)) this.#sawPorts = true;
      return { ...match, left, right: this.#setOperand(match.right, parts) };
    }
    if (left.kind === "concat") {
      throw new NftablesError(
        location,
        "Use concatenations with sets and maps, not singleton values",
      );
    }
    const part = parts[0] as KeyPart;
    const right = evaluateOperand(match.right, part, this.#scope);
    if (match.mask !== undefined) {
      const mask = evaluateOperand(match.mask, part, this.#scope);
      return {
        ...match,
        operator: match.operator === "" ? "==" : match.operator,
        left,
        right,
        mask,
      };
    }
    return this.#transferred(this.#flagComparison({ ...match, left, right }));
  }

  #setOperand(right: SetExpression | SetReference, parts: readonly KeyPart[]): SetReference {
    if (right.kind === "set") return this.#anonymousSet(right, parts);
    const resolved = this.#expressions.resolve(right);
    const expected = (resolved.set as NftSet).options.key;
    const same =
      expected.length === parts.length &&
      expected.every(({ type }, i) => compatible(type.name, (parts[i] as KeyPart).type.name));
    if (!same) {
      throw new NftablesError(
        locationOf(right),
        `datatype mismatch, expected ${parts.map((p) => p.type.name).join(" . ")}, expression has type ${expected.map((p) => p.type.name).join(" . ")}`,
      );
    }
    return resolved;
  }

  /** `tcp flags & (syn | ack) == syn` is the same as `tcp flags syn / syn,ack`. */
  #flagComparison(match: Match): Match {
    const { left, right, operator } = match;
    if (
      left.kind === "binary" &&
      left.operator === "&" &&
      left.right.kind === "value" &&
      left.right.type.bitmask &&
      right.kind === "value" &&
      (operator === "==" || operator === "" || operator === "!=")
    ) {
      const mask = left.right;
      // `flags & M != 0` asks for any of the bits, `== 0` for none.
      if (right.value === 0n) {
        return { ...match, operator: operator === "!=" ? "" : "!", left: left.left, right: mask };
      }
      if ((mask.value & (mask.value - 1n)) === 0n) return match;
      return {
        ...match,
        operator: operator === "" ? "==" : operator,
        left: left.left,
        right,
        mask,
      };
    }
    return match;
  }

  /** Takes what can be computed now to the side of the constant (nft's binop_transfer). */
  #transferred(match: Match): Match {
    const { left, right, operator } = match;
    if (operator === "" || operator === "==") {
      if (right.kind === "value") this.#protocols.learn(left, right.value);
    }
    if (left.kind !== "binary" || left.right.kind !== "value" || right.kind !== "value")
      return match;
    if (left.operator === "&") return masked(match, left.left, left.right, right);
    if (left.operator !== "^") return match;
    return this.#transferred({
      ...match,
      left: left.left,
      right: { ...right, value: right.value ^ left.right.value },
    });
  }

  #anonymousSet({ elements, location }: SetExpression, key: readonly KeyPart[]): SetReference {
    if (elements.length === 0) throw new NftablesError(location, "Set is empty");
    const set = this.#newSet(
      elements.some((e) => isIntervalElement(e, key, this.#scope)),
      key,
    );
    this.#fill(set, elements);
    return { kind: "setRef", name: set.name, location, set };
  }

  #anonymousMap(map: MapExpression, key: Expression, target: KeyPart | undefined): SetReference {
    const { elements, location } = map.mappings as SetExpression;
    if (elements.length === 0) throw new NftablesError(location, "Set is empty");
    const parts = keyPartsOf(key);
    const interval = elements.some((e) => isIntervalElement(e, parts, this.#scope));
    let data: KeyPart[] | undefined;
    if (!map.verdict) {
      if (target === undefined) throw new NftablesError(location, "map is not expected here");
      const first = elements[0]?.data;
      const port = { type: DATA_TYPES.inet_service, bits: 16 };
      data = first?.kind === "concat" ? [target, port] : [target];
    }
    const dataInterval = elements.some(({ data: d }) => d !== undefined && isRangeOf(d));
    const more = { isMap: true, verdicts: map.verdict, data, dataInterval };
    const set = this.#newSet(interval, parts, more);
    this.#fill(set, elements);
    return { kind: "setRef", name: set.name, location, set };
  }

  #newSet(
    interval: boolean,
    key: readonly KeyPart[],
    more: Partial<NftSet["options"]> = {},
  ): NftSet {
    const handle = this.#newHandle();
    return new NftSet({
      name: `__set${handle}`,
      handle,
      anonymous: true,
      key,
      keyTypeOf: undefined,
      data: undefined,
      dataTypeOf: undefined,
      verdicts: false,
      objects: undefined,
      isMap: false,
      dataInterval: false,
      constant: true,
      dynamic: false,
      interval,
      timeout: false,
      timeoutMs: undefined,
      gcIntervalMs: undefined,
      size: undefined,
      policy: "performance",
      autoMerge: false,
      stateful: [],
      comment: undefined,
      ...more,
    });
  }

  #fill(set: NftSet, elements: SetExpression["elements"]): void {
    const stored = elements.map((element) => evaluateElement(element, set, this.#scope, 0));
    addElements(
      set,
      set.elements,
      stored,
      elements.map((element) => element.location),
      false,
    );
  }

  #mangle(mangle: Mangle): Mangle {
    const target = this.#evaluate(mangle.target) as Mangle["target"];
    const part = typeOf(target);
    const value = canonicalBits(this.#evaluate(mangle.value, part));
    return { ...mangle, target, value };
  }

  #nat(nat: Nat): Nat {
    const family = nat.family ?? this.#familyOfTable();
    let { address, port } = nat;
    if (address !== undefined) {
      if (family === undefined) {
        throw new NftablesError(
          nat.location,
          "ip or ip6 must be specified with address for inet tables.",
        );
      }
      address = shortest(this.#evaluate(address, addressPart(family)));
    }
    const mapped = address?.kind === "map" && mapsToPort(address);
    if (port !== undefined || mapped) this.#needTransport(nat.location);
    if (port !== undefined)
      port = this.#evaluate(port, { type: DATA_TYPES.inet_service, bits: 16 });
    const toRanges =
      address?.kind === "map" &&
      address.mappings.kind === "setRef" &&
      address.mappings.set?.options.dataInterval === true;
    // A redirection and a masquerade have no address that could be of a family.
    const showFamily =
      address !== undefined && (this.#scope.family === "inet" || mapped || toRanges);
    return { ...nat, family, showFamily, address, port, addressAndPort: mapped };
  }

  #familyOfTable(): 4 | 6 | undefined {
    if (this.#scope.family === "ip") return 4;
    if (this.#scope.family === "ip6") return 6;
    const { network } = this.#protocols;
    return network === "ip" ? 4 : network === "ip6" ? 6 : undefined;
  }

  #needTransport(location: Location): void {
    if (this.#protocols.transport !== undefined || this.#sawPorts) return;
    throw new NftablesError(
      location,
      "transport protocol mapping is only valid after transport protocol match",
    );
  }

  /** What it demands of a packet is asked first, so that rules count only what they reject (`stmt_reject_gen_dependency`). */
  #reject(reject: Reject): Reject {
    const { family } = this.#scope;
    if (family === "arp") throw new NftablesError(reject.location, "cannot use reject with arp");
    if (reject.type === "tcp reset") {
      if (this.#protocols.transport === undefined) {
        this.#protocols.transport = 6;
        this.#done.unshift(this.#dependencyMatch({ key: "l4proto", value: 6n }));
      } else if (this.#protocols.transport !== 6) {
        throw new NftablesError(reject.location, "you cannot use tcp reset with this protocol");
      }
      return reject;
    }
    const network = this.#protocols.network;
    const type = reject.spelled
      ? reject.type
      : network === "ip"
        ? "icmp"
        : network === "ip6"
          ? "icmpv6"
          : "icmpx";
    if (type === "icmpx" && (family === "ip" || family === "ip6")) {
      throw new NftablesError(reject.location, "abstracted ICMP unreachable not supported");
    }
    const needs = type === "icmp" ? "ip" : type === "icmpv6" ? "ip6" : undefined;
    if (needs !== undefined && network !== needs) {
      if (network !== undefined) {
        throw new NftablesError(reject.location, "conflicting protocols specified: ip vs ip6");
      }
      this.#protocols.network = needs;
      this.#done.unshift(
        this.#dependencyMatch(
          family === "inet"
            ? { key: "nfproto", value: needs === "ip" ? 2n : 10n }
            : { key: "protocol", value: needs === "ip" ? 0x0800n : 0x86ddn },
        ),
      );
    }
    const codeType =
      type === "icmp"
        ? DATA_TYPES.icmp_code
        : type === "icmpv6"
          ? DATA_TYPES.icmpv6_code
          : DATA_TYPES.icmpx_code;
    const part = { type: codeType, bits: 8 };
    const code: Expression =
      reject.code === undefined
        ? {
            kind: "value",
            ...part,
            value: codeType.parse("port-unreachable", this.#scope.devices) as bigint,
          }
        : evaluateOperand(reject.code, part, this.#scope);
    // Where the table's family does not tell which kind of message it is, the listing does.
    const spelled = type !== "icmpx" && family !== "ip" && family !== "ip6";
    return { ...reject, type, code, spelled };
  }

  #setUpdate(update: SetUpdate): SetUpdate {
    const set = this.#expressions.resolve(update.set);
    const key = this.#evaluate(update.key);
    const { options } = set.set as NftSet;
    if (keyPartsOf(key).length !== options.key.length) {
      throw new NftablesError(
        update.location,
        `datatype mismatch, expected ${options.key.map((p) => p.type.name).join(" . ")}`,
      );
    }
    const data = update.data && this.#evaluate(update.data, options.data?.[0]);
    return { ...update, set, key, data };
  }
}

/** Types of which a comparison under a mask of leading ones is a prefix. */
const PREFIX_TYPES: readonly DataType[] = [
  DATA_TYPES.ipv4_addr,
  DATA_TYPES.ipv6_addr,
  DATA_TYPES.mark,
];

/** `meta mark & 0xffff0000 == 0x10000` is `meta mark 0x10000/16`. */
function masked(
  match: Match,
  left: Expression,
  mask: ValueExpression,
  right: ValueExpression,
): Match {
  const equality = match.operator === "" || match.operator === "==" || match.operator === "!=";
  if (!equality || !PREFIX_TYPES.includes(mask.type)) return match;
  const { bits, value } = mask;
  const host = ((1n << BigInt(bits)) - 1n) ^ value;
  if ((host & (host + 1n)) !== 0n || (right.value & host) !== 0n) return match;
  const length = bits - (host === 0n ? 0 : host.toString(2).length);
  if (length === bits) return { ...match, left };
  return { ...match, left, right: { kind: "prefix", base: right, length } };
}

/** A set of one value is that value. */
function withoutSingleSet(match: Match): Match {
  if (match.right.kind !== "set" || match.right.elements.length !== 1) return match;
  const key = match.right.elements[0]?.key;
  return key === undefined || key.kind === "concat" ? match : { ...match, right: key };
}

/** A range that is a network is listed as one. */
function shortest(address: Expression): Expression {
  if (address.kind !== "range" || address.from.kind !== "value" || address.to.kind !== "value") {
    return address;
  }
  return intervalExpression(address.from.value, address.to.value, address.from);
}

function isPresence(right: Expression): boolean {
  return right.kind === "symbol" && (right.text === "exists" || right.text === "missing");
}

function compatible(x: string, y: string): boolean {
  return x === y;
}

function isIntervalElement(
  { key }: { readonly key: Expression | undefined },
  parts: readonly KeyPart[],
  scope: EvaluationScope,
): boolean {
  return key !== undefined && isInterval(evaluateKey(key, parts, scope));
}

/** Whether some part of a map's value is a range or prefix. */
function isRangeOf(data: Expression): boolean {
  return partsOf(data).some(({ kind }) => kind === "range" || kind === "prefix");
}

function mapsToPort(map: MapExpression): boolean {
  const set = map.mappings.kind === "setRef" ? map.mappings.set : undefined;
  return (set?.options.data?.length ?? 1) > 1;
}

/** `meta l4proto { tcp, udp }` and its like. */
function namesTransport(left: Expression): boolean {
  if (left.kind === "meta") return left.key === "l4proto";
  return (
    left.kind === "payload" && (left.field.name === "protocol" || left.field.name === "nexthdr")
  );
}

function mentionsPorts(expression: Expression): boolean {
  if (expression.kind === "concat") return expression.parts.some(mentionsPorts);
  if (expression.kind === "map") return mentionsPorts(expression.key);
  return expression.kind === "payload" && expression.field.protocol === "th";
}

/** `th dport` is listed as `tcp dport` where the rule has compared the protocol before. */
function decodeTransport(expression: Expression, transport: number | undefined): Expression {
  if (transport === undefined) return expression;
  switch (expression.kind) {
    case "payload": {
      if (expression.field.protocol !== "th") return expression;
      const known = [...TRANSPORT_PROTOCOLS].find(([, number]) => number === transport)?.[0];
      const field = known === undefined ? undefined : headerField(known, expression.field.name);
      return field === undefined ? expression : { ...expression, field };
    }
    case "concat": {
      const parts = expression.parts.map((part) => decodeTransport(part, transport));
      return { ...expression, parts };
    }
    case "map":
      return { ...expression, key: decodeTransport(expression.key, transport) };
    default:
      return expression;
  }
}

/**
 * The kernel keeps any chain of `&`, `|` and `^` with constants as one mask and one exclusive or, and
 * nft lists what those amount to.
 */
export function canonicalBits(expression: Expression): Expression {
  const chain: BinaryExpression[] = [];
  let base = expression;
  while (
    base.kind === "binary" &&
    base.right.kind === "value" &&
    (base.operator === "&" || base.operator === "|" || base.operator === "^")
  ) {
    chain.push(base);
    base = base.left;
  }
  const last = chain[0];
  if (last === undefined) return expression;
  const constant = last.right as ValueExpression;
  const all = (1n << BigInt(constant.bits)) - 1n;
  let mask = all;
  let xor = 0n;
  for (const { operator, right } of chain.reverse()) {
    const { value } = right as ValueExpression;
    if (operator === "&") {
      mask &= value;
      xor &= value;
    } else if (operator === "|") {
      mask &= ~value & all;
      xor |= value;
    } else xor ^= value;
  }
  // Bits that are set whatever they were: cleared by the mask and set by the exclusive or.
  const or = xor & ~mask & all;
  xor &= mask;
  mask |= or;
  let result = base;
  const add = (operator: "&" | "^" | "|", value: bigint) => {
    result = { kind: "binary", operator, left: result, right: { ...constant, value } };
  };
  if (mask !== all) add("&", mask);
  if (xor !== 0n) add("^", xor);
  if (or !== 0n) add("|", or);
  return result;
}

/** Marks comparisons that listings leave out since a field that follows implies them. */
function hideImplied(statements: Statement[], family: TableFamily): Statement[] {
  return statements.map((statement, i) => {
    if (statement.kind !== "match") return statement;
    const implies = impliedBy(statement);
    if (implies === undefined) return statement;
    const implied =
      saysWhatTheTableDoes(statement, family) || isImplied(statements, i, implies, family);
    return { ...statement, implied };
  });
}

/** `meta protocol ip` in a table of family `ip`. */
function saysWhatTheTableDoes({ left, right }: Match, family: TableFamily): boolean {
  if (left.kind !== "meta" || left.key !== "protocol" || right.kind !== "value") return false;
  return IMPLYING[Number(right.value)]?.[0] === family;
}

/** Whether what follows shows it, with nothing but comparisons between. */
function isImplied(
  statements: readonly Statement[],
  at: number,
  protocols: readonly string[],
  family: TableFamily,
): boolean {
  const { left } = statements[at] as Match;
  // Where there are several network protocols, that of the header says more than the transport's.
  const single = family === "ip" || family === "ip6";
  if (left.kind === "payload" && left.field.base === "network" && !single) return false;
  for (const later of statements.slice(at + 1)) {
    if (protocols.some((protocol) => mentions(later, protocol))) return true;
    if (later.kind !== "match") return false;
  }
  return false;
}

/** Protocols whose fields show the EtherType. */
const IMPLYING: Readonly<Record<number, readonly string[]>> = {
  2048: ["ip", "icmp", "udp", "tcp"],
  2054: ["arp"],
  34525: ["ip6", "icmpv6"],
};

/** Which protocol's fields make this comparison superfluous in a listing. */
function impliedBy({ left, operator, right, mask }: Match): readonly string[] | undefined {
  if ((operator !== "" && operator !== "==") || right.kind !== "value" || mask !== undefined) {
    return undefined;
  }
  const isTransport =
    (left.kind === "meta" && left.key === "l4proto") ||
    (left.kind === "payload" && (left.field.name === "protocol" || left.field.name === "nexthdr"));
  if (isTransport) {
    return [...TRANSPORT_PROTOCOLS]
      .filter(([, number]) => BigInt(number) === right.value)
      .map(([name]) => name);
  }
  if (left.kind === "meta" && left.key === "nfproto") {
    return right.value === 2n ? ["ip", "icmp"] : ["ip6", "icmpv6"];
  }
  const isEtherType =
    (left.kind === "meta" && left.key === "protocol") ||
    (left.kind === "payload" && left.field.protocol === "ether" && left.field.name === "type");
  if (isEtherType) return IMPLYING[Number(right.value)];
  return undefined;
}

function mentions(statement: Statement, protocol: string): boolean {
  const expressions: (Expression | undefined)[] = [];
  switch (statement.kind) {
    case "match":
      expressions.push(statement.left);
      break;
    case "vmap":
      expressions.push(statement.map);
      break;
    case "mangle":
      expressions.push(statement.target, statement.value);
      break;
    case "nat":
      expressions.push(statement.address);
      break;
    case "setUpdate":
      expressions.push(statement.key);
      break;
    case "reject":
      return (
        (statement.type === "tcp reset" && protocol === "tcp") ||
        (statement.type === "icmp" && protocol === "ip") ||
        (statement.type === "icmpv6" && protocol === "ip6")
      );
  }
  return expressions.some((e) => e !== undefined && usesProtocol(e, protocol));
}

function usesProtocol(expression: Expression, protocol: string): boolean {
  switch (expression.kind) {
    case "payload":
      return expression.field.protocol === protocol;
    case "concat":
      return expression.parts.some((part) => usesProtocol(part, protocol));
    case "binary":
      return usesProtocol(expression.left, protocol) || usesProtocol(expression.right, protocol);
    case "map":
      return usesProtocol(expression.key, protocol);
    case "hash":
      return expression.of !== undefined && usesProtocol(expression.of, protocol);
    default:
      return false;
  }
}
