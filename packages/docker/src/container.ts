import type { NetDevice, NetNamespace } from "@cnilab/linux";
import type { Ipv4Address, Mac } from "@cnilab/net";
import type { BridgeNetwork } from "./bridge-network.ts";
import type { PortRange } from "./port-allocator.ts";

/** `-p`: what is published of a container. */
export interface PublishedPort {
  readonly protocol: "tcp" | "udp";
  readonly port: number;
  /** The network's `host_binding_ipv4` where it is absent. */
  readonly hostIp?: Ipv4Address;
  /** An automatic one where it is absent. */
  readonly hostPorts?: PortRange;
}

/** A published port as it came out. */
export interface PortMapping {
  readonly protocol: "tcp" | "udp";
  readonly port: number;
  readonly hostIp: Ipv4Address;
  readonly hostPort: number;
}

/** A container's place in one network. */
export interface Endpoint {
  readonly id: string;
  readonly network: BridgeNetwork;
  readonly address: Ipv4Address;
  readonly mac: Mac;
  /** `eth0` …, in the container. */
  readonly device: NetDevice;
  readonly aliases: readonly string[];
  /** `--gw-priority`: the highest gives the default route. */
  readonly gatewayPriority: number;
}

/** Which network stack a container has: one of its own, the host's, or that of another container. */
export type NetworkMode = "own" | "none" | "host" | { readonly container: string };

/** A running container, as far as its network goes. */
export class Container {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly mode: NetworkMode;
  readonly netns: NetNamespace;
  readonly published: readonly PublishedPort[];
  /** In the order in which they came. */
  readonly endpoints: Endpoint[] = [];
  /** Through the network that has the default route, while one has. */
  portMappings: readonly PortMapping[] = [];

  constructor(given: {
    readonly id: string;
    readonly name: string;
    readonly image: string;
    readonly mode: NetworkMode;
    readonly netns: NetNamespace;
    readonly published: readonly PublishedPort[];
  }) {
    this.id = given.id;
    this.name = given.name;
    this.image = given.image;
    this.mode = given.mode;
    this.netns = given.netns;
    this.published = given.published;
  }

  /** What gives the default route, and publishes ports (libnetwork sandbox.go `getGatewayEndpoint`). */
  get gatewayEndpoint(): Endpoint | undefined {
    const able = this.endpoints.filter(({ network }) => !network.internal);
    return able.sort(byGatewayPriority)[0];
  }

  endpointIn(network: BridgeNetwork): Endpoint | undefined {
    return this.endpoints.find((endpoint) => endpoint.network === network);
  }
}

/** libnetwork sandbox.go `Endpoint.Less`. */
function byGatewayPriority(x: Endpoint, y: Endpoint): number {
  if (x.gatewayPriority !== y.gatewayPriority) return y.gatewayPriority - x.gatewayPriority;
  return x.network.name < y.network.name ? -1 : 1;
}
