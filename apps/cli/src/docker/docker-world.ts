import { OutsideDns } from "@cnilab/cluster";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { type ComposeProject, ComposeStack, type DaemonConfig, DockerHost } from "@cnilab/docker";
import { echoOnAllPorts, Kernel, type NetNamespace, Network, Nic, Segment } from "@cnilab/linux";
import { formatIp, type IpAddress, type Ipv4Address, parseIp, parsePrefix } from "@cnilab/net";

/** Networks for documentation (RFC 5737): the host's own, and the world behind its router. */
const LAN = parsePrefix("192.0.2.0/24");
const HOST_ADDRESS = parseIp("192.0.2.10") as Ipv4Address;
const NEIGHBOUR_ADDRESS = parseIp("192.0.2.20") as Ipv4Address;
const ROUTER_ADDRESS = parseIp("192.0.2.1") as Ipv4Address;
const WORLD = parsePrefix("203.0.113.0/24");
const GATEWAY_ADDRESS = parseIp("203.0.113.1") as Ipv4Address;
const INTERNET_ADDRESS = parseIp("203.0.113.10") as Ipv4Address;
const DNS_ADDRESS = parseIp("203.0.113.53") as Ipv4Address;
const DEFAULT = parsePrefix("0.0.0.0/0");

const FORWARDING = [
  "net/ipv4/ip_forward",
  "net/ipv6/conf/all/forwarding",
  "net/ipv6/conf/default/forwarding",
] as const;

const RESOLV_CONF = `nameserver ${formatIp(DNS_ADDRESS)}\n`;
const HOSTS = "127.0.0.1\tlocalhost\n";
/** Names of the host `internet`, out of those that nobody owns (RFC 2606). */
const INTERNET_NAMES: ReadonlySet<string> = new Set(
  ["example.com", "example.net", "example.org"].flatMap((name) => [name, `www.${name}`]),
);

export interface WorldOptions {
  readonly daemon: DaemonConfig;
  /** `all`: containers listen on every port. */
  readonly listen: "declared" | "all";
  readonly seed: number;
}

/**
 * A machine with Docker, and who there is around it: a neighbour on its LAN that knows the way to containers' addresses, as an attacker
 * would, and a host of the internet that has a way to the machine alone.
 */
export class DockerWorld {
  readonly network: Network;
  readonly host: Kernel;
  readonly lan: Kernel;
  readonly internet: Kernel;
  readonly docker: DockerHost;
  readonly stack: ComposeStack;

  /** @throws InputError for what Docker refuses */
  constructor(project: ComposeProject, { daemon, listen, seed }: WorldOptions) {
    const network = new Network(new VirtualClock(), new SeededRandom(seed));
    this.network = network;
    const lan = new Segment(network, "lan");
    const world = new Segment(network, "world");
    const router = machine(network, "router", lan, "eth0", ROUTER_ADDRESS);
    plug(router, world, "eth1", GATEWAY_ADDRESS);
    router.initNs.sysctl.set("net/ipv4/ip_forward", 1);
    this.host = machine(network, "host", lan, "eth0", HOST_ADDRESS, ROUTER_ADDRESS);
    this.lan = machine(network, "lan", lan, "eth0", NEIGHBOUR_ADDRESS, ROUTER_ADDRESS);
    this.internet = machine(network, "internet", world, "eth0", INTERNET_ADDRESS, GATEWAY_ADDRESS);
    const dns = machine(network, "outside-dns", world, "eth0", DNS_ADDRESS, GATEWAY_ADDRESS);
    new OutsideDns(dns.initNs, "outside-dns", [
      (name) => (INTERNET_NAMES.has(name) ? [INTERNET_ADDRESS] : undefined),
    ]);
    for (const { initNs, hostname } of [this.lan, this.internet]) {
      initNs.sockets.catchAll = echoOnAllPorts(initNs, hostname);
    }
    // dockerd does not turn it on there, and says so: hosts with nftables have it from their administrator.
    if (daemon.firewallBackend === "nftables") {
      for (const key of FORWARDING) this.host.initNs.sysctl.set(key, 1);
    }
    this.docker = new DockerHost(this.host, daemon);
    this.stack = new ComposeStack(this.docker, project);
    for (const { subnet } of this.docker.networks.values()) {
      if (!subnet.overlaps(LAN) && !subnet.overlaps(WORLD)) {
        this.lan.initNs.addRoute({ dst: subnet, via: HOST_ADDRESS });
      }
    }
    if (listen === "all") {
      for (const { container } of this.stack.containers) {
        const { netns, name } = container;
        netns.sockets.catchAll ??= echoOnAllPorts(netns, name);
      }
    }
  }

