import type { Random } from "@cnilab/core";
import { KernelError, Wireguard } from "@cnilab/linux";
import { x25519 } from "@noble/curves/ed25519.js";
import { base64 } from "@scure/base";
import type { CiliumAgent } from "../agent/cilium-agent.ts";
import { DEVICE } from "../names/devices.ts";

/** UDP port of all nodes (pkg/wireguard/types ListenPort). */
export const WIREGUARD_PORT = 51871;
/** Bytes that WireGuard adds to a packet, at most (pkg/mtu WireguardOverhead). */
const OVERHEAD = 80;
/** Mark of its own packets, by which programs let them leave (linux_defaults MagicMarkWireGuardEncrypted). */
const FWMARK = 0xe00;

/** cilium_wg0, which stays as it is where a former run has made it (pkg/wireguard/agent/agent.go init). @throws KernelError */
export function ensureWireguard({ kernel, config, random }: CiliumAgent, deviceMtu: number): void {
  const netns = kernel.initNs;
  const there = netns.findDevice(DEVICE.wireguard);
  if (config.wireguard === undefined) {
    there?.remove();
    return;
  }
  if (there !== undefined && !(there instanceof Wireguard)) {
    throw new KernelError("EEXIST", `failed to add WireGuard device: ${DEVICE.wireguard}`);
  }
  const dev =
    there ??
    new Wireguard(netns, {
      name: DEVICE.wireguard,
      publicKey: newPublicKey(random.fork("wireguard")),
      listenPort: WIREGUARD_PORT,
      fwmark: FWMARK,
    });
  if (config.families.includes(4)) {
    netns.sysctl.set(`net.ipv4.conf.${DEVICE.wireguard}.rp_filter`, 0);
  }
  if (dev.mtu !== deviceMtu - OVERHEAD) dev.setMtu(deviceMtu - OVERHEAD);
  dev.setUp();
}

/** Of a private key that stays in the kernel: 32 random bytes, clamped as `wg genkey` does. */
function newPublicKey(random: Random): string {
  const key = Uint8Array.from({ length: 32 }, () => random.below(256));
  key[0] = (key[0] as number) & 248;
  key[31] = ((key[31] as number) & 127) | 64;
  return base64.encode(x25519.getPublicKey(key));
}
