import type { HostFiles, Random } from "@cnilab/core";
import { FlanneldError } from "../lease/subnet-manager.ts";
import { x25519PublicKey } from "./x25519.ts";

/** Where a node's private key stays between runs. */
export const WIREGUARD_KEY_FILE = "/run/flannel/wgkey";

/**
 * The node's public key; a private one is made where there is none yet (setupKeys).
 * @throws FlanneldError for a file that is no key
 */
export function wireguardPublicKey(files: HostFiles, random: Random): string {
  let text = files.read(WIREGUARD_KEY_FILE);
  if (text === undefined) {
    text = base64(generatePrivateKey(random));
    files.write(WIREGUARD_KEY_FILE, text);
  }
  const privateKey = fromBase64(text.trim());
  if (privateKey?.length !== 32) {
    throw new FlanneldError(`could not parse private key from file: ${WIREGUARD_KEY_FILE}`);
  }
  return base64(x25519PublicKey(privateKey));
}

/** 32 random bytes, clamped as `wg genkey` does. */
function generatePrivateKey(random: Random): Uint8Array {
  const key = Uint8Array.from({ length: 32 }, () => random.below(256));
  key[0] = (key[0] as number) & 248;
  key[31] = ((key[31] as number) & 127) | 64;
  return key;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const [a = 0, b = 0, c = 0] = bytes.subarray(i, i + 3);
    const bits = (a << 16) | (b << 8) | c;
    for (let k = 0; k < 4; k++) text += ALPHABET[(bits >> (18 - 6 * k)) & 63];
  }
  const padding = (3 - (bytes.length % 3)) % 3;
  return text.slice(0, text.length - padding) + "=".repeat(padding);
}

function fromBase64(text: string): Uint8Array | undefined {
  if (!/^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return undefined;
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i += 4) {
    const [a = 0, b = 0, c = 0, d = 0] = [...text.slice(i, i + 4)].map((character) =>
      Math.max(ALPHABET.indexOf(character), 0),
    );
    bytes.push((a << 2) | (b >> 4), ((b & 15) << 4) | (c >> 2), ((c & 3) << 6) | d);
  }
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return Uint8Array.from(bytes.slice(0, bytes.length - padding));
}
