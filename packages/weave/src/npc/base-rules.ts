import type { Ipsets, Iptables } from "@cnilab/linux";
import { clearChain } from "../net/go-iptables.ts";
import {
  DEFAULT_CHAIN,
  EGRESS_ACCEPT_CHAIN,
  EGRESS_CHAIN,
  EGRESS_CUSTOM_CHAIN,
  EGRESS_DEFAULT_CHAIN,
  EGRESS_MARK,
  INGRESS_CHAIN,
  MAIN_CHAIN,
} from "./chains.ts";

/** `IpsetNamePrefix`. */
const SET_PREFIX = "weave-";
const MULTICAST = "224.0.0.0/4";
/** The bridge's port to the other peers. */
const BRIDGE_PORT = "vethwe-bridge";

/** Empties the chains but the first one of egress: what pods send must not be let through while weave-npc starts (prog/weave-npc/main.go). */
export function resetIptables(iptables: Iptables): void {
  for (const chain of [
    INGRESS_CHAIN,
    DEFAULT_CHAIN,
    MAIN_CHAIN,
    EGRESS_ACCEPT_CHAIN,
    EGRESS_CUSTOM_CHAIN,
    EGRESS_DEFAULT_CHAIN,
  ]) {
    clearChain(iptables, "filter", chain);
  }
}

/** Sets of an earlier run; those in others first, which hold them (prog/weave-npc/main.go). */
export function resetIpsets(ipsets: Ipsets): void {
  const own = ipsets.all.filter(({ name }) => name.startsWith(SET_PREFIX)).map(({ name }) => name);
  for (const name of own) ipsets.run(`flush ${name}`);
  for (const name of own) ipsets.run(`destroy ${name}`);
}

/** Rules that are always there; `--allow-mcast` is on, as by default. */
export function createBaseRules(iptables: Iptables): void {
  for (const rule of [
    "-m state --state RELATED,ESTABLISHED -j ACCEPT",
    `-d ${MULTICAST} -j ACCEPT`,
    // What goes on to other peers is theirs to judge.
    `-m physdev --physdev-is-bridged --physdev-out=${BRIDGE_PORT} -j ACCEPT`,
    `-m state --state NEW -j ${DEFAULT_CHAIN}`,
    `-m state --state NEW -j ${INGRESS_CHAIN}`,
  ]) {
    iptables.append("filter", MAIN_CHAIN, rule);
  }
  iptables.append("filter", EGRESS_ACCEPT_CHAIN, `-j MARK --set-xmark ${EGRESS_MARK}`);
  clearChain(iptables, "filter", EGRESS_CHAIN);
  for (const rule of [
    "-m state --state RELATED,ESTABLISHED -j ACCEPT",
    `-m physdev --physdev-is-bridged --physdev-in=${BRIDGE_PORT} -j RETURN`,
    "-m addrtype --dst-type LOCAL -j RETURN",
    `-d ${MULTICAST} -j RETURN`,
    `-m state --state NEW -j ${EGRESS_DEFAULT_CHAIN}`,
    `-m state --state NEW -m mark ! --mark ${EGRESS_MARK} -j ${EGRESS_CUSTOM_CHAIN}`,
  ]) {
    iptables.append("filter", EGRESS_CHAIN, rule);
  }
}
