import { type Kernel, KernelError, type NetNamespace, Veth } from "@cnilab/linux";
import { isGroupMac, type Mac, tryParseMac, ZERO_MAC } from "@cnilab/net";
import { errnoText, failure } from "./failure.ts";
import { quote } from "./go-text.ts";

/** Ethernet's limits for an MTU that is given when a device is made (`dev_validate_mtu`). */
export function isValidMtu(mtu: number): boolean {
  return mtu >= 68 && mtu <= 65535;
}

export interface VethPair {
  readonly host: Veth;
  readonly container: Veth;
}

/**
 * A veth pair whose one end is made inside the sandbox under its final name; the other, `veth` and eight
 * random digits, comes up on the host at once (containernetworking/plugins pkg/ip/link_linux.go).
 * @param mtu 0 for the kernel's own
 * @throws CniError
 */
export function setupVeth(
  kernel: Kernel,
  sandbox: NetNamespace,
  name: string,
  mtu: number,
  mac?: string,
): VethPair {
  const hostName = randomVethName(kernel);
  if (mtu > 0 && !isValidMtu(mtu)) throw failure("failed to make veth pair: invalid argument");
  const options = { ...(mtu > 0 && { mtu }) };
  const own = mac === undefined ? undefined : parseMac(mac, "failed to make veth pair: ");
  if (own !== undefined && !isDeviceMac(own)) {
    throw failure("failed to make veth pair: cannot assign requested address");
  }
  let pair: [Veth, Veth];
  try {
    pair = Veth.pair(
      sandbox,
      { ...options, name, ...(own !== undefined && { mac: own }) },
      kernel.initNs,
      { ...options, name: hostName },
    );
  } catch (error) {
    if (error instanceof KernelError && error.errno === "EEXIST") {
      throw failure(
        `container veth name (${quote(name)}) peer provided (${quote(hostName)}) already exists`,
      );
    }
    throw failure(`failed to make veth pair: ${errnoText(error)}`);
  }
  const [container, host] = pair;
  host.setUp();
  kernel.initNs.sysctl.set(`net/ipv6/conf/${hostName}/accept_ra`, 0);
  return { host, container };
}

export function randomVethName(kernel: Kernel): string {
  return `veth${kernel.random.uint32().toString(16).padStart(8, "0")}`;
}

/** A MAC for a device. @param where what the message starts with @throws CniError */
export function parseMac(text: string, where: string): Mac {
  const mac = tryParseMac(text);
  if (mac === undefined) throw failure(`${where}address ${text}: invalid MAC address`);
  return mac;
}

/** Whether a device may be made with it (`is_valid_ether_addr`). */
export function isDeviceMac(mac: Mac): boolean {
  return mac !== ZERO_MAC && !isGroupMac(mac);
}
