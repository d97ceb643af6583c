import {
  IPV4_BROADCAST,
  type IpAddress,
  type IpPacket,
  isLinkLocal,
  isLoopback,
  isMulticast,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { DropReason } from "../drop-reason.ts";
import { Dst } from "../fib/dst.ts";
import type { FibRule, Flow } from "../fib/fib-rule.ts";
import type { Nexthop } from "../fib/route.ts";
import type { NetNamespace } from "../net-namespace.ts";

/** What the sender of a packet without a way on is told: the error of the `unreachable` route. */
export type RouteErrno = "ENETUNREACH" | "EHOSTUNREACH" | "EACCES" | "EINVAL";

/** Where to, or why not: a reason means that nobody is told. */
export type RouteInputResult = Dst | RouteErrno | DropReason;

/**
 * Routes a packet that came in by `dev` (`ip_route_input_slow`, `ip6_route_input`). `protocol` and the
 * ports are looked at only by rules that name them; the whole packet chooses among nexthops.
 */
export function routeInput(
  dev: NetDevice,
  src: IpAddress,
  dst: IpAddress,
  tos: number,
  mark: number,
  protocol: number,
  srcPort: number,
  dstPort: number,
  packet?: IpPacket,
): RouteInputResult {
  const flow: Flow = {
    dst,
    src,
    iif: dev,
    oif: undefined,
    mark,
    tos,
    protocol,
    srcPort,
    dstPort,
    packet,
  };
  return typeof dst === "number" ? routeInput4(dev, flow) : routeInput6(dev, flow);
}

function routeInput4(dev: NetDevice, flow: Flow): RouteInputResult {
  const netns = dev.netns;
  const src = flow.src as number;
  const dst = flow.dst as number;
  if (isMulticast(dst)) {
    return netns.isInGroup(dev, dst) ? localDst("multicast", netns, undefined) : "IP_INVALID_DEST";
  }
  if (isMulticast(src) || src === IPV4_BROADCAST) return "IP_INVALID_SOURCE";
  if (dst === IPV4_BROADCAST || (src === 0 && dst === 0)) {
    return validateSource(dev, flow) ?? localDst("broadcast", netns, undefined);
  }
  // 0.0.0.0/8
  if (src >>> 24 === 0) return "IP_INVALID_SOURCE";
  if (dst >>> 24 === 0) return "IP_INVALID_DEST";
  if (isLoopback(dst) || isLoopback(src)) {
    if (netns.sysctl.conf4All.route_localnet === 0 && dev.conf4.route_localnet === 0) {
      return isLoopback(dst) ? "IP_LOCALNET" : "IP_INVALID_SOURCE";
    }
  }
  const nexthop = netns.fib4.lookup(flow);
  if (nexthop === undefined) return dev.conf4.forwarding === 0 ? "EHOSTUNREACH" : "ENETUNREACH";
  const refused = refusalOf(nexthop);
  if (refused !== undefined) return dev.conf4.forwarding === 0 ? "EHOSTUNREACH" : refused;
  const type = nexthop.route.type;
  if (type === "local" || type === "broadcast") {
    return validateSource(dev, flow) ?? cachedDst(nexthop, netns);
  }
  if (dev.conf4.forwarding === 0) return "EHOSTUNREACH";
  if (type !== "unicast") return "IP_INVALID_DEST";
  return validateSource(dev, flow, nexthop.dev) ?? cachedDst(nexthop, netns);
}

/**
 * Whether a packet may come from where it says, by the way it came (`fib_validate_source`):
 * `undefined` if so.
 */
function validateSource(dev: NetDevice, flow: Flow, out?: NetDevice): DropReason | undefined {
  const netns = dev.netns;
  const all = netns.sysctl.conf4All;
  const conf = dev.conf4;
  const src = flow.src as number;
  if (src === 0) return undefined;
  const filter = Math.max(all.rp_filter, conf.rp_filter);
  const acceptLocal = all.accept_local !== 0 || conf.accept_local !== 0;
  const redirects = all.send_redirects !== 0 || conf.send_redirects !== 0;
  if (filter === 0 && !(out === dev && redirects) && !netns.fib4.hasCustomRules) {
    if (acceptLocal) return undefined;
    return netns.hasAddress(src) ? "IP_LOCAL_SOURCE" : undefined;
  }
  const useMark = all.src_valid_mark !== 0 || conf.src_valid_mark !== 0;
  // Protocol and ports count once any rule asks for them (fib4_rules_early_flow_dissect).
  const dissected = netns.fib4.hasCustomRules && netns.fib4.rules.some(requiresFlowDissection);
  const reverse: Flow = {
    dst: src,
    src: flow.dst,
    // Rules see the answer as coming in by the device that the packet would leave by.
    iif: out,
    oif: undefined,
    mark: useMark ? flow.mark : 0,
    tos: flow.tos,
    protocol: dissected ? flow.protocol : 0,
    srcPort: dissected ? flow.dstPort : 0,
    dstPort: dissected ? flow.srcPort : 0,
  };
  const lastResort = (): DropReason | undefined => (filter !== 0 ? "IP_RPFILTER" : undefined);
  const back = netns.fib4.lookup(reverse);
  if (back === undefined || refusalOf(back) !== undefined) return lastResort();
  if (back.route.type !== "unicast" && !(back.route.type === "local" && acceptLocal)) {
    return "IP_LOCAL_SOURCE";
  }
  if (back.route.nexthops.some((n) => n.dev === dev)) return undefined;
  if (dev.addresses4.length === 0) return lastResort();
  return filter === 1 ? "IP_RPFILTER" : undefined;
}

function routeInput6(dev: NetDevice, flow: Flow): RouteInputResult {
  const netns = dev.netns;
  const src = flow.src as IpAddress;
  if (isMulticast(flow.dst)) {
    return netns.isInGroup(dev, flow.dst)
      ? localDst("multicast", netns, undefined)
      : "IP_INVALID_DEST";
  }
  // ip6_rcv_core
  if (isMulticast(src)) return "IP_INVALID_SOURCE";
  if ((isLoopback(src) || isLoopback(flow.dst)) && !dev.isLoopback) return "IP_INVALID_SOURCE";
  // A link-local destination is one on the link that the packet came by.
  const scoped = isLinkLocal(flow.dst) ? { ...flow, oif: dev } : flow;
  const nexthop = netns.fib6.lookup(scoped);
  if (nexthop === undefined) return "ENETUNREACH";
  const refused = refusalOf(nexthop);
  if (refused !== undefined) return refused;
  return cachedDst(nexthop, netns);
}

/** The error that a refusing route stands for (`fib_props`, `ip6_rt_type_to_error`). */
export function refusalOf(nexthop: Nexthop): RouteErrno | undefined {
  switch (nexthop.route.type) {
    case "blackhole":
      return "EINVAL";
    case "unreachable":
      return "EHOSTUNREACH";
    case "prohibit":
      return "EACCES";
    default:
      return undefined;
  }
}

/** The way that a nexthop stands for; made once. */
export function cachedDst(nexthop: Nexthop, netns: NetNamespace): Dst {
  if (nexthop.dst === undefined) {
    const { type } = nexthop.route;
    const dev =
      type === "local" || type === "anycast" ? netns.loopback : (nexthop.dev ?? netns.loopback);
    nexthop.dst = new Dst(type === "anycast" ? "local" : type, dev, nexthop.gateway, nexthop);
  }
  return nexthop.dst;
}

function localDst(
  type: "broadcast" | "multicast",
  netns: NetNamespace,
  nexthop: Nexthop | undefined,
): Dst {
  return new Dst(type, netns.loopback, undefined, nexthop);
}

/** `fib_rule_requires_fldissect` */
function requiresFlowDissection({ iif, ipProtocol, sport, dport }: FibRule): boolean {
  return iif !== "lo" && (ipProtocol !== undefined || sport !== undefined || dport !== undefined);
}
