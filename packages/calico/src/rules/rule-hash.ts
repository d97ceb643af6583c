import { sha224 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { base64urlnopad } from "@scure/base";

/** Characters of a hash that are written. */
const LENGTH = 16;

/**
 * What Felix writes beside each rule to know it again (`felix/generictables/rules.go`). A hash covers the chain's name and all rules up to
 * its own, so that a change shows in all rules behind it.
 */
export function ruleHashes(chain: string, rules: readonly string[]): string[] {
  let hash = sha224(utf8ToBytes(chain));
  return rules.map((rule) => {
    hash = sha224(concatBytes(hash, utf8ToBytes(rule)));
    return base64urlnopad.encode(hash).slice(0, LENGTH);
  });
}
