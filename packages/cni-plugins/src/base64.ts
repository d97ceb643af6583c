import { utf8ToBytes } from "@noble/hashes/utils.js";

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The base64 of a text's UTF-8, as Go's JSON has for bytes. */
export function base64(text: string): string {
  const bytes = utf8ToBytes(text);
  let encoded = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const word = ((bytes[i] as number) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    encoded += digit(word, 18) + digit(word, 12);
    encoded += i + 1 < bytes.length ? digit(word, 6) : "=";
    encoded += i + 2 < bytes.length ? digit(word, 0) : "=";
  }
  return encoded;
}

function digit(word: number, shift: number): string {
  return DIGITS.charAt((word >> shift) & 63);
}
