import { type Labels, selects } from "@cnilab/core";
import { type IpAddress, Prefix } from "@cnilab/net";
import type { CIDRRule, Service } from "../api/v2/rule.ts";
import { EndpointSelector } from "../labels/endpoint-selector.ts";
import { POD_NAMESPACE_LABEL, POLICY_CLUSTER_LABEL } from "../labels/kubernetes-labels.ts";
import type { PeerRule, PolicyRule } from "./policy-rule.ts";
import type { PolicySettings } from "./policy-settings.ts";

/** What `toServices` needs of a Service. */
export interface PolicyService {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Labels;
  /** None where somebody else says what its backends are. */
  readonly selector: Labels;
  readonly backends: readonly IpAddress[];
}

export function refersToServices({ egress }: PolicyRule): boolean {
  return egress.some(({ services = [] }) => services.length > 0);
}

/**
 * A rule with Services put in by what they select, or by their backends' addresses; never by their own addresses
 * (pkg/policy/k8s/service.go). To be done again when a Service or its backends change.
 */
export function resolveServices(
  rule: PolicyRule,
  services: readonly PolicyService[],
  settings: PolicySettings,
): PolicyRule {
  if (!refersToServices(rule)) return rule;
  return { ...rule, egress: rule.egress.map((each) => resolvePeers(each, services, settings)) };
}

function resolvePeers(
  rule: PeerRule,
  services: readonly PolicyService[],
  settings: PolicySettings,
): PeerRule {
  const endpoints: EndpointSelector[] = [];
  const cidrRules: CIDRRule[] = [];
  for (const service of services) {
    for (const wanted of rule.services ?? []) {
      if (!refersTo(wanted, service)) continue;
      if (Object.keys(service.selector).length > 0) endpoints.push(podsOf(service, settings));
      else cidrRules.push(...service.backends.map((each) => ({ cidr: `${Prefix.host(each)}` })));
    }
  }
  return {
    ...rule,
    ...(endpoints.length > 0 && { endpoints: [...(rule.endpoints ?? []), ...endpoints] }),
    ...(cidrRules.length > 0 && { cidrRules: [...(rule.cidrRules ?? []), ...cidrRules] }),
  };
}

function refersTo(
  { k8sService, k8sServiceSelector }: Service,
  { name, namespace, labels }: PolicyService,
): boolean {
  if (k8sServiceSelector !== undefined) {
    const { namespace: wanted = "", selector } = k8sServiceSelector;
    return (wanted === "" || wanted === namespace) && selects(selector, labels);
  }
  const { namespace: wanted = "", serviceName } = k8sService ?? {};
  return serviceName === name && (wanted === "" || wanted === namespace);
}

/** Keys stay without a source: one with a dot is read as if what stands before the dot were its source, and selects nobody. */
function podsOf(
  { selector, namespace }: PolicyService,
  { defaultLocalCluster, clusterName }: PolicySettings,
): EndpointSelector {
  const pods = new EndpointSelector([
    ...Object.entries(selector),
    [`k8s.${POD_NAMESPACE_LABEL}`, namespace],
  ]);
  return defaultLocalCluster ? pods.withMatch(`k8s.${POLICY_CLUSTER_LABEL}`, clusterName) : pods;
}
