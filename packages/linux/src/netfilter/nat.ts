import {
  IPV4_LOOPBACK,
  IPV6_LOOPBACK,
  type IpAddress,
  type IpFamily,
  Ipv6Address,
  ipv4Mask,
  isLinkLocal,
  type Prefix,
} from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { selectAddress, selectIpv6Address } from "../ip/source-address.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import {
  type HookFunction,
  type HookNumber,
  type HookState,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_LOCAL_OUT,
  type NfVerdict,
} from "./hooks.ts";
import { NatHooks } from "./nat/nat-hooks.ts";
import {
  manipOf,
  type NatManip,
  type NatRange,
  NF_NAT_MANIP_DST,
  NF_NAT_MANIP_SRC,
} from "./nat/nat-range.ts";
import { setupNat } from "./nat/nat-setup.ts";

export {
  type NatManip,
  type NatRange,
  NF_NAT_MANIP_DST,
  NF_NAT_MANIP_SRC,
} from "./nat/nat-range.ts";

/**
 * Adds a function that decides about new connections of a namespace: a nat table or chain. It runs at
 * NAT's place in the hook, for first packets only, in order of its priority among such functions. It does
 * not turn connection tracking on, which rules that translate do: until then no packet gets here
 * (net/netfilter/nf_nat_core.c `nf_nat_register_fn`, `nf_nat_inet_fn`).
 */
export function registerNat(
  netns: NetNamespace,
  family: IpFamily,
  hook: HookNumber,
  fn: HookFunction,
): void {
  const conntrack = netns.makeConntrack();
  conntrack.nat[family] ??= new NatHooks(netns, family);
  conntrack.nat[family].add(hook, fn);
  netns.network.touch();
}

export function unregisterNat(
  netns: NetNamespace,
  family: IpFamily,
  hook: HookNumber,
  fn: HookFunction,
): void {
  const { conntrack } = netns;
  const nat = conntrack?.nat[family];
  if (conntrack === undefined || nat === undefined) return;
  if (!nat.remove(hook, fn)) {
    nat.unregister();
    conntrack.nat[family] = undefined;
  }
  netns.network.touch();
}

/** Translates the source of a new connection (`SNAT`, `snat to`). */
export function snat(skb: Skb, state: HookState, range: NatRange): NfVerdict {
  return setup(skb, state, range, NF_NAT_MANIP_SRC);
}

/** Translates the destination of a new connection (`DNAT`, `dnat to`). */
export function dnat(skb: Skb, state: HookState, range: NatRange): NfVerdict {
  return setup(skb, state, range, NF_NAT_MANIP_DST);
}

/**
 * Translates the source to the address of the device that the packet leaves by
 * (net/netfilter/nf_nat_masquerade.c). The connection ends with that device or address.
 * @param range ports only
 */
export function masquerade(skb: Skb, state: HookState, range: NatRange): NfVerdict {
  const { ct } = skb;
  const { netns } = state;
  const out = state.out as NetDevice;
  if (ct === undefined || ct.original.src === 0) return NF_ACCEPT;
  const { dst } = skb.ip;
  const gateway = skb.dst?.gateway;
  const next = typeof gateway === "number" ? gateway : dst;
  const address =
    typeof dst === "number"
      ? selectAddress(out, next as number, 0)
      : selectIpv6Address(netns, out, dst);
  if (address === undefined) return drop(skb, netns, `${out.name} has no address to masquerade by`);
  ct.masqueradeIndex = out.ifindex;
  return setup(
    skb,
    state,
    { ...range, minAddress: address, maxAddress: address },
    NF_NAT_MANIP_SRC,
  );
}

/**
 * Sends a new connection to this machine: to the first address of the device that it came in by, or to
 * the loopback address where it began here (net/netfilter/nf_nat_redirect.c).
 * @param range ports only
 */
export function redirect(skb: Skb, state: HookState, range: NatRange): NfVerdict {
  const address = redirectAddress(skb, state);
  if (address === undefined) {
    return drop(skb, state.netns, `${skb.dev?.name} has no address to redirect to`);
  }
  return setup(
    skb,
    state,
    { ...range, minAddress: address, maxAddress: address },
    NF_NAT_MANIP_DST,
  );
}

/** Puts another network in front of the host bits (net/netfilter/xt_NETMAP.c). */
export function netmap(
  skb: Skb,
  state: HookState,
  prefix: Prefix,
  manip: NatManip = manipOf(state.hook),
): NfVerdict {
  const packet = skb.ip;
  const address = mapInto(prefix, manip === NF_NAT_MANIP_SRC ? packet.src : packet.dst);
  return setup(skb, state, { minAddress: address }, manip);
}

function setup(skb: Skb, { netns }: HookState, range: NatRange, manip: NatManip): NfVerdict {
  const { ct } = skb;
  if (ct === undefined || netns.conntrack === undefined) return NF_ACCEPT;
  return setupNat(netns.conntrack, ct, range, manip);
}

function drop(skb: Skb, netns: NetNamespace, detail: string): NfVerdict {
  netns.network.drop(skb, netns, "NETFILTER_DROP", skb.dev, detail);
  return NF_DROP;
}

function redirectAddress(skb: Skb, state: HookState): IpAddress | undefined {
  const { dst } = skb.ip;
  if (state.hook === NF_INET_LOCAL_OUT) {
    return typeof dst === "number" ? IPV4_LOOPBACK : IPV6_LOOPBACK;
  }
  for (const { address } of skb.dev?.addressesOf(skb.ip.version) ?? []) {
    // An IPv6 address has to reach as far as the one that was asked for.
    if (typeof address !== "number" && isLinkLocal(address) !== isLinkLocal(dst)) continue;
    return address;
  }
  return undefined;
}

function mapInto(prefix: Prefix, address: IpAddress): IpAddress {
  const network = prefix.address;
  if (typeof network === "number" || typeof address === "number") {
    const mask = ipv4Mask(prefix.length);
    return (((address as number) & ~mask) | (network as number)) >>> 0;
  }
  const word = (i: number): number => {
    const mask = ipv4Mask(Math.min(32, Math.max(0, prefix.length - 32 * i)));
    return (address.word(i) & ~mask) | network.word(i);
  };
  return Ipv6Address.of(word(0), word(1), word(2), word(3));
}
