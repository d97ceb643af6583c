import { KernelError, type NetNamespace, type RouteSpec, Veth } from "@cnilab/linux";
import { type IpAddress, type Mac, Prefix, parseIp, parsePrefix, tryParseMac } from "@cnilab/net";
import { failure } from "./failure.ts";

/** The host side of every pod's veth. */
export const HOST_SIDE_MAC: Mac = 0xeeeeeeeeeeee;
/** The next hop of every pod in IPv4, which nobody has: the host answers for it by proxy ARP. */
const GATEWAY = parseIp("169.254.1.1");
const DEFAULT_ROUTES = { 4: parsePrefix("0.0.0.0/0"), 6: parsePrefix("::/0") } as const;

export interface PodInterface {
  readonly hostName: string;
  readonly podName: string;
  readonly addresses: readonly IpAddress[];
  /** 0 is the kernel's own. */
  readonly mtu: number;
  /** Of the pod's side, where somebody wants a certain one. */
  readonly mac: string | undefined;
  /** Where the pod goes by its gateway; everywhere, unless IPAM's configuration says more. */
  readonly routes?: readonly Prefix[];
  /** `container_settings.allow_ip_forwarding`. */
  readonly allowIpForwarding: boolean;
}

/**
 * Joins a pod to its node by a veth without a bridge (`cni-plugin/pkg/dataplane/linux/dataplane_linux.go` DoWorkloadNetnsSetUp).
 * @returns the pod's side
 * @throws CniError
 */
export function setUpPodInterface(host: NetNamespace, pod: NetNamespace, spec: PodInterface): Veth {
  const { hostName, podName, mtu, addresses } = spec;
  // Left by an earlier pod of the same name.
  host.findDevice(hostName)?.remove();
  const options = mtu > 0 ? { mtu } : {};
  const [podSide, hostSide] = attempt("", () =>
    Veth.pair(pod, { ...options, name: podName }, host, { ...options, name: hostName }),
  );
  hostSide.setMac(HOST_SIDE_MAC);
  const has4 = addresses.some((a) => typeof a === "number");
  const has6 = addresses.some((a) => typeof a !== "number");
  if (has6) pod.sysctl.set(`net/ipv6/conf/${podName}/accept_dad`, 0);
  configureHostSysctls(host, hostName, has4, has6);
  hostSide.setUp();
  podSide.setUp();
  if (spec.mac !== undefined) setMac(podSide, spec.mac);
  const routes = spec.routes ?? [DEFAULT_ROUTES[4], DEFAULT_ROUTES[6]];
  if (has4) routeByGateway4(pod, podSide, routes);
  if (has6) routeByGateway6(pod, podSide, hostSide, routes);
  for (const address of addresses) {
    const { length } = Prefix.host(address);
    attempt(`failed to add IP addr to "${podName}": `, () => podSide.addAddress(address, length));
  }
  const forwarding = spec.allowIpForwarding ? 1 : 0;
  if (has4) pod.sysctl.set("net/ipv4/ip_forward", forwarding);
  if (has6) pod.sysctl.set("net/ipv6/conf/all/forwarding", forwarding);
  return podSide;
}

function configureHostSysctls(
  { sysctl }: NetNamespace,
  name: string,
  has4: boolean,
  has6: boolean,
): void {
  if (has4) {
    sysctl.set(`net/ipv4/conf/${name}/route_localnet`, 1);
    sysctl.set(`net/ipv4/neigh/${name}/proxy_delay`, 0);
    sysctl.set(`net/ipv4/conf/${name}/proxy_arp`, 1);
    sysctl.set(`net/ipv4/conf/${name}/forwarding`, 1);
  }
  if (has6) {
    sysctl.set(`net/ipv6/conf/${name}/accept_dad`, 0);
    sysctl.set(`net/ipv6/conf/${name}/disable_ipv6`, 0);
    sysctl.set(`net/ipv6/conf/${name}/proxy_ndp`, 1);
    sysctl.set(`net/ipv6/conf/${name}/forwarding`, 1);
  }
  sysctl.set(`net/ipv6/conf/${name}/accept_ra`, 0);
}

function setMac(dev: Veth, text: string): void {
  const mac = tryParseMac(text);
  if (mac === undefined) {
    throw failure(
      `failed to parse MAC address ${text} provided via cni.projectcalico.org/hwAddr: address ${text}: invalid MAC address`,
    );
  }
  attempt(
    `failed to set container-side interface MAC to ${text} as requested via cni.projectcalico.org/hwAddr: `,
    () => dev.setMac(mac),
  );
}

function routeByGateway4(pod: NetNamespace, dev: Veth, routes: readonly Prefix[]): void {
  addRoute(pod, { dst: Prefix.host(GATEWAY), dev });
  for (const dst of routes) if (dst.family === 4) addRoute(pod, { dst, dev, via: GATEWAY });
}

/** The host side's link-local address is there by itself. */
function routeByGateway6(
  pod: NetNamespace,
  dev: Veth,
  hostSide: Veth,
  routes: readonly Prefix[],
): void {
  for (const conf of ["all", "default", "lo"]) {
    pod.sysctl.set(`net/ipv6/conf/${conf}/disable_ipv6`, 0);
  }
  // Asking for its routes has IPv6 start on a device.
  hostSide.netns.startIpv6();
  const gateway = hostSide.addressesOf(6)[0]?.address;
  if (gateway === undefined) {
    throw failure("failed to get IPv6 addresses for host side of the pod interface");
  }
  for (const dst of routes) if (dst.family === 6) addRoute(pod, { dst, dev, via: gateway });
}

function addRoute(netns: NetNamespace, spec: RouteSpec): void {
  attempt("failed to add route inside the container: ", () => netns.addRoute(spec));
}

function attempt<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof KernelError) throw failure(`${what}${error.message}`);
    throw error;
  }
}

/**
 * The host's routes to a pod; Felix may have been there before (SetupRoutes).
 * @throws CniError where another interface has one
 */
export function setUpHostRoutes(
  host: NetNamespace,
  hostName: string,
  addresses: readonly IpAddress[],
): void {
  const dev = host.device(hostName);
  for (const address of addresses) {
    const dst = Prefix.host(address);
    const there = host.fib(dst.family).main.routesTo(dst);
    const [other] = there.filter((r) => r.metric === (dst.family === 4 ? 0 : 1024));
    if (other === undefined) {
      host.addRoute({ dst, dev });
    } else if (other.nexthop.dev !== dev) {
      const iface = other.nexthop.dev;
      const conflict = `route (Ifindex: ${iface?.ifindex ?? 0}, Dst: ${dst}, Scope: ${other.scope}, Iface: ${iface?.name ?? "unknown"})`;
      throw failure(
        `route (Ifindex: ${dev.ifindex}, Dst: ${dst}, Scope: 253) already exists for an interface other than '${hostName}': ${conflict}`,
      );
    }
  }
}
