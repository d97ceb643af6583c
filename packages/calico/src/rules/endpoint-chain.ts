import type { QosControls } from "../calc/messages.ts";
import {
  type EndpointChainPrefix,
  endpointChainName,
  type PolicyDirection,
  profileChainName,
} from "../names/chain-names.ts";
import { denyAction, denyWord } from "./configured-actions.ts";
import { chainsOfGroup, enforcedOf, type TierGroups } from "./policy-group.ts";
import { directionWord, endOfTierOrigin } from "./policy-origin.ts";
import {
  ACCEPT,
  clearMark,
  DROP,
  ESTABLISHED,
  INVALID,
  jump,
  markClear,
  markSet,
  NOTRACK,
  ports,
  protocol,
  RETURN,
  setMark,
  type TableAction,
  type TableChain,
  type TableRule,
} from "./rule.ts";
import type { RulesConfig } from "./rules-config.ts";

/** `untracked` and `preDNAT` policies come before normal ones and leave what they do not know to those. */
type ChainType = "normal" | "untracked" | "preDNAT" | "forward";

/** What makes one chain of an endpoint. */
export interface EndpointChainInput {
  readonly prefix: EndpointChainPrefix;
  /** Of the endpoint. */
  readonly interfaceName: string;
  readonly type: ChainType;
  /** Which of the policies' chains it goes through. */
  readonly direction: PolicyDirection;
  readonly tiers: readonly TierGroups[];
  readonly profiles: readonly string[];
  /** For established connections. */
  readonly allow: TableAction;
  readonly failsafe?: string;
  readonly adminUp?: boolean;
  /** Name of the host endpoint, if it is one. */
  readonly hostEndpoint?: string;
  /** Whether encapsulated packets are dropped. */
  readonly fromWorkload?: boolean;
  readonly qos?: QosControls;
}

const UDP = 17;
const IPIP = 4;

/** The one form of all chains that belong to an endpoint (`felix/rules/endpoints.go` endpointIptablesChain). */
export function endpointChain(input: EndpointChainInput, config: RulesConfig): TableChain {
  const name = endpointChainName(input.prefix, input.interfaceName, config.backend);
  const deny = denyAction(config);
  if (input.adminUp === false) {
    return { name, rules: [{ comments: ["Endpoint admin disabled"], action: deny }] };
  }
  const { marks } = config;
  const { type } = input;
  const qos = type === "normal" ? input.qos : undefined;
  const rules: TableRule[] = [];
  rules.push(...packetRateRules(qos, input.direction, config));
  if (type !== "untracked") rules.push(...conntrackRules(input.allow, config));
  rules.push(...connectionLimitRules(qos, input.direction));
  if (input.failsafe !== undefined) rules.push({ action: jump(input.failsafe) });
  rules.push({ action: clearMark((marks.accept | marks.pass) >>> 0) });
  if (input.fromWorkload === true) rules.push(...encapsulationRules(config));
  for (const tier of input.tiers) rules.push(...tierRules(tier, input, config));
  if (type === "forward" && input.tiers.length === 0) {
    rules.push(
      { comments: ["Allow forwarded traffic by default"], action: setMark(marks.accept) },
      { comments: ["Return for accepted forward traffic"], action: RETURN },
    );
  }
  if (type === "normal") {
    for (const profile of input.profiles) {
      rules.push(
        { action: jump(profileChainName(profile, input.direction, config.backend)) },
        {
          comments: ["Return if profile accepted"],
          matches: [markSet(marks.accept)],
          action: RETURN,
        },
      );
    }
    const detail = `${directionWord(input.direction)}, no profile allows this`;
    rules.push({
      comments: [`${denyWord(config)} if no profiles matched`],
      action: deny,
      origin: {
        kind: input.hostEndpoint === undefined ? "WorkloadEndpoint" : "HostEndpoint",
        name: input.hostEndpoint ?? input.interfaceName,
        detail,
        enforcesPolicy: true,
      },
    });
  }
  return { name, rules };
}

