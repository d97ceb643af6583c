import {
  addressBits,
  familyOf,
  formatIp,
  type IpAddress,
  type Ipv6Address,
  isLinkLocal,
  Prefix,
  parsePrefix,
} from "@cnilab/net";
import {
  type DeviceAddress,
  LOOPBACK_ADDRESS4,
  LOOPBACK_ADDRESS6,
} from "../device/interface-address.ts";
import type { NetDevice } from "../device/net-device.ts";
import { ipv4AddressRoutes, kernelRoute } from "../fib/address-routes.ts";
import type { FibTable } from "../fib/fib-table.ts";
import {
  type RouteFields,
  type RouteScope,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
} from "../fib/route.ts";
import { KernelError } from "../kernel-error.ts";
import { announceIpv4 } from "../neighbour/arp.ts";
import { announceIpv6 } from "../neighbour/ndisc.ts";
import { defaultScope } from "./route-output.ts";

/** Metric of IPv6 routes that come with an address (`IP6_RT_PRIO_ADDRCONF`). */
const ADDRCONF_METRIC = 256;
const IPV6_MULTICAST = parsePrefix("ff00::/8");

export interface AddressOptions {
  readonly scope?: RouteScope;
  readonly broadcast?: IpAddress;
  readonly label?: string;
  readonly noPrefixRoute?: boolean;
  readonly nodad?: boolean;
}

/**
 * `ip address add`: the address, its local route and the route to its network (`__inet_insert_ifa`,
 * `inet6_addr_add`). Duplicate address detection always succeeds, at once.
 * @throws KernelError EEXIST, EINVAL, EACCES
 */
export function addAddress(
  dev: NetDevice,
  address: IpAddress,
  prefixLength: number,
  options: AddressOptions = {},
): void {
  const family = familyOf(address);
  if (prefixLength < 0 || prefixLength > addressBits(family)) {
    throw new KernelError("EINVAL", `prefix length ${prefixLength}`);
  }
  if (family === 6 && dev.conf6.disable_ipv6 !== 0) {
    throw new KernelError("EACCES", `IPv6 is disabled on ${dev.name}`);
  }
  if (family === 6 && !dev.fitsIpv6) {
    throw new KernelError("EINVAL", `MTU ${dev.mtu} of ${dev.name} is too small for IPv6`);
  }
  const network = new Prefix(address, prefixLength);
  let secondary = false;
  const own = family === 4 ? dev.addresses4 : dev.addresses6;
  for (const other of own) {
    if (other.address === address && (family === 6 || other.prefixLength === prefixLength)) {
      throw new KernelError("EEXIST", `address ${formatIp(address)} on ${dev.name}`);
    }
    if (family === 4 && other.prefixLength === prefixLength && network.contains(other.address)) {
      secondary = true;
    }
  }
  insertAddress(dev, {
    address,
    prefixLength,
    scope: options.scope ?? defaultScope(address),
    broadcast: options.broadcast,
    label: family === 4 ? (options.label ?? dev.name) : undefined,
    noPrefixRoute: options.noPrefixRoute ?? false,
    nodad: options.nodad ?? false,
    secondary,
  });
}

function insertAddress(dev: NetDevice, added: DeviceAddress): void {
  const isIpv4 = typeof added.address === "number";
  if (isIpv4) dev.addresses4 = dev.addresses4.concat(added);
  else dev.addresses6 = withIpv6(dev.addresses6, added);
  dev.netns.countAddress(added.address, 1);
  if (isIpv4) addRoutes4(dev, added);
  else if (dev.up) addRoutes6(dev, added);
  else if (dev.noArp || added.nodad) addHostRoute6(dev, added.address);
  dev.network.touch();
}

/** Wide scopes first, and of one scope the newest: of equal sources the first is taken (`ipv6_link_dev_addr`). */
function withIpv6(own: readonly DeviceAddress[], added: DeviceAddress): readonly DeviceAddress[] {
  const at = own.findIndex((other) => other.scope >= added.scope);
  return at < 0 ? own.concat(added) : own.toSpliced(at, 0, added);
}

/** `ip address del`. @throws KernelError EADDRNOTAVAIL */
export function removeAddress(dev: NetDevice, address: IpAddress, prefixLength?: number): void {
  const own = typeof address === "number" ? dev.addresses4 : dev.addresses6;
  const gone = own.find(
    (a) => a.address === address && (prefixLength === undefined || a.prefixLength === prefixLength),
  );
  if (gone === undefined) {
    throw new KernelError("EADDRNOTAVAIL", `no address ${formatIp(address)} on ${dev.name}`);
  }
  const left = own.filter((a) => a !== gone);
  if (typeof address === "number") dev.addresses4 = left;
  else dev.addresses6 = left;
  const netns = dev.netns;
  netns.countAddress(address, -1);
  if (familyOf(address) === 4) removeIpv4(dev, gone);
  else removeRoutes6(dev, gone);
  netns.conntrack?.endMasqueraded(dev.ifindex, address);
  dev.network.touch();
}

