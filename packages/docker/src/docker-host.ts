import type { Random } from "@cnilab/core";
import {
  type Kernel,
  type NetNamespace,
  PacketSocket,
  RT_SCOPE_LINK,
  RT_TABLE_MAIN,
  Skb,
  Veth,
} from "@cnilab/linux";
import {
  ARP_REQUEST,
  ArpPacket,
  BROADCAST_MAC,
  ETH_P_ARP,
  formatEndpoint,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type Ipv4Address,
  type Mac,
  Prefix,
} from "@cnilab/net";
import { BridgeNetwork, type NetworkSpec } from "./bridge-network.ts";
import { parseBridgeOptions } from "./bridge-options.ts";
import {
  Container,
  type Endpoint,
  type NetworkMode,
  type PortMapping,
  type PublishedPort,
} from "./container.ts";
import { DockerError } from "./docker-error.ts";
import { startDockerProxy } from "./docker-proxy.ts";
import type { Firewaller } from "./firewall/firewaller.ts";
import { IptablesFirewaller } from "./firewall/iptables-firewaller.ts";
import { NftablesFirewaller } from "./firewall/nftables-firewaller.ts";
import { AddressSpace, type NetworkToSplit } from "./ipam/address-space.ts";
import { PortAllocator, type PortRange } from "./port-allocator.ts";

/** daemon.json, as far as the network goes. */
export interface DaemonConfig {
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
  /** Of the host's resolv.conf: no network gets a subnet with one of them. */
  readonly nameservers?: readonly Ipv4Address[];
}

/** How a container joins a network: `docker network connect`. */
export interface ConnectSpec {
  readonly network: string;
  readonly ip?: Ipv4Address;
  readonly mac?: Mac;
  readonly aliases?: readonly string[];
  readonly gatewayPriority?: number;
}

/** `docker run`. */
export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  /** Names of networks, or how to join them; the default bridge where it is absent. */
  readonly network?: "host" | "none" | { readonly container: string } | readonly ConnectSpec[];
  readonly ports?: readonly PublishedPort[];
}

/** A machine with dockerd: bridge networks and containers in them. IPv4. */
export class DockerHost {
  readonly kernel: Kernel;
  readonly networks: Map<string, BridgeNetwork> = new Map();
  readonly containers: Map<string, Container> = new Map();
  readonly #config: DaemonConfig;
  readonly #random: Random;
  readonly #space: AddressSpace;
  readonly #ports: PortAllocator;
  readonly #firewaller: Firewaller | undefined;
  /** Ends what was set up for a container's published ports. */
  readonly #closers = new Map<Container, (() => void)[]>();

