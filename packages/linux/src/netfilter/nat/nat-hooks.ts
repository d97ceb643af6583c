import { formatIp, type IpFamily } from "@cnilab/net";
import type { NetNamespace } from "../../net-namespace.ts";
import type { Skb } from "../../skb.ts";
import { isIcmp } from "../conntrack/conntrack-tuple.ts";
import {
  type ConntrackEntry,
  directionOf,
  IP_CT_DIR_ORIGINAL,
  IP_CT_ESTABLISHED,
  IP_CT_ESTABLISHED_REPLY,
  IP_CT_NEW,
} from "../conntrack-entry.ts";
import {
  type HookFunction,
  type HookNumber,
  type HookState,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_IP_PRI_NAT_DST,
  NF_IP_PRI_NAT_SRC,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  type NfVerdict,
  withFunction,
} from "../hooks.ts";
import { routeMeHarder } from "../route-me-harder.ts";
import { translate, translateIcmpError } from "./nat-packet.ts";
import { manipOf, type NatManip } from "./nat-range.ts";
import { isNatDone, setupNullBinding } from "./nat-setup.ts";

interface NatPlace {
  readonly name: string;
  readonly hook: HookNumber;
  readonly priority: number;
}

/** `nf_nat_ipv4_ops`, `nf_nat_ipv6_ops` */
const PLACES: Readonly<Record<IpFamily, readonly NatPlace[]>> = {
  4: [
    { name: "nf_nat_ipv4_pre_routing", hook: NF_INET_PRE_ROUTING, priority: NF_IP_PRI_NAT_DST },
    { name: "nf_nat_ipv4_out", hook: NF_INET_POST_ROUTING, priority: NF_IP_PRI_NAT_SRC },
    { name: "nf_nat_ipv4_local_fn", hook: NF_INET_LOCAL_OUT, priority: NF_IP_PRI_NAT_DST },
    { name: "nf_nat_ipv4_local_in", hook: NF_INET_LOCAL_IN, priority: NF_IP_PRI_NAT_SRC },
  ],
  6: [
    { name: "nf_nat_ipv6_in", hook: NF_INET_PRE_ROUTING, priority: NF_IP_PRI_NAT_DST },
    { name: "nf_nat_ipv6_out", hook: NF_INET_POST_ROUTING, priority: NF_IP_PRI_NAT_SRC },
    { name: "nf_nat_ipv6_local_fn", hook: NF_INET_LOCAL_OUT, priority: NF_IP_PRI_NAT_DST },
    { name: "nf_nat_ipv6_fn", hook: NF_INET_LOCAL_IN, priority: NF_IP_PRI_NAT_SRC },
  ],
};

/** NAT at one hook: asks the registered functions about new connections, then translates. */
class NatHook implements HookFunction {
  readonly name: string;
  readonly priority: number;
  readonly hook: HookNumber;
  readonly #manip: NatManip;
  /** In order of priority; replaced, never changed, as a walk may be under way. */
  functions: readonly HookFunction[] = [];

  constructor({ name, hook, priority }: NatPlace) {
    this.name = name;
    this.hook = hook;
    this.priority = priority;
    this.#manip = manipOf(hook);
  }

  run(skb: Skb, state: HookState): NfVerdict {
    const entry = skb.ct;
    if (entry === undefined) return NF_ACCEPT;
    const { dst } = skb.ip;
    const verdict = this.#translate(skb, state, entry);
    if (verdict !== NF_ACCEPT) return verdict;
    if (this.hook === NF_INET_PRE_ROUTING) {
      if (skb.ip.dst !== dst) skb.dst = undefined;
    } else if (this.hook === NF_INET_LOCAL_OUT) {
      return this.#reroute(skb, state.netns, entry);
    }
    return NF_ACCEPT;
  }

