import type { Origin } from "@cnilab/core";
import { formatIp, type IpAddress, type IpFamily, type Prefix } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Flow } from "./fib-rule.ts";
import type { RouteCommand } from "./fib-table.ts";
import {
  Nexthop,
  type Route,
  type RouteProtocol,
  type RouteScope,
  type RouteType,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
} from "./route.ts";

export interface NexthopSpec {
  readonly via?: IpAddress;
  /** Found by the gateway where it is absent. */
  readonly dev?: NetDevice;
  readonly onlink?: boolean;
  readonly weight?: number;
}

/** What `ip route` takes; what is absent has iproute2's default. */
export interface RouteSpec extends NexthopSpec {
  readonly dst: Prefix;
  readonly type?: RouteType;
  readonly table?: number;
  readonly metric?: number;
  readonly tos?: number;
  readonly src?: IpAddress;
  readonly scope?: RouteScope;
  readonly protocol?: RouteProtocol;
  readonly mtu?: number;
  readonly advmss?: number;
  /** Several ways; instead of `via`, `dev`, `onlink`. */
  readonly nexthops?: readonly NexthopSpec[];
  readonly origin?: Origin;
}

/** Metric of IPv6 routes given without one (`IP6_RT_PRIO_USER`). */
const IPV6_USER_METRIC = 1024;

/** `ip route add` and its like (`fib_table_insert`, `ip6_route_add`). @throws KernelError */
export function addRoute(netns: NetNamespace, spec: RouteSpec, command: RouteCommand): Route {
  const family = spec.dst.family;
  const type = spec.type ?? "unicast";
  const scope = spec.scope ?? defaultScopeOf(spec, type, family);
  const tableId = spec.table ?? RT_TABLE_MAIN;
  if (spec.src !== undefined && !netns.isLocalAddress(spec.src)) {
    throw new KernelError(
      "EINVAL",
      `preferred source ${formatIp(spec.src)} is not an address here`,
    );
  }
  const specs = spec.nexthops ?? [spec];
  if (specs.length === 0) throw new KernelError("EINVAL", "a route without nexthops");
  const nexthops = specs.map((n) => makeNexthop(netns, n, family, type, scope, tableId));
  const route = netns
    .fib(family)
    .table(tableId)
    .insert(
      {
        prefix: spec.dst,
        table: tableId,
        type,
        scope,
        protocol: spec.protocol ?? "boot",
        metric: spec.metric || (family === 6 ? IPV6_USER_METRIC : 0),
        tos: spec.tos ?? 0,
        prefsrc: spec.src,
        mtu: spec.mtu ?? 0,
        advmss: spec.advmss ?? 0,
        nexthops,
        origin: spec.origin,
      },
      command,
    );
  netns.network.touch();
  return route;
}

/** `ip route del`: what is absent from `spec` does not matter. @throws KernelError ESRCH */
export function deleteRoute(netns: NetNamespace, spec: RouteSpec): void {
  const family = spec.dst.family;
  const table = netns.fib(family).findTable(spec.table ?? RT_TABLE_MAIN);
  if (table === undefined) throw new KernelError("ESRCH", `no table ${spec.table}`);
  table.remove(spec.dst, (route) => {
    const first = route.nexthops[0];
    return (
      (spec.type === undefined || route.type === spec.type) &&
      (spec.metric === undefined || route.metric === spec.metric) &&
      (spec.tos === undefined || route.tos === spec.tos) &&
      (spec.scope === undefined || route.scope === spec.scope) &&
      (spec.src === undefined || route.prefsrc === spec.src) &&
      (spec.protocol === undefined || route.protocol === spec.protocol) &&
      (spec.via === undefined || first?.gateway === spec.via) &&
      (spec.dev === undefined || first?.dev === spec.dev)
    );
  });
  netns.network.touch();
}

