import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { base64urlnopad } from "@scure/base";

/** What a shortened name shows in place of its suffix's start. */
const SHORTENED = "_";

/**
 * A prefix and a suffix, the latter as a hash where both are longer than may be
 * (`libcalico-go/lib/hash/unique_id.go` GetLengthLimitedID). An unshortened one of exactly that length that looks shortened is hashed too.
 */
export function lengthLimitedId(prefix: string, suffix: string, maxLength: number): string {
  const whole = suffix === "" ? SHORTENED : suffix;
  const length = byteLength(prefix) + byteLength(whole);
  if (length < maxLength || (length === maxLength && !whole.startsWith(SHORTENED)))
    return prefix + whole;
  const room = maxLength - SHORTENED.length - prefix.length;
  if (room <= 0)
    throw new RangeError(
      `${maxLength} characters hold no id after ${prefix}: give at least ${prefix.length + 2}`,
    );
  return prefix + SHORTENED + base64urlnopad.encode(sha256(utf8ToBytes(whole))).slice(0, room);
}

const ASCII = /^[\0-\x7f]*$/;

/** In UTF-8. Names of Kubernetes' objects are ASCII. */
function byteLength(text: string): number {
  return ASCII.test(text) ? text.length : utf8ToBytes(text).length;
}
