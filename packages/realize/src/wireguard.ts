import { createHash, createPrivateKey, createPublicKey } from "node:crypto";
import type { NetNamespace, WireguardPeer } from "@cnilab/linux";
import { Wireguard } from "@cnilab/linux";
import { formatEndpoint } from "@cnilab/net";

/** `wg setconf` text for each WireGuard device of a namespace. */
export function wireguardConfigurations(netns: NetNamespace): { name: string; text: string }[] {
  return netns.devices
    .filter((dev) => dev instanceof Wireguard)
    .map((dev) => ({ name: dev.name, text: configuration(dev) }));
}

function configuration(dev: Wireguard): string {
  const lines = [
    "[Interface]",
    `PrivateKey = ${privateKey(dev.publicKey).toString("base64")}`,
    `ListenPort = ${dev.listenPort}`,
    ...(dev.fwmark === 0 ? [] : [`FwMark = 0x${dev.fwmark.toString(16)}`]),
  ];
  for (const peer of dev.peers) lines.push(...peerLines(peer));
  return `${lines.join("\n")}\n`;
}

function peerLines(peer: WireguardPeer): string[] {
  const { endpoint, presharedKey, persistentKeepalive } = peer;
  const lines = ["[Peer]", `PublicKey = ${publicKey(peer.publicKey)}`];
  if (presharedKey !== undefined) {
    lines.push(`PresharedKey = ${digest("preshared", presharedKey).toString("base64")}`);
  }
  if (peer.allowedIps.length > 0) lines.push(`AllowedIPs = ${peer.allowedIps.join(", ")}`);
  if (endpoint !== undefined) {
    lines.push(`Endpoint = ${formatEndpoint(endpoint.address, endpoint.port)}`);
  }
  if (persistentKeepalive !== 0) lines.push(`PersistentKeepalive = ${persistentKeepalive}`);
  return lines;
}

/**
 * The key pair that stands for a key of the model, where keys are names and nobody knows the private
 * half: always the same for one name, so that the ends of a tunnel know each other.
 */
export function publicKey(name: string): string {
  const key = createPrivateKey({
    key: Buffer.concat([X25519_PKCS8, privateKey(name)]),
    format: "der",
    type: "pkcs8",
  });
  const { x } = createPublicKey(key).export({ format: "jwk" });
  return Buffer.from(x as string, "base64url").toString("base64");
}

/** Clamped as RFC 7748 section 5 says; the kernel does it again. */
function privateKey(name: string): Buffer {
  const key = digest("private", name);
  key[0] = (key[0] as number) & 0xf8;
  key[31] = ((key[31] as number) & 0x7f) | 0x40;
  return key;
}

function digest(kind: string, name: string): Buffer {
  return createHash("sha256").update(`cnilab wireguard ${kind} ${name}`).digest();
}

/** What stands before the 32 octets of an X25519 key in PKCS #8 (RFC 8410 section 7). */
const X25519_PKCS8: Buffer = Buffer.from("302e020100300506032b656e04220420", "hex");