function removeIpv4(dev: NetDevice, gone: DeviceAddress): void {
  const network = new Prefix(gone.address, gone.prefixLength);
  const sameNetwork = dev.addresses4.filter(
    (a) =>
      typeof a.address === "number" &&
      a.prefixLength === gone.prefixLength &&
      network.contains(a.address),
  );
  const fib = dev.netns.fib4;
  const fits = (prefix: Prefix, table: number) =>
    fib
      .findTable(table)
      ?.removeAll(
        (r) => r.prefix.equals(prefix) && r.protocol === "kernel" && r.nexthop.dev === dev,
      );
  if (!dev.addresses4.some((a) => a.address === gone.address)) {
    fits(Prefix.host(gone.address), RT_TABLE_LOCAL);
  }
  if (!gone.secondary) {
    fits(network, dev.isLoopback ? RT_TABLE_LOCAL : RT_TABLE_MAIN);
    if (gone.prefixLength < 31) fits(Prefix.host(network.last), RT_TABLE_LOCAL);
    const promote =
      dev.conf4.promote_secondaries !== 0 || dev.netns.sysctl.conf4All.promote_secondaries !== 0;
    const heir = sameNetwork.find((a) => a.secondary);
    if (heir !== undefined && promote) {
      heir.secondary = false;
      fits(Prefix.host(heir.address), RT_TABLE_LOCAL);
      addRoutes4(dev, heir);
    } else {
      // Secondary addresses go with their primary one (`__inet_del_ifa`).
      for (const a of sameNetwork) if (a.secondary) removeAddress(dev, a.address, a.prefixLength);
    }
  }
  // Routes that were to send from the address have lost their meaning (`fib_sync_down_addr`).
  if (!dev.netns.hasAddress(gone.address)) {
    fib.removeRoutes((r) => r.prefsrc === gone.address && r.table === RT_TABLE_MAIN);
  }
  if (dev.addresses4.length === 0) {
    fib.removeRoutes((r) => r.nexthops.every((n) => n.dev === dev));
    fib.removeLayers(dev);
  }
}

function addRoutes4(dev: NetDevice, a: DeviceAddress): void {
  const routes = ipv4AddressRoutes(dev, a);
  // While the device is down there is but the address itself.
  for (const route of dev.up ? routes : routes.slice(0, 1)) {
    appendOnce(dev.netns.fib4.table(route.table), route);
  }
}

/** The same route may be there already: another address of the device brought it, or it stayed while the device was down. */
function appendOnce(table: FibTable, fields: RouteFields): void {
  if (!table.has(fields)) table.insert(fields, "append");
}

function addRoutes6(dev: NetDevice, a: DeviceAddress): void {
  addHostRoute6(dev, a.address);
  if (a.noPrefixRoute) return;
  appendOnce(dev.netns.fib6.main, {
    ...kernelRoute(
      dev,
      new Prefix(a.address, a.prefixLength),
      RT_TABLE_MAIN,
      "unicast",
      RT_SCOPE_UNIVERSE,
      RT_SCOPE_UNIVERSE,
    ),
    metric: ADDRCONF_METRIC,
  });
}

/** The address itself; on a device that is down, too, unless it waits for duplicate detection (`addrconf_dad_begin`). */
function addHostRoute6(dev: NetDevice, address: IpAddress): void {
  const host = Prefix.host(address);
  appendOnce(
    dev.netns.fib6.local,
    kernelRoute(dev, host, RT_TABLE_LOCAL, "local", RT_SCOPE_UNIVERSE, RT_SCOPE_UNIVERSE),
  );
}

function removeRoutes6(dev: NetDevice, gone: DeviceAddress): void {
  const { fib6 } = dev.netns;
  const host = Prefix.host(gone.address);
  fib6.local.removeAll((r) => r.prefix.equals(host) && r.nexthop.dev === dev);
  const network = new Prefix(gone.address, gone.prefixLength);
  const shared = dev.addresses6.some(
    (a) => a.prefixLength === gone.prefixLength && network.contains(a.address),
  );
  if (!shared && !gone.noPrefixRoute) {
    fib6.main.removeAll(
      (r) => r.prefix.equals(network) && r.protocol === "kernel" && r.nexthop.dev === dev,
    );
  }
}

