import type { Origin } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import type { Policy, PolicyId, Profile, Rule } from "../calc/messages.ts";
import { type PolicyDirection, policyChainName, profileChainName } from "../names/chain-names.ts";
import { isStaged, policyIdText } from "../names/policy-id.ts";
import { fillLogPrefix } from "./log-prefix.ts";
import { policyOrigin } from "./policy-origin.ts";
import { policyRules } from "./policy-rules.ts";
import type { TableChain } from "./rule.ts";
import type { RulesConfig } from "./rules-config.ts";

/** Chains of both directions; a staged policy has none (`felix/rules/policy.go` PolicyToIptablesChains). */
export function policyChains(
  id: PolicyId,
  policy: Policy,
  config: RulesConfig,
  family: IpFamily,
): TableChain[] {
  if (isStaged(id.kind)) return [];
  const name = id.namespace === undefined ? id.name : `${id.namespace}/${id.name}`;
  const logPrefix = fillLogPrefix(config.logPrefix, {
    kind: policyIdText(id).split("/", 1)[0] as string,
    name: id.name,
    ...(id.namespace === undefined ? {} : { namespace: id.namespace }),
    tier: policy.tier,
  });
  const chain = (direction: PolicyDirection, rules: readonly Rule[]): TableChain => {
    const word = direction === "inbound" ? "ingress" : "egress";
    const origin = (index: number) =>
      policyOrigin(id, index < 0 ? word : `${word} rule ${index + 1}`);
    return {
      name: policyChainName(id, direction, config.backend),
      rules: policyRules(
        rules,
        config,
        family,
        { logPrefix, origin },
        `${id.kind} ${name} ${word}`,
      ),
    };
  };
  return [chain("inbound", policy.inboundRules), chain("outbound", policy.outboundRules)];
}

/** Chains of both directions (`felix/rules/policy.go` ProfileToIptablesChains). */
export function profileChains(
  id: string,
  profile: Profile,
  config: RulesConfig,
  family: IpFamily,
): TableChain[] {
  const logPrefix = fillLogPrefix(config.logPrefix, { kind: "pro", name: id, tier: "" });
  const chain = (direction: PolicyDirection, rules: readonly Rule[]): TableChain => {
    const word = direction === "inbound" ? "ingress" : "egress";
    const origin = (index: number): Origin => ({
      kind: "Profile",
      name: id,
      detail: index < 0 ? word : `${word} rule ${index + 1}`,
      enforcesPolicy: true,
    });
    return {
      name: profileChainName(id, direction, config.backend),
      rules: policyRules(rules, config, family, { logPrefix, origin }, `Profile ${id} ${word}`),
    };
  };
  return [chain("inbound", profile.inboundRules), chain("outbound", profile.outboundRules)];
}
