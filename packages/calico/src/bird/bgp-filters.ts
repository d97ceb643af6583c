import {
  ACCEPT,
  type Filter,
  type FilterCondition,
  type FilterStatement,
  parseCommunity,
  REJECT,
} from "@cnilab/bgp";
import { addressBits, type IpFamily, type Prefix, tryParsePrefix } from "@cnilab/net";
import type * as v3 from "../api/v3.ts";
import { asNumber } from "./bgp-node.ts";

/** Between a route's priority in the kernel and `bgp_local_pref`: each is this less the other (`BirdIntMaxValue`). */
export const PRIORITY_BASE = 2_147_483_647;
/** Of routes that are to win over the node's own (`birdOverridePreference`). */
const OVERRIDE_PREFERENCE = 200;

/** What nodes take from peers: all that no BGPFilter rejects (buildImportFilter). */
export function importFilter(
  filters: readonly v3.BGPFilter[],
  isInternal: boolean,
  family: IpFamily,
  priority: number,
): Filter {
  return [
    ...filters.flatMap(({ spec }) =>
      rules(family === 4 ? spec.importV4 : spec.importV6, isInternal, family),
    ),
    {
      do: "if",
      condition: {
        is: "number",
        number: "bgp_local_pref",
        operator: ">",
        value: PRIORITY_BASE - priority,
      },
      block: [{ do: "set", number: "preference", value: OVERRIDE_PREFERENCE }],
    },
    ACCEPT,
  ];
}

/** What nodes tell peers (buildExportFilter). @param toPeers `calico_export_to_bgp_peers` */
export function exportFilter(
  filters: readonly v3.BGPFilter[],
  isInternal: boolean,
  family: IpFamily,
  priority: number,
  toPeers: Filter,
): Filter {
  return [
    {
      do: "if",
      condition: {
        is: "and",
        conditions: [
          { is: "source", source: "bgp" },
          { is: "defined", number: "bgp_local_pref" },
        ],
      },
      block: [
        { do: "subtract", number: "krt_metric", value: PRIORITY_BASE, from: "bgp_local_pref" },
      ],
      elseBlock: [
        {
          do: "if",
          condition: { is: "not", condition: { is: "defined", number: "krt_metric" } },
          block: [{ do: "set", number: "krt_metric", value: priority }],
        },
        { do: "subtract", number: "bgp_local_pref", value: PRIORITY_BASE, from: "krt_metric" },
      ],
    },
    ...filters.flatMap(({ spec }) =>
      rules(family === 4 ? spec.exportV4 : spec.exportV6, isInternal, family),
    ),
    ...toPeers,
    REJECT,
  ];
}

/** `calico_kernel_programming`: metrics of routes that BGP brought (SetMetricForBGPRoutes). */
export function metricOfBgpRoutes(priority: number): FilterStatement {
  return {
    do: "if",
    condition: {
      is: "and",
      conditions: [
        { is: "source", source: "bgp" },
        { is: "not", condition: { is: "defined", number: "krt_metric" } },
      ],
    },
    block: [
      { do: "set", number: "krt_metric", value: priority },
      {
        do: "if",
        condition: { is: "defined", number: "bgp_local_pref" },
        block: [
          { do: "subtract", number: "krt_metric", value: PRIORITY_BASE, from: "bgp_local_pref" },
        ],
      },
      {
        do: "if",
        condition: { is: "number", number: "krt_metric", operator: "<", value: priority },
        block: [{ do: "set", number: "preference", value: OVERRIDE_PREFERENCE }],
      },
    ],
  };
}

export function netIn(prefix: Prefix, ...block: FilterStatement[]): FilterStatement {
  return { do: "if", condition: { is: "net-in", prefix }, block };
}

/** A BGPFilter's rules of one direction (`confd/pkg/resource/template/template_funcs.go` filterStatement). */
function rules(
  all: readonly v3.BGPFilterRule[] | undefined,
  isInternal: boolean,
  family: IpFamily,
): FilterStatement[] {
  return (all ?? []).flatMap((rule): FilterStatement[] => {
    if (rule.peerType !== undefined && (rule.peerType === "iBGP") !== isInternal) return [];
    const conditions = conditionsOf(rule, family);
    const block = [
      ...(rule.operations ?? []).flatMap(operation),
      rule.action === "Accept" ? ACCEPT : REJECT,
    ];
    if (conditions.length === 0) return block;
    return [{ do: "if", condition: { is: "and", conditions }, block }];
  });
}

function conditionsOf(rule: v3.BGPFilterRule, family: IpFamily): FilterCondition[] {
  const conditions: FilterCondition[] = [];
  const prefix = rule.cidr === undefined ? undefined : tryParsePrefix(rule.cidr);
  if (prefix !== undefined) conditions.push(matchCidr(rule, prefix, family));
  if (rule.source === "RemotePeers") conditions.push({ is: "source", source: "bgp" });
  if (rule.interface) conditions.push({ is: "ifname", pattern: rule.interface });
  for (const value of rule.communities?.values ?? []) {
    const community = parseCommunity(value);
    if (community !== undefined) conditions.push({ is: "community", community });
  }
  const path = rule.asPathPrefix ?? [];
  if (path.length > 0) {
    conditions.push({ is: "as-path-begins", numbers: path.flatMap((as) => asNumber(as) ?? []) });
  }
  if (rule.priority !== undefined) {
    const value = PRIORITY_BASE - rule.priority;
    conditions.push({ is: "number", number: "bgp_local_pref", operator: "=", value });
  }
  return conditions;
}

function matchCidr(rule: v3.BGPFilterRule, prefix: Prefix, family: IpFamily): FilterCondition {
  const { matchOperator = "In", prefixLength } = rule;
  const isEqual = matchOperator === "Equal" || matchOperator === "NotEqual";
  const lengths = prefixLength && [
    Math.max(prefix.length, prefixLength.min ?? 0),
    Math.min(addressBits(family), prefixLength.max ?? 128),
  ];
  const condition: FilterCondition = isEqual
    ? { is: "net-equal", prefix }
    : {
        is: "net-in",
        prefix,
        ...(lengths && { lengths: lengths as unknown as readonly [number, number] }),
      };
  const isNegated = matchOperator === "NotEqual" || matchOperator === "NotIn";
  return isNegated ? { is: "not", condition } : condition;
}

function operation(op: v3.BGPFilterOperation): FilterStatement[] {
  if (op.addCommunity !== undefined) {
    const community = parseCommunity(op.addCommunity.value);
    return community === undefined ? [] : [{ do: "add-community", community }];
  }
  if (op.prependASPath !== undefined) {
    // One at a time: the last one that is prepended ends up in front.
    return op.prependASPath.prefix
      .toReversed()
      .flatMap((text) => asNumber(text) ?? [])
      .map((as) => ({ do: "prepend", as }));
  }
  const value = op.setPriority?.value;
  if (value === undefined) return [];
  return [{ do: "set", number: "bgp_local_pref", value: PRIORITY_BASE - value }];
}
