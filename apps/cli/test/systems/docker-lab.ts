import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  type BridgeNetwork,
  type Container,
  type DaemonConfig,
  DockerHost,
  type Endpoint,
} from "@cnilab/docker";
import { Kernel, type NetNamespace, Network, Nic, Segment, startEchoServer } from "@cnilab/linux";
import {
  formatIp,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type Prefix,
  parseIp,
  parsePrefix,
} from "@cnilab/net";
import type { Listening } from "./real-sockets.ts";

const ip = (text: string): number => parseIp(text) as number;

/** Ports of every program, by protocol: one that may be published, and one that never is. */
const SERVED: readonly (readonly [number, number])[] = [
  [IPPROTO_TCP, 80],
  [IPPROTO_TCP, 81],
  [IPPROTO_UDP, 80],
];

const option = (name: string, value: string) => ({ [`com.docker.network.bridge.${name}`]: value });

/** By name: options of `docker network create`. Subnets come in this order: 172.18.0.0/16 and on. */
const NETWORKS: readonly {
  readonly name: string;
  readonly internal?: boolean;
  readonly options?: Readonly<Record<string, string>>;
  readonly ipv6?: boolean;
  readonly subnet6?: Prefix;
}[] = [
  { name: "front" },
  { name: "back" },
  { name: "data", internal: true },
  { name: "noicc", options: option("enable_icc", "false") },
  { name: "open", options: option("gateway_mode_ipv4", "nat-unprotected") },
  { name: "routed", options: option("gateway_mode_ipv4", "routed") },
  { name: "isolated", internal: true, options: option("gateway_mode_ipv4", "isolated") },
  { name: "nomasq", options: option("enable_ip_masquerade", "false") },
  { name: "mute", internal: true, options: option("enable_icc", "false") },
  { name: "trusting", options: option("trusted_host_interfaces", "ens1") },
  { name: "sourced", options: { "com.docker.network.host_ipv4": "192.0.2.11" } },
  { name: "six", ipv6: true, subnet6: parsePrefix("fd06::/64") },
  { name: "shut6", ipv6: true, subnet6: parsePrefix("fd07::/64"), internal: true },
  {
    name: "routed6",
    ipv6: true,
    subnet6: parsePrefix("fd08::/64"),
    options: option("gateway_mode_ipv6", "routed"),
  },
];

/** Containers by name: their networks, and the host's address and port where their port 80 is published. */
const CONTAINERS: readonly (readonly [string, readonly string[], string?])[] = [
  ["old", ["bridge"], "0.0.0.0:8080"],
  ["old2", ["bridge"]],
  ["web", ["front"], "0.0.0.0:8081"],
  ["web2", ["front"], "127.0.0.1:8082"],
  ["api", ["front", "back"], "192.0.2.10:8083"],
  ["worker", ["back", "data"]],
  ["db", ["data"], "0.0.0.0:8084"],
  ["db2", ["data"]],
  ["alone", ["noicc"], "0.0.0.0:8085"],
  ["alone2", ["noicc"]],
  ["bare", ["open"], "0.0.0.0:8086"],
  ["route", ["routed"], "0.0.0.0:8087"],
  ["shut", ["isolated"]],
  ["shut2", ["isolated"]],
  ["plain", ["nomasq"], "0.0.0.0:8088"],
  ["mute", ["mute"]],
  ["mute2", ["mute"]],
  ["trusting", ["trusting"], "0.0.0.0:8089"],
  ["sourced", ["sourced"], "0.0.0.0:8090"],
  ["six", ["six"], "0.0.0.0:8094"],
  ["six2", ["six"]],
  ["both6", ["six", "shut6"]],
  ["shut6", ["shut6"], "0.0.0.0:8095"],
  ["route6", ["routed6"], "0.0.0.0:8096"],
];

/** Most networks have no IPv6: what is published on every address is there for docker-proxy by this one. */
const HOST6 = "fd00::10";

/** Published, though nobody listens there. */
const SILENT_PORT = 82;
const SILENT_HOST_PORT = 8091;

/**
 * A host with Docker at 192.0.2.10 and .11, networks and containers of each kind, and two others: a neighbour on the LAN at
 * 192.0.2.20 that routes all of Docker's addresses by way of the host, as an attacker would, and the router at .1, which is
 * 198.51.100.1 as well, where the host's default route leads.
 */
export class DockerLab {
  readonly network: Network = new Network(new VirtualClock(), new SeededRandom(7));
  readonly docker: DockerHost;
  readonly host: NetNamespace;
  /** Who asks, by name. */
  readonly sources: Map<string, NetNamespace> = new Map();

