import { sha1 } from "@noble/hashes/legacy.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";

/** Printable, one byte each, and nothing that ipset, XML or a shell would read otherwise (npc/shortname.go). */
const SYMBOLS =
  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789(){}[]+=_$%^!*|/?.;:@#~";

/** Name of the set for a text: a hash of it as a number in base 85, the least digit first, so that it fits into 31 characters. */
export function ipsetName(text: string): string {
  let rest = 0n;
  for (const byte of sha1(utf8ToBytes(text))) rest = (rest << 8n) | BigInt(byte);
  const base = BigInt(SYMBOLS.length);
  let digits = "";
  for (; rest > 0n; rest /= base) digits += SYMBOLS[Number(rest % base)];
  return `weave-${digits}`;
}