function conntrackRules(allow: TableAction, config: RulesConfig): TableRule[] {
  const rules: TableRule[] = [];
  // Who only returns must say that it was let pass.
  if (allow !== ACCEPT) {
    rules.push({ matches: [ESTABLISHED], action: setMark(config.marks.accept) });
  }
  rules.push({ matches: [ESTABLISHED], action: allow });
  if (!config.disableConntrackInvalid) {
    rules.push({ matches: [INVALID], action: denyAction(config) });
  }
  return rules;
}

/** A workload could get round its egress policy by packing packets up itself. */
function encapsulationRules(config: RulesConfig): TableRule[] {
  const action = denyAction(config);
  const word = denyWord(config);
  const rules: TableRule[] = [];
  if (!config.allowVxlanPacketsFromWorkloads) {
    rules.push({
      comments: [`${word} VXLAN encapped packets originating in workloads`],
      matches: [protocol(UDP), ports("destination", config.vxlanPort)],
      action,
    });
  }
  if (!config.allowIpipPacketsFromWorkloads) {
    rules.push({
      comments: [`${word} IPinIP encapped packets originating in workloads`],
      matches: [protocol(IPIP)],
      action,
    });
  }
  return rules;
}

function tierRules(tier: TierGroups, input: EndpointChainInput, config: RulesConfig): TableRule[] {
  const groups = tier[input.direction];
  if (groups.length === 0) return [];
  const { accept, pass } = config.marks;
  const rules: TableRule[] = [
    { comments: [`Start of tier ${tier.name}`], action: clearMark(pass) },
  ];
  for (const group of groups) {
    for (const chain of chainsOfGroup(group, config)) {
      rules.push({ matches: [markClear(pass)], action: jump(chain) });
      if (input.type === "untracked") rules.push({ matches: [markSet(accept)], action: NOTRACK });
      rules.push({
        comments: ["Return if policy accepted"],
        matches: [markSet(accept)],
        action: RETURN,
      });
    }
  }
  const ends = input.type === "normal" || input.type === "forward";
  // A tier of staged policies only is as if it were not there.
  if (ends && tier.defaultAction !== "Pass" && groups.flatMap(enforcedOf).length > 0) {
    rules.push({
      comments: [`End of tier ${tier.name}. ${denyWord(config)} if no policies passed packet`],
      matches: [markClear(pass)],
      action: denyAction(config),
      origin: endOfTierOrigin(tier.name, input.direction, groups.flatMap(enforcedOf)),
    });
  }
  return rules;
}

function packetRateRules(
  qos: QosControls | undefined,
  direction: PolicyDirection,
  config: RulesConfig,
): TableRule[] {
  const [word, rate = 0, burst = 0] =
    direction === "inbound"
      ? ["ingress", qos?.ingressPacketRate, qos?.ingressPacketBurst]
      : ["egress", qos?.egressPacketRate, qos?.egressPacketBurst];
  if (rate === 0) return [];
  const mark = config.marks.scratch0;
  const limit: TableAction = { action: "limit-packet-rate", rate, burst, mark };
  const over = `Drop packets over ${word} packet rate limit`;
  if (config.backend === "nftables") return [{ comments: [over], action: limit }];
  const clear: TableRule = {
    comments: [`Clear ${word} packet rate limit mark`],
    action: clearMark(mark),
  };
  return [
    clear,
    { comments: [`Mark packets within ${word} packet rate limit`], action: limit },
    {
      comments: [over],
      matches: [{ match: "mark", value: mark, mask: mark, negated: true }],
      action: DROP,
    },
    clear,
  ];
}

function connectionLimitRules(
  qos: QosControls | undefined,
  direction: PolicyDirection,
): TableRule[] {
  const [word, above = 0] =
    direction === "inbound"
      ? ["ingress", qos?.ingressMaxConnections]
      : ["egress", qos?.egressMaxConnections];
  if (above === 0) return [];
  return [
    {
      comments: [`Reject connections over ${word} connection limit`],
      action: { action: "limit-connections", above },
    },
  ];
}
