import { DATA_TYPES, type DeviceNames } from "./data-type.ts";
import { keyExpression } from "./evaluate-set.ts";
import type { Expression, SetReference } from "./expression.ts";
import type { NftSet } from "./nft-set.ts";
import { META_KEYS } from "./packet-key.ts";
import { DEFAULT_BURST, TIME_UNITS } from "./parse-stateful.ts";
import type { SetElements, StoredElement } from "./set-elements.ts";
import type { Limit, Log, Match, Nat, Quota, Reject, Statement } from "./statement.ts";
import { formatTime } from "./time.ts";

/** The statements of a rule as `nft -s list` prints them. */
export function formatStatements(
  statements: readonly Statement[],
  devices: DeviceNames,
  counters?: CounterValues,
): string {
  return statements
    .filter((s) => s.kind !== "match" || s.implied !== true)
    .map((statement) => formatStatement(statement, devices, counters))
    .join(" ");
}

/** Packets and bytes of a counter, where they are printed. */
export type CounterValues = (counter: Statement & { kind: "counter" }) => string;

export function formatStatement(
  statement: Statement,
  devices: DeviceNames,
  counters?: CounterValues,
): string {
  const print = (expression: Expression) => formatExpression(expression, devices);
  switch (statement.kind) {
    case "match":
      return formatMatch(statement, devices);
    case "verdict":
      return print(statement.verdict);
    case "vmap":
      return print(statement.map);
    case "counter":
      return counters === undefined ? "counter" : `counter ${counters(statement)}`;
    case "quota":
      return formatQuota(statement);
    case "limit":
      return formatLimit(statement);
    case "ctCount":
      return `ct count ${statement.over ? "over " : ""}${statement.count}`;
    case "object":
      return `${statement.objectType} name "${statement.name}"`;
    case "log":
      return formatLog(statement);
    case "reject":
      return formatReject(statement, devices);
    case "nat":
      return formatNat(statement, devices);
    case "mangle":
      return `${print(statement.target)} set ${print(statement.value)}`;
    case "notrack":
      return "notrack";
    case "queue": {
      const flags = [
        ...(statement.bypass ? ["bypass"] : []),
        ...(statement.fanout ? ["fanout"] : []),
      ];
      const flagText = flags.length > 0 ? ` flags ${flags.join()}` : "";
      return `queue${flagText} to ${statement.to === undefined ? "0" : print(statement.to)}`;
    }
    case "setUpdate": {
      const { operation, set, key, data, timeoutMs, stateful } = statement;
      let inner = print(key);
      if (timeoutMs !== undefined) inner += ` timeout ${formatTime(timeoutMs)}`;
      for (const each of stateful) inner += ` ${formatStatement(each, devices)}`;
      if (data !== undefined) inner += ` : ${print(data)}`;
      return `${operation} @${set.name} { ${inner} }`;
    }
  }
}

function formatMatch({ left, operator, right, mask }: Match, devices: DeviceNames): string {
  const subject = formatExpression(left, devices);
  const object = formatExpression(right, devices);
  if (mask !== undefined) {
    const spelled = operator === "!=" ? " !=" : "";
    return `${subject}${spelled} ${object} / ${formatExpression(mask, devices)}`;
  }
  if (operator === "!") return `${subject} ! ${object}`;
  const several = operator === "" ? undefined : bitSum(left, right, devices);
  if (operator !== "" && operator !== "==") return `${subject} ${operator} ${several ?? object}`;
  // Equality is spelled out where it would be taken for a test of single bits, and after arithmetic.
  const isMask = operator === "==" && right.kind === "value" && right.type.bitmask;
  const isSum = several?.includes(" | ") === true;
  const spelled = (isMask && !isSum) || left.kind === "binary";
  return `${subject}${spelled ? " ==" : ""} ${several ?? object}`;
}

/**
 * Several bits of a mask that is compared as a whole. Of header fields nft does not take the value apart
 * again (netlink_delinearize.c payload_match_expand).
 */
function bitSum(left: Expression, right: Expression, devices: DeviceNames): string | undefined {
  if (right.kind !== "value" || !right.type.bitmask) return undefined;
  const names = bitList(right, devices, " | ");
  if (left.kind !== "payload" || names?.includes(" | ") !== true) return names;
  return `0x${right.value.toString(16)}`;
}

