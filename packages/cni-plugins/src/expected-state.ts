import type { CniRoute } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import { formatIp, isUnspecified } from "@cnilab/net";
import { failure } from "./failure.ts";
import {
  maskText,
  networkOf,
  parseCidr,
  parseGoIp,
  type ResultAddress,
  routeDestination,
} from "./parsed-result.ts";

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
    // The kernel takes a gateway of zeros for none.
    const any = gateway === undefined || isUnspecified(gateway) || dst.length === 0;
    const found = sandbox
      .fib(dst.family)
      .main.routesTo(dst)
      .some((r) => any || r.nexthops.some((n) => n.gateway === gateway));
    if (!found) {
      throw failure(`Expected Route ${routeText(route)} not found in routing table`);
    }
  }
}

/** A `types.Route` as Go prints it. */
function routeText({ dst, gw, mtu, advmss, priority, table, scope }: CniRoute): string {
  const to = parseCidr(dst);
  return (
    `{Dst:{IP:${formatIp(to.address)} Mask:${maskText(to)}} GW:${gw ?? "<nil>"} MTU:${mtu ?? 0} ` +
    `AdvMSS:${advmss ?? 0} Priority:${priority ?? 0} Table:${table ?? "<nil>"} Scope:${scope ?? "<nil>"}}`
  );
}
