import type { NetNamespace } from "@cnilab/linux";
import {
  formatEndpoint,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPV6_ANY,
  IPV6_LOOPBACK,
  type IpAddress,
  type IpFamily,
  isUnspecified,
} from "@cnilab/net";
import type { BridgeNetwork } from "./bridge-network.ts";
import type { Endpoint, PortMapping, PublishedPort } from "./container.ts";
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

  /**
   * @param families of the host's addresses for which the endpoint is the gateway
   * @throws DockerError where a port is not to be had; nothing is published then
   */
  map(
    { network, address, address6 }: Endpoint,
    published: readonly PublishedPort[],
    families: readonly IpFamily[],
  ): MappedPorts {
    const closers: (() => void)[] = [];
    const mappings: PortMapping[] = [];
    const close = () => {
      for (const undo of closers.splice(0).reverse()) undo();
    };
    try {
      const hasIpv6 = address6 !== undefined;
      for (const request of this.#requests(network, published, families, hasIpv6)) {
        for (const mapping of this.#bind(request, closers)) {
          mappings.push(mapping);
          const isIpv6 = hasIpv6 && typeof mapping.hostIp !== "number";
          this.#open(network, { ...mapping, address: isIpv6 ? address6 : address }, closers);
        }
      }
    } catch (error) {
      close();
      throw error;
    }
    return { mappings, close };
  }

  /** In the order in which they are bound: those that want one port get it before others look for any (`sortAndNormPBs`). */
  #requests(
    { options }: BridgeNetwork,
    published: readonly PublishedPort[],
    families: readonly IpFamily[],
    hasIpv6: boolean,
  ): readonly PortRequest[] {
    const requests: PortRequest[] = [];
    for (const { hostIp, ...port } of published) {
      const [given4, given6] = this.#hostIps(options.hostBinding, hostIp, hasIpv6);
      const v4 = families.includes(4) ? given4 : undefined;
      const v6 = families.includes(6) ? given6 : undefined;
      const routed4 = options.gatewayMode === "routed";
      // The userland proxy does not mind how IPv6 is routed to a container that has none.
      const routed6 = options.gatewayMode6 === "routed" && hasIpv6;
      const opened = [routed4 && v4 !== undefined && 0, routed6 && v6 !== undefined && IPV6_ANY];
      for (const any of opened) {
        if (any !== false) requests.push({ ...port, hostIps: [any], routed: true });
      }
      const hostIps = [routed4 ? undefined : v4, routed6 ? undefined : v6].filter(
        (ip) => ip !== undefined,
      );
      if (hostIps.length > 0) requests.push({ ...port, hostIps, routed: false });
    }
    return requests.sort(byOrderOfBinding);
  }

  /** Where a port is published: to a container that has IPv4 only, IPv6 goes by the userland proxy, where there is one. */
  #hostIps(
    binding: IpAddress,
    hostIp: IpAddress | undefined,
    hasIpv6: boolean,
  ): readonly [IpAddress | undefined, IpAddress | undefined] {
    const reachesIpv6 = hasIpv6 || this.#userlandProxy;
    if (typeof hostIp === "number") return [hostIp, undefined];
    if (hostIp !== undefined) return [undefined, reachesIpv6 ? hostIp : undefined];
    const both = binding === 0 && reachesIpv6 && this.#host.isLocalAddress(IPV6_LOOPBACK);
    return [binding, both ? IPV6_ANY : undefined];
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
    return this.#ports.request(hostIps, protocol, range, (port) => {
      const taken = hostIps.find((hostIp) => !sockets.isFree(number, hostIp, port));
      if (taken === undefined) return true;
      if (range === undefined || range[0] !== range[1]) return false;
      // portallocator/osallocator_linux.go `bindTCPOrUDP`: it is no other container that has the port.
      throw new DockerError(
        `failed to bind host port ${formatEndpoint(taken, port)}/${protocol}: address already in use`,
      );
    });
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