/** As iproute2's iproute_modify chooses it. */
function defaultScopeOf(spec: RouteSpec, type: RouteType, family: IpFamily): RouteScope {
  if (family === 6) return RT_SCOPE_UNIVERSE;
  if (type === "local") return RT_SCOPE_HOST;
  if (type === "broadcast" || type === "multicast" || type === "anycast") return RT_SCOPE_LINK;
  if (type === "unicast" && spec.via === undefined && spec.nexthops === undefined)
    return RT_SCOPE_LINK;
  return RT_SCOPE_UNIVERSE;
}

function makeNexthop(
  netns: NetNamespace,
  spec: NexthopSpec,
  family: IpFamily,
  type: RouteType,
  scope: RouteScope,
  table: number,
): Nexthop {
  const { via, onlink = false, weight = 1 } = spec;
  if (type === "blackhole" || type === "unreachable" || type === "prohibit" || type === "throw") {
    return new Nexthop(undefined, undefined, false, 1, RT_SCOPE_UNIVERSE);
  }
  if (type === "local") {
    return new Nexthop(spec.dev ?? netns.loopback, undefined, false, weight, RT_SCOPE_NOWHERE);
  }
  if (via === undefined) {
    if (spec.dev === undefined)
      throw new KernelError("ENODEV", "a route needs a device or a gateway");
    if (!spec.dev.up) throw new KernelError("ENETDOWN", `${spec.dev.name} is down`);
    return new Nexthop(spec.dev, undefined, false, weight, RT_SCOPE_HOST);
  }
  if (onlink) {
    if (spec.dev === undefined) throw new KernelError("ENODEV", "onlink needs a device");
    if (!spec.dev.up) throw new KernelError("ENETDOWN", `${spec.dev.name} is down`);
    if (netns.fib(family).addressType(via, spec.dev) !== "unicast") {
      throw new KernelError("EINVAL", `gateway ${formatIp(via)} is an address of this machine`);
    }
    return new Nexthop(spec.dev, via, true, weight, RT_SCOPE_LINK);
  }
  return resolveGateway(netns, via, spec.dev, family, scope, weight, table);
}

/** A gateway must be on a link that the machine has (`fib_check_nh_v4_gw`, `ip6_route_check_nh`). */
function resolveGateway(
  netns: NetNamespace,
  via: IpAddress,
  dev: NetDevice | undefined,
  family: IpFamily,
  scope: RouteScope,
  weight: number,
  tableId: number,
): Nexthop {
  const fib = netns.fib(family);
  const flow: Flow = {
    dst: via,
    src: undefined,
    iif: undefined,
    oif: dev,
    mark: 0,
    tos: 0,
    protocol: 0,
    srcPort: 0,
    dstPort: 0,
  };
  const least = Math.max(scope + 1, RT_SCOPE_LINK) as RouteScope;
  const own = tableId === RT_TABLE_MAIN ? undefined : fib.findTable(tableId);
  const found =
    (own && fib.lookupTable(own, flow, least)) ??
    fib.lookup(flow, family === 4 ? least : RT_SCOPE_UNIVERSE);
  // IPv6 link-local gateways are on the link that is named.
  if (
    found === undefined &&
    family === 6 &&
    dev !== undefined &&
    typeof via !== "number" &&
    via.a >>> 22 === 0x3fa
  ) {
    return new Nexthop(dev, via, false, weight, RT_SCOPE_LINK);
  }
  const reachable =
    found !== undefined &&
    (found.route.type === "unicast" || (family === 4 && found.route.type === "local")) &&
    (family === 4 || found.gateway === undefined);
  if (!reachable || found.dev === undefined) {
    throw new KernelError(
      family === 4 ? "ENETUNREACH" : "EHOSTUNREACH",
      `gateway ${formatIp(via)} is not on a link of ${netns}`,
    );
  }
  if (!found.dev.up) throw new KernelError("ENETDOWN", `${found.dev.name} is down`);
  return new Nexthop(found.dev, via, false, weight, found.route.scope);
}
