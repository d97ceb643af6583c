import type { IpFamily } from "@cnilab/net";
import { rememberSum } from "../../ip/checksum-complete.ts";
import { reassemble } from "../../ip/ip-input.ts";
import type { NetNamespace } from "../../net-namespace.ts";
import type { Skb } from "../../skb.ts";
import { IP_CT_UNTRACKED } from "../conntrack-entry.ts";
import {
  type HookFunction,
  type HookState,
  NF_ACCEPT,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_IP_PRI_CONNTRACK,
  NF_IP_PRI_CONNTRACK_CONFIRM,
  NF_IP_PRI_CONNTRACK_DEFRAG,
  NF_STOLEN,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  type NfVerdict,
} from "../hooks.ts";

/** Tracking needs whole packets: ports are in the first fragment only (`nf_defrag_ipv4`, `nf_defrag_ipv6`). */
const defrag: HookFunction = {
  name: "conntrack_defrag",
  priority: NF_IP_PRI_CONNTRACK_DEFRAG,
  run(skb: Skb, state: HookState): NfVerdict {
    if (!skb.ip.isFragment) return NF_ACCEPT;
    if (skb.ct === undefined && skb.ctInfo === IP_CT_UNTRACKED) return NF_ACCEPT;
    state.netns.network.recording?.unrepeatable();
    const user = state.hook === NF_INET_PRE_ROUTING ? "conntrack in" : "conntrack out";
    return reassemble(skb, state.netns, user) ? NF_ACCEPT : NF_STOLEN;
  },
};

const conntrackIn: HookFunction = {
  name: "conntrack_in",
  priority: NF_IP_PRI_CONNTRACK,
  run(skb: Skb, state: HookState): NfVerdict {
    const verdict = state.netns.conntrack?.track(skb) ?? NF_ACCEPT;
    // Checksums are looked at in PREROUTING (`nf_checksum`).
    if (state.hook === NF_INET_PRE_ROUTING && skb.ct !== undefined) {
      skb.checksumValid = true;
      rememberSum(skb);
    }
    return verdict;
  },
};

const confirm: HookFunction = {
  name: "conntrack_confirm",
  priority: NF_IP_PRI_CONNTRACK_CONFIRM,
  run(skb: Skb, state: HookState): NfVerdict {
    return state.netns.conntrack?.confirm(skb) ?? NF_ACCEPT;
  },
};

/** Registers tracking at the hooks of a family (`ipv4_conntrack_ops`, `ipv6_conntrack_ops`). */
export function registerConntrackHooks(netns: NetNamespace, ipFamily: IpFamily): void {
  const { netfilter } = netns;
  const family = ipFamily === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  if (netfilter.at(family, NF_INET_PRE_ROUTING)?.includes(conntrackIn)) return;
  registerDefrag(netns, ipFamily);
  for (const hook of [NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT] as const) {
    netfilter.register(family, hook, conntrackIn);
  }
  for (const hook of [NF_INET_LOCAL_IN, NF_INET_POST_ROUTING] as const) {
    netfilter.register(family, hook, confirm);
  }
  netns.network.touch();
}

/** Puts fragments together as soon as they come (`nf_defrag_ipv4_enable`, `nf_defrag_ipv6_enable`). */
export function registerDefrag(netns: NetNamespace, ipFamily: IpFamily): void {
  const { netfilter } = netns;
  const family = ipFamily === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  if (netfilter.at(family, NF_INET_PRE_ROUTING)?.includes(defrag)) return;
  for (const hook of [NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT] as const) {
    netfilter.register(family, hook, defrag);
  }
}
