import type { HostFiles, Random } from "@cnilab/core";
import { x25519 } from "@noble/curves/ed25519.js";
import { base64 } from "@scure/base";
import { FlanneldError } from "../lease/subnet-manager.ts";

/** Where a node's private key stays between runs. */
export const WIREGUARD_KEY_FILE = "/run/flannel/wgkey";

/**
 * The node's public key; a private one is made where there is none yet (setupKeys).
 * @throws FlanneldError for a file that is no key
 */
export function wireguardPublicKey(files: HostFiles, random: Random): string {
  let text = files.read(WIREGUARD_KEY_FILE);
  if (text === undefined) {
    text = base64.encode(generatePrivateKey(random));
    files.write(WIREGUARD_KEY_FILE, text);
  }
  const privateKey = fromBase64(text.trim());
  if (privateKey?.length !== 32) {
    throw new FlanneldError(`could not parse private key from file: ${WIREGUARD_KEY_FILE}`);
  }
  return base64.encode(x25519.getPublicKey(privateKey));
}

/** 32 random bytes, clamped as `wg genkey` does. */
function generatePrivateKey(random: Random): Uint8Array {
  const key = Uint8Array.from({ length: 32 }, () => random.below(256));
  key[0] = (key[0] as number) & 248;
  key[31] = ((key[31] as number) & 127) | 64;
  return key;
}

function fromBase64(text: string): Uint8Array | undefined {
  try {
    return base64.decode(text);
  } catch {
    return undefined;
  }
}
