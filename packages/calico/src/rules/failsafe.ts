import { type IpFamily, parsePrefix, tryParseIp } from "@cnilab/net";
import { CHAIN } from "./fixed-names.ts";
import { ACCEPT, ports, protocol, type Side, type TableChain, type TableRule } from "./rule.ts";
import type { ProtoPort, RulesConfig } from "./rules-config.ts";

type FailsafeTable = "raw" | "mangle" | "filter";

/**
 * Ports that stay open into a host endpoint. Before connections are tracked, answers to what may go out must be let in as well
 * (`felix/rules/static.go` failsafeInChain).
 */
export function failsafeIn(
  config: RulesConfig,
  table: FailsafeTable,
  family: IpFamily,
): TableChain {
  return {
    name: CHAIN.failsafeIn,
    rules: [
      ...openPorts(config.failsafeInbound, family, "destination", "source"),
      ...(table === "raw" ? openPorts(config.failsafeOutbound, family, "source", "source") : []),
    ],
  };
}

/** Ports that stay open out of a host endpoint. */
export function failsafeOut(
  config: RulesConfig,
  table: FailsafeTable,
  family: IpFamily,
): TableChain {
  return {
    name: CHAIN.failsafeOut,
    rules: [
      ...openPorts(config.failsafeOutbound, family, "destination", "destination"),
      ...(table === "raw"
        ? openPorts(config.failsafeInbound, family, "source", "destination")
        : []),
    ],
  };
}

function openPorts(
  open: readonly ProtoPort[],
  family: IpFamily,
  portSide: Side,
  netSide: Side,
): TableRule[] {
  return open.flatMap((each): TableRule[] => {
    const matches = [protocol(each.protocol), ports(portSide, each.port)];
    if (each.net === undefined) return [{ matches, action: ACCEPT }];
    if (familyOfNet(each.net) !== family) return [];
    return [
      { matches: [...matches, { match: "net", side: netSide, net: each.net }], action: ACCEPT },
    ];
  });
}

function familyOfNet(net: string): IpFamily {
  const address = tryParseIp(net) ?? parsePrefix(net).address;
  return typeof address === "number" ? 4 : 6;
}
