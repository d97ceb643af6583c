import { serviceByName } from "../service-names.ts";
import { parameterProblem } from "./iptables-error.ts";

/** An unsigned number as `strtoul` with base 0 reads it, up to `max`; `undefined` when it is none. */
export function parseUint(text: string, max = 0xffffffff): number | undefined {
  let value: number;
  if (/^0[xX][0-9a-fA-F]+$/.test(text)) value = Number.parseInt(text, 16);
  else if (/^0[0-7]*$/.test(text)) value = Number.parseInt(text, 8);
  else if (/^[1-9][0-9]*$/.test(text)) value = Number(text);
  else return undefined;
  return value <= max ? value : undefined;
}

/** A port by number or by name. */
export function parsePort(text: string): number {
  const port = parseUint(text, 0xffff) ?? serviceByName(text);
  if (port === undefined) throw parameterProblem(`invalid port/service \`${text}' specified`);
  return port;
}

/** Two numbers, the first not above the second. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** `80`, `80:90`, `:90` or `80:`. */
export function parsePortRange(text: string): Range {
  const colon = text.indexOf(":");
  if (colon < 0) {
    const port = parsePort(text);
    return { min: port, max: port };
  }
  const low = text.slice(0, colon);
  const high = text.slice(colon + 1);
  const min = low === "" ? 0 : parsePort(low);
  const max = high === "" ? 0xffff : parsePort(high);
  if (min > max) throw parameterProblem("invalid portrange (min > max)");
  return { min, max };
}

/** `80` or `80:90`. */
export function formatRange({ min, max }: Range): string {
  return min === max ? String(min) : `${min}:${max}`;
}

/** A value and the bits of it that count. */
export interface Masked {
  readonly value: number;
  readonly mask: number;
}

/** `VALUE` or `VALUE/MASK`; without a mask all bits count. `undefined` when it is neither. */
export function parseMasked(text: string): Masked | undefined {
  const slash = text.indexOf("/");
  const value = parseUint(slash < 0 ? text : text.slice(0, slash));
  const mask = slash < 0 ? 0xffffffff : parseUint(text.slice(slash + 1));
  return value === undefined || mask === undefined ? undefined : { value, mask };
}

/** A name that the kernel keeps a thing under: printed as it is, so without blanks and quotes. */
export function parseName(text: string): string | undefined {
  return /^[^\s/"\\]{1,199}$/.test(text) ? text : undefined;
}

export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