  get hostAddress(): Ipv4Address {
    return HOST_ADDRESS;
  }

  /** The machine that a word stands for, and its address. */
  machineNamed(
    word: string,
  ): { readonly netns: NetNamespace; readonly address: Ipv4Address } | undefined {
    switch (word) {
      case "host":
        return { netns: this.host.initNs, address: HOST_ADDRESS };
      case "lan":
        return { netns: this.lan.initNs, address: NEIGHBOUR_ADDRESS };
      case "internet":
        return { netns: this.internet.initNs, address: INTERNET_ADDRESS };
      default:
        return undefined;
    }
  }

  /** Names for addresses, as traces have them. */
  nameOf(text: string): string | undefined {
    return this.#names.get(text);
  }

  /** Who a namespace is. */
  nameOfNetns(netns: NetNamespace): string {
    const here = this.stack.containers.find(({ container }) => container.netns === netns);
    return netns === netns.kernel.initNs ? netns.kernel.hostname : (here?.container.name ?? "?");
  }

  /** Whoever was talked to is forgotten, as on a machine that nobody has used yet. */
  forgetConnections(): void {
    const machines = [this.host, this.lan, this.internet].map(({ initNs }) => initNs);
    const containers = this.stack.containers.map(({ container }) => container.netns);
    for (const netns of [...machines, ...containers]) netns.conntrack?.flush();
  }

  get #names(): ReadonlyMap<string, string> {
    const names = new Map<string, string>([
      [formatIp(HOST_ADDRESS), "host"],
      [formatIp(NEIGHBOUR_ADDRESS), "lan"],
      [formatIp(INTERNET_ADDRESS), "internet"],
      [formatIp(DNS_ADDRESS), "outside-dns"],
    ]);
    for (const { name, gateway, gateway6 } of this.docker.networks.values()) {
      if (gateway !== undefined) names.set(formatIp(gateway), `gateway of ${name}`);
      if (gateway6 !== undefined) names.set(formatIp(gateway6), `gateway of ${name}`);
    }
    for (const { container } of this.stack.containers) {
      for (const { address, address6 } of container.endpoints) {
        names.set(formatIp(address), container.name);
        if (address6 !== undefined) names.set(formatIp(address6), container.name);
      }
    }
    return names;
  }
}

function machine(
  network: Network,
  hostname: string,
  segment: Segment,
  name: string,
  address: IpAddress,
  router?: Ipv4Address,
): Kernel {
  const kernel = new Kernel(network, hostname);
  kernel.initNs.loopback.setUp();
  const nic = plug(kernel, segment, name, address);
  if (router !== undefined) kernel.initNs.addRoute({ dst: DEFAULT, via: router, dev: nic });
  kernel.files.write("/etc/resolv.conf", RESOLV_CONF);
  kernel.files.write("/etc/hosts", HOSTS);
  return kernel;
}

function plug({ initNs }: Kernel, segment: Segment, name: string, address: IpAddress): Nic {
  const nic = new Nic(initNs, { name, segment });
  nic.setUp();
  nic.addAddress(address, LAN.length);
  return nic;
}
