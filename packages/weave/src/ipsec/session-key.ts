import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { PeerName } from "../mesh/peer-name.ts";
import { peerNumber } from "../sleeve/peer-number.ts";

/** A key of AES-GCM, 32 bytes, and its salt. */
const KEY_LENGTH = 36;
const WORD = 8;

/**
 * The key by which a peer is written to (`deriveKey`). Both ends come to the same; in place of the session's key, which is a state here, there is
 * the number of the connection.
 */
export function sessionKey(connectionUid: bigint, nonce: Uint8Array, peer: PeerName): string {
  const key = hkdf(sha256, word(connectionUid), nonce, word(BigInt(peerNumber(peer))), KEY_LENGTH);
  return bytesToHex(key);
}

function word(value: bigint): Uint8Array {
  const bytes = new Uint8Array(WORD);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}
