import type { HostFiles } from "@cnilab/core";
import type { NetDevice, NetNamespace } from "@cnilab/linux";
import type { IpAddress, Ipv4Address, Ipv6Address, Mac } from "@cnilab/net";
import type { BridgeNetwork } from "./bridge-network.ts";
import type { DnsOverrides } from "./dns/resolv-conf-file.ts";
import { DockerError } from "./docker-error.ts";
import type { PortProtocol, PortRange } from "./port-allocator.ts";

/** `-p`: what is published of a container. */
export interface PublishedPort {
  readonly protocol: PortProtocol;
  readonly port: number;
  /** The network's `host_binding_ipv4` where it is absent: 0.0.0.0, and [::] with it. */
  readonly hostIp?: IpAddress;
  /** An automatic one where it is absent. */
  readonly hostPorts?: PortRange;
}

/** A published port as it came out. */
export interface PortMapping {
  readonly protocol: PortProtocol;
  readonly port: number;
  readonly hostIp: IpAddress;
  /** 0 where nothing is translated: in gateway mode `routed`. */
  readonly hostPort: number;
}

/** `EXPOSE`: a port that an image is known to serve. */
export interface ExposedPort {
  readonly protocol: PortProtocol;
  readonly port: number;
}

/** How a container joins a network: `docker network connect`. */
export interface ConnectSpec {
  readonly network: string;
  readonly ip?: Ipv4Address;
  readonly ip6?: Ipv6Address;
  readonly mac?: Mac;
  readonly aliases?: readonly string[];
  /** `--link CONTAINER:ALIAS`: what this container alone calls others on the network. */
  readonly links?: readonly { readonly container: string; readonly alias: string }[];
  readonly gatewayPriority?: number;
}

/** `docker create`. */
export interface ContainerSpec extends DnsOverrides {
  readonly name: string;
  readonly image: string;
  /** As the image or the command line has it, for listings. */
  readonly command?: readonly string[];
  /** The short id where it is absent. */
  readonly hostname?: string;
  readonly domainname?: string;
  /** Names of networks, or how to join them; the default bridge where it is absent. */
  readonly network?: "host" | "none" | { readonly container: string } | readonly ConnectSpec[];
  readonly ports?: readonly PublishedPort[];
  readonly exposed?: readonly ExposedPort[];
  /** `--add-host`: `NAME:ADDRESS`, or `NAME:host-gateway`. */
  readonly extraHosts?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

/** A container's place in one network. */
export interface Endpoint {
  readonly id: string;
  readonly network: BridgeNetwork;
  readonly address: Ipv4Address;
  /** Where the network has IPv6. */
  readonly address6: Ipv6Address | undefined;
  readonly mac: Mac;
  /** `eth0` …, in the container. */
  readonly device: NetDevice;
  /** Host's end of the veth. */
  readonly veth: NetDevice;
  readonly spec: ConnectSpec;
  /** What the network's other containers may call it; none on the default bridge. */
  readonly dnsNames: readonly string[];
  /** What this container calls others, by alias. */
  readonly links: ReadonlyMap<string, string>;
  /** `--gw-priority`: the highest gives the default route. */
  readonly gatewayPriority: number;
}

/** Which network stack a container has: one of its own, the host's, or that of another container. */
export type NetworkMode = "own" | "none" | "host" | { readonly container: string };

/** `created` until it was started, `exited` once it was stopped. */
export type ContainerState = "created" | "running" | "exited";

/** A container, as far as its network goes. */
export class Container {
  readonly id: string;
  readonly spec: ContainerSpec;
  readonly mode: NetworkMode;
  /** /etc/hosts, /etc/hostname and /etc/resolv.conf; those of another container where its network is shared. */
  readonly files: HostFiles;
  readonly hostname: string;
  /** How it joins the networks that it is to be on, by their names. */
  readonly joins: Map<string, ConnectSpec> = new Map();
  /** In the order in which they came; none while it does not run. */
  readonly endpoints: Endpoint[] = [];
  name: string;
  state: ContainerState = "created";
  /** Virtual milliseconds, as all times. */
  readonly createdAt: number;
  startedAt: number | undefined = undefined;
  finishedAt: number | undefined = undefined;
  /** Id of its network stack, and of its place in the networks `host` and `none`. */
  sandboxId = "";
  endpointId = "";
  /** Through the network that has the default route, while one has. */
  portMappings: readonly PortMapping[] = [];
  #netns: NetNamespace | undefined;

  constructor(given: {
    readonly id: string;
    readonly spec: ContainerSpec;
    readonly mode: NetworkMode;
    readonly files: HostFiles;
    readonly hostname: string;
    readonly createdAt: number;
  }) {
    this.id = given.id;
    this.name = given.spec.name;
    this.spec = given.spec;
    this.mode = given.mode;
    this.files = given.files;
    this.hostname = given.hostname;
    this.createdAt = given.createdAt;
  }

  get image(): string {
    return this.spec.image;
  }

  get published(): readonly PublishedPort[] {
    return this.spec.ports ?? [];
  }

  /** As it is printed, and found by DNS. */
  get shortId(): string {
    return this.id.slice(0, 12);
  }

  get isRunning(): boolean {
    return this.state === "running";
  }

  /** @throws DockerError while it does not run */
  get netns(): NetNamespace {
    if (this.#netns === undefined) throw new DockerError(`container ${this.name} is not running`);
    return this.#netns;
  }

  set netns(netns: NetNamespace | undefined) {
    this.#netns = netns;
  }

  get hasNetns(): boolean {
    return this.#netns !== undefined;
  }

  /** What gives the default route, and publishes ports (libnetwork default_gateway.go `getGatewayEndpoint`). */
  get gatewayEndpoint(): Endpoint | undefined {
    return this.endpointsByPriority.find(({ network }) => !network.internal);
  }

  /** The same for IPv6: it may be another. */
  get gatewayEndpoint6(): Endpoint | undefined {
    return this.endpointsByPriority.find(
      ({ network }) => !network.internal && network.gateway6 !== undefined,
    );
  }

  /** As libnetwork keeps them: the first is the gateway, and the first to be asked for names. */
  get endpointsByPriority(): readonly Endpoint[] {
    return [...this.endpoints].sort(byGatewayPriority);
  }

  endpointIn(network: BridgeNetwork): Endpoint | undefined {
    return this.endpoints.find((endpoint) => endpoint.network === network);
  }
}

/** libnetwork sandbox.go `Endpoint.Less`. */
function byGatewayPriority(x: Endpoint, y: Endpoint): number {
  if (x.gatewayPriority !== y.gatewayPriority) return y.gatewayPriority - x.gatewayPriority;
  if (x.network.internal !== y.network.internal) return x.network.internal ? 1 : -1;
  const gateways = ({ network }: Endpoint) =>
    Number(network.gateway !== undefined) + Number(network.gateway6 !== undefined);
  return gateways(y) - gateways(x) || (x.network.name < y.network.name ? -1 : 1);
}

/** Of both families. */
export function addressesOf({ address, address6 }: Endpoint): readonly IpAddress[] {
  return address6 === undefined ? [address] : [address, address6];
}
