import { sha224 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { base64urlnopad } from "@scure/base";

/** `<prefix>:` and a hash of both (`libcalico-go/lib/hash/unique_id.go` MakeUniqueID). */
export function uniqueId(prefix: string, content: string): string {
  return `${prefix}:${base64urlnopad.encode(sha224(utf8ToBytes(`${prefix}:${content}`)))}`;
}
