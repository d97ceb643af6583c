import { type NetNamespace, Veth } from "@cnilab/linux";
import {
  addressBits,
  familyOf,
  type IpAddress,
  type IpFamily,
  Prefix,
  parsePrefix,
} from "@cnilab/net";

export interface EndpointAddress {
  readonly address: IpAddress;
  /** The node's router, which is the next hop to everything. */
  readonly gateway: IpAddress;
}

export interface InterfaceOptions {
  readonly hostName: string;
  /** Under which the inner end is made before it is moved. */
  readonly temporaryName: string;
  readonly name: string;
  readonly addresses: readonly EndpointAddress[];
  readonly mtu: number;
  /** Of the default route. */
  readonly routeMtu: number;
}

export const DEFAULT_ROUTE: Readonly<Record<IpFamily, Prefix>> = {
  4: parsePrefix("0.0.0.0/0"),
  6: parsePrefix("::/0"),
};

/**
 * A pair of devices with an endpoint's addresses and routes on its inner end (pkg/datapath/connector/veth.go, ipam.go; plugins/cilium-cni/cmd/interface.go).
 * @throws KernelError
 */
export function setUpInterface(
  host: NetNamespace,
  sandbox: NetNamespace,
  options: InterfaceOptions,
): { readonly outer: Veth; readonly inner: Veth } {
  const { hostName, temporaryName, name, addresses, mtu, routeMtu } = options;
  // Left by an earlier one of the same name.
  host.findDevice(hostName)?.remove();
  const [inner, outer] = Veth.pair(sandbox, { name: temporaryName, mtu }, host, {
    name: hostName,
    mtu,
  });
  if (name !== temporaryName) inner.rename(name);
  const has = (family: 4 | 6) => addresses.some(({ address }) => familyOf(address) === family);
  if (has(4)) host.sysctl.set(`net.ipv4.conf.${hostName}.rp_filter`, 0);
  if (has(6)) sandbox.sysctl.set("net.ipv6.conf.all.disable_ipv6", 0);
  outer.setUp();
  inner.setUp();
  for (const { address } of addresses) {
    inner.addAddress(address, addressBits(familyOf(address)), { nodad: true });
  }
  for (const { gateway } of addresses) {
    sandbox.addRoute({ dst: Prefix.host(gateway), dev: inner });
    sandbox.addRoute({
      dst: DEFAULT_ROUTE[familyOf(gateway)],
      via: gateway,
      dev: inner,
      mtu: routeMtu,
    });
  }
  return { outer, inner };
}
