import { priorityFits, priorityNames } from "./base-chain.ts";
import type { DeviceNames } from "./data-type.ts";
import { formatElements, formatExpression, formatStatement } from "./format.ts";
import type { KeyPart } from "./key-words.ts";
import type { NftSet } from "./nft-set.ts";
import type { BaseChain, NftChain, NftObject, Table } from "./table.ts";
import { formatTime } from "./time.ts";

/** A table as `nft -s list table` prints it. */
export function listTable(table: Table, devices: DeviceNames, now: number): string {
  let text = `table ${table.title} {\n`;
  if (table.dormant) text += "\tflags dormant\n";
  if (table.comment !== undefined) text += `\tcomment "${table.comment}"\n`;
  const blocks = [
    ...table.listedObjects().map(listObject),
    ...table.listedSets().map((set) => listSet(table, set, devices, now)),
    ...table.listedChains().map((chain) => listChain(table, chain)),
  ];
  const before = table.dormant && blocks.length > 0 ? "\n" : "";
  return `${text}${before}${blocks.join("\n")}}\n`;
}

function listObject({ name, object, comment }: NftObject): string {
  const commentLine = comment === undefined ? "" : `\t\tcomment "${comment}"\n`;
  const body = formatStatement(object, NOTHING).replace(/^(counter|quota|limit) ?/, "");
  const bodyLine = body === "" ? "" : `\t\t${body}\n`;
  return `\t${object.kind} ${name} {\n${commentLine}${bodyLine}\t}\n`;
}

const NOTHING: DeviceNames = { index: () => undefined, name: () => undefined };

function listSet(table: Table, set: NftSet, devices: DeviceNames, now: number): string {
  const { options } = set;
  const lines = [keyLine(set, devices)];
  if (!options.constant) {
    if (options.policy !== "performance") lines.push(`policy ${options.policy}`);
    if (options.size !== undefined) lines.push(`size ${options.size}`);
  }
  const flags = setFlags(set);
  if (flags.length > 0) lines.push(`flags ${flags.join()}`);
  if (options.stateful.length > 0) {
    lines.push(options.stateful.map((s) => formatStatement(s, devices)).join(" "));
  }
  if (options.autoMerge) lines.push("auto-merge");
  if (options.timeoutMs !== undefined) lines.push(`timeout ${formatTime(options.timeoutMs)}`);
  if (options.gcIntervalMs !== undefined) {
    lines.push(`gc-interval ${formatTime(options.gcIntervalMs)}`);
  }
  if (options.comment !== undefined) lines.push(`comment "${options.comment}"`);
  const contents = table.elementsOf(set, now);
  contents.collect(now);
  const elements = formatElements(set, contents, devices);
  if (elements.length > 0) lines.push(`elements = { ${wrapped(elements, options.key)} }`);
  const kind = options.isMap ? "map" : "set";
  return `\t${kind} ${set.name} {\n${lines.map((line) => `\t\t${line}\n`).join("")}\t}\n`;
}

function keyLine({ options }: NftSet, devices: DeviceNames): string {
  const names = (parts: readonly KeyPart[]) => parts.map(({ type }) => type.name).join(" . ");
  const { keyTypeOf, dataTypeOf } = options;
  let line =
    keyTypeOf === undefined
      ? `type ${names(options.key)}`
      : `typeof ${formatExpression(keyTypeOf, devices)}`;
  if (!options.isMap) return line;
  line += " : ";
  if (options.objects !== undefined) return line + options.objects;
  if (options.dataInterval) line += "interval ";
  if (options.verdicts) return `${line}verdict`;
  return dataTypeOf === undefined
    ? line + names(options.data ?? [])
    : line + formatExpression(dataTypeOf, devices);
}

function setFlags({ options }: NftSet): string[] {
  const { constant, dynamic, interval, timeout, timeoutMs } = options;
  const others = constant || dynamic || interval;
  // A default timeout says that there are timeouts; but if flags are listed, this one is as well.
  if (!others && (!timeout || timeoutMs !== undefined)) return [];
  const flags = { constant, dynamic, interval, timeout };
  return Object.entries(flags)
    .filter(([, on]) => on)
    .map(([name]) => name);
}

function wrapped(elements: readonly string[], key: readonly KeyPart[]): string {
  const perLine = key.length === 1 ? (key[0] as KeyPart).type.elementsPerLine : 1;
  let text = "";
  elements.forEach((element, i) => {
    if (i > 0) text += i % perLine === 0 ? ",\n\t\t\t     " : ", ";
    text += element;
  });
  return text;
}

function listChain(table: Table, chain: NftChain): string {
  let text = `\tchain ${chain.name} {\n`;
  if (chain.comment !== undefined) text += `\t\tcomment "${chain.comment}"\n`;
  if (chain.base !== undefined) text += `\t\t${formatBase(table, chain.base)}\n`;
  for (const rule of chain.rules) text += `\t\t${rule.text}\n`;
  return `${text}\t}\n`;
}

function formatBase(table: Table, base: BaseChain): string {
  const { type, hook, devices, policy } = base;
  let device = "";
  if (devices.length === 1) device = ` device "${devices[0]}"`;
  else if (devices.length > 1) device = ` devices = { ${devices.join(", ")} }`;
  const priority = formatPriority(table, base);
  return `type ${type} hook ${hook}${device} priority ${priority}; policy ${policy};`;
}

/** The nearest name within ten, if the hook knows it. */
function formatPriority({ family }: Table, { priority, hook }: BaseChain): string {
  const near = priorityNames(family).find(([, value]) => Math.abs(priority - value) <= 10);
  if (near === undefined || !priorityFits(near[0], family, hook)) return String(priority);
  const offset = priority - near[1];
  if (offset === 0) return near[0];
  return offset > 0 ? `${near[0]} + ${offset}` : `${near[0]} - ${-offset}`;
}