/** The names of the bits of a mask. */
function bitList(right: Expression, devices: DeviceNames, between: string): string | undefined {
  if (right.kind !== "value" || !right.type.bitmask) return undefined;
  const names: string[] = [];
  let rest = right.value;
  for (const [, bit] of right.type.symbols) {
    if (bit === 0n || (rest & bit) === 0n) continue;
    names.push(right.type.format(bit, devices));
    rest &= ~bit;
  }
  if (names.length === 0 || rest !== 0n) return right.type.format(right.value, devices);
  return names.join(between);
}

const PRECEDENCE = { "<<": 1, ">>": 1, "&": 2, "^": 3, "|": 4 } as const;

export function formatExpression(expression: Expression, devices: DeviceNames): string {
  const print = (inner: Expression) => formatExpression(inner, devices);
  switch (expression.kind) {
    case "symbol":
      return expression.quoted ? `"${expression.text}"` : expression.text;
    case "value":
      return bitList(expression, devices, ",") ?? expression.type.format(expression.value, devices);
    case "prefix":
      return formatPrefix(expression.base, expression.length, devices);
    case "range":
      return `${formatNumeric(expression.from, devices)}-${formatNumeric(expression.to, devices)}`;
    case "payload":
      return `${expression.field.protocol} ${expression.field.name}`;
    case "meta":
      return META_KEYS[expression.key].bare ? expression.key : `meta ${expression.key}`;
    case "ct":
      return ["ct", expression.direction, expression.key].filter(Boolean).join(" ");
    case "fib":
      return `fib ${expression.flags.join(" . ")} ${expression.result}`;
    case "numgen": {
      const offset = expression.offset > 0 ? ` offset ${expression.offset}` : "";
      return `numgen ${expression.mode} mod ${expression.modulus}${offset}`;
    }
    case "hash": {
      const { of, modulus, seed, offset } = expression;
      const name = of === undefined ? "symhash" : `jhash ${print(of)}`;
      const seedText = seed === undefined ? "" : ` seed 0x${seed.toString(16)}`;
      return `${name} mod ${modulus}${seedText}${offset > 0 ? ` offset ${offset}` : ""}`;
    }
    case "binary": {
      const argument = (inner: Expression): string =>
        inner.kind === "binary" && PRECEDENCE[expression.operator] < PRECEDENCE[inner.operator]
          ? `(${print(inner)})`
          : print(inner);
      const right = bitList(expression.right, devices, " | ");
      const spelled = right?.includes(" ") === true ? `(${right})` : right;
      const operand = spelled ?? argument(expression.right);
      return `${argument(expression.left)} ${expression.operator} ${operand}`;
    }
    case "concat":
      return expression.parts.map(print).join(" . ");
    case "list":
      return expression.items.map(print).join(",");
    case "verdict":
      return expression.chain === undefined
        ? expression.verdict
        : `${expression.verdict} ${expression.chain}`;
    case "setRef":
      return formatReference(expression, devices);
    case "set":
      return "{ }";
    case "map":
      return `${print(expression.key)} ${expression.verdict ? "vmap" : "map"} ${print(expression.mappings)}`;
  }
}