/** What follows when a device comes up: routes of its addresses, an IPv6 link-local address. */
export function deviceUp(dev: NetDevice): void {
  if (dev.isLoopback && dev.addresses4.length === 0) {
    addLoopbackAddress(dev);
  } else {
    for (const a of dev.addresses4) addRoutes4(dev, a);
  }
  if (dev.startsIpv6Later) dev.netns.startIpv6Later(dev);
  else ipv6Up(dev);
  dev.netns.fib4.deviceUp(dev);
  dev.netns.fib6IfUsed?.deviceUp(dev);
  announceAll(dev);
}

/** Which `lo` gets by itself (`inetdev_event`). */
function addLoopbackAddress(lo: NetDevice): void {
  const renamed = lo.name !== LOOPBACK_ADDRESS4.label;
  lo.addresses4 = [renamed ? { ...LOOPBACK_ADDRESS4, label: lo.name } : LOOPBACK_ADDRESS4];
  lo.netns.countAddress(LOOPBACK_ADDRESS4.address, 1);
  lo.netns.fib4.local.addLoopbackLater(lo);
}

/** Whether IPv6 starts on a device when it comes up. */
export function allowsIpv6(dev: NetDevice): boolean {
  return dev.conf6.disable_ipv6 === 0 && dev.fitsIpv6;
}

/** IPv6 starts on a device that is up (`addrconf_notify`). */
export function ipv6Up(dev: NetDevice): void {
  if (!allowsIpv6(dev)) return;
  if (dev.isLoopback) {
    const own = dev.addresses6.find((a) => a.address === LOOPBACK_ADDRESS6.address);
    if (own === undefined) insertAddress(dev, LOOPBACK_ADDRESS6);
    else addRoutes6(dev, own);
    return;
  }
  appendOnce(dev.netns.fib6.local, {
    ...kernelRoute(
      dev,
      IPV6_MULTICAST,
      RT_TABLE_LOCAL,
      "multicast",
      RT_SCOPE_UNIVERSE,
      RT_SCOPE_UNIVERSE,
    ),
    metric: ADDRCONF_METRIC,
  });
  for (const a of dev.addresses6) addRoutes6(dev, a);
  if (dev.conf6.addr_gen_mode !== 0) return;
  const linkLocal = dev.ipv6LinkLocal();
  if (linkLocal !== undefined && !dev.hasAddress(linkLocal)) {
    addAddress(dev, linkLocal, 64, { scope: RT_SCOPE_LINK });
  }
}

/** What follows when a device goes down: IPv4 keeps addresses, IPv6 does not (`addrconf_ifdown`). */
export function deviceDown(dev: NetDevice): void {
  dev.netns.fib4.deviceDown(dev);
  if (dev.netns.stopIpv6(dev)) ipv6Down(dev);
  dev.neighbours?.flush(true);
}

function ipv6Down(dev: NetDevice): void {
  const { fib6 } = dev.netns;
  const keep =
    dev.conf6.keep_addr_on_down !== 0 || dev.netns.sysctl.conf6All.keep_addr_on_down !== 0;
  for (const a of [...dev.addresses6]) {
    if (keep && !isLinkLocal(a.address)) continue;
    removeAddress(dev, a.address, a.prefixLength);
  }
  fib6.deviceDown(dev);
}

/** `disable_ipv6` was written, or the MTU has become too small for IPv6 or large enough (`addrconf_notify`). */
export function ipv6Toggled(dev: NetDevice): void {
  if (!dev.up) return;
  if (allowsIpv6(dev)) {
    ipv6Up(dev);
    return;
  }
  for (const a of [...dev.addresses6]) removeAddress(dev, a.address, a.prefixLength);
  ipv6Down(dev);
  dev.neighbours?.flushFamily(6);
}

/**
 * Tells the link of a device's addresses when it came up or its MAC changed, where `arp_notify` or
 * `ndisc_notify` asks for it.
 */
export function announceAll(dev: NetDevice): void {
  if (dev.isLoopback) return;
  const { conf4All, conf6All } = dev.netns.sysctl;
  const notify4 = Math.max(dev.conf4.arp_notify, conf4All.arp_notify) !== 0;
  const notify6 = Math.max(dev.conf6.ndisc_notify, conf6All.ndisc_notify) !== 0;
  if (notify4) {
    for (const { address } of dev.addresses4) announceIpv4(dev, address as number);
  }
  if (notify6) {
    for (const { address } of dev.addresses6) announceIpv6(dev, address as Ipv6Address);
  }
  dev.network.run();
}
