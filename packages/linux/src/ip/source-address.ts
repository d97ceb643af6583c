import {
  type IpAddress,
  type Ipv4Address,
  type Ipv6Address,
  isLinkLocal,
  isLoopback,
  isMulticast,
  Prefix,
  parsePrefix,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { type RouteScope, RT_SCOPE_HOST, RT_SCOPE_LINK } from "../fib/route.ts";
import type { NetNamespace } from "../net-namespace.ts";

/**
 * An IPv4 source for packets that leave by `dev`, if possible on the network of `dst`
 * (`inet_select_addr`); `undefined` where the machine has none of this scope.
 */
export function selectAddress(
  dev: NetDevice,
  dst: Ipv4Address | undefined,
  scope: RouteScope,
): Ipv4Address | undefined {
  const localnetScope = dev.conf4.route_localnet !== 0 ? RT_SCOPE_LINK : RT_SCOPE_HOST;
  let found: Ipv4Address | undefined;
  for (const { address, prefixLength, scope: its, secondary } of dev.addresses4) {
    if (typeof address !== "number" || secondary) continue;
    if (Math.min(its, localnetScope) > scope) continue;
    if (dst === undefined || new Prefix(address, prefixLength).contains(dst)) return address;
    found ??= address;
  }
  if (found !== undefined) return found;
  for (const other of dev.netns.devices) {
    for (const { address, scope: its, secondary } of other.addresses4) {
      if (typeof address !== "number" || secondary) continue;
      if (its !== RT_SCOPE_LINK && its <= scope) return address;
    }
  }
  return undefined;
}

/** RFC 6724 section 2.1: precedence is not needed to choose a source, labels are. */
const LABELS: readonly (readonly [Prefix, number])[] = (
  [
    ["::1/128", 0],
    ["::ffff:0:0/96", 4],
    ["2002::/16", 2],
    ["2001::/32", 5],
    ["fc00::/7", 13],
    ["fec0::/10", 11],
    ["3ffe::/16", 12],
    ["::/96", 3],
    ["::/0", 1],
  ] as const
).map(([text, label]) => [parsePrefix(text), label]);

/**
 * An IPv6 source for a destination, by the rules of RFC 6724 section 5 that apply to permanent
 * addresses: same address, scope, outgoing interface, label, longest common prefix.
 */
export function selectIpv6Address(
  netns: NetNamespace,
  dev: NetDevice | undefined,
  dst: Ipv6Address,
): Ipv6Address | undefined {
  let best: Candidate | undefined;
  for (const candidateDev of netns.devices) {
    if (!candidateDev.up) continue;
    // Link-local destinations and multicast take an address of the outgoing link only.
    if ((isLinkLocal(dst) || isMulticast(dst)) && dev !== undefined && candidateDev !== dev)
      continue;
    for (const { address, prefixLength } of candidateDev.addresses6) {
      if (typeof address === "number") continue;
      if (isLinkLocal(address) && dev !== undefined && candidateDev !== dev) continue;
      const candidate = { address, prefixLength, dev: candidateDev };
      if (best === undefined || better(candidate, best, dev, dst)) best = candidate;
    }
  }
  return best?.address;
}

interface Candidate {
  readonly address: Ipv6Address;
  readonly prefixLength: number;
  readonly dev: NetDevice;
}

function better(x: Candidate, y: Candidate, out: NetDevice | undefined, dst: Ipv6Address): boolean {
  if (x.address === dst || y.address === dst) return x.address === dst && y.address !== dst;
  const scope = scopeOf(dst);
  const xScope = scopeOf(x.address);
  const yScope = scopeOf(y.address);
  if (xScope !== yScope) return xScope < yScope ? xScope >= scope : yScope < scope;
  if (out !== undefined && (x.dev === out) !== (y.dev === out)) return x.dev === out;
  const label = labelOf(dst);
  const xLabel = labelOf(x.address) === label;
  if (xLabel !== (labelOf(y.address) === label)) return xLabel;
  return commonBits(x, dst) > commonBits(y, dst);
}

/** Unicast scopes as multicast numbers them: 1 host, 2 link, 14 global. */
function scopeOf(address: Ipv6Address): number {
  if (isMulticast(address)) return (address.a >>> 16) & 0xf;
  return isLoopback(address) ? 1 : isLinkLocal(address) ? 2 : 14;
}

function labelOf(address: IpAddress): number {
  for (const [prefix, label] of LABELS) if (prefix.contains(address)) return label;
  return 1;
}

/** Bits behind a candidate's prefix do not count (`ipv6_get_saddr_eval`). */
function commonBits({ address, prefixLength }: Candidate, dst: Ipv6Address): number {
  for (let i = 0; i < 4; i++) {
    const differing = address.word(i) ^ dst.word(i);
    if (differing !== 0) return Math.min(prefixLength, 32 * i + Math.clz32(differing));
  }
  return prefixLength;
}
