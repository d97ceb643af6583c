import type { Origin } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import type { Rule } from "../calc/messages.ts";
import { ipSetName } from "../names/ip-set-name.ts";
import { denyAction } from "./configured-actions.ts";
import { MatchBlocks, protocolMatch } from "./match-blocks.ts";
import { splitPorts } from "./port-split.ts";
import {
  markSet,
  RETURN,
  type RuleMatch,
  type Side,
  setMark,
  type TableAction,
  type TableRule,
} from "./rule.ts";
import { ruleForFamily } from "./rule-family.ts";
import type { RulesConfig } from "./rules-config.ts";

/** What a policy's or profile's rules are rendered with besides themselves. */
export interface RuleOwner {
  /** Of the log action, with all its parts filled in. */
  readonly logPrefix: string;
  /** @param index from 0 */
  origin(index: number): Origin;
}

/** The rules of one direction of a policy or profile (`felix/rules/policy.go` ProtoRulesToIptablesRules). @param comment stands at the first one */
export function policyRules(
  all: readonly Rule[],
  config: RulesConfig,
  family: IpFamily,
  owner: RuleOwner,
  comment: string,
): TableRule[] {
  const rules = all.flatMap((rule, i) => {
    const origin = owner.origin(i);
    return ruleRules(rule, config, family, owner.logPrefix).map((each) => ({ ...each, origin }));
  });
  // A chain returns at its end anyway.
  while (rules.at(-1)?.action === RETURN) rules.pop();
  const [first = { origin: owner.origin(-1) }, ...others] = rules;
  return [{ ...first, comments: [...(first.comments ?? []), comment] }, ...others];
}

/** None where the rule is for another family (`felix/rules/policy.go` ProtoRuleToIptablesRules). */
function ruleRules(
  rule: Rule,
  config: RulesConfig,
  family: IpFamily,
  logPrefix: string,
): TableRule[] {
  const filtered = ruleForFamily(rule, family);
  if (filtered === undefined) return [];
  const { scratch0, scratch1 } = config.marks;
  const blocks = new MatchBlocks(scratch0, scratch1);
  const source = withoutBlocks(filtered, "source", family);
  const destination = withoutBlocks(filtered, "destination", family);
  // All that must match before all that must not, as only the first kind may start with the bit cleared.
  for (const side of [source, destination]) {
    if (!side.portsFit) {
      blocks.addPorts(side.side, filtered.protocol, side.splits, side.namedPortSets);
    }
  }
  for (const side of [source, destination]) if (!side.netsFit) blocks.addNets(side.side, side.nets);
  for (const side of [source, destination]) {
    if (!side.notNetsFit) blocks.addNotNets(side.side, side.notNets);
  }
  const matches = [
    ...protocolMatch(filtered.protocol),
    ...positiveMatches(source),
    ...positiveMatches(destination),
    ...icmpMatch(filtered, family),
    ...negatedProtocol(filtered),
    ...negativeMatches(source),
    ...negativeMatches(destination),
    ...negatedIcmp(filtered, family),
  ];
  if (blocks.rules.length > 0) matches.push(markSet(blocks.allPass));
  const rules = [...blocks.rules, ...actionRules(rule, matches, config, logPrefix)];
  const annotations = Object.entries(rule.metadata?.annotations ?? {});
  if (annotations.length === 0) return rules;
  const comments = annotations.map(([key, value]) => `${key}=${value}`);
  return rules.map((each) => ({ ...each, comments: [...(each.comments ?? []), ...comments] }));
}

/** What one rule of a policy says of one end of a packet. */
interface SideOfRule {
  readonly side: Side;
  readonly nets: readonly string[];
  readonly notNets: readonly string[];
  readonly sets: readonly string[];
  readonly notSets: readonly string[];
  readonly ipPortSets: readonly string[];
  readonly splits: ReturnType<typeof splitPorts>;
  readonly namedPortSets: readonly string[];
  readonly notPorts: ReturnType<typeof splitPorts>;
  readonly notNamedPortSets: readonly string[];
  /** Whether one rule of a chain can hold them. */
  readonly portsFit: boolean;
  readonly netsFit: boolean;
  readonly notNetsFit: boolean;
}

