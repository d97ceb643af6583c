import { KernelError, type NetDevice } from "@cnilab/linux";
import { addressBits, isLinkLocal, type Prefix } from "@cnilab/net";

/**
 * Gives a tunnel the first address of the node's subnet, alone, so that no broadcast and no network
 * route comes with it (pkg/ip/iface.go EnsureV4AddressOnLink, EnsureV6AddressOnLink). It is what a
 * node's own packets into the network come from.
 */
export function ensureAddress(dev: NetDevice, subnet: Prefix, network: Prefix): void {
  const { address, family } = subnet;
  const length = addressBits(family);
  let has = false;
  for (const other of [...dev.addressesOf(family)]) {
    if (other.address === address && other.prefixLength === length) has = true;
    // Of IPv6 every address goes but the link's own, of IPv4 only what is in the network.
    else if (family === 6 ? !isLinkLocal(other.address) : network.contains(other.address)) {
      dev.removeAddress(other.address, other.prefixLength);
    }
  }
  if (!has) dev.addAddress(address, length);
}

/** Runs a kernel call whose failure changes nothing for the caller. @returns why it failed */
export function attempt(call: () => unknown): KernelError | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof KernelError) return error;
    throw error;
  }
}
