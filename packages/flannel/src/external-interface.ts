import type { NetDevice, NetNamespace } from "@cnilab/linux";
import {
  familyOf,
  formatIp,
  type IpAddress,
  type IpFamily,
  type Ipv4Address,
  type Ipv6Address,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isUnspecified,
  tryParseIp,
} from "@cnilab/net";
import type { FlanneldOptions } from "./conf/flanneld-options.ts";
import type { NetConf } from "./conf/net-conf.ts";
import { FlanneldError } from "./lease/subnet-manager.ts";

/** The interface to the other nodes (pkg/backend/common.go ExternalInterface). */
export interface ExternalInterface {
  readonly dev: NetDevice;
  /** What the interface has, and what other nodes are told; of families that are enabled. */
  readonly ifaceAddress: Ipv4Address | undefined;
  readonly ifaceV6Address: Ipv6Address | undefined;
  readonly extAddress: Ipv4Address | undefined;
  readonly extV6Address: Ipv6Address | undefined;
}

/** An interface, and the address that led to it. */
interface Found {
  readonly dev: NetDevice;
  readonly address?: IpAddress | undefined;
}

/**
 * Chooses the interface as flanneld does (main.go, pkg/ipmatch/match.go): the first that `--iface`,
 * then `--iface-regex`, then `--iface-can-reach` names, or else the default route's.
 * @throws FlanneldError
 */
export function lookupExternalInterface(
  netns: NetNamespace,
  conf: NetConf,
  options: FlanneldOptions,
): ExternalInterface {
  const { iface, ifaceRegex, ifaceCanReach, publicIp, publicIpv6 } = options;
  const attempts: (() => Found | undefined)[] = [
    ...iface.map((name) => () => byName(netns, conf, name)),
    ...ifaceRegex.map((pattern) => () => byPattern(netns, conf, new RegExp(pattern))),
  ];
  if (ifaceCanReach !== undefined) attempts.push(() => byRoute(netns, ifaceCanReach));
  if (attempts.length === 0) {
    const told = publicIp ?? publicIpv6;
    const found = told === undefined ? byDefaultRoute(netns, conf) : byAddress(netns, told);
    return describe(found, conf, options);
  }
  for (const attempt of attempts) {
    const found = attempt();
    if (found !== undefined && hasAddresses(found, conf)) return describe(found, conf, options);
  }
  throw new FlanneldError(
    "Failed to find interface to use that matches the interfaces and/or regexes provided",
  );
}

function byName(netns: NetNamespace, conf: NetConf, name: string): Found | undefined {
  const address = conf.enableIPv6 && !conf.enableIPv4 ? ipIn(name, 6) : ipIn(name, 4);
  if (address === undefined) {
    const dev = netns.findDevice(name);
    return dev === undefined ? undefined : { dev };
  }
  const dev = netns.devices.find((d) => d.hasAddress(address));
  return dev === undefined ? undefined : { dev, address };
}

function ipIn(text: string, family: IpFamily): IpAddress | undefined {
  const address = tryParseIp(text);
  return address !== undefined && familyOf(address) === family ? address : undefined;
}

function byPattern(netns: NetNamespace, conf: NetConf, pattern: RegExp): Found | undefined {
  const family = conf.enableIPv4 ? 4 : 6;
  for (const dev of netns.devices) {
    const address = usableAddresses(dev, family).find((a) => pattern.test(formatIp(a)));
    if (address !== undefined) return { dev, address };
  }
  const dev = netns.devices.find((d) => pattern.test(d.name));
  return dev === undefined ? undefined : { dev };
}

/** As `ip route get` says. */
function byRoute(netns: NetNamespace, target: IpAddress): Found | undefined {
  const route = netns.routeGet({ dst: target });
  return typeof route === "string" ? undefined : { dev: route.dst.dev, address: route.src };
}

function byAddress(netns: NetNamespace, address: IpAddress): Found {
  const dev = netns.devices.find((d) => d.hasAddress(address));
  if (dev !== undefined) return { dev, address };
  throw new FlanneldError(
    `error looking up interface ${formatIp(address)}: No interface with given IP found`,
  );
}

/** The interface of the default route; with both families, theirs must be one. */
function byDefaultRoute(netns: NetNamespace, conf: NetConf): Found {
  const devices = ([4, 6] as const)
    .filter((family) => (family === 4 ? conf.enableIPv4 : conf.enableIPv6))
    .map((family) => defaultRouteDevice(netns, family));
  const [dev, other] = devices;
  if (other !== undefined && other !== dev) {
    throw new FlanneldError(
      `v6 default route interface ${other.name} must be the same with v4 default route interface ${dev?.name}`,
    );
  }
  return { dev: dev as NetDevice };
}

function defaultRouteDevice(netns: NetNamespace, family: IpFamily): NetDevice {
  for (const route of netns.fib(family).main.ownRoutes()) {
    const dev = route.prefix.length === 0 ? route.nexthops[0]?.dev : undefined;
    if (dev !== undefined) return dev;
  }
  const what = family === 4 ? "default interface" : "default v6 interface";
  throw new FlanneldError(`failed to get ${what}: unable to find default route`);
}

/** Addresses that may be told to others, best first (pkg/ip/iface.go): link-local ones come last. */
function usableAddresses(dev: NetDevice, family: IpFamily): IpAddress[] {
  const usable = dev
    .addressesOf(family)
    .map((a) => a.address)
    .filter((a) => !isLoopback(a) && !isMulticast(a) && !isUnspecified(a));
  return [...usable.filter((a) => !isLinkLocal(a)), ...usable.filter(isLinkLocal)];
}

function hasAddresses({ dev }: Found, { enableIPv4, enableIPv6 }: NetConf): boolean {
  return (
    (!enableIPv4 || usableAddresses(dev, 4).length > 0) &&
    (!enableIPv6 || usableAddresses(dev, 6).length > 0)
  );
}

function describe(found: Found, conf: NetConf, options: FlanneldOptions): ExternalInterface {
  const ifaceAddress = conf.enableIPv4 ? (addressOf(found, 4) as Ipv4Address) : undefined;
  const ifaceV6Address = conf.enableIPv6 ? (addressOf(found, 6) as Ipv6Address) : undefined;
  const { publicIp, publicIpv6 } = options;
  return {
    dev: found.dev,
    ifaceAddress,
    ifaceV6Address,
    extAddress: typeof publicIp === "number" ? publicIp : ifaceAddress,
    extV6Address: typeof publicIpv6 === "object" ? publicIpv6 : ifaceV6Address,
  };
}

function addressOf({ dev, address }: Found, family: IpFamily): IpAddress {
  if (address !== undefined && familyOf(address) === family) return address;
  const first = usableAddresses(dev, family)[0];
  if (first !== undefined) return first;
  throw new FlanneldError(`failed to find IPv${family} address for interface ${dev.name}`);
}
