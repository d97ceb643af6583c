import { containerId, MemoryFiles, type Random } from "@cnilab/core";
import { type Kernel, KernelError, type NetNamespace } from "@cnilab/linux";
import { IPV6_ANY, type IpFamily, Prefix } from "@cnilab/net";
import {
  BridgeNetwork,
  DEFAULT_NETWORK,
  type NetworkSpec,
  networkNamed,
} from "./bridge-network.ts";
import { parseBridgeOptions } from "./bridge-options.ts";
import { checkConnect } from "./connect-checks.ts";
import {
  addressesOf,
  type ConnectSpec,
  Container,
  type ContainerSpec,
  type Endpoint,
  type NetworkMode,
} from "./container.ts";
import type { DnsOverrides } from "./dns/resolv-conf-file.ts";
import { SandboxDns } from "./dns/sandbox-dns.ts";
import { DockerError } from "./docker-error.ts";
import { joinNetwork } from "./endpoint.ts";
import type { Firewaller } from "./firewall/firewaller.ts";
import { IptablesFirewaller } from "./firewall/iptables-firewaller.ts";
import { NftablesFirewaller } from "./firewall/nftables-firewaller.ts";
import { enableForwarding } from "./forwarding.ts";
import {
  AddressSpace,
  LOCAL_SCOPE_DEFAULT_NETWORKS,
  type NetworkToSplit,
} from "./ipam/address-space.ts";
import { reservedPrefixes, uniqueLocal } from "./ipam/host-prefixes.ts";
import { type MappedPorts, PortMapper } from "./port-mapper.ts";

/** daemon.json, as far as the network goes. */
export interface DaemonConfig extends DnsOverrides {
  readonly firewallBackend?: "iptables" | "nftables";
  /** `false`: the daemon programs no rules. */
  readonly iptables?: boolean;
  readonly userlandProxy?: boolean;
  readonly allowDirectRouting?: boolean;
  /** `--ip-forward-no-drop`: forwarding of what is not Docker's stays as it is. */
  readonly ipForwardNoDrop?: boolean;
  readonly defaultAddressPools?: readonly NetworkToSplit[];
  /** `--bip`: subnet of docker0. */
  readonly bip?: Prefix;
}

/** Networks that are there from the beginning, beside the default bridge, and have no bridge. */
export type SpecialNetwork = "host" | "none";

/** What belongs to a container only while it runs. */
interface Running {
  readonly dns: SandboxDns | undefined;
  ports: readonly MappedPorts[];
}

/** The networks that lead out, by family. */
type Gateways = readonly [Endpoint | undefined, Endpoint | undefined];

/** What a name of a container or a network may look like (daemon/names). */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/**
 * A machine with dockerd: bridge networks and containers in them. What is refused leaves all as it was. The machine's
 * /etc/resolv.conf and /etc/hosts are files of the kernel that it gets.
 */
export class DockerHost {
  readonly kernel: Kernel;
  readonly networks: Map<string, BridgeNetwork> = new Map();
  /** Running or not, the oldest first. */
  readonly containers: Map<string, Container> = new Map();
  readonly specialNetworkIds: Readonly<Record<SpecialNetwork, string>>;
  /** When it was started, in virtual milliseconds. */
  readonly startedAt: number;
  readonly #config: DaemonConfig;
  readonly #random: Random;
  readonly #space: AddressSpace;
  readonly #ports: PortMapper;
  readonly #firewaller: Firewaller | undefined;
  readonly #running = new Map<Container, Running>();

