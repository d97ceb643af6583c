import type { IpFamily } from "@cnilab/net";
import { denyAction } from "./configured-actions.ts";
import { failsafeIn, failsafeOut } from "./failsafe.ts";
import { CHAIN } from "./fixed-names.ts";
import { allCalicoBits } from "./mark-bits.ts";
import {
  ACCEPT,
  clearMark,
  interfaces,
  jump,
  markClear,
  markSet,
  NOTRACK,
  protocol,
  RETURN,
  setMark,
  type TableChain,
  type TableRule,
} from "./rule.ts";
import type { RulesConfig } from "./rules-config.ts";
import { vxlanEnabled } from "./static-filter.ts";

/** Chains of table raw that only the configuration decides about (`felix/rules/static.go` StaticRawTableChains). */
export function staticRawChains(config: RulesConfig, family: IpFamily): TableChain[] {
  return [
    failsafeIn(config, "raw", family),
    failsafeOut(config, "raw", family),
    preroutingChain(config, family),
    wireguardIncomingMarkChain(config),
    outputChain(config, family),
  ];
}

function preroutingChain(config: RulesConfig, family: IpFamily): TableChain {
  const { marks } = config;
  const fromWorkload = marks.scratch0;
  const rules: TableRule[] = [{ action: clearMark(allCalicoBits(marks)) }];
  const wireguard = config.wireguardEnabled || config.wireguardEnabledV6;
  if (wireguard && config.wireguardHostEncryption) {
    rules.push({ action: jump(CHAIN.wireguardIncomingMark) });
  }
  rules.push(...untrackedVxlan(config, family));
  for (const prefix of config.interfacePrefixes) {
    rules.push({ matches: [interfaces("in", prefix)], action: setMark(fromWorkload) });
  }
  rules.push(
    { matches: [markSet(fromWorkload)], action: jump(CHAIN.rpfSkip) },
    // A workload sends from its own addresses only.
    {
      matches: [markSet(fromWorkload), { match: "rpfilter-failed" }],
      action: denyAction(config),
    },
    { matches: [markClear(fromWorkload)], action: jump(CHAIN.fromHostEndpoint) },
    { matches: [markSet(marks.accept)], action: ACCEPT },
  );
  return { name: CHAIN.prerouting, rules };
}

function outputChain(config: RulesConfig, family: IpFamily): TableChain {
  const { marks } = config;
  return {
    name: CHAIN.output,
    rules: [
      { action: clearMark(allCalicoBits(marks)) },
      { action: jump(CHAIN.toHostEndpoint) },
      ...untrackedVxlan(config, family),
      { matches: [markSet(marks.accept)], action: ACCEPT },
    ],
  };
}

/** Each way of a VXLAN flow has ports of its own, so that conntrack would never see an answer. */
function untrackedVxlan(config: RulesConfig, family: IpFamily): TableRule[] {
  if (!vxlanEnabled(config, family)) return [];
  return [
    {
      matches: [protocol("udp"), { match: "port", port: config.vxlanPort }],
      action: NOTRACK,
    },
  ];
}

/** Encrypted packets come in by one interface and go back by another; the mark makes the check of their source look there. */
function wireguardIncomingMarkChain(config: RulesConfig): TableChain {
  const inBy = (name: string): TableRule => ({
    matches: [{ match: "interface", direction: "in", name }],
    action: RETURN,
  });
  return {
    name: CHAIN.wireguardIncomingMark,
    rules: [
      inBy("lo"),
      inBy(config.wireguardInterfaceName),
      inBy(config.wireguardInterfaceNameV6),
      ...config.interfacePrefixes.map(
        (prefix): TableRule => ({ matches: [interfaces("in", prefix)], action: RETURN }),
      ),
      { action: setMark(config.marks.wireguard) },
    ],
  };
}
