import { Bridge, type NetNamespace } from "@cnilab/linux";
import {
  formatIp,
  type IpAddress,
  type Ipv4Address,
  type Ipv6Address,
  type Prefix,
} from "@cnilab/net";
import { type BridgeOptions, parseBridgeOptions } from "./bridge-options.ts";
import { NameRecords } from "./dns/name-records.ts";
import { DockerError } from "./docker-error.ts";
import type { Firewaller, NetworkFirewall, NetworkRules } from "./firewall/firewaller.ts";
import { AddressPool } from "./ipam/address-pool.ts";

/** `docker network create`, for the driver `bridge`. */
export interface NetworkSpec {
  readonly name: string;
  /** `--internal`: no way out. */
  readonly internal?: boolean;
  /** `--subnet`; the next of the daemon's pools where it is absent. */
  readonly subnet?: Prefix;
  readonly ipRange?: Prefix;
  readonly gateway?: Ipv4Address;
  /** `--ipv6`: addresses of both families. */
  readonly ipv6?: boolean;
  /** IPv6's `--subnet`, `--ip-range` and `--gateway`; a /64 out of the daemon's own range where they are absent. */
  readonly subnet6?: Prefix;
  readonly ipRange6?: Prefix;
  readonly gateway6?: Ipv6Address;
  /** `--opt`, by their full names. */
  readonly options?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** `--attachable`: of meaning in Swarm only, and shown. */
  readonly attachable?: boolean;
}

/** The network that is there from the beginning, for containers that name none. */
export const DEFAULT_NETWORK = "bridge";

/** A network of one host: a bridge with its address and its rules (libnetwork drivers/bridge). */
export class BridgeNetwork {
  readonly id: string;
  readonly name: string;
  readonly internal: boolean;
  readonly spec: NetworkSpec;
  readonly options: BridgeOptions;
  readonly pool: AddressPool;
  /** None for a network that is isolated from its host. */
  readonly gateway: Ipv4Address | undefined;
  /** `undefined` where the network has no IPv6. */
  readonly pool6: AddressPool<Ipv6Address> | undefined;
  readonly gateway6: Ipv6Address | undefined;
  readonly bridge: Bridge;
  /** What its containers call each other. */
  readonly names: NameRecords = new NameRecords();
  /** Virtual milliseconds. */
  readonly createdAt: number;
  /** `undefined` where the daemon programs no rules. */
  readonly firewall: NetworkFirewall | undefined;

