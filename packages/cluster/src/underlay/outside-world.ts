import type { ApiClient, Node } from "@cnilab/core";
import {
  echoOnAllPorts,
  Kernel,
  type NetNamespace,
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
import { podCidrsOf } from "../controllers/node-ipam.ts";
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
  /** Routes of the hosts next to the nodes, by family; shared by all of them. */
  #layers = new Map<IpFamily, RouteLayer>();
  #subscription: Subscription | undefined;

  /** @param added called with each host that is made next to the nodes */
  constructor(
    underlay: Underlay,
    api: ApiClient,
    families: readonly IpFamily[],
    added: (netns: NetNamespace) => void,
  ) {
    this.#underlay = underlay;
    this.#added = added;
    this.#api = api;
    const { network, router } = underlay;
    const segment = new Segment(network, "world");
    const uplink = new Nic(router.initNs, { name: "eth1", segment });
    uplink.setUp();
    this.#internet = new Kernel(network, INTERNET);
    const { initNs } = this.#internet;
    initNs.loopback.setUp();
    const eth0 = new Nic(initNs, { name: "eth0", segment });
    eth0.setUp();
    this.#internetAddresses = families.map((f) => addToIp(WORLD[f].address, INTERNET_HOST));
    for (const family of families) {
      const range = WORLD[family];
      const via = addToIp(range.address, ROUTER_HOST);
      uplink.addAddress(via, range.length);
      eth0.addAddress(addToIp(range.address, INTERNET_HOST), range.length);
      initNs.addRoute({ dst: defaultOf(family), via, dev: eth0 });
      router.initNs.iptables(family).restore(firewall(family));
    }
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
      this.#hosts.set(address, kernel);
      this.#underlay.plugOutsider(kernel, address);
      kernel.initNs.sockets.catchAll = echoOnAllPorts(kernel.initNs, formatIp(address));
      this.#subscription ??= this.#api.snapshots("Node").subscribe(({ objects }) => {
        this.#route(objects.values());
      });
      this.#setLayer(kernel);
      this.#added(kernel.initNs);
    }
    return kernel.initNs;
  }

  close(): void {
    this.#subscription?.unsubscribe();
  }

  /** Pods are reached by way of their nodes. */
  #route(nodes: Iterable<Node>): void {
    const routes = new Map<IpFamily, SharedRoute[]>();
    for (const node of nodes) {
      for (const prefix of podCidrsOf(node)) {
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
