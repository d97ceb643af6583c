import type { ApiClient, Node } from "@cnilab/core";
import {
  echoOnAllPorts,
  Kernel,
  type NetNamespace,
  type Network,
  Nic,
  RouteLayer,
  Segment,
  type SharedRoute,
} from "@cnilab/linux";
import {
  addToIp,
  formatIp,
  type IpAddress,
  type IpFamily,
  type Prefix,
  parsePrefix,
  tryParseIp,
} from "@cnilab/net";
import type { Subscription } from "rxjs";
import { type NameSource, OutsideDns } from "./outside-dns.ts";
import type { Underlay } from "./underlay.ts";

/** The host that `internet` means. */
export const INTERNET = "internet";

/** Networks for documentation (RFC 5737, RFC 3849), as the world behind the router. */
const WORLD: Readonly<Record<IpFamily, Prefix>> = {
  4: parsePrefix("203.0.113.0/24"),
  6: parsePrefix("2001:db8:203::/64"),
};
const ROUTER_HOST = 1;
const INTERNET_HOST = 10;
const DNS_HOST = 53;
/** The machine that answers names; nodes cannot have its name. */
export const OUTSIDE_DNS = "outside-dns";
/** Names of the host `internet`, out of those that nobody owns (RFC 2606). */
const INTERNET_NAMES: ReadonlySet<string> = new Set(
  ["example.com", "example.net", "example.org"].flatMap((name) => [name, `www.${name}`]),
);

/**
 * Machines that do not belong to the cluster. The host `internet` stands behind the nodes' router,
 * which lets answers through but no connection in. Hosts with any other address stand next to the nodes
 * and send packets for pods to the pods' nodes. They answer on every port: what an outside host serves is not in
 * the input.
 */
export class OutsideWorld {
  readonly #underlay: Underlay;
  readonly #api: ApiClient;
  readonly #added: (netns: NetNamespace) => void;
  readonly #hosts = new Map<IpAddress, Kernel>();
  readonly #internet: Kernel;
  readonly #internetAddresses: readonly IpAddress[];
  readonly #resolvConf: string;
  /** Routes of the hosts next to the nodes, by family; shared by all of them. */
  #layers = new Map<IpFamily, RouteLayer>();
  readonly #ranges: (node: Node) => readonly Prefix[];
  #subscription: Subscription | undefined;

  /**
   * @param added called with each host that is made next to the nodes
   * @param names what the world knows of the cluster's names
   * @param ranges where the addresses of a node's pods are from
   */
  constructor(
    underlay: Underlay,
    api: ApiClient,
    families: readonly IpFamily[],
    added: (netns: NetNamespace) => void,
    names: NameSource,
    ranges: (node: Node) => readonly Prefix[],
  ) {
    this.#underlay = underlay;
    this.#ranges = ranges;
    this.#added = added;
    this.#api = api;
    const { network, router } = underlay;
    const segment = new Segment(network, "world");
    const uplink = new Nic(router.initNs, { name: "eth1", segment });
    uplink.setUp();
    for (const family of families) {
      const range = WORLD[family];
      uplink.addAddress(addToIp(range.address, ROUTER_HOST), range.length);
      router.initNs.iptables(family).restore(firewall(family));
    }
    this.#internet = worldHost(network, segment, INTERNET, families, INTERNET_HOST);
    const { initNs } = this.#internet;
    this.#internetAddresses = families.map((f) => addToIp(WORLD[f].address, INTERNET_HOST));
    const dns = worldHost(network, segment, OUTSIDE_DNS, families, DNS_HOST);
    const ofInternet: NameSource = (name) =>
      INTERNET_NAMES.has(name) ? this.#internetAddresses : undefined;
    new OutsideDns(dns.initNs, OUTSIDE_DNS, [names, ofInternet]);
    this.#resolvConf = resolvConf(families);
    this.#internet.files.write("/etc/resolv.conf", this.#resolvConf);
    initNs.sockets.catchAll = echoOnAllPorts(initNs, INTERNET);
  }

  get internet(): NetNamespace {
    return this.#internet.initNs;
  }

