import type { Random } from "./random.ts";

const HEX = [...Array(16)].map((_, i) => i.toString(16).charCodeAt(0));
const DASH = 0x2d;
// One array for all: `String.fromCharCode` makes a flat string of it, where concatenation would keep
// every piece alive for as long as the uid lives.
const text: number[] = new Array(36).fill(DASH);

/** A random (version 4) UUID, RFC 9562 section 5.4. */
export function uuid(random: Random): string {
  let at = 0;
  for (let word = 0; word < 4; word++) {
    let bits = random.uint32();
    if (word === 1) bits = ((bits & 0xffff0fff) | 0x4000) >>> 0;
    if (word === 2) bits = ((bits & 0x3fffffff) | 0x80000000) >>> 0;
    for (let shift = 28; shift >= 0; shift -= 4) {
      if (at === 8 || at === 13 || at === 18 || at === 23) at++;
      text[at++] = HEX[(bits >>> shift) & 15] as number;
    }
  }
  return String.fromCharCode(...text);
}

const digits: number[] = new Array(64).fill(0);

/** 64 hexadecimal digits, as container runtimes name a sandbox. */
export function containerId(random: Random): string {
  let at = 0;
  for (let word = 0; word < 8; word++) {
    const bits = random.uint32();
    for (let shift = 28; shift >= 0; shift -= 4)
      digits[at++] = HEX[(bits >>> shift) & 15] as number;
  }
  return String.fromCharCode(...digits);
}
