import type { CniRoute } from "@cnilab/core";
import type { NetDevice, NetNamespace, RouteScope } from "@cnilab/linux";
import { formatIp, type InterfaceAddress, type IpAddress, isUnspecified } from "@cnilab/net";
import { errnoText, failure } from "./failure.ts";
import { quote } from "./go-text.ts";
import {
  broadcastOf,
  maskText,
  parseCidr,
  parseGoIp,
  type ResultAddress,
  routeDestination,
} from "./parsed-result.ts";

/**
 * Gives the container's interface what IPAM said: addresses while it is down, then up, then the routes
 * in their order (containernetworking/plugins pkg/ipam/ipam_linux.go ConfigureIface).
 * @param own how many of the routes, the last ones, are the plugin's own
 * @throws CniError
 */
export function configureInterface(
  sandbox: NetNamespace,
  name: string,
  addresses: readonly ResultAddress[],
  routes: readonly CniRoute[] = [],
  own = 0,
): void {
  const dev = sandbox.findDevice(name);
  if (dev === undefined) throw failure(`failed to lookup ${quote(name)}: Link not found`);
  let gateway4: IpAddress | undefined;
  let gateway6: IpAddress | undefined;
  let hasIpv6 = false;
  for (const ip of addresses) {
    if (typeof ip.address !== "number" && !hasIpv6) {
      enableIpv6(sandbox, name);
      hasIpv6 = true;
    }
    addAddress(dev, ip, () => `failed to add IP addr ${addressText(ip)} to ${quote(name)}`);
    if (typeof ip.gateway === "number") gateway4 ??= ip.gateway;
    else gateway6 ??= ip.gateway;
  }
  dev.setUp();
  for (const [i, route] of routes.entries()) {
    const isOwn = i >= routes.length - own;
    addResultRoute(sandbox, dev, route, gateway4, gateway6, isOwn);
  }
}

/** @param what the start of the message, should there be one @throws CniError */
export function addAddress(dev: NetDevice, ip: InterfaceAddress, what: () => string): void {
  const broadcast = broadcastOf(ip);
  try {
    dev.addAddress(ip.address, ip.length, broadcast === undefined ? undefined : { broadcast });
  } catch (error) {
    throw failure(`${what()}: ${errnoText(error)}`);
  }
}

/** A runtime may have switched IPv6 off; an IPv6 address is reason enough to switch it on. */
function enableIpv6(sandbox: NetNamespace, name: string): void {
  for (const dev of ["lo", name]) {
    const path = `net/ipv6/conf/${dev}/disable_ipv6`;
    if (sandbox.sysctl.get(path) !== 0) sandbox.sysctl.set(path, 0);
  }
  sandbox.sysctl.set(`net/ipv6/conf/${name}/keep_addr_on_down`, 1);
}

function addResultRoute(
  sandbox: NetNamespace,
  dev: NetDevice,
  route: CniRoute,
  gateway4: IpAddress | undefined,
  gateway6: IpAddress | undefined,
  isOwn: boolean,
): void {
  const dst = routeDestination(route);
  const own = route.gw === undefined ? undefined : parseGoIp(route.gw);
  const gateway = own ?? (dst.family === 4 ? gateway4 : gateway6);
  const scope = (route.scope ?? 0) as RouteScope;
  try {
    // Neither NLM_F_EXCL nor NLM_F_APPEND: netlink.RouteAddEcmp
    sandbox.addRoute(
      {
        dst,
        dev,
        scope,
        // The kernel takes a gateway of zeros for none.
        ...(gateway !== undefined && !isUnspecified(gateway) && { via: gateway }),
        ...(route.priority !== undefined && { metric: route.priority }),
        ...(route.table !== undefined && { table: route.table }),
      },
      "prepend",
    );
  } catch (error) {
    const via = gateway === undefined ? "<nil>" : formatIp(gateway);
    throw failure(
      `failed to add route '${networkText(parseCidr(route.dst), isOwn)} via ${via} dev ${dev.name} ` +
        `metric ${route.priority ?? 0} (Scope: ${scopeText(scope)}, Table: ${route.table ?? 0})': ` +
        errnoText(error),
    );
  }
}

/** netlink.Scope's own words. */
function scopeText(scope: number): string {
  const names: Readonly<Record<number, string>> = {
    0: "universe",
    200: "site",
    253: "link",
    254: "host",
    255: "nowhere",
  };
  return names[scope] ?? "unknown";
}

/** An `IPConfig` as Go prints it; the index is a pointer there, whose number would mean nothing. */
function addressText(ip: ResultAddress): string {
  const { address, gateway } = ip;
  return `{Interface:0x0 Address:{IP:${formatIp(address)} Mask:${maskText(ip)}} Gateway:${
    gateway === undefined ? "<nil>" : formatIp(gateway)
  }}`;
}

/**
 * A `net.IPNet` by value: `{10.1.0.0 ffffff00}`. The default route that bridge adds has the mask of
 * IPv4 in the 16 bytes that Go keeps such an address in.
 */
function networkText(ip: InterfaceAddress, isOwn: boolean): string {
  const wide = isOwn && typeof ip.address === "number";
  return `{${formatIp(ip.address)} ${wide ? "00000000000000000000ffff00000000" : maskText(ip)}}`;
}