  /** Those next to the nodes. */
  get hosts(): NetNamespace[] {
    return [...this.#hosts.values()].map(({ initNs }) => initNs);
  }

  /** Whether a namespace is the one of an outside host, and which address it is known by. */
  nameOf(netns: NetNamespace): string | undefined {
    if (netns === this.internet) return INTERNET;
    for (const [address, kernel] of this.#hosts) {
      if (kernel.initNs === netns) return formatIp(address);
    }
    return undefined;
  }

  /** The host with an address, made if there is none. */
  host(address: IpAddress): NetNamespace {
    if (this.#internetAddresses.includes(address)) return this.internet;
    let kernel = this.#hosts.get(address);
    if (kernel === undefined) {
      kernel = new Kernel(this.#underlay.network, `outside-${formatIp(address)}`);
      kernel.files.write("/etc/resolv.conf", this.#resolvConf);
      this.#hosts.set(address, kernel);
      this.#underlay.plugOutsider(kernel, address);
      kernel.initNs.sockets.catchAll = echoOnAllPorts(kernel.initNs, formatIp(address));
      this.#subscription ??= this.#api.snapshots("Node").subscribe(({ objects }) => {
        this.#route(objects.values());
      });
      this.#setLayer(kernel);
      this.#added(kernel.initNs);
    }
    // An IPAM may have taken other ranges since, which no Node tells of.
    this.#route(this.#api.list("Node"));
    return kernel.initNs;
  }

  close(): void {
    this.#subscription?.unsubscribe();
  }

  /** Pods are reached by way of their nodes. */
  #route(nodes: Iterable<Node>): void {
    const routes = new Map<IpFamily, SharedRoute[]>();
    for (const node of nodes) {
      for (const prefix of this.#ranges(node)) {
        const gateway = nodeAddress(node, prefix.family);
        if (gateway === undefined) continue;
        const known = routes.get(prefix.family);
        const route = { prefix, gateway, onlink: true };
        if (known === undefined) routes.set(prefix.family, [route]);
        else known.push(route);
      }
    }
    this.#layers = new Map([...routes].map(([family, all]) => [family, new RouteLayer(all)]));
    for (const kernel of this.#hosts.values()) this.#setLayer(kernel);
  }

  #setLayer({ initNs, network }: Kernel): void {
    const eth0 = initNs.device("eth0");
    for (const [family, layer] of this.#layers) {
      if (eth0.addressesOf(family).length > 0) initNs.fib(family).main.setLayer(eth0, layer);
    }
    network.touch();
  }
}

/** A machine behind the router, with this address in each of the world's networks. */
function worldHost(
  network: Network,
  segment: Segment,
  hostname: string,
  families: readonly IpFamily[],
  host: number,
): Kernel {
  const kernel = new Kernel(network, hostname);
  const { initNs } = kernel;
  initNs.loopback.setUp();
  const eth0 = new Nic(initNs, { name: "eth0", segment });
  eth0.setUp();
  for (const family of families) {
    const { address, length } = WORLD[family];
    eth0.addAddress(addToIp(address, host), length);
    initNs.addRoute({ dst: defaultOf(family), via: addToIp(address, ROUTER_HOST), dev: eth0 });
  }
  return kernel;
}

/** What machines of the nodes' network, and outside of it, ask for names. */
export function resolvConf(families: readonly IpFamily[]): string {
  return families
    .map((family) => `nameserver ${formatIp(addToIp(WORLD[family].address, DNS_HOST))}\n`)
    .join("");
}

/** Answers come in; whoever begins a connection from outside is told that there is no way. */
function firewall(family: IpFamily): string {
  const reject = family === 4 ? "icmp-net-unreachable" : "icmp6-no-route";
  return `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -i eth1 -o eth0 -m conntrack --ctstate NEW -j REJECT --reject-with ${reject}
COMMIT
`;
}

function nodeAddress(node: Node, family: IpFamily): IpAddress | undefined {
  for (const { type, address } of node.status?.addresses ?? []) {
    if (type !== "InternalIP") continue;
    const parsed = tryParseIp(address);
    if (parsed !== undefined && (typeof parsed === "number" ? 4 : 6) === family) return parsed;
  }
  return undefined;
}

function defaultOf(family: IpFamily): Prefix {
  return parsePrefix(family === 4 ? "0.0.0.0/0" : "::/0");
}