  /** Starts dockerd. @throws DockerError where the host is not fit for it */
  constructor(kernel: Kernel, config: DaemonConfig = {}) {
    this.kernel = kernel;
    this.startedAt = kernel.network.clock.now;
    this.#config = config;
    this.#random = kernel.network.random.fork(`${kernel.hostname} docker`);
    const pools = config.defaultAddressPools ?? LOCAL_SCOPE_DEFAULT_NETWORKS;
    const hasIpv6 = pools.some(({ base }) => base.family === 6);
    this.#space = new AddressSpace(hasIpv6 ? pools : [...pools, uniqueLocal(this.#random)]);
    this.#ports = new PortMapper(kernel.initNs, this.#userlandProxy);
    this.#enableForwarding(4);
    this.#firewaller = this.#makeFirewaller();
    this.specialNetworkIds = { none: this.#id(), host: this.#id() };
    this.createNetwork({
      name: DEFAULT_NETWORK,
      ...(config.bip === undefined ? {} : { subnet: config.bip }),
      options: {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": "docker0",
        "com.docker.network.driver.mtu": "1500",
      },
    });
  }

  /** `docker network create`. @throws DockerError where the name is taken, or the options or addresses do not fit */
  createNetwork(spec: NetworkSpec): BridgeNetwork {
    const { name } = spec;
    checkName("network", name);
    if (this.networks.has(name) || isSpecial(name)) {
      throw new DockerError(`network with name ${name} already exists`);
    }
    const { name: device } = parseBridgeOptions(spec.options ?? {}, spec.internal ?? false);
    if (device !== undefined && this.kernel.initNs.findDevice(device) !== undefined) {
      throw new DockerError(`network ${name}: there is a device ${device} already`);
    }
    const lacksSubnet = spec.subnet === undefined && (spec.ipRange ?? spec.gateway) !== undefined;
    const lacksSubnet6 =
      spec.subnet6 === undefined && (spec.ipRange6 ?? spec.gateway6) !== undefined;
    if (lacksSubnet || lacksSubnet6) {
      throw new DockerError(`network ${name}: an IP range or a gateway needs a subnet`);
    }
    const subnet = this.#allocate(spec.subnet, 4);
    let subnet6: Prefix | undefined;
    try {
      if (spec.ipv6 === true) {
        subnet6 = this.#allocate(spec.subnet6, 6);
        this.#enableForwarding(6);
      }
      const network = new BridgeNetwork(
        {
          netns: this.kernel.initNs,
          firewaller: this.#firewaller,
          userlandProxy: this.#userlandProxy,
        },
        this.#id(),
        subnet,
        subnet6,
        spec,
      );
      this.networks.set(name, network);
      return network;
    } catch (error) {
      this.#space.release(subnet);
      if (subnet6 !== undefined) this.#space.release(subnet6);
      throw named(error, `network ${name}`);
    }
  }

  /** `docker network rm`. @throws DockerError while running containers are in it, and for what is there from the beginning */
  removeNetwork(name: string): void {
    if (name === DEFAULT_NETWORK || isSpecial(name)) {
      throw new DockerError(`${name} is a pre-defined network and cannot be removed`);
    }
    const network = this.network(name);
    const users = this.containersOf(network);
    if (users.length > 0) {
      const endpoints = users.map((container) => `name:"${container.name}"`).join(", ");
      throw new DockerError(`network ${name} has active endpoints: ${endpoints}`);
    }
    network.remove();
    this.#space.release(network.subnet);
    if (network.subnet6 !== undefined) this.#space.release(network.subnet6);
    this.networks.delete(name);
  }

  /** Those that run in it, the oldest first. */
  containersOf(network: BridgeNetwork): readonly Container[] {
    return [...this.containers.values()].filter((c) => c.endpointIn(network) !== undefined);
  }

  /** `docker run -d`. @throws DockerError; nothing of the container is left then */
  run(spec: ContainerSpec): Container {
    const container = this.create(spec);
    try {
      this.start(spec.name);
    } catch (error) {
      this.remove(spec.name);
      throw error;
    }
    return container;
  }

  /** `docker create`. @throws DockerError */
  create(spec: ContainerSpec): Container {
    const { name } = spec;
    checkName("container", name);
    this.#checkContainerName(name);
    const { network = [{ network: DEFAULT_NETWORK }] } = spec;
    const mode: NetworkMode = Array.isArray(network) ? "own" : (network as NetworkMode);
    const shared = typeof mode === "object" ? this.container(mode.container) : undefined;
    if (shared !== undefined && (spec.ports ?? []).length > 0) {
      throw new DockerError(
        `container ${name}: conflicting options: ports are published by ${shared.name}, whose network it shares`,
      );
    }
    const id = this.#id();
    const container = new Container({
      id,
      spec,
      mode,
      files: shared?.files ?? new MemoryFiles(),
      hostname:
        shared?.hostname ??
        spec.hostname ??
        (mode === "host" ? this.kernel.hostname : id.slice(0, 12)),
      createdAt: this.kernel.network.clock.now,
    });
    for (const connect of Array.isArray(network) ? network : []) {
      checkConnect(container, connect, this.networks);
      container.joins.set(connect.network, connect);
    }
    this.containers.set(name, container);
    return container;
  }

  /** `docker start`: nothing where it runs. @throws DockerError; it does not run then */
  start(name: string): void {
    const container = this.container(name);
    if (container.isRunning) return;
    try {
      container.netns = this.#sandbox(container);
      container.state = "running";
      const isOwn = typeof container.mode === "string";
      const dns = isOwn ? this.#dns(container) : undefined;
      this.#running.set(container, { dns, ports: [] });
      if (isSpecial(container.mode)) container.endpointId = this.#id();
      for (const connect of container.joins.values()) this.#join(container, connect);
      this.#updateGateways(container, NO_GATEWAYS);
      container.startedAt = this.kernel.network.clock.now;
    } catch (error) {
      const { startedAt, state } = container;
      this.#halt(container);
      container.state = startedAt === undefined ? "created" : "exited";
      throw state === "running" ? named(error, `container ${name}`) : error;
    }
  }

  /** `docker stop`: its addresses and ports are free for others, and what it is to join stays. */
  stop(name: string): void {
    const container = this.container(name);
    if (!container.isRunning) return;
    this.#halt(container);
    container.state = "exited";
    container.finishedAt = this.kernel.network.clock.now;
  }

  /** `docker restart`: into the lowest addresses that are free then, and those that were asked for. @throws DockerError */
  restart(name: string): void {
    this.stop(name);
    this.start(name);
  }

  /** `docker rm -f`. */
  remove(name: string): void {
    const container = this.container(name);
    if (container.isRunning) this.#halt(container);
    this.containers.delete(name);
  }

  /** `docker rename`: DNS knows it by its new name at once. @throws DockerError */
  rename(name: string, newName: string): void {
    const container = this.container(name);
    checkName("container", newName);
    this.#checkContainerName(newName);
    const order = [...this.containers.values()];
    container.name = newName;
    this.containers.clear();
    for (const each of order) this.containers.set(each.name, each);
    for (const endpoint of container.endpoints) {
      const { network, id, spec } = endpoint;
      network.names.remove(id);
      network.names.add(id, dnsNames(container, network, spec), addressesOf(endpoint));
    }
  }

  /** `docker network connect`. @throws DockerError; the container is as before then */
  connect(name: string, spec: ConnectSpec): void {
    const container = this.container(name);
    checkConnect(container, spec, this.networks);
    if (container.isRunning) {
      const before = gatewaysOf(container);
      const endpoint = this.#join(container, spec);
      try {
        this.#updateGateways(container, before);
      } catch (error) {
        this.#leave(container, endpoint);
        this.#updateGateways(container, NO_GATEWAYS);
        throw named(error, `container ${name}`);
      }
    }
    container.joins.set(spec.network, spec);
  }

  /** `docker network disconnect`. @throws DockerError */
  disconnect(name: string, networkName: string): void {
    const container = this.container(name);
    if (networkName === "host" && container.mode === "host") {
      throw new DockerError(
        "cannot disconnect container from host network - container was created in host network mode",
      );
    }
    if (!container.joins.has(networkName)) {
      throw new DockerError(`container ${name} is not connected to network ${networkName}`);
    }
    container.joins.delete(networkName);
    const network = this.networks.get(networkName);
    const endpoint = network === undefined ? undefined : container.endpointIn(network);
    if (endpoint === undefined) return;
    const before = gatewaysOf(container);
    if (before.includes(endpoint)) this.#unpublish(container);
    this.#leave(container, endpoint);
    this.#updateGateways(container, before);
  }

  /** By name. @throws DockerError */
  network(name: string): BridgeNetwork {
    return networkNamed(this.networks, name);
  }

  /** By name. @throws DockerError */
  container(name: string): Container {
    const container = this.containers.get(name);
    if (container === undefined) throw new DockerError(`no such container: ${name}`);
    return container;
  }

  get #userlandProxy(): boolean {
    return this.#config.userlandProxy ?? true;
  }