  /** Starts dockerd. @throws DockerError where the host is not fit for it */
  constructor(kernel: Kernel, config: DaemonConfig = {}) {
    this.kernel = kernel;
    this.#config = config;
    this.#random = kernel.network.random.fork(`${kernel.hostname} docker`);
    this.#space = new AddressSpace(config.defaultAddressPools);
    this.#ports = new PortAllocator(ephemeralPorts(kernel.initNs));
    this.#enableForwarding();
    this.#firewaller = this.#makeFirewaller();
    this.createNetwork({
      name: "bridge",
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

  /** @throws DockerError where the name is taken, or the options or addresses do not fit */
  createNetwork(spec: NetworkSpec): BridgeNetwork {
    if (this.networks.has(spec.name) || spec.name === "host" || spec.name === "none") {
      throw new DockerError(`network with name ${spec.name} already exists`);
    }
    const { name: device } = parseBridgeOptions(spec.options ?? {}, spec.internal ?? false);
    if (device !== undefined && this.kernel.initNs.findDevice(device) !== undefined) {
      throw new DockerError(`network ${spec.name}: there is a device ${device} already`);
    }
    if (spec.subnet === undefined && (spec.ipRange ?? spec.gateway) !== undefined) {
      throw new DockerError(`network ${spec.name}: an IP range or a gateway needs a subnet`);
    }
    const subnet =
      spec.subnet === undefined
        ? this.#space.allocatePredefined(this.#reservedPrefixes())
        : this.#space.allocate(spec.subnet);
    try {
      const network = new BridgeNetwork(
        {
          netns: this.kernel.initNs,
          firewaller: this.#firewaller,
          userlandProxy: this.#userlandProxy,
        },
        this.#id(),
        subnet,
        spec,
      );
      this.networks.set(spec.name, network);
      return network;
    } catch (error) {
      this.#space.release(subnet);
      throw error;
    }
  }

  /** `docker network rm`. @throws DockerError while containers are in it */
  removeNetwork(name: string): void {
    const network = this.#network(name);
    if (name === "bridge") throw new DockerError("bridge is a pre-defined network");
    const user = [...this.containers.values()].find((c) => c.endpointIn(network) !== undefined);
    if (user !== undefined) {
      throw new DockerError(`network ${name} has active endpoints: ${user.name}`);
    }
    network.remove();
    this.#space.release(network.subnet);
    this.networks.delete(name);
  }

  /** `docker run`. @throws DockerError; nothing of the container is left then */
  run(spec: ContainerSpec): Container {
    const { name } = spec;
    if (this.containers.has(name)) {
      throw new DockerError(`the container name ${name} is already in use`);
    }
    const given = spec.network ?? [{ network: "bridge" }];
    const mode: NetworkMode = Array.isArray(given) ? "own" : (given as NetworkMode);
    if (typeof mode !== "string" && (spec.ports ?? []).length > 0) {
      throw new DockerError(
        `container ${name}: ports are published by ${mode.container}, whose network it shares`,
      );
    }
    const container = new Container({
      id: this.#id(),
      name,
      image: spec.image,
      mode,
      netns: this.#sandbox(name, mode),
      published: spec.ports ?? [],
    });
    this.containers.set(name, container);
    try {
      for (const connect of Array.isArray(given) ? given : []) this.#join(container, connect);
      this.#updateGateway(container, undefined);
    } catch (error) {
      this.remove(name);
      throw error;
    }
    return container;
  }

  /** `docker rm -f`. */
  remove(name: string): void {
    const container = this.#container(name);
    this.#unpublish(container);
    for (const endpoint of [...container.endpoints]) this.#leave(container, endpoint);
    this.containers.delete(name);
    const { netns } = container;
    // A namespace lives as long as somebody is in it.
    const isShared = [...this.containers.values()].some((other) => other.netns === netns);
    if (netns !== this.kernel.initNs && !isShared) this.kernel.deleteNamespace(netns);
  }

  /** `docker network connect`. @throws DockerError; the container is as before then */
  connect(name: string, spec: ConnectSpec): void {
    const container = this.#container(name);
    if (container.mode !== "own") {
      throw new DockerError(`container ${name} has no network stack of its own to connect`);
    }
    const before = container.gatewayEndpoint;
    const endpoint = this.#join(container, spec);
    try {
      this.#updateGateway(container, before);
    } catch (error) {
      this.#unpublish(container);
      this.#leave(container, endpoint);
      this.#updateGateway(container, undefined);
      throw error;
    }
  }

  /** `docker network disconnect`. @throws DockerError */
  disconnect(name: string, network: string): void {
    const container = this.#container(name);
    const endpoint = container.endpointIn(this.#network(network));
    if (endpoint === undefined) {
      throw new DockerError(`container ${name} is not connected to network ${network}`);
    }
    const before = container.gatewayEndpoint;
    if (before === endpoint) this.#unpublish(container);
    this.#leave(container, endpoint);
    this.#updateGateway(container, before);
  }

  get #userlandProxy(): boolean {
    return this.#config.userlandProxy ?? true;
  }

  /** Whoever turns forwarding on closes it for what is not Docker's (drivers/bridge/setup_ip_forwarding.go). */
  #enableForwarding(): void {
    const { initNs } = this.kernel;
    if (initNs.sysctl.get("net/ipv4/ip_forward") === 1) return;
    if (this.#config.firewallBackend === "nftables") {
      throw new DockerError(
        "IPv4 forwarding is disabled: with nftables dockerd does not turn it on; set the sysctl net.ipv4.ip_forward=1",
      );
    }
    initNs.sysctl.set("net/ipv4/ip_forward", 1);
    if (this.#config.iptables === false || this.#config.ipForwardNoDrop === true) return;
    initNs.iptables(4).setPolicy("filter", "FORWARD", "DROP");
  }

  #makeFirewaller(): Firewaller | undefined {
    if (this.#config.iptables === false) return undefined;
    const config = {
      families: [4] as const,
      hairpin: !this.#userlandProxy,
      allowDirectRouting: this.#config.allowDirectRouting ?? false,
    };
    const { initNs } = this.kernel;
    return this.#config.firewallBackend === "nftables"
      ? new NftablesFirewaller(initNs, config)
      : new IptablesFirewaller(initNs, config);
  }

  /** What the host itself reaches on a link, and its name servers (netutils `InferReservedNetworks`). */
  #reservedPrefixes(): Prefix[] {
    const reserved = (this.#config.nameservers ?? []).map((address) => Prefix.host(address));
    for (const route of this.kernel.initNs.fib4.table(RT_TABLE_MAIN).routes()) {
      if (route.scope === RT_SCOPE_LINK && route.prefix.length > 0) reserved.push(route.prefix);
    }
    return reserved;
  }

  #sandbox(name: string, mode: NetworkMode): NetNamespace {
    if (mode === "host") return this.kernel.initNs;
    if (typeof mode === "object") return this.#container(mode.container).netns;
    const netns = this.kernel.addNamespace(name);
    netns.loopback.setUp();
    return netns;
  }

  #join(container: Container, spec: ConnectSpec): Endpoint {
    const network = this.#network(spec.network);
    if (container.endpointIn(network) !== undefined) {
      throw new DockerError(`${container.name} is already connected to network ${network.name}`);
    }
    if (network.name === "bridge" && (spec.ip !== undefined || spec.aliases?.length)) {
      throw new DockerError(
        "addresses and aliases can be chosen on user-defined networks only, not on bridge",
      );
    }
    const { netns } = container;
    const { mtu } = network.options;
    const address = network.pool.request(spec.ip);
    const mac = spec.mac ?? this.kernel.randomMac();
    const shared = mtu === undefined ? {} : { mtu };
    const [veth, device] = Veth.pair(
      this.kernel.initNs,
      { name: this.#vethName(), ...shared },
      netns,
      { name: freeInterfaceName(netns), mac, ...shared },
    );
    veth.setMaster(network.bridge);
    if (!this.#userlandProxy && veth.bridgePort !== undefined) veth.bridgePort.hairpin = true;
    veth.setUp();
    device.setUp();
    device.addAddress(address, network.subnet.length);
    network.firewall?.addEndpoint(address);
    advertise(device, address);
    const endpoint: Endpoint = {
      id: this.#id(),
      network,
      address,
      mac,
      device,
      aliases: spec.aliases ?? [],
      gatewayPriority: spec.gatewayPriority ?? 0,
    };
    container.endpoints.push(endpoint);
    return endpoint;
  }

  #leave(container: Container, endpoint: Endpoint): void {
    const { network, address, device } = endpoint;
    network.firewall?.removeEndpoint(address);
    device.remove();
    network.pool.release(address);
    container.endpoints.splice(container.endpoints.indexOf(endpoint), 1);
  }

  /** Default route and published ports follow the network that is the gateway. */
  #updateGateway(container: Container, before: Endpoint | undefined): void {
    const now = container.gatewayEndpoint;
    if (now === before) return;
    this.#unpublish(container);
    if (now === undefined) return;
    const { gateway } = now.network;
    if (gateway !== undefined) {
      container.netns.addRoute({ dst: DEFAULT, via: gateway, dev: now.device }, "replace");
    }
    this.#publish(container, now);
  }

  #publish(container: Container, { network, address }: Endpoint): void {
    const closers: (() => void)[] = [];
    const mappings: PortMapping[] = [];
    this.#closers.set(container, closers);
    // Who wants one port gets it before others look for any.
    const wanted = [...container.published].sort((x, y) => freedom(x) - freedom(y));
    for (const { protocol, port, ...host } of wanted) {
      const routed = network.options.gatewayMode === "routed";
      const hostIp = routed ? 0 : (host.hostIp ?? network.options.hostBinding);
      const hostPort = routed ? 0 : this.#hostPort(hostIp, protocol, host.hostPorts);
      const binding = { protocol, address, port, hostIp, hostPort };
      if (!routed) {
        closers.push(() => this.#ports.release(hostIp, protocol, hostPort));
        if (this.#userlandProxy) closers.push(startDockerProxy(this.kernel.initNs, binding));
        mappings.push({ protocol, port, hostIp, hostPort });
      }
      network.firewall?.addPort(binding);
      closers.push(() => network.firewall?.removePort(binding));
    }
    container.portMappings = mappings;
  }

  #unpublish(container: Container): void {
    for (const close of this.#closers.get(container) ?? []) close();
    this.#closers.delete(container);
    container.portMappings = [];
  }

  #hostPort(hostIp: Ipv4Address, protocol: "tcp" | "udp", range: PortRange | undefined): number {
    const { sockets } = this.kernel.initNs;
    const number = protocol === "tcp" ? IPPROTO_TCP : IPPROTO_UDP;
    if (hostIp !== 0 && !this.kernel.initNs.isLocalAddress(hostIp)) {
      throw new DockerError(
        `failed to bind host port ${formatEndpoint(hostIp, range?.[0] ?? 0)}/${protocol}: the host has no such address`,
      );
    }
    return this.#ports.request(hostIp, protocol, range, (port) =>
      sockets
        .listening(number, port)
        .every(
          ({ localAddress }) =>
            hostIp !== 0 && localAddress !== undefined && localAddress !== hostIp,
        ),
    );
  }

