import type { NetDevice, NetNamespace } from "@cnilab/linux";
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
    const route = this.#netns.routeGet({ dst: address });
    if (typeof route === "string" || route.dst.gateway !== undefined) return undefined;
    return route.dst.dev;
  }

  /** Whether the kernel takes `address` as a gateway on `dev`: it must be on the link (`fib_check_nh`). */
  isGateway(address: IpAddress, dev: NetDevice): boolean {
    const route = this.#netns.routeGet({ dst: address, oif: dev });
    return (
      typeof route !== "string" &&
      route.dst.nexthop !== undefined &&
      route.dst.gateway === undefined &&
      route.dst.dev === dev
    );
  }
}
