import { type ClusterConfig, InputError } from "@cnilab/core";
import { Kernel, type Network, Nic, Segment } from "@cnilab/linux";
import {
  addToIp,
  formatIp,
  type IpAddress,
  type IpFamily,
  Prefix,
  parseIp,
  parsePrefix,
} from "@cnilab/net";

/**
 * Networks for the nodes, where the input's nodes do not say otherwise: the first that neither pods nor
 * Services use.
 */
const NODE_NETWORKS: Readonly<Record<IpFamily, readonly Prefix[]>> = {
  4: ["192.168.0.0/16", "172.16.0.0/16", "10.0.0.0/16"].map(parsePrefix),
  6: ["fd00:192:168::/64", "fd00:172:16::/64", "fd00:10::/64"].map(parsePrefix),
};

/** Bits of a network that is made for node addresses outside of the nodes' network. */
const NETWORK_BITS: Readonly<Record<IpFamily, number>> = { 4: 16, 6: 64 };

/** Where node 1 stands behind the network's address: 192.168.0.11. */
const FIRST_NODE = 10;

/** The machines that every cluster has beside its nodes; nodes cannot have their names. */
export const ROUTER = "router";
export const API_SERVER = "apiserver";

/**
 * The Ethernet that joins the nodes: one broadcast domain with a router, behind which the rest of the
 * world is, and the machine of the API server.
 */
export class Underlay {
  readonly network: Network;
  readonly segment: Segment;
  readonly router: Kernel;
  readonly apiServer: Kernel;
  /** Address of the API server, the first family first. */
  readonly apiServerAddresses: readonly IpAddress[];
  /** The nodes' network, one of each family. */
  readonly #nodeNetworks: readonly Prefix[];
  readonly #routerAddresses: readonly IpAddress[];
  /** Addresses of nodes to come. */
  readonly #taken: ReadonlySet<IpAddress>;
  readonly #machines = new Map<IpAddress, Nic>();
  readonly #prefixes: Prefix[];
  #nextNode = FIRST_NODE;