  #translate(skb: Skb, state: HookState, entry: ConntrackEntry): NfVerdict {
    const info = skb.ctInfo;
    const { netns } = state;
    if (info === IP_CT_ESTABLISHED || info === IP_CT_ESTABLISHED_REPLY) {
      if (this.#leftByAnotherDevice(skb, state, entry)) return NF_DROP;
      translate(skb, netns, entry, info, this.#manip);
      return NF_ACCEPT;
    }
    if (info !== IP_CT_NEW && isIcmp(skb.ip.protocol)) {
      if (translateIcmpError(skb, netns, entry, info, this.#manip)) return NF_ACCEPT;
      netns.network.drop(skb, netns, "NETFILTER_DROP", skb.dev, "ICMP redirect across NAT");
      return NF_DROP;
    }
    if (isNatDone(entry, this.#manip)) {
      if (this.#leftByAnotherDevice(skb, state, entry)) return NF_DROP;
    } else {
      const verdict = this.#ask(skb, state, entry);
      if (verdict !== NF_ACCEPT) return verdict;
    }
    translate(skb, netns, entry, info, this.#manip);
    return NF_ACCEPT;
  }

  /** Lets the rules decide about a new connection; without a decision it stays as it is. */
  #ask(skb: Skb, state: HookState, entry: ConntrackEntry): NfVerdict {
    state.netns.network.recording?.unrepeatable();
    for (const fn of this.functions) {
      const verdict = fn.run(skb, state);
      if (verdict !== NF_ACCEPT) return verdict;
      if (isNatDone(entry, this.#manip)) return NF_ACCEPT;
    }
    const { conntrack } = state.netns;
    return conntrack === undefined ? NF_ACCEPT : setupNullBinding(conntrack, entry, this.#manip);
  }

  /** A masqueraded connection ends when its route changes: the address is the wrong one now. */
  #leftByAnotherDevice(skb: Skb, { netns, out }: HookState, entry: ConntrackEntry): boolean {
    if (this.hook !== NF_INET_POST_ROUTING) return false;
    const ifindex = entry.masqueradeIndex;
    if (ifindex === 0 || ifindex === out?.ifindex) return false;
    if (directionOf(skb.ctInfo) !== IP_CT_DIR_ORIGINAL) return false;
    netns.conntrack?.end(entry);
    const detail = `masqueraded for another device than ${out?.name}`;
    netns.network.drop(skb, netns, "NETFILTER_DROP", skb.dev, detail);
    return true;
  }

  /** A packet of this machine's own goes elsewhere now (`nf_nat_ipv4_local_fn`). */
  #reroute(skb: Skb, netns: NetNamespace, entry: ConntrackEntry): NfVerdict {
    const original = directionOf(skb.ctInfo) === IP_CT_DIR_ORIGINAL;
    const asSent = original ? entry.original.dst : entry.reply.dst;
    const asAnswered = original ? entry.reply.src : entry.original.src;
    if (asSent === asAnswered) return NF_ACCEPT;
    const errno = routeMeHarder(skb, netns);
    if (errno === undefined) return NF_ACCEPT;
    const detail = `no route to ${formatIp(skb.ip.dst)} after DNAT`;
    netns.network.drop(skb, netns, "IP_OUTNOROUTES", skb.dev, detail);
    return NF_DROP;
  }
}

/** NAT of one family in one namespace, registered at all its hooks at once (`nf_nat_register_fn`). */
export class NatHooks {
  readonly #netns: NetNamespace;
  readonly #family: typeof NFPROTO_IPV4 | typeof NFPROTO_IPV6;
  readonly #hooks: readonly NatHook[];

  constructor(netns: NetNamespace, family: IpFamily) {
    this.#netns = netns;
    this.#family = family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
    this.#hooks = PLACES[family].map((place) => new NatHook(place));
    for (const hook of this.#hooks) netns.netfilter.register(this.#family, hook.hook, hook);
  }

  /** Adds a function; before those of equal priority (`nf_nat_register_fn`). */
  add(hook: HookNumber, fn: HookFunction): void {
    const nat = this.#at(hook);
    nat.functions = withFunction(nat.functions, fn);
  }

  /** Takes a function away. @returns whether any is left */
  remove(hook: HookNumber, fn: HookFunction): boolean {
    const nat = this.#at(hook);
    nat.functions = nat.functions.filter((f) => f !== fn);
    return this.#hooks.some((h) => h.functions.length > 0);
  }

  unregister(): void {
    const { netfilter } = this.#netns;
    for (const hook of this.#hooks) netfilter.unregister(this.#family, hook.hook, hook);
  }

  #at(hook: HookNumber): NatHook {
    const nat = this.#hooks.find((h) => h.hook === hook);
    if (nat === undefined) throw new RangeError(`there is no NAT at hook ${hook}`);
    return nat;
  }
}
