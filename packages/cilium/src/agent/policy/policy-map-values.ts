import type { Origin } from "@cnilab/core";
import {
  LPM_PROTO_PREFIX_BITS,
  type PolicyEntry,
  type PolicyKey,
} from "../../datapath/maps/policy-map.ts";
import type { PolicyMapEntry } from "../../policy/policy-map-entry.ts";
import type { PolicyMapKey } from "../../policy/policy-map-key.ts";
import type { PolicyRule } from "../../policy/policy-rule.ts";

/** A key as the datapath's map has it (pkg/maps/policymap NewKeyFromPolicyKey). */
export function policyKeyOf(key: PolicyMapKey): PolicyKey {
  return {
    secLabel: key.identity,
    egress: key.direction === "egress",
    protocol: key.protocol,
    dport: key.port,
    lpmPrefixLength: key.protocol === 0 ? 0 : LPM_PROTO_PREFIX_BITS + key.portPrefixLength,
  };
}

/** Entries of one filter are the same object for all identities that it selects. */
const values = new WeakMap<PolicyMapEntry, PolicyEntry>();

export function policyEntryOf(key: PolicyMapKey, entry: PolicyMapEntry): PolicyEntry {
  const { lpmPrefixLength } = policyKeyOf(key);
  const known = values.get(entry);
  if (known?.lpmPrefixLength === lpmPrefixLength) return known;
  const origin = ruleOrigin(entry.rules[0]);
  const value = {
    deny: entry.deny,
    proxyPort: entry.proxyPort,
    proxyPortPriority: entry.proxyPortPriority,
    authType: entry.authType,
    hasExplicitAuthType: entry.authExplicit,
    lpmPrefixLength,
    ...(origin && { origin }),
  };
  values.set(entry, value);
  return value;
}

/** The object that a rule is of, as its labels tell. */
export function ruleOrigin(rule: PolicyRule | undefined): Origin | undefined {
  const value = (key: string) =>
    rule?.labels.find((each) => each.key === `io.cilium.k8s.policy.${key}`)?.value;
  const [kind, name, namespace] = [value("derived-from"), value("name"), value("namespace")];
  if (kind === undefined || name === undefined) return undefined;
  return namespace === undefined ? { kind, name } : { kind, namespace, name };
}

/** As the agent's log has a key that the kernel did not take. */
export function policyKeyLog(key: PolicyMapKey): string {
  const { secLabel, egress, protocol, dport, lpmPrefixLength } = policyKeyOf(key);
  return `{Prefixlen:${40 + lpmPrefixLength} Identity:${secLabel} TrafficDirection:${Number(egress)} Nexthdr:${protocol} DestPort:${dport}}`;
}
