import type { Prefix } from "@cnilab/net";
import { KUBE_PROXY_MARK, MULTICAST } from "./masquerade-mark.ts";

/** One rule, as `iptables -t TABLE -A CHAIN RULE` takes it. */
export interface IptablesRule {
  readonly table: "nat" | "filter";
  readonly chain: string;
  readonly rule: string;
}

export const POSTROUTING_CHAIN = "FLANNEL-POSTRTG";
export const FORWARD_CHAIN = "FLANNEL-FWD";

/**
 * Rules that hide pods behind their node where they talk to the world, and the node behind its own
 * address where it talks to pods elsewhere (pkg/trafficmngr/iptables masqRules), in their order.
 */
export function masqueradeRules(
  network: Prefix,
  subnet: Prefix,
  fullyRandom: boolean,
): IptablesRule[] {
  const comment = '-m comment --comment "flanneld masq"';
  const masquerade = `MASQUERADE${fullyRandom ? " --random-fully" : ""}`;
  const mark = `0x${KUBE_PROXY_MARK.toString(16)}`;
  const rules = [
    // kube-proxy masquerades what it marks
    `-m mark --mark ${mark}/${mark} ${comment} -j RETURN`,
    // within the network nothing is hidden
    `-s ${subnet} -d ${network} ${comment} -j RETURN`,
    `-s ${network} -d ${subnet} ${comment} -j RETURN`,
    // what is routed here from outside is seen as it is
    `! -s ${network} -d ${subnet} ${comment} -j RETURN`,
    `-s ${network} ! -d ${MULTICAST[network.family]} ${comment} -j ${masquerade}`,
    // the node itself, to pods elsewhere
    `! -s ${network} -d ${network} ${comment} -j ${masquerade}`,
  ];
  return [
    { table: "nat", chain: "POSTROUTING", rule: `${comment} -j ${POSTROUTING_CHAIN}` },
    ...rules.map((rule) => ({ table: "nat" as const, chain: POSTROUTING_CHAIN, rule })),
  ];
}

/** Rules that let pods' packets through a FORWARD chain that drops, as Docker's does (forwardRules). */
export function forwardRules(network: Prefix): IptablesRule[] {
  const comment = '-m comment --comment "flanneld forward"';
  return [
    { table: "filter", chain: "FORWARD", rule: `${comment} -j ${FORWARD_CHAIN}` },
    { table: "filter", chain: FORWARD_CHAIN, rule: `-s ${network} ${comment} -j ACCEPT` },
    { table: "filter", chain: FORWARD_CHAIN, rule: `-d ${network} ${comment} -j ACCEPT` },
  ];
}