  get #backend(): "iptables" | "nftables" {
    return this.#config.firewallBackend ?? "iptables";
  }

  #makeFirewaller(): Firewaller | undefined {
    if (this.#config.iptables === false) return undefined;
    const config = {
      families: [4, 6] as const,
      hairpin: !this.#userlandProxy,
      allowDirectRouting: this.#config.allowDirectRouting ?? false,
    };
    const { initNs } = this.kernel;
    return this.#backend === "nftables"
      ? new NftablesFirewaller(initNs, config)
      : new IptablesFirewaller(initNs, config);
  }

  /** Of IPv4 from the beginning, of IPv6 once a network has it. */
  #enableForwarding(family: IpFamily): void {
    enableForwarding(this.kernel.initNs, family, {
      backend: this.#backend,
      keepsPolicy: this.#config.iptables === false || this.#config.ipForwardNoDrop === true,
    });
  }

  /** @param wanted the next of the daemon's pools where it is absent */
  #allocate(wanted: Prefix | undefined, family: IpFamily): Prefix {
    if (wanted === undefined) {
      return this.#space.allocatePredefined(reservedPrefixes(this.kernel), family);
    }
    if (wanted.family === family) return this.#space.allocate(wanted);
    throw new DockerError(`${wanted} is no IPv${family} subnet`);
  }

  #checkContainerName(name: string): void {
    const other = this.containers.get(name);
    if (other === undefined) return;
    throw new DockerError(
      `Conflict. The container name "/${name}" is already in use by container "${other.id}". You have to remove (or rename) that container to be able to reuse that name.`,
    );
  }

  /** The network stack of a container that starts. */
  #sandbox({ name, id, mode }: Container): NetNamespace {
    if (mode === "host") return this.kernel.initNs;
    if (typeof mode === "object") {
      const other = this.container(mode.container);
      if (other.isRunning) return other.netns;
      throw new DockerError(
        `cannot join network namespace of a non running container: container ${other.name} is ${other.state}`,
      );
    }
    // Who shared the stack of an earlier run may still be in it.
    const isTaken = this.kernel.findNamespace(name) !== undefined;
    const netns = this.kernel.addNamespace(isTaken ? `${name}-${id.slice(0, 7)}` : name);
    netns.loopback.setUp();
    return netns;
  }

  #dns(container: Container): SandboxDns {
    container.sandboxId = this.#id();
    const { dns = [], dnsSearch = [], dnsOptions = [] } = this.#config;
    return new SandboxDns(container, {
      host: this.kernel.initNs,
      backend: this.#backend,
      overrides: { dns, dnsSearch, dnsOptions },
      hostGateway: this.networks.get(DEFAULT_NETWORK)?.gateway,
      random: this.#random.fork(`dns ${container.id}`),
    });
  }

  #join(container: Container, spec: ConnectSpec): Endpoint {
    const network = this.network(spec.network);
    const endpoint = joinNetwork(container, network, spec, {
      host: this.kernel.initNs,
      random: this.#random,
      id: this.#id(),
      hairpin: !this.#userlandProxy,
      dnsNames: dnsNames(container, network, spec),
    });
    container.endpoints.push(endpoint);
    this.#running.get(container)?.dns?.joined(endpoint);
    return endpoint;
  }

  #leave(container: Container, endpoint: Endpoint): void {
    const { network, address, address6, device } = endpoint;
    this.#running.get(container)?.dns?.left(endpoint);
    for (const each of addressesOf(endpoint)) network.firewall?.removeEndpoint(each);
    device.remove();
    network.pool.release(address);
    if (address6 !== undefined) network.pool6?.release(address6);
    container.endpoints.splice(container.endpoints.indexOf(endpoint), 1);
  }

  /** Ends all that is there of a running container, or of one that did not come so far. */
  #halt(container: Container): void {
    this.#unpublish(container);
    for (const endpoint of [...container.endpoints]) this.#leave(container, endpoint);
    this.#running.get(container)?.dns?.close();
    this.#running.delete(container);
    container.endpointId = "";
    container.sandboxId = "";
    if (!container.hasNetns) return;
    const { netns } = container;
    container.netns = undefined;
    // A namespace lives as long as somebody is in it.
    const isShared = [...this.containers.values()].some((c) => c.hasNetns && c.netns === netns);
    if (netns !== this.kernel.initNs && !isShared) this.kernel.deleteNamespace(netns);
  }

  /** Default routes and published ports follow the networks that are the gateways. */
  #updateGateways(container: Container, before: Gateways): void {
    const now = gatewaysOf(container);
    if (now[0] === before[0] && now[1] === before[1]) return;
    this.#unpublish(container);
    const [v4, v6] = now;
    if (v4?.network.gateway !== undefined) {
      const route = { dst: DEFAULT, via: v4.network.gateway, dev: v4.device };
      container.netns.addRoute(route, "replace");
    }
    if (v6?.network.gateway6 !== undefined) {
      const route = { dst: DEFAULT6, via: v6.network.gateway6, dev: v6.device };
      container.netns.addRoute(route, "replace");
    }
    const ports: MappedPorts[] = [];
    const running = this.#running.get(container);
    if (running === undefined) return;
    running.ports = ports;
    // Where nothing leads out by IPv6, the gateway of IPv4 takes what comes to the host by it.
    const alone = v6 === undefined || v6 === v4;
    const { published } = container;
    if (v4 !== undefined) ports.push(this.#ports.map(v4, published, alone ? [4, 6] : [4]));
    if (!alone) ports.push(this.#ports.map(v6, published, [6]));
    container.portMappings = ports.flatMap(({ mappings }) => mappings);
  }

  #unpublish(container: Container): void {
    const running = this.#running.get(container);
    for (const mapped of running?.ports ?? []) mapped.close();
    if (running !== undefined) running.ports = [];
    container.portMappings = [];
  }

  #id(): string {
    return containerId(this.#random);
  }
}

const DEFAULT = new Prefix(0, 0);
const DEFAULT6 = new Prefix(IPV6_ANY, 0);
const NO_GATEWAYS: Gateways = [undefined, undefined];

function gatewaysOf({ gatewayEndpoint, gatewayEndpoint6 }: Container): Gateways {
  return [gatewayEndpoint, gatewayEndpoint6];
}

function isSpecial(name: unknown): name is SpecialNetwork {
  return name === "host" || name === "none";
}

function checkName(what: "container" | "network", name: string): void {
  if (what === "network" ? /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) : NAME.test(name)) return;
  throw new DockerError(
    `Invalid ${what} name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
  );
}

/** The first is what its address is called; none on the default bridge (daemon/container_operations.go `buildEndpointDNSNames`). */
function dnsNames(
  container: Container,
  network: BridgeNetwork,
  { aliases = [] }: ConnectSpec,
): readonly string[] {
  if (!network.isUserDefined) return [];
  return [...new Set([container.name, ...aliases, container.shortId, container.hostname])];
}

/** What the kernel refuses says nothing of Docker's objects. */
function named(error: unknown, what: string): unknown {
  if (!(error instanceof KernelError)) return error;
  return new DockerError(`${what}: ${error.message}`);
}
