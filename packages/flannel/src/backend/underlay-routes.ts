import type { Flow, NetDevice, NetNamespace, Nexthop } from "@cnilab/linux";
import type { IpAddress, IpFamily, Prefix } from "@cnilab/net";

/** How a node reaches the others' public addresses, as far as backends ask. */
export class UnderlayRoutes {
  readonly #netns: NetNamespace;
  readonly #family: IpFamily;
  /** Flannel's own network: routes inside of it lead to pods. */
  readonly #network: Prefix;

  constructor(netns: NetNamespace, family: IpFamily, network: Prefix) {
    this.#netns = netns;
    this.#family = family;
    this.#network = network;
  }

  /**
   * The same text on nodes that reach the same addresses the same way, so that what is worked out for
   * one holds for the other. `undefined` where rules make that a matter of its own.
   */
  signature(): string | undefined {
    const fib = this.#netns.fib(this.#family);
    if (fib.hasCustomRules) return undefined;
    const routes: string[] = [];
    for (const route of fib.main.ownRoutes()) {
      if (this.#network.covers(route.prefix)) continue;
      const ways = route.nexthops.map(
        (n) => `${n.gateway === undefined ? "link" : "via"} ${n.dev?.name}`,
      );
      routes.push(`${route.prefix} ${route.type} ${route.metric} ${ways.join(" ")}`);
    }
    return routes.join("; ");
  }

  /** The device of an address that `ip route get` shows without a gateway (pkg/ip/iface.go DirectRouting). */
  directDevice(address: IpAddress): NetDevice | undefined {
    const way = this.#lookup(address, undefined);
    return way?.gateway === undefined ? way?.dev : undefined;
  }

  /** Whether the kernel takes `address` as a gateway on `dev`: it must be on the link (`fib_check_nh`). */
  isGateway(address: IpAddress, dev: NetDevice): boolean {
    const way = this.#lookup(address, dev);
    return way !== undefined && way.gateway === undefined && way.dev === dev;
  }

  /**
   * What the main table says: that a node's own address is local is no matter to the others, with whom
   * the answer is shared.
   */
  #lookup(dst: IpAddress, oif: NetDevice | undefined): Nexthop | undefined {
    const fib = this.#netns.fib(this.#family);
    const flow: Flow = {
      dst,
      src: undefined,
      iif: undefined,
      oif,
      mark: 0,
      tos: 0,
      protocol: 0,
      srcPort: 0,
      dstPort: 0,
    };
    const way = fib.hasCustomRules ? fib.lookup(flow) : fib.lookupTable(fib.main, flow);
    return way?.route.type === "unicast" ? way : undefined;
  }
}
