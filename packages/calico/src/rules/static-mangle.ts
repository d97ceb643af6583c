import type { IpFamily } from "@cnilab/net";
import { mangleAllowAction } from "./configured-actions.ts";
import { failsafeIn, failsafeOut } from "./failsafe.ts";
import { CHAIN, fixedSet } from "./fixed-names.ts";
import { allCalicoBits } from "./mark-bits.ts";
import {
  clearMark,
  ESTABLISHED,
  ipSet,
  jump,
  markNotClear,
  markSet,
  notIpSet,
  RETURN,
  type TableAction,
  type TableChain,
  type TableRule,
} from "./rule.ts";
import type { RulesConfig } from "./rules-config.ts";

/** Chains of table mangle that only the configuration decides about (`felix/rules/static.go` StaticMangleTableChains). */
export function staticMangleChains(config: RulesConfig, family: IpFamily): TableChain[] {
  return [
    failsafeIn(config, "mangle", family),
    failsafeOut(config, "mangle", family),
    preroutingChain(config),
    postroutingChain(config, family),
  ];
}

function preroutingChain(config: RulesConfig): TableChain {
  const { accept } = config.marks;
  const allow = mangleAllowAction(config);
  return {
    name: CHAIN.prerouting,
    rules: [
      { matches: [ESTABLISHED], action: allow },
      { matches: [markSet(accept)], action: allow },
      { action: jump(CHAIN.fromHostEndpoint) },
      accepted(config, allow),
    ],
  };
}

function postroutingChain(config: RulesConfig, family: IpFamily): TableChain {
  const { marks } = config;
  const rules: TableRule[] = [
    {
      comments: ["set dscp for traffic leaving cluster."],
      matches: [
        ipSet("source", fixedSet("dscpSources", family)),
        notIpSet("destination", fixedSet("networkPools", family)),
        notIpSet("destination", fixedSet("thisHost", family)),
      ],
      action: jump(CHAIN.egressDscp),
    },
    { matches: [markSet(marks.accept)], action: RETURN },
  ];
  if (config.ipvs) rules.push({ matches: [markNotClear(marks.endpoint)], action: RETURN });
  rules.push(
    { action: clearMark(allCalicoBits(marks)) },
    // Only now is it known by which interface a translated packet leaves.
    { matches: [{ match: "dnat" }], action: jump(CHAIN.toHostEndpoint) },
    accepted(config, RETURN),
  );
  return { name: CHAIN.postrouting, rules };
}

function accepted(config: RulesConfig, action: TableAction): TableRule {
  return {
    comments: ["Host endpoint policy accepted packet."],
    matches: [markSet(config.marks.accept)],
    action,
  };
}