  /** @throws DockerError for options or addresses that do not fit, KernelError EEXIST for the name of a device that is there */
  constructor(
    host: {
      readonly netns: NetNamespace;
      readonly firewaller: Firewaller | undefined;
      readonly userlandProxy: boolean;
    },
    id: string,
    subnet: Prefix,
    subnet6: Prefix | undefined,
    spec: NetworkSpec,
  ) {
    const { netns } = host;
    this.id = id;
    this.name = spec.name;
    this.internal = spec.internal ?? false;
    this.spec = spec;
    this.createdAt = netns.network.clock.now;
    checkAddresses(spec.name, subnet, spec.ipRange, spec.gateway);
    if (subnet6 !== undefined) {
      checkAddresses(spec.name, subnet6, spec.ipRange6, spec.gateway6);
    }
    this.options = parseBridgeOptions(spec.options ?? {}, this.internal);
    this.pool = new AddressPool(subnet, spec.ipRange);
    this.pool6 = subnet6 && new AddressPool<Ipv6Address>(subnet6, spec.ipRange6);
    const { icc, gatewayMode, gatewayMode6, inhibitIpv4, mtu, masquerade, hostIp, hostIp6 } =
      this.options;
    const skipsGateway = gatewayMode === "isolated" || (inhibitIpv4 && this.internal);
    this.gateway =
      spec.gateway === undefined && skipsGateway ? undefined : this.pool.request(spec.gateway);
    this.gateway6 =
      spec.gateway6 === undefined && gatewayMode6 === "isolated"
        ? undefined
        : this.pool6?.request(spec.gateway6);
    // Without br_netfilter nothing keeps containers of one bridge apart.
    if (host.firewaller !== undefined && (!icc || !host.userlandProxy)) {
      netns.kernel.brNetfilter = true;
      netns.sysctl.set("net/bridge/bridge-nf-call-iptables", 1);
    }
    const bridge = new Bridge(netns, {
      name: this.options.name ?? `br-${id.slice(0, 12)}`,
      mac: netns.kernel.randomMac(),
    });
    this.bridge = bridge;
    try {
      netns.sysctl.set(`net/ipv6/conf/${bridge.name}/accept_ra`, 0);
      if (mtu !== undefined) bridge.setMtu(mtu);
      if (this.gateway !== undefined && gatewayMode !== "isolated" && !inhibitIpv4) {
        bridge.addAddress(this.gateway, subnet.length);
      }
      if (subnet6 !== undefined) {
        const isIsolated = gatewayMode6 === "isolated";
        netns.sysctl.set(`net/ipv6/conf/${bridge.name}/disable_ipv6`, isIsolated ? 1 : 0);
        if (this.gateway6 !== undefined && !isIsolated) {
          bridge.addAddress(this.gateway6, subnet6.length);
        }
      }
      if (!host.userlandProxy) {
        netns.sysctl.set(`net/ipv4/conf/${bridge.name}/route_localnet`, 1);
      }
      bridge.setUp();
      const rules: NetworkRules = {
        bridge: bridge.name,
        internal: this.internal,
        icc,
        masquerade,
        trustedHostInterfaces: this.options.trustedHostInterfaces,
        ipv4: {
          prefix: subnet,
          ...(hostIp === undefined ? {} : { hostIp }),
          routed: gatewayMode === "routed",
          unprotected: gatewayMode === "nat-unprotected",
        },
        ...(subnet6 !== undefined && {
          ipv6: {
            prefix: subnet6,
            ...(hostIp6 === undefined ? {} : { hostIp: hostIp6 }),
            routed: gatewayMode6 === "routed",
            unprotected: gatewayMode6 === "nat-unprotected",
          },
        }),
      };
      this.firewall = host.firewaller?.addNetwork(rules);
    } catch (error) {
      bridge.remove();
      throw error;
    }
  }

  /** One that somebody made: its containers find each other by name. */
  get isUserDefined(): boolean {
    return this.name !== DEFAULT_NETWORK;
  }

  get subnet(): Prefix {
    return this.pool.subnet;
  }

  get subnet6(): Prefix | undefined {
    return this.pool6?.subnet;
  }

  remove(): void {
    this.firewall?.remove();
    this.bridge.remove();
  }
}

/** @throws DockerError where there is none of the name */
export function networkNamed(
  networks: ReadonlyMap<string, BridgeNetwork>,
  name: string,
): BridgeNetwork {
  const network = networks.get(name);
  if (network === undefined) throw new DockerError(`network ${name} not found`);
  return network;
}

/** daemon/network.go `validateIpamConfig`. */
function checkAddresses(
  name: string,
  subnet: Prefix,
  ipRange: Prefix | undefined,
  gateway: IpAddress | undefined,
): void {
  const fault = (text: string) =>
    new DockerError(`network ${name}: invalid network config: invalid ${text}`);
  if (ipRange !== undefined) {
    if (ipRange.family !== subnet.family) {
      throw fault(`ip-range ${ipRange}: parent subnet is an IPv${subnet.family} block`);
    }
    if (ipRange.length < subnet.length) {
      throw fault(`ip-range ${ipRange}: CIDR block is bigger than its parent subnet ${subnet}`);
    }
    if (!subnet.overlaps(ipRange)) {
      throw fault(`ip-range ${ipRange}: parent subnet ${subnet} doesn't contain ip-range`);
    }
  }
  if (gateway !== undefined && !subnet.contains(gateway)) {
    throw fault(
      `gateway ${formatIp(gateway)}: parent subnet ${subnet} doesn't contain this address`,
    );
  }
}
