import { IpTunnel, KernelError, type NetDevice, type NetNamespace, Vxlan } from "@cnilab/linux";
import { addressBits, type IpAddress, type IpFamily, isLinkLocal, type Mac } from "@cnilab/net";

/** Names of Felix's devices (`felix/dataplane/linux/dataplanedefs`). */
export const VXLAN_DEVICE: Readonly<Record<IpFamily, string>> = {
  4: "vxlan.calico",
  6: "vxlan-v6.calico",
};
/** The device that the kernel's ipip module brings along. */
export const IPIP_DEVICE = "tunl0";

export interface VxlanDeviceSettings {
  readonly family: IpFamily;
  readonly vni: number;
  readonly port: number;
  readonly mac: Mac;
  readonly parent: NetDevice;
  readonly local: IpAddress;
  readonly mtu: number;
  readonly address: IpAddress;
}

/**
 * The VXLAN device as it should be, made anew where it is not (configureTunnelDevice, vxlanLinksIncompat).
 * @throws KernelError
 */
export function ensureVxlanDevice(netns: NetNamespace, settings: VxlanDeviceSettings): Vxlan {
  const { family, vni, port, mac, parent, local, mtu, address } = settings;
  const name = VXLAN_DEVICE[family];
  const there = netns.findDevice(name);
  let dev = there instanceof Vxlan && fits(there, settings) ? there : undefined;
  if (dev === undefined) {
    there?.remove();
    dev = new Vxlan(netns, { name, vni, port, mac, link: parent, local, learning: false });
  }
  if (dev.mtu !== mtu) setMtu(dev, mtu);
  ensureOnlyAddress(dev, family, address);
  dev.setUp();
  return dev;
}

function fits(dev: Vxlan, { vni, port, mac, parent, local }: VxlanDeviceSettings): boolean {
  return (
    dev.vni === vni &&
    dev.link === parent &&
    (dev.local === undefined || dev.local === local) &&
    dev.port === port &&
    !dev.groupPolicy &&
    dev.mac === mac
  );
}

/** A tunnel keeps what it has where the kernel does not take the MTU: Felix only says so. */
function setMtu(dev: NetDevice, mtu: number): void {
  try {
    dev.setMtu(mtu);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}

/** The IPIP device, up and with its address. */
export function ensureIpipDevice(netns: NetNamespace, mtu: number, address: IpAddress): IpTunnel {
  const there = netns.findDevice(IPIP_DEVICE);
  const dev =
    there instanceof IpTunnel
      ? there
      : new IpTunnel(netns, { name: IPIP_DEVICE, pathMtuDiscovery: false });
  if (dev.mtu !== mtu) setMtu(dev, mtu);
  ensureOnlyAddress(dev, 4, address);
  dev.setUp();
  return dev;
}

/** Takes away every address of the family but this and the link's own (ensureAddressOnLink). */
export function ensureOnlyAddress(
  dev: NetDevice,
  family: IpFamily,
  wanted: IpAddress | undefined,
): void {
  const length = addressBits(family);
  let has = false;
  for (const { address, prefixLength } of [...dev.addressesOf(family)]) {
    if (address === wanted && prefixLength === length) has = true;
    else if (family === 4 || !isLinkLocal(address)) dev.removeAddress(address, prefixLength);
  }
  if (wanted !== undefined && !has) dev.addAddress(wanted, length);
}

/** Felix deletes the device of an encapsulation that is off (cleanUpVXLANDevice). */
export function removeVxlanDevice(netns: NetNamespace, family: IpFamily): void {
  netns.findDevice(VXLAN_DEVICE[family])?.remove();
}

/** The module's device stays, without addresses (cleanUpIPIPAddrs). */
export function cleanUpIpipDevice(netns: NetNamespace): void {
  const dev = netns.findDevice(IPIP_DEVICE);
  if (dev !== undefined) ensureOnlyAddress(dev, 4, undefined);
}
