import type { Random } from "@cnilab/core";
import { type Mac, tryParseMac } from "@cnilab/net";

/** A random GUID (RFC 4122, version 4). */
export function newGuid(random: Random): string {
  const hex = [0, 1, 2, 3].map(() => random.uint32().toString(16).padStart(8, "0")).join("");
  const variant = ((Number.parseInt(hex[16] as string, 16) & 3) | 8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** A MAC out of Microsoft's range for virtual adapters, 00-15-5D. */
export function newMac(random: Random): Mac {
  return 0x00155d000000 + (random.uint32() & 0xffffff);
}

/** With dashes or colons between the octets. */
export function parseWindowsMac(text: string): Mac | undefined {
  return tryParseMac(text.replaceAll("-", ":"));
}

export function formatWindowsMac(mac: Mac): string {
  return mac.toString(16).padStart(12, "0").match(/../g)?.join("-").toUpperCase() ?? "";
}
