import type { Ipsets, Iptables } from "@cnilab/linux";
import { formatIp, type IpAddress, type Prefix } from "@cnilab/net";
import { appendUnique, clearChain, ensureChain } from "../net/go-iptables.ts";
import { EGRESS_CHAIN, LOG_GROUP, MAIN_CHAIN } from "../npc/chains.ts";
import { npcOrigin } from "../npc/npc-origin.ts";

export const WEAVE_BRIDGE = "weave";
/** Ranges of this peer: what comes for them keeps its source. */
export const NO_MASQ_LOCAL_SET = "weaver-no-masq-local";
const EXPOSE_CHAIN = "WEAVE-EXPOSE";
const MASQUERADE_CHAIN = "WEAVE";

/** Behind weave-npc's chain: what nothing in it has accepted. */
const NPC_DROP = `-o ${WEAVE_BRIDGE} -j DROP`;

export interface BridgeRulesConfig {
  /** `--expect-npc`: what is forwarded passes weave-npc's chains. */
  readonly npc: boolean;
  /** `--no-masq-local`. */
  readonly noMasqLocal: boolean;
  /** Of the protocol between peers, as 6783. */
  readonly port: number;
  /** Of the HTTP API, as 6784. */
  readonly controlPort?: number;
  /** Docker's bridge and its address, where Weave is told of one. */
  readonly dockerBridge?: { readonly name: string; readonly address: IpAddress };
}

/** Empties the chains of an earlier run (net/bridge.go ResetIPTables). */
export function resetBridgeRules(
  iptables: Iptables,
  ipsets: Ipsets,
  config: BridgeRulesConfig,
): void {
  if (!config.npc) clearChain(iptables, "filter", EXPOSE_CHAIN);
  clearChain(iptables, "nat", MASQUERADE_CHAIN);
  if (!config.noMasqLocal) return;
  if (ipsets.find(NO_MASQ_LOCAL_SET) !== undefined) ipsets.run(`destroy ${NO_MASQ_LOCAL_SET}`);
  ipsets.run(`create ${NO_MASQ_LOCAL_SET} hash:net comment`);
}

/** The node's rules for the bridge; what is there already stays (net/bridge.go ConfigureIPTables). */
export function configureBridgeRules(iptables: Iptables, config: BridgeRulesConfig): void {
  const { npc, port, controlPort, dockerBridge } = config;
  const forward: string[] = [];
  if (dockerBridge !== undefined) {
    const { name, address } = dockerBridge;
    const own = `-i ${name} -p`;
    const to = `--dst ${formatIp(address)} --dport`;
    if (name !== WEAVE_BRIDGE) forward.push(`-i ${name} -o ${WEAVE_BRIDGE} -j DROP`);
    for (const rule of [
      `${own} tcp ${to} ${port} -j DROP`,
      `${own} udp ${to} ${port} -j DROP`,
      `${own} udp ${to} ${port + 1} -j DROP`,
      `${own} udp --dport 53 -j ACCEPT`,
      `${own} tcp --dport 53 -j ACCEPT`,
    ]) {
      appendUnique(iptables, "filter", "INPUT", rule);
    }
  }
  if (controlPort !== undefined) {
    // The API listens on loopback, which others could reach over the wire (CVE-2020-8558).
    const rule = `-p tcp --dst 127.0.0.1 --dport ${controlPort} -m addrtype ! --src-type LOCAL -m conntrack ! --ctstate RELATED,ESTABLISHED -m comment --comment "Block non-local access to Weave Net control port" -j DROP`;
    appendUnique(iptables, "filter", "INPUT", rule);
  }
  if (npc) {
    ensureChain(iptables, "filter", MAIN_CHAIN);
    ensureChain(iptables, "filter", EGRESS_CHAIN);
    appendUnique(iptables, "filter", "INPUT", `-i ${WEAVE_BRIDGE} -j ${EGRESS_CHAIN}`);
    const before = `-m comment --comment "NOTE: this must go before '-j KUBE-FORWARD'"`;
    forward.push(
      `-i ${WEAVE_BRIDGE} ${before} -j ${EGRESS_CHAIN}`,
      `-o ${WEAVE_BRIDGE} ${before} -j ${MAIN_CHAIN}`,
      `-o ${WEAVE_BRIDGE} -m state --state NEW -j NFLOG --nflog-group ${LOG_GROUP}`,
      NPC_DROP,
    );
  } else {
    ensureChain(iptables, "filter", EXPOSE_CHAIN);
    forward.push(
      `-i ${WEAVE_BRIDGE} -o ${WEAVE_BRIDGE} -j ACCEPT`,
      `-o ${WEAVE_BRIDGE} -j ${EXPOSE_CHAIN}`,
    );
  }
  forward.push(
    `-i ${WEAVE_BRIDGE} ! -o ${WEAVE_BRIDGE} -j ACCEPT`,
    `-o ${WEAVE_BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
  );
  ensureAtTop(iptables, "filter", "FORWARD", forward);
  ensureChain(iptables, "nat", MASQUERADE_CHAIN);
  appendUnique(iptables, "nat", "POSTROUTING", `-j ${MASQUERADE_CHAIN}`);
  if (config.noMasqLocal) {
    const rule = `-m set --match-set ${NO_MASQ_LOCAL_SET} dst -m comment --comment "Prevent SNAT to locally running containers" -j RETURN`;
    appendUnique(iptables, "nat", MASQUERADE_CHAIN, rule);
  }
}

/** Rules for a subnet whose address the bridge has (net/expose.go). */
export function exposeRules(iptables: Iptables, subnet: Prefix, npc: boolean): void {
  for (const rule of [
    `-s ${subnet} -d 224.0.0.0/4 -j RETURN`,
    `-d ${subnet} ! -s ${subnet} -j MASQUERADE`,
    `-s ${subnet} ! -d ${subnet} -j MASQUERADE`,
  ]) {
    appendUnique(iptables, "nat", MASQUERADE_CHAIN, rule);
  }
  if (!npc) appendUnique(iptables, "filter", EXPOSE_CHAIN, `-d ${subnet} -j ACCEPT`);
}

/** Where one of the rules is missing all are put to the top again, in order (net/iptables.go ensureRulesAtTop). */
function ensureAtTop(
  iptables: Iptables,
  table: string,
  chain: string,
  rules: readonly string[],
): void {
  if (rules.every((rule) => iptables.check(table, chain, rule))) return;
  for (const [index, rule] of rules.entries()) {
    if (iptables.check(table, chain, rule)) iptables.delete(table, chain, rule);
    const origin = rule === NPC_DROP ? npcOrigin("ingress") : undefined;
    iptables.insert(table, chain, rule, index + 1, origin);
  }
}
