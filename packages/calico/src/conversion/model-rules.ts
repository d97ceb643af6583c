import type { EntityRule, Port, Rule } from "../api/v3/rule.ts";
import type { RuleAction } from "../calc/messages.ts";
import type { ModelRule, ModelRuleSide } from "./model.ts";
import { normalisedNets } from "./networks.ts";
import { type ParsedPort, parsePort } from "./ports.ts";
import { ruleProtocol } from "./protocols.ts";
import { peerSelector } from "./selector-texts.ts";

/**
 * Rules as Felix takes them (`updateprocessors/rules.go` RulesAPIV3ToBackend).
 * @param namespace of the policy; empty for a global one and for profiles
 * @throws RangeError for a port that is none: the API server refuses it
 */
export function modelRules(
  rules: readonly Rule[] | undefined,
  namespace: string,
): readonly ModelRule[] {
  return (rules ?? []).map((rule) => modelRule(rule, namespace));
}

function modelRule(rule: Rule, namespace: string): ModelRule {
  const { icmp, notICMP, metadata } = rule;
  return {
    action: rule.action === "Pass" ? "next-tier" : (rule.action.toLowerCase() as RuleAction),
    ...(rule.ipVersion !== undefined && { ipVersion: rule.ipVersion }),
    ...(rule.protocol !== undefined && { protocol: ruleProtocol(rule.protocol) }),
    ...(rule.notProtocol !== undefined && { notProtocol: ruleProtocol(rule.notProtocol) }),
    ...(icmp?.type !== undefined && { icmpType: icmp.type }),
    ...(icmp?.code !== undefined && { icmpCode: icmp.code }),
    ...(notICMP?.type !== undefined && { notIcmpType: notICMP.type }),
    ...(notICMP?.code !== undefined && { notIcmpCode: notICMP.code }),
    source: modelSide(rule.source, namespace),
    destination: modelSide(rule.destination, namespace),
    ...(rule.http !== undefined && { http: rule.http }),
    ...(metadata?.annotations !== undefined && { annotations: metadata.annotations }),
  };
}

function modelSide(side: EntityRule = {}, namespace: string): ModelRuleSide {
  const { services, serviceAccounts } = side;
  return {
    ...listed("nets", normalisedNets(side.nets)),
    ...listed("notNets", normalisedNets(side.notNets)),
    ...text("selector", peerSelector(side, namespace)),
    ...text("notSelector", side.notSelector),
    ...listed("ports", ports(side.ports)),
    ...listed("notPorts", ports(side.notPorts)),
    ...(services !== undefined &&
      services.name !== "" && {
        service: { name: services.name, namespace: services.namespace ?? "" },
      }),
    ...text("originalSelector", side.selector),
    ...text("originalNamespaceSelector", side.namespaceSelector),
    ...text("originalNotSelector", side.notSelector),
    ...listed("serviceAccountNames", serviceAccounts?.names ?? []),
    ...text("serviceAccountSelector", serviceAccounts?.selector),
  };
}

function ports(list: readonly Port[] | undefined): readonly ParsedPort[] {
  return (list ?? []).map(parsePort);
}

function listed<K extends keyof ModelRuleSide, T>(
  key: K,
  list: readonly T[],
): { [P in K]?: readonly T[] } {
  return (list.length > 0 ? { [key]: list } : {}) as { [P in K]?: readonly T[] };
}

function text<K extends keyof ModelRuleSide>(
  key: K,
  value: string | undefined,
): { [P in K]?: string } {
  return (value !== undefined && value !== "" ? { [key]: value } : {}) as { [P in K]?: string };
}
