import type { QosControls } from "../calc/messages.ts";
import { endpointChainName } from "../names/chain-names.ts";
import { filterAllowAction, mangleAllowAction } from "./configured-actions.ts";
import { endpointChain } from "./endpoint-chain.ts";
import { CHAIN } from "./fixed-names.ts";
import type { TierGroups } from "./policy-group.ts";
import { ACCEPT, RETURN, type TableChain } from "./rule.ts";
import type { RulesConfig } from "./rules-config.ts";

/** Of a workload: its interface and what applies to it. */
export interface WorkloadChainsInput {
  readonly interfaceName: string;
  readonly adminUp: boolean;
  readonly tiers: readonly TierGroups[];
  readonly profiles: readonly string[];
  readonly qos?: QosControls;
}

/** In table filter (`felix/rules/endpoints.go` WorkloadEndpointToIptablesChains). */
export function workloadChains(input: WorkloadChainsInput, config: RulesConfig): TableChain[] {
  const common = { ...input, type: "normal", allow: filterAllowAction(config) } as const;
  return [
    endpointChain({ ...common, prefix: "cali-tw-", direction: "inbound" }, config),
    endpointChain(
      { ...common, prefix: "cali-fw-", direction: "outbound", fromWorkload: true },
      config,
    ),
  ];
}

const TO = { prefix: "cali-th-", direction: "outbound", failsafe: CHAIN.failsafeOut } as const;
const FROM = { prefix: "cali-fh-", direction: "inbound", failsafe: CHAIN.failsafeIn } as const;

/**
 * Normal and applyOnForward policy (`felix/rules/endpoints.go` HostEndpointToFilterChains).
 * @param hostEndpoint name of the object, for whoever asks where a rule comes from
 */
export function hostFilterChains(
  interfaceName: string,
  tiers: readonly TierGroups[],
  forwardTiers: readonly TierGroups[],
  profiles: readonly string[],
  config: RulesConfig,
  hostEndpoint: string = interfaceName,
): TableChain[] {
  const allow = filterAllowAction(config);
  const common = { interfaceName, hostEndpoint, profiles, allow } as const;
  const normal = { ...common, type: "normal", tiers } as const;
  const forward = { ...common, type: "forward", tiers: forwardTiers } as const;
  return [
    endpointChain({ ...normal, ...TO }, config),
    endpointChain({ ...normal, ...FROM }, config),
    endpointChain({ ...forward, prefix: "cali-thfw-", direction: "outbound" }, config),
    endpointChain({ ...forward, prefix: "cali-fhfw-", direction: "inbound" }, config),
  ];
}

/** Normal egress policy, for what table filter could not judge as its interface was not known yet. */
export function hostMangleEgressChain(
  interfaceName: string,
  tiers: readonly TierGroups[],
  profiles: readonly string[],
  config: RulesConfig,
  hostEndpoint: string = interfaceName,
): TableChain {
  // Whoever else uses the table wants to see what is allowed.
  const common = { interfaceName, hostEndpoint, profiles, tiers } as const;
  const input = { ...common, type: "normal", allow: RETURN } as const;
  return endpointChain({ ...input, ...TO }, config);
}

/** preDNAT policy. */
export function hostMangleIngressChain(
  interfaceName: string,
  tiers: readonly TierGroups[],
  config: RulesConfig,
): TableChain {
  const allow = mangleAllowAction(config);
  const input = { interfaceName, profiles: [], tiers, type: "preDNAT", allow } as const;
  return endpointChain({ ...input, ...FROM }, config);
}

/** doNotTrack policy. */
export function hostRawChains(
  interfaceName: string,
  tiers: readonly TierGroups[],
  config: RulesConfig,
): TableChain[] {
  const input = { interfaceName, profiles: [], tiers, type: "untracked", allow: ACCEPT } as const;
  return [endpointChain({ ...input, ...TO }, config), endpointChain({ ...input, ...FROM }, config)];
}

/** Marks what came from an endpoint, for IPVS. @param mark `undefined` where none was left */
export function setMarkChain(
  interfaceName: string,
  mark: number | undefined,
  config: RulesConfig,
): TableChain {
  return {
    name: endpointChainName("cali-sm-", interfaceName, config.backend),
    rules:
      mark === undefined
        ? []
        : [{ action: { action: "set-masked-mark", mark, mask: config.marks.endpoint } }],
  };
}