  /**
   * @param taken addresses of nodes to come, which the machines made here leave alone
   * @throws InputError where pods and Services leave no network to the nodes
   */
  constructor(network: Network, config: ClusterConfig, taken: ReadonlySet<IpAddress>) {
    const families = config.ipFamilies;
    this.network = network;
    this.segment = new Segment(network, "underlay");
    this.#nodeNetworks = families.map((family) => nodeNetwork(family, config));
    this.#prefixes = [...this.#nodeNetworks];
    this.#taken = taken;
    this.#routerAddresses = this.#free(1, []);
    this.apiServerAddresses = this.#free(2, this.#routerAddresses);
    this.router = new Kernel(network, ROUTER);
    forwarding(this.router, families);
    // It is only asked by those who cannot know better: nothing is to be mended by a redirect.
    this.router.initNs.sysctl.set("net.ipv4.conf.all.send_redirects", 0);
    this.router.initNs.sysctl.set("net.ipv4.conf.default.send_redirects", 0);
    this.plug(this.router, this.#routerAddresses);
    this.apiServer = new Kernel(network, API_SERVER);
    this.plug(this.apiServer, this.apiServerAddresses);
  }

  /**
   * A further machine beside the nodes, with the first free addresses below theirs; or a router with this one.
   * @throws KernelError EEXIST for a name that is taken
   * @throws InputError for an address that another machine has
   */
  addMachine(hostname: string, address?: IpAddress): Kernel {
    const kernel = new Kernel(this.network, hostname);
    if (address === undefined) {
      this.plug(kernel, this.#free(1, []));
    } else {
      forwarding(kernel, [typeof address === "number" ? 4 : 6]);
      this.plugOutsider(kernel, address);
    }
    return kernel;
  }

  /** The network that an address is on; a host's own where it is on none. */
  networkOf(address: IpAddress): Prefix {
    return this.#prefixOf(address);
  }

  /** Where the first nodes go that bring no address along, one network of each family. */
  get nodeNetworks(): readonly Prefix[] {
    return this.#nodeNetworks;
  }

  /** Addresses for the next node, one of each family. */
  nextNodeAddresses(): IpAddress[] {
    for (;;) {
      this.#nextNode++;
      const addresses = this.#nodeNetworks.map((n) => addToIp(n.address, this.#nextNode));
      if (addresses.every((a) => !this.#machines.has(a))) return addresses;
    }
  }

  /** The machine with an address on the underlay. */
  machineAt(address: IpAddress): Kernel | undefined {
    return this.#machines.get(address)?.netns.kernel;
  }

  /** Machines' cards on the underlay. */
  get nics(): ReadonlySet<Nic> {
    return this.segment.nics;
  }

  /**
   * Gives a machine a card with these addresses, and routes to the networks of the underlay and
   * to the rest of the world.
   * @throws InputError for an address that another machine has
   */
  plug(kernel: Kernel, addresses: readonly IpAddress[], name = "eth0"): Nic {
    for (const address of addresses) {
      const other = this.#machines.get(address);
      if (other === undefined) continue;
      throw new InputError(
        `address ${formatIp(address)} is the one of ${other.netns.kernel.hostname} already; give it another`,
        `Node ${kernel.hostname}`,
      );
    }
    const { initNs } = kernel;
    initNs.loopback.setUp();
    const nic = new Nic(initNs, { name, segment: this.segment });
    nic.setUp();
    const own: Prefix[] = [];
    for (const address of addresses) {
      const prefix = this.#prefixOf(address);
      own.push(prefix);
      nic.addAddress(address, prefix.length);
      this.#machines.set(address, nic);
    }
    for (const prefix of this.#prefixes) {
      const covered = own.some((p) => p.equals(prefix));
      if (!covered) this.#routeOnLink(nic, prefix);
    }
    for (const via of this.#routerAddresses) {
      if (kernel === this.router || !addresses.some((a) => sameFamily(a, via))) continue;
      initNs.addRoute({ dst: new Prefix(anyOf(via), 0), via, dev: nic, onlink: true });
    }
    return nic;
  }

  /** Puts a machine next to the others that has an address of another network, as an outside host. */
  plugOutsider(kernel: Kernel, address: IpAddress): Nic {
    const nic = this.plug(kernel, [address]);
    const router = this.router.initNs;
    if (!this.#prefixes.some((p) => p.contains(address))) {
      router.addRoute({ dst: Prefix.host(address), dev: router.device("eth0") }, "replace");
    }
    return nic;
  }

  /** The machine goes. */
  unplug(kernel: Kernel): void {
    for (const [address, nic] of this.#machines) {
      if (nic.netns.kernel === kernel) this.#machines.delete(address);
    }
  }

  /** The network of an address; a new one is made known to all machines. */
  addNetwork(address: IpAddress): void {
    if (this.#prefixes.some((p) => p.contains(address))) return;
    const prefix = new Prefix(address, NETWORK_BITS[typeof address === "number" ? 4 : 6]);
    this.#prefixes.push(prefix);
    for (const nic of this.segment.nics) this.#routeOnLink(nic, prefix);
  }

  /** The first addresses, one of each family, that neither a machine has nor a node will have. */
  #free(offset: number, besides: readonly IpAddress[]): IpAddress[] {
    return this.#nodeNetworks.map((prefix) => {
      for (let at = offset; ; at++) {
        const address = addToIp(prefix.address, at);
        const used = this.#machines.has(address) || this.#taken.has(address);
        if (!used && !besides.includes(address)) return address;
      }
    });
  }

  #prefixOf(address: IpAddress): Prefix {
    return this.#prefixes.find((p) => p.contains(address)) ?? Prefix.host(address);
  }

  #routeOnLink(nic: Nic, prefix: Prefix): void {
    if (nic.addressesOf(prefix.family).length === 0) return;
    nic.netns.addRoute({ dst: prefix, dev: nic }, "replace");
  }
}

function nodeNetwork(family: IpFamily, { clusterCidrs, serviceCidrs }: ClusterConfig): Prefix {
  const used = [...clusterCidrs, ...serviceCidrs];
  const free = NODE_NETWORKS[family].find((network) => !used.some((u) => u.overlaps(network)));
  if (free !== undefined) return free;
  throw new InputError(
    `${used.join(" and ")} leave no addresses for the nodes; leave ${NODE_NETWORKS[family].join(", ")} or one of them free`,
    "--cluster-cidr",
  );
}

/** Makes a machine pass packets on, as kubeadm demands of nodes. */
export function forwarding(kernel: Kernel, families: readonly IpFamily[]): void {
  const { sysctl } = kernel.initNs;
  if (families.includes(4)) sysctl.set("net.ipv4.ip_forward", 1);
  if (families.includes(6)) sysctl.set("net.ipv6.conf.all.forwarding", 1);
}

function anyOf(address: IpAddress): IpAddress {
  return typeof address === "number" ? 0 : parseIp("::");
}

function sameFamily(x: IpAddress, y: IpAddress): boolean {
  return (typeof x === "number") === (typeof y === "number");
}
