import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { base32 } from "@scure/base";

/** Table of the agent, in family `inet`. */
export const TABLE = "network-policy";

/** Ten letters that stay the same as long as what they stand for does. */
export function nameHash(text: string): string {
  return base32
    .encode(sha256(utf8ToBytes(text)).subarray(0, 7))
    .slice(0, 10)
    .toLowerCase();
}