  constructor(config: DaemonConfig) {
    const lan = new Segment(this.network, "lan");
    const machine = (name: string, ...addresses: string[]): Kernel => {
      const kernel = new Kernel(this.network, name);
      kernel.initNs.loopback.setUp();
      const nic = new Nic(kernel.initNs, { name: "ens1", segment: lan });
      nic.setUp();
      for (const address of addresses) {
        nic.addAddress(parseIp(address), address.includes(":") ? 64 : 24);
      }
      this.#open(name, kernel.initNs);
      return kernel;
    };
    const host = machine("host", "192.0.2.10", "192.0.2.11", HOST6);
    const neighbour = machine("neighbour", "192.0.2.20", "fd00::20").initNs;
    const router = machine("router", "192.0.2.1").initNs;
    router.loopback.addAddress(ip("198.51.100.1"), 32);
    this.host = host.initNs;
    this.host.addRoute({ dst: parsePrefix("0.0.0.0/0"), via: ip("192.0.2.1") });
    neighbour.addRoute({ dst: parsePrefix("172.16.0.0/12"), via: ip("192.0.2.10") });
    neighbour.addRoute({ dst: parsePrefix("fd06::/15"), via: parseIp(HOST6) });
    neighbour.addRoute({ dst: parsePrefix("fd08::/64"), via: parseIp(HOST6) });
    if (config.firewallBackend === "nftables") {
      const keys = ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/default/forwarding"];
      for (const key of keys) this.host.sysctl.set(`net/${key}`, 1);
    }
    this.docker = new DockerHost(host, config);
    for (const spec of NETWORKS) this.docker.createNetwork(spec);
    for (const [name, networks, published] of CONTAINERS) this.#run(name, networks, published);
    this.#change();
  }

  /** What comes and goes leaves nothing behind, and its addresses and ports to others. */
  #change(): void {
    const { docker } = this;
    docker.createNetwork({ name: "gone" });
    this.#run("gone", ["gone", "back"], "0.0.0.0:8092");
    this.#run("moved", ["back"], "0.0.0.0:8093");
    docker.remove("gone");
    this.sources.delete("gone");
    docker.removeNetwork("gone");
    docker.connect("moved", { network: "front" });
    docker.disconnect("moved", "back");
    this.#run("late", ["back"], "0.0.0.0:8092");
  }

  #run(name: string, networks: readonly string[], published: string | undefined): void {
    const [hostIp = "", hostPort] = (published ?? "").split(":");
    const port = Number(hostPort);
    const publish = (protocol: "tcp" | "udp", inside: number, outside: number) =>
      ({
        protocol,
        port: inside,
        // Every address there is: where none is named, IPv6's as well.
        ...(hostIp === "0.0.0.0" ? {} : { hostIp: ip(hostIp) }),
        hostPorts: [outside, outside],
      }) as const;
    const container = this.docker.run({
      name,
      image: name,
      network: networks.map((network) => ({ network })),
      ports: [
        ...(published === undefined ? [] : [publish("tcp", 80, port), publish("udp", 80, port)]),
        ...(port === 8081 ? [publish("tcp", SILENT_PORT, SILENT_HOST_PORT)] : []),
      ],
    });
    this.#open(name, container.netns);
  }

  #open(name: string, netns: NetNamespace): void {
    this.sources.set(name, netns);
    for (const [protocol, port] of SERVED) startEchoServer(netns, { protocol, port, owner: name });
    // As dockerd has it in containers, for ping without privileges.
    netns.sysctl.set("net/ipv4/ping_group_range", "0 2147483647");
  }

  /** Every address that one of them has: of containers, of the host, of others. */
  get addresses(): string[] {
    const all = [...this.sources.values()].flatMap((netns) => netns.devices);
    const own = all.flatMap((dev) => dev.addresses.map(({ address }) => address));
    return [...new Set(own.filter((address) => typeof address === "number").map(formatIp))];
  }

  /** Of containers on networks with IPv6, and of the host and its neighbour. */
  get addresses6(): string[] {
    const containers = ["six", "six2", "both6", "shut6", "route6"];
    const endpoints = containers.flatMap((name) => this.docker.container(name).endpoints);
    const own = endpoints.flatMap(({ address6 }) => (address6 === undefined ? [] : [address6]));
    return [...own.map(formatIp), HOST6, "fd00::20"];
  }

  /** Addresses of the host that everybody asks for published ports, besides its own: of each kind of network. */
  get hostAddresses(): string[] {
    const gateways = ["bridge", "front", "data"].map((name) => {
      const { gateway } = this.docker.networks.get(name) as BridgeNetwork;
      return formatIp(gateway as number);
    });
    return ["127.0.0.1", "192.0.2.10", "192.0.2.11", HOST6, ...gateways];
  }

  /** Host ports as the published ports came out, of IPv4 and IPv6. */
  get hostPorts(): { readonly protocol: "TCP" | "UDP"; readonly port: number }[] {
    const mappings = [...this.docker.containers.values()].flatMap((each) => each.portMappings);
    return mappings
      .filter(({ hostIp, hostPort }) => typeof hostIp === "number" && hostPort !== 0)
      .map(({ protocol, hostPort }) => ({
        protocol: protocol === "tcp" ? "TCP" : "UDP",
        port: hostPort,
      }));
  }

  /** Where docker-proxy goes that listens there. */
  relayOf({
    owner,
    netns,
    protocol,
    address,
    port,
  }: Listening): { address: string; port: number } | undefined {
    if (netns !== this.host || owner !== "docker-proxy") return undefined;
    for (const container of this.docker.containers.values()) {
      const mapping = container.portMappings.find(
        (m) => m.hostPort === port && m.protocol.toUpperCase() === protocol,
      );
      if (mapping !== undefined) {
        const isIpv6 = address?.includes(":") === true;
        return { address: formatIp(addressOf(container, isIpv6)), port: mapping.port };
      }
    }
    throw new Error(`a docker-proxy listens on ${port}, which nobody has published`);
  }
}

function addressOf({ gatewayEndpoint }: Container, isIpv6: boolean): IpAddress {
  const { address, address6 } = gatewayEndpoint as Endpoint;
  return isIpv6 ? (address6 ?? address) : address;
}