function withoutBlocks(rule: Rule, side: Side, family: IpFamily): SideOfRule {
  const names = (ids: readonly string[] | undefined) =>
    (ids ?? []).map((id) => ipSetName(id, family));
  const isSource = side === "source";
  const nets = (isSource ? rule.srcNet : rule.dstNet) ?? [];
  const notNets = (isSource ? rule.notSrcNet : rule.notDstNet) ?? [];
  const splits = splitPorts((isSource ? rule.srcPorts : rule.dstPorts) ?? []);
  const namedPortSets = names(isSource ? rule.srcNamedPortIpSetIds : rule.dstNamedPortIpSetIds);
  const netsFit = nets.length <= 1;
  return {
    side,
    nets,
    notNets,
    sets: names(isSource ? rule.srcIpSetIds : rule.dstIpSetIds),
    notSets: names(isSource ? rule.notSrcIpSetIds : rule.notDstIpSetIds),
    ipPortSets: isSource ? [] : names(rule.dstIpPortSetIds),
    splits,
    namedPortSets,
    notPorts: splitPorts((isSource ? rule.notSrcPorts : rule.notDstPorts) ?? []),
    notNamedPortSets: names(isSource ? rule.notSrcNamedPortIpSetIds : rule.notDstNamedPortIpSetIds),
    portsFit: splits.length + namedPortSets.length <= 1,
    netsFit,
    // A rule has room for one network of a side, whether it must match or must not.
    notNetsFit: (netsFit ? nets.length : 0) + notNets.length <= 1,
  };
}

function positiveMatches(of: SideOfRule): RuleMatch[] {
  const { side } = of;
  const matches: RuleMatch[] = [];
  if (of.netsFit) for (const net of of.nets) matches.push({ match: "net", side, net });
  for (const set of of.sets) matches.push({ match: "ip-set", side, set });
  for (const set of of.ipPortSets) matches.push({ match: "ip-port-set", side, set });
  if (of.portsFit) {
    for (const ports of of.splits) matches.push({ match: "ports", side, ports });
    for (const set of of.namedPortSets) matches.push({ match: "ip-port-set", side, set });
  }
  return matches;
}

function negativeMatches(of: SideOfRule): RuleMatch[] {
  const { side } = of;
  const negated = true;
  const matches: RuleMatch[] = [];
  if (of.notNetsFit) {
    for (const net of of.notNets) matches.push({ match: "net", side, net, negated });
  }
  for (const set of of.notSets) matches.push({ match: "ip-set", side, set, negated });
  for (const ports of of.notPorts) matches.push({ match: "ports", side, ports, negated });
  for (const set of of.notNamedPortSets) matches.push({ match: "ip-port-set", side, set, negated });
  return matches;
}

function negatedProtocol({ notProtocol }: Rule): RuleMatch[] {
  return protocolMatch(notProtocol).map((match) => ({ ...match, negated: true }) as RuleMatch);
}

function icmpMatch(rule: Rule, version: IpFamily): RuleMatch[] {
  const { icmpType, icmpTypeCode } = rule;
  if (icmpTypeCode !== undefined) return [{ match: "icmp", version, ...icmpTypeCode }];
  return icmpType === undefined ? [] : [{ match: "icmp", version, type: icmpType }];
}

function negatedIcmp(rule: Rule, version: IpFamily): RuleMatch[] {
  const { notIcmpType, notIcmpTypeCode } = rule;
  const negated = true;
  if (notIcmpTypeCode !== undefined) {
    return [{ match: "icmp", version, ...notIcmpTypeCode, negated }];
  }
  return notIcmpType === undefined ? [] : [{ match: "icmp", version, type: notIcmpType, negated }];
}

/** A verdict takes two rules: one looks and sets a bit, one acts on it (`felix/rules/policy.go` CombineMatchAndActionsForProtoRule). */
function actionRules(
  { action }: Rule,
  matches: readonly RuleMatch[],
  config: RulesConfig,
  logPrefix: string,
): TableRule[] {
  const verdict = (mark: number, then: TableAction): TableRule[] => [
    { matches, action: setMark(mark) },
    { matches: [markSet(mark)], action: then },
  ];
  const { marks } = config;
  switch (action) {
    case "allow":
      return verdict(marks.accept, RETURN);
    case "pass":
    case "next-tier":
      return verdict(marks.pass, RETURN);
    case "deny":
      return verdict(marks.drop, denyAction(config));
    case "log": {
      const limit: RuleMatch[] =
        config.logActionRateLimit === ""
          ? []
          : [
              {
                match: "limit",
                rate: config.logActionRateLimit,
                burst: config.logActionRateLimitBurst,
              },
            ];
      return [{ matches: [...limit, ...matches], action: { action: "log", prefix: logPrefix } }];
    }
  }
}
