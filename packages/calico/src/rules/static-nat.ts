import type { IpFamily } from "@cnilab/net";
import { serviceLoopAction } from "./configured-actions.ts";
import { CHAIN, fixedSet } from "./fixed-names.ts";
import {
  ipSet,
  jump,
  notIpSet,
  protocol,
  RETURN,
  type RuleMatch,
  type TableAction,
  type TableChain,
  type TableRule,
} from "./rule.ts";
import type { RulesConfig } from "./rules-config.ts";
import { vxlanEnabled } from "./static-filter.ts";

const UDP = 17;

/** Chains of table nat that only the configuration decides about (`felix/rules/static.go` StaticNATTableChains). */
export function staticNatChains(config: RulesConfig, family: IpFamily): TableChain[] {
  return [
    { name: CHAIN.prerouting, rules: [{ action: jump(CHAIN.fipDnat) }] },
    natPostroutingChain(config, family),
    { name: CHAIN.output, rules: [{ action: jump(CHAIN.fipDnat) }] },
  ];
}

function natPostroutingChain(config: RulesConfig, family: IpFamily): TableChain {
  return {
    name: CHAIN.postrouting,
    rules: [
      { action: jump(CHAIN.fipSnat) },
      { action: jump(CHAIN.natOutgoing) },
      ...tunnelDevices(config, family).flatMap((device) =>
        wrongTunnelSource(config, family, device),
      ),
    ],
  };
}

function tunnelDevices(config: RulesConfig, family: IpFamily): string[] {
  const has = (address: string | undefined) => address !== undefined && address !== "";
  const devices: string[] = [];
  if (family === 4 && config.ipipEnabled && has(config.ipipTunnelAddress)) devices.push("tunl0");
  if (family === 4 && config.vxlanEnabled && has(config.vxlanTunnelAddress)) {
    devices.push("vxlan.calico");
  }
  if (family === 6 && config.vxlanEnabledV6 && has(config.vxlanTunnelAddressV6)) {
    devices.push("vxlan-v6.calico");
  }
  if (family === 4 && config.wireguardEnabled && config.wireguardInterfaceName !== "") {
    devices.push(config.wireguardInterfaceName);
  }
  if (family === 6 && config.wireguardEnabledV6 && config.wireguardInterfaceNameV6 !== "") {
    devices.push(config.wireguardInterfaceNameV6);
  }
  return devices;
}

/** A process of this host has another of its addresses than the tunnel's: the answer would not come back by the tunnel. */
function wrongTunnelSource(config: RulesConfig, family: IpFamily, device: string): TableRule[] {
  const matches: RuleMatch[] = [
    { match: "interface", direction: "out", name: device },
    { match: "addrtype", side: "source", type: "LOCAL", limitIfaceOut: true, negated: true },
    { match: "addrtype", side: "source", type: "LOCAL" },
  ];
  const rules: TableRule[] = [];
  if (vxlanEnabled(config, family)) {
    rules.push({
      matches: [protocol(UDP), ...matches],
      action: { action: "masquerade", toPorts: portsWithout(config.vxlanPort) },
    });
  }
  rules.push({ matches, action: { action: "masquerade" } });
  return rules;
}

const FIRST_PORT = 1024;
const LAST_PORT = 65535;

/** The larger part of the ports on either side of one: an answer to the VXLAN port would be dropped as a stranger's VXLAN. */
function portsWithout(port: number): string {
  return port - FIRST_PORT >= LAST_PORT - port
    ? `${FIRST_PORT}-${port - 1}`
    : `${port + 1}-${LAST_PORT}`;
}

/** @param active whether some pool of the family has natOutgoing (`felix/rules/nat.go` NATOutgoingChain) */
export function natOutgoingChain(
  config: RulesConfig,
  family: IpFamily,
  active: boolean,
): TableChain {
  if (!active) return { name: CHAIN.natOutgoing, rules: [] };
  const { natPortRange: range, natOutgoingAddress: address } = config;
  const all: TableAction =
    address === undefined ? { action: "masquerade" } : { action: "snat", to: address };
  if (range === undefined || range.last === 0) {
    return { name: CHAIN.natOutgoing, rules: [natOutgoingRule(config, family, all)] };
  }
  const ports = `${range.first}-${range.last}`;
  const withPorts: TableAction =
    address === undefined
      ? { action: "masquerade", toPorts: ports }
      : {
          action: "snat",
          to: address.includes(":") ? `[${address}]:${ports}` : `${address}:${ports}`,
        };
  return {
    name: CHAIN.natOutgoing,
    rules: [
      natOutgoingRule(config, family, withPorts, "tcp"),
      natOutgoingRule(config, family, RETURN, "tcp"),
      natOutgoingRule(config, family, withPorts, "udp"),
      natOutgoingRule(config, family, RETURN, "udp"),
      natOutgoingRule(config, family, all),
    ],
  };
}

function natOutgoingRule(
  config: RulesConfig,
  family: IpFamily,
  action: TableAction,
  name?: string,
): TableRule {
  const matches: RuleMatch[] = [
    ipSet("source", fixedSet("masqueradePools", family)),
    notIpSet("destination", fixedSet("networkPools", family)),
  ];
  if (config.natOutgoingExclusions === "IPPoolsAndHostIPs") {
    matches.push(notIpSet("destination", fixedSet("allHosts", family)));
  }
  if (name !== undefined) matches.push(protocol(name));
  if (config.natOutgoingInterfaceFilter !== "") {
    // As the user wrote it: a `+` at its end means all that start so to iptables, and nothing that nft can read.
    matches.push({ match: "interface", direction: "out", name: config.natOutgoingInterfaceFilter });
  }
  return { matches, action };
}

/** Floating IPs: what is sent to one goes to its pod (`felix/rules/nat.go` DNATsToIptablesChains). @param addresses from the outer to the inner */
export function fipDnatChain(addresses: ReadonlyMap<string, string>): TableChain {
  return {
    name: CHAIN.fipDnat,
    rules: [...addresses].sort(byKey).map(
      ([outer, inner]): TableRule => ({
        matches: [{ match: "net", side: "destination", net: outer }],
        action: { action: "dnat", to: inner },
      }),
    ),
  };
}

/** A pod that reaches itself by its floating IP. @param addresses from the inner to the outer */
export function fipSnatChain(addresses: ReadonlyMap<string, string>): TableChain {
  return {
    name: CHAIN.fipSnat,
    rules: [...addresses].sort(byKey).map(
      ([inner, outer]): TableRule => ({
        matches: [
          { match: "net", side: "destination", net: inner },
          { match: "net", side: "source", net: inner },
        ],
        action: { action: "snat", to: outer },
      }),
    ),
  };
}

function byKey([x]: readonly [string, string], [y]: readonly [string, string]): number {
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Service addresses that the cluster announces and no Service has would be sent back by the router that sent them (`felix/rules/nat.go` BlockedCIDRsToIptablesChains). */
export function cidrBlockChain(
  config: RulesConfig,
  family: IpFamily,
  cidrs: readonly string[],
): TableChain {
  const action = serviceLoopAction(config);
  if (action === undefined) return { name: CHAIN.cidrBlock, rules: [] };
  return {
    name: CHAIN.cidrBlock,
    rules: cidrs
      .filter((cidr) => cidr.includes(":") === (family === 6))
      .sort()
      .map((net): TableRule => ({ matches: [{ match: "net", side: "destination", net }], action })),
  };
}
