import type { IpFamily } from "@cnilab/net";
import { allocateMarkBits } from "../../src/rules/mark-bits.ts";
import { DEFAULT_RULES_CONFIG, type RulesConfig } from "../../src/rules/rules-config.ts";
import { forwardAppendRules, staticFilterChains } from "../../src/rules/static-filter.ts";
import { staticMangleChains } from "../../src/rules/static-mangle.ts";
import { natOutgoingChain, staticNatChains } from "../../src/rules/static-nat.ts";
import { staticRawChains } from "../../src/rules/static-raw.ts";
import { differentChains, type GoldenChain } from "./chain-lines.ts";
import type { GoldenRun } from "./golden-run.ts";

interface StaticChains {
  readonly backend: "iptables" | "nftables";
  readonly config: string;
  readonly ipVersion: IpFamily;
  readonly raw: readonly GoldenChain[];
  readonly mangle: readonly GoldenChain[];
  readonly nat: readonly GoldenChain[];
  readonly filter: readonly GoldenChain[];
  readonly filterForwardAppend: readonly GoldenChain[];
}

const MASK = 0xffff0000;

/** What the vectors' README says of each name. */
const CONFIGS: Readonly<Record<string, Partial<RulesConfig>>> = {
  default: {},
  ipip: { ipipEnabled: true, ipipTunnelAddress: "10.244.0.1" },
  vxlan: { vxlanEnabled: true, vxlanTunnelAddress: "10.244.0.1" },
  wireguard: {
    wireguardEnabled: true,
    wireguardHostEncryption: true,
    marks: allocateMarkBits(MASK, { wireguard: true, ipvs: false }),
  },
  ipvs: { ipvs: true, marks: allocateMarkBits(MASK, { wireguard: false, ipvs: true }) },
  "accept-return-reject": {
    endpointToHostAction: "ACCEPT",
    filterAllowAction: "RETURN",
    mangleAllowAction: "RETURN",
    filterDenyAction: "REJECT",
  },
  "nat-excl-hosts-portrange": {
    natOutgoingExclusions: "IPPoolsAndHostIPs",
    natPortRange: { first: 32768, last: 65535 },
  },
};

export const staticChains: GoldenRun<StaticChains> = (vector) => {
  const options = CONFIGS[vector.config];
  if (options === undefined) return `no such configuration: ${vector.config}`;
  const { backend, ipVersion: family } = vector;
  const config: RulesConfig = { ...DEFAULT_RULES_CONFIG, ...options, backend };
  const chains = {
    raw: staticRawChains(config, family),
    mangle: staticMangleChains(config, family),
    nat: [...staticNatChains(config, family), natOutgoingChain(config, family, true)],
    filter: staticFilterChains(config, family),
    filterForwardAppend: [{ name: "FORWARD", rules: forwardAppendRules(config) }],
  };
  for (const [table, have] of Object.entries(chains)) {
    const wanted = vector[table as keyof typeof chains];
    const difference = differentChains(table, wanted, have, backend, family);
    if (difference !== undefined) return difference;
  }
  return undefined;
};
