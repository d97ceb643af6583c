import type { CniRoute } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import { formatIp } from "@cnilab/net";
import { failure } from "./failure.ts";
import { networkOf, parseGoIp, type ResultAddress, routeDestination } from "./parsed-result.ts";

/** CHECK: the interface still has the addresses of the result, and a route to each network. @throws CniError */
export function expectAddresses(
  sandbox: NetNamespace,
  name: string,
  addresses: readonly ResultAddress[],
): void {
  for (const ip of addresses) {
    const dev = sandbox.findDevice(name);
    if (dev === undefined) throw failure(`Cannot find container link ${name}`);
    const there = dev.addresses.some(
      (a) => a.address === ip.address && a.prefixLength === ip.length,
    );
    if (!there) {
      throw failure(
        `Failed to match addr ${formatIp(ip.address)}/${ip.length} on interface ${name}`,
      );
    }
    const network = networkOf(ip);
    if (sandbox.fib(network.family).main.routesTo(network).length === 0) {
      const gateway = ip.gateway === undefined ? "<nil>" : formatIp(ip.gateway);
      throw failure(`Failed to find Gateway ${gateway} for interface ${name}`);
    }
  }
}

/** CHECK: the routes of the result are still there; of a default route only that there is one. @throws CniError */
export function expectRoutes(sandbox: NetNamespace, routes: readonly CniRoute[] | undefined): void {
  for (const route of routes ?? []) {
    const dst = routeDestination(route);
    const gateway = route.gw === undefined ? undefined : parseGoIp(route.gw);
    const found = sandbox
      .fib(dst.family)
      .main.routesTo(dst)
      .some(
        (r) =>
          gateway === undefined ||
          dst.length === 0 ||
          r.nexthops.some((n) => n.gateway === gateway),
      );
    if (!found) {
      throw failure(
        `Expected Route {Dst:{IP:${formatIp(dst.address)} Mask:/${dst.length}} GW:${
          route.gw ?? "<nil>"
        }} not found in routing table`,
      );
    }
  }
}