  #network(name: string): BridgeNetwork {
    const network = this.networks.get(name);
    if (network === undefined) throw new DockerError(`network ${name} not found`);
    return network;
  }

  #container(name: string): Container {
    const container = this.containers.get(name);
    if (container === undefined) throw new DockerError(`no such container: ${name}`);
    return container;
  }

  /** 64 hexadecimal digits. */
  #id(): string {
    return Array.from({ length: 8 }, () => hex(this.#random.uint32(), 8)).join("");
  }

  #vethName(): string {
    for (;;) {
      const name = `veth${hex(this.#random.below(2 ** 28), 7)}`;
      if (this.kernel.initNs.findDevice(name) === undefined) return name;
    }
  }
}

const DEFAULT = new Prefix(0, 0);

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

function freeInterfaceName(netns: NetNamespace): string {
  for (let i = 0; ; i++) if (netns.findDevice(`eth${i}`) === undefined) return `eth${i}`;
}

/** Others may know the address by the MAC of who had it before (libnetwork osl `AdvertiseAddrs`). */
function advertise(device: Veth, address: Ipv4Address): void {
  const socket = new PacketSocket(device, ETH_P_ARP, "dockerd", () => {});
  const packet = new ArpPacket(ARP_REQUEST, device.mac, address, BROADCAST_MAC, address);
  const skb = new Skb(ETH_P_ARP, packet, undefined);
  skb.srcMac = device.mac;
  skb.dstMac = BROADCAST_MAC;
  socket.send(skb);
  socket.close();
  device.network.run();
}

function freedom({ hostPorts }: PublishedPort): number {
  return hostPorts === undefined ? 0x10000 : hostPorts[1] - hostPorts[0];
}

function ephemeralPorts(netns: NetNamespace): PortRange {
  const [first, last] = netns.sysctl.getText("net/ipv4/ip_local_port_range").split(/\s+/);
  return [Number(first), Number(last)];
}
