import { sha224 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { base64urlnopad } from "@scure/base";

/** Characters of a hash that are written. */
const LENGTH = 16;

/**
 * What Felix writes beside each rule to know it again (`felix/generictables/rules.go`). A hash covers the chain's name and all rules up to
 * its own, so that a change shows in all rules behind it.
 */
export function ruleHashes(chain: string, rules: readonly string[]): string[] {
  let hash = sha224(utf8ToBytes(chain));
  const longest = rules.reduce((most, rule) => Math.max(most, rule.length), 0);
  const buffer = new Uint8Array(hash.length + MAX_BYTES * longest);
  return rules.map((rule) => {
    buffer.set(hash);
    const { written } = ENCODER.encodeInto(rule, buffer.subarray(hash.length));
    hash = sha224(buffer.subarray(0, hash.length + written));
    return base64urlnopad.encode(hash).slice(0, LENGTH);
  });
}

const ENCODER = new TextEncoder();
/** That a UTF-16 code unit takes in UTF-8. */
const MAX_BYTES = 3;
