import type { NetNamespace } from "@cnilab/linux";
import {
  formatEndpoint,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPV6_ANY,
  IPV6_LOOPBACK,
  type IpAddress,
  type Ipv4Address,
  isUnspecified,
} from "@cnilab/net";
import type { BridgeNetwork } from "./bridge-network.ts";
import type { PortMapping, PublishedPort } from "./container.ts";
import { DockerError } from "./docker-error.ts";
import { startDockerProxy } from "./docker-proxy.ts";
import type { PortBinding } from "./firewall/firewaller.ts";
import { PortAllocator, type PortProtocol, type PortRange } from "./port-allocator.ts";

const PROTOCOL_NUMBERS: Readonly<Record<PortProtocol, number>> = {
  tcp: IPPROTO_TCP,
  udp: IPPROTO_UDP,
  sctp: IPPROTO_SCTP,
};

/** A published port on the host's addresses that it is to have, all with one number. */
interface PortRequest extends Pick<PublishedPort, "protocol" | "port" | "hostPorts"> {
  readonly hostIps: readonly IpAddress[];
  /** Nothing is translated: the port is opened for those who have a route to the container. */
  readonly routed: boolean;
}

/** What came of a container's published ports. */
export interface MappedPorts {
  readonly mappings: readonly PortMapping[];
  /** Takes it all back. */
  close(): void;
}

/** Publishes ports of containers on the host (libnetwork drivers/bridge/port_mapping_linux.go). */
export class PortMapper {
  readonly #host: NetNamespace;
  readonly #userlandProxy: boolean;
  readonly #ports: PortAllocator;

  constructor(host: NetNamespace, userlandProxy: boolean) {
    this.#host = host;
    this.#userlandProxy = userlandProxy;
    const range = host.sysctl.getText("net/ipv4/ip_local_port_range");
    const [first, last] = range.split(/\s+/);
    this.#ports = new PortAllocator([Number(first), Number(last)]);
  }

  /** @throws DockerError where a port is not to be had; nothing is published then */
  map(
    network: BridgeNetwork,
    address: Ipv4Address,
    published: readonly PublishedPort[],
  ): MappedPorts {
    const closers: (() => void)[] = [];
    const mappings: PortMapping[] = [];
    const close = () => {
      for (const undo of closers.splice(0).reverse()) undo();
    };
    try {
      for (const request of this.#requests(network, published)) {
        for (const mapping of this.#bind(request, closers)) {
          mappings.push(mapping);
          this.#open(network, { ...mapping, address }, closers);
        }
      }
    } catch (error) {
      close();
      throw error;
    }
    return { mappings, close };
  }

  /** In the order in which they are bound: those that want one port get it before others look for any (`sortAndNormPBs`). */
  #requests(network: BridgeNetwork, published: readonly PublishedPort[]): readonly PortRequest[] {
    const routed = network.options.gatewayMode === "routed";
    const requests: PortRequest[] = [];
    for (const { hostIp, ...port } of published) {
      const [v4, v6] = this.#hostIps(network, hostIp);
      if (routed && v4 !== undefined) requests.push({ ...port, hostIps: [0], routed: true });
      const hostIps = [routed ? undefined : v4, v6].filter((ip) => ip !== undefined);
      if (hostIps.length > 0) requests.push({ ...port, hostIps, routed: false });
    }
    return requests.sort(byOrderOfBinding);
  }

  /**
   * Where a port is published of a container that has IPv4 only: IPv6 is the userland proxy's, and goes with all addresses
   * where the host has it.
   */
  #hostIps(
    { options }: BridgeNetwork,
    hostIp: IpAddress | undefined,
  ): readonly [IpAddress | undefined, IpAddress | undefined] {
    if (hostIp !== undefined) {
      if (typeof hostIp === "number") return [hostIp, undefined];
      return [undefined, this.#userlandProxy ? hostIp : undefined];
    }
    const both =
      options.hostBinding === 0 && this.#userlandProxy && this.#host.isLocalAddress(IPV6_LOOPBACK);
    return [options.hostBinding, both ? IPV6_ANY : undefined];
  }

  #bind(
    { protocol, port, hostIps, hostPorts, routed }: PortRequest,
    closers: (() => void)[],
  ): readonly PortMapping[] {
    if (routed) return hostIps.map((hostIp) => ({ protocol, port, hostIp, hostPort: 0 }));
    const strange = hostIps.find((ip) => !isUnspecified(ip) && !this.#host.isLocalAddress(ip));
    if (strange !== undefined) {
      const endpoint = formatEndpoint(strange, hostPorts?.[0] ?? 0);
      throw new DockerError(
        `failed to bind host port ${endpoint}/${protocol}: cannot assign requested address: the host does not have it`,
      );
    }
    const hostPort = this.#hostPort(hostIps, protocol, hostPorts);
    closers.push(() => this.#ports.release(hostIps, protocol, hostPort));
    return hostIps.map((hostIp) => ({ protocol, port, hostIp, hostPort }));
  }

  #hostPort(
    hostIps: readonly IpAddress[],
    protocol: PortProtocol,
    range: PortRange | undefined,
  ): number {
    const { sockets } = this.#host;
    const number = PROTOCOL_NUMBERS[protocol];
    return this.#ports.request(hostIps, protocol, range, (port) =>
      hostIps.every((hostIp) => sockets.isFree(number, hostIp, port)),
    );
  }

  #open(network: BridgeNetwork, binding: PortBinding, closers: (() => void)[]): void {
    closers.push(() => network.firewall?.removePort(binding));
    network.firewall?.addPort(binding);
    if (this.#userlandProxy && binding.hostPort !== 0) {
      closers.push(startDockerProxy(this.#host, binding));
    }
  }
}

/** libnetwork portmapperapi `PortBindingReq.Compare`. */
function byOrderOfBinding(x: PortRequest, y: PortRequest): number {
  const isRange = ({ hostPorts }: PortRequest) =>
    hostPorts === undefined || hostPorts[0] !== hostPorts[1] ? 1 : 0;
  const numbers = (request: PortRequest) => [
    request.routed ? 1 : 0,
    isRange(request),
    request.port,
    PROTOCOL_NUMBERS[request.protocol],
    ...(request.hostPorts ?? [0, 0]),
  ];
  const [xs, ys] = [numbers(x), numbers(y)];
  return xs.reduce((order, value, i) => order || value - (ys[i] ?? 0), 0);
}
