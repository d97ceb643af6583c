import { sha512 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/** The longest that the plugins let a chain's name become; the kernel would take one more. */
const CHAIN_LENGTH = 28;

/** `prefix` and as much of SHA-512 over `text` as fits (containernetworking/plugins pkg/utils/utils.go). */
export function hashName(length: number, prefix: string, text: string): string {
  return (prefix + bytesToHex(sha512(utf8ToBytes(text)))).slice(0, length);
}

/** The iptables chain of one container in one network, as `CNI-c2d892b58e87e28a12fe6479`. */
export function chainName(network: string, containerId: string, prefix = ""): string {
  return hashName(CHAIN_LENGTH, `CNI-${prefix}`, network + containerId);
}