function formatPrefix(base: Expression, length: number, devices: DeviceNames): string {
  if (base.kind === "value" && base.type === DATA_TYPES.ifname) {
    return base.type.format(base.value, devices).replace(/"$/, '*"');
  }
  return `${formatExpression(base, devices)}/${length}`;
}

function formatNumeric(expression: Expression, devices: DeviceNames): string {
  if (expression.kind !== "value") return formatExpression(expression, devices);
  return expression.type.formatNumeric(expression.value, devices);
}

function formatReference(reference: SetReference, devices: DeviceNames): string {
  const { set, name } = reference;
  if (set === undefined || !set.options.anonymous) return `@${name}`;
  return `{ ${formatElements(set, set.elements, devices).join(", ")} }`;
}

/** The elements of a set in the order in which nft lists them. */
export function formatElements(set: NftSet, elements: SetElements, devices: DeviceNames): string[] {
  return elements.sorted().map((element) => formatElement(set, element, devices));
}

function formatElement(set: NftSet, element: StoredElement, devices: DeviceNames): string {
  const { key } = element;
  let text =
    key === undefined ? "*" : formatExpression(keyExpression(key, set.options.key), devices);
  for (const each of element.stateful) text += ` ${formatStatement(each, devices)}`;
  if (element.timeoutMs !== undefined && element.timeoutMs !== set.options.timeoutMs) {
    text += ` timeout ${formatTime(element.timeoutMs)}`;
  }
  if (element.comment !== undefined) text += ` comment "${element.comment}"`;
  if (element.data !== undefined) text += ` : ${formatExpression(element.data, devices)}`;
  return text;
}

/** A number of bytes with the greatest unit that divides it. */
export function formatSize(bytes: number): string {
  const [size, unit] = sizeAndUnit(bytes);
  return `${size} ${unit}`;
}

export function sizeAndUnit(bytes: number): readonly [number, string] {
  for (const unit of ["bytes", "kbytes"]) {
    if (bytes === 0 || bytes % 1024 !== 0) return [bytes, unit];
    bytes /= 1024;
  }
  return [bytes, "mbytes"];
}

export function unitName(seconds: number): string {
  return Object.entries(TIME_UNITS).find(([, s]) => s === seconds)?.[0] ?? "error";
}

function formatQuota({ over, bytes }: Quota): string {
  return `quota ${over ? "over " : ""}${formatSize(bytes)}`;
}

function formatLimit({ over, rate, unitSeconds, burst, countsBytes }: Limit): string {
  const inverted = over ? "over " : "";
  const unit = unitName(unitSeconds);
  if (!countsBytes) {
    const burstText = burst !== 0 && burst !== DEFAULT_BURST ? ` burst ${burst} packets` : "";
    return `limit rate ${inverted}${rate}/${unit}${burstText}`;
  }
  const burstText = burst !== 0 ? ` burst ${formatSize(burst)}` : "";
  return `limit rate ${inverted}${formatSize(rate)}/${unit}${burstText}`;
}

function formatLog(log: Log): string {
  let text = "log";
  if (log.prefix !== undefined) text += ` prefix "${log.prefix}"`;
  if (log.group !== undefined) text += ` group ${log.group}`;
  if (log.snaplen !== undefined) text += ` snaplen ${log.snaplen}`;
  if (log.queueThreshold !== undefined) text += ` queue-threshold ${log.queueThreshold}`;
  if (log.level !== undefined && log.level !== "warn") text += ` level ${log.level}`;
  const tcp = log.flags.filter((flag) => flag.startsWith("tcp ")).map((flag) => flag.slice(4));
  if (tcp.length > 0) text += ` flags tcp ${tcp.join()}`;
  for (const flag of log.flags) if (!flag.startsWith("tcp ")) text += ` flags ${flag}`;
  return text;
}

function formatReject({ type, code, spelled }: Reject, devices: DeviceNames): string {
  if (type === "tcp reset") return "reject with tcp reset";
  const text = code === undefined ? "port-unreachable" : formatExpression(code, devices);
  if (text === "port-unreachable" && !spelled) return "reject";
  return `reject with ${type} ${text}`;
}

function formatNat(nat: Nat, devices: DeviceNames): string {
  let text: string = nat.nat;
  const { address, port } = nat;
  if (address !== undefined || port !== undefined) {
    if (nat.showFamily && nat.family !== undefined) text += nat.family === 4 ? " ip" : " ip6";
    if (nat.prefix) text += " prefix";
    text += " to ";
    if (address !== undefined) text += formatNatAddress(address, port !== undefined, devices);
    if (port !== undefined) text += `:${formatExpression(port, devices)}`;
  }
  return nat.flags.length > 0 ? `${text} ${nat.flags.join()}` : text;
}

function formatNatAddress(address: Expression, hasPort: boolean, devices: DeviceNames): string {
  const print = (expression: Expression) => formatExpression(expression, devices);
  const isIpv6 = (e: Expression) => e.kind === "value" && e.type === DATA_TYPES.ipv6_addr;
  if (!hasPort) return print(address);
  if (isIpv6(address)) return `[${print(address)}]`;
  if (address.kind === "range" && isIpv6(address.from)) {
    return `[${print(address.from)}]-[${print(address.to)}]`;
  }
  return print(address);
}
