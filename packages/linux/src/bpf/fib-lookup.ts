import type { IpAddress, Mac } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { Flow } from "../fib/fib-rule.ts";
import { RT_SCOPE_UNIVERSE, RT_TABLE_MAIN } from "../fib/route.ts";
import { refusalOf } from "../ip/route-input.ts";
import { selectAddress, selectIpv6Address } from "../ip/source-address.ts";
import type { NetNamespace } from "../net-namespace.ts";

export interface FibLookup {
  readonly dst: IpAddress;
  readonly src: IpAddress;
  /** The device it came in by; with {@link output} the one it is to leave by. */
  readonly ifindex: number;
  readonly protocol?: number;
  readonly srcPort?: number;
  readonly dstPort?: number;
  readonly tos?: number;
  /** Bytes from the IP header on, for FRAG_NEEDED; 0 or absent: not looked at. */
  readonly totalLength?: number;
  /** As a packet of the machine's own (`BPF_FIB_LOOKUP_OUTPUT`). */
  readonly output?: boolean;
  /** Without rules (`BPF_FIB_LOOKUP_DIRECT`), in this table (`BPF_FIB_LOOKUP_TBID`) or the main one. */
  readonly direct?: boolean;
  readonly table?: number;
  readonly skipNeighbour?: boolean;
  /** Says which source address would be chosen (`BPF_FIB_LOOKUP_SRC`). */
  readonly source?: boolean;
  /** Rules see this mark (`BPF_FIB_LOOKUP_MARK`). */
  readonly mark?: number;
}

/** Names without `BPF_FIB_LKUP_RET_`. */
export type FibLookupCode =
  | "SUCCESS"
  | "BLACKHOLE"
  | "UNREACHABLE"
  | "PROHIBIT"
  | "NOT_FWDED"
  | "FWD_DISABLED"
  | "NO_NEIGH"
  | "FRAG_NEEDED"
  | "NO_SRC_ADDR";

export interface FibLookupResult {
  readonly code: FibLookupCode;
  /** The device it would leave by; for NO_NEIGH, too. */
  readonly ifindex: number;
  /** The router, or the destination itself. */
  readonly nextHop: IpAddress;
  /** Set on SUCCESS unless neighbours were to be left out. */
  readonly dstMac: Mac | undefined;
  readonly srcMac: Mac | undefined;
  /** Of the route, or of its device. */
  readonly mtu: number;
  readonly src: IpAddress | undefined;
}

/** `bpf_ipv4_fib_lookup`, `bpf_ipv6_fib_lookup` (net/core/filter.c). */
export function fibLookup(netns: NetNamespace, params: FibLookup): FibLookupResult {
  const given = netns.findDeviceByIndex(params.ifindex);
  const no = (code: FibLookupCode): FibLookupResult => ({
    code,
    ifindex: params.ifindex,
    nextHop: params.dst,
    dstMac: undefined,
    srcMac: undefined,
    mtu: 0,
    src: undefined,
  });
  if (given === undefined) return no("NOT_FWDED"); // -ENODEV
  const isIpv4 = typeof params.dst === "number";
  const forwards = isIpv4 ? given.conf4.forwarding : given.conf6.forwarding;
  if (forwards === 0) return no("FWD_DISABLED");
  const flow: Flow = {
    dst: params.dst,
    src: params.src,
    iif: params.output ? undefined : given,
    oif: params.output ? given : undefined,
    mark: params.mark ?? 0,
    tos: params.tos ?? 0,
    protocol: params.protocol ?? 0,
    srcPort: params.srcPort ?? 0,
    dstPort: params.dstPort ?? 0,
  };
  const fib = netns.fib(isIpv4 ? 4 : 6);
  const table = params.direct ? fib.findTable(params.table ?? RT_TABLE_MAIN) : undefined;
  if (params.direct && table === undefined) return no("NOT_FWDED");
  const nexthop = table === undefined ? fib.lookup(flow) : fib.lookupTable(table, flow);
  if (nexthop === undefined) return no("NOT_FWDED");
  switch (refusalOf(nexthop)) {
    case "EINVAL":
      return no("BLACKHOLE");
    case "EHOSTUNREACH":
      return no("UNREACHABLE");
    case "EACCES":
      return no("PROHIBIT");
    default:
  }
  const { route, dev } = nexthop;
  if (route.type !== "unicast" || dev === undefined) return no("NOT_FWDED");
  const mtu = route.mtu || dev.mtu;
  if ((params.totalLength ?? 0) > mtu) return { ...no("FRAG_NEEDED"), mtu };
  const nextHop = nexthop.gateway ?? params.dst;
  const src = params.source ? sourceOf(netns, dev, nextHop, params.dst, route.prefsrc) : undefined;
  if (params.source && src === undefined) return no("NO_SRC_ADDR");
  const found = { ifindex: dev.ifindex, nextHop, mtu, src };
  if (params.skipNeighbour) {
    return { code: "SUCCESS", ...found, dstMac: undefined, srcMac: undefined };
  }
  const mac = neighbourMac(netns, dev, nextHop);
  if (mac === undefined)
    return { code: "NO_NEIGH", ...found, dstMac: undefined, srcMac: undefined };
  return { code: "SUCCESS", ...found, dstMac: mac, srcMac: dev.mac };
}

function sourceOf(
  netns: NetNamespace,
  dev: NetDevice,
  nextHop: IpAddress,
  dst: IpAddress,
  preferred: IpAddress | undefined,
): IpAddress | undefined {
  if (preferred !== undefined) return preferred;
  return typeof nextHop === "number" || typeof dst === "number"
    ? selectAddress(dev, typeof nextHop === "number" ? nextHop : undefined, RT_SCOPE_UNIVERSE)
    : selectIpv6Address(netns, dev, dst);
}

/** `NUD_VALID`: what may be sent to without asking. A look-up starts nothing. */
function neighbourMac(netns: NetNamespace, dev: NetDevice, ip: IpAddress): Mac | undefined {
  if (dev.noArp || !dev.isEthernet) return dev.mac;
  const known = netns.neighboursOf(dev).get(ip);
  return known?.valid ? known.mac : undefined;
}
