import type { Kind, KubeObject, Labels } from "@cnilab/core";
import {
  ObjectsByKind,
  type PodLabel,
  type PolicyEndpoint,
  type PolicyReader,
  type PolicyView,
} from "@cnilab/network-policy";
import type { FelixConfiguration } from "../api/v3/felix-configuration.ts";
import {
  LABEL_NAMESPACE,
  LABEL_ORCHESTRATOR,
  LABEL_SERVICE_ACCOUNT,
  NAME_LABEL,
  NAMESPACE_LABEL_PREFIX,
  SERVICE_ACCOUNT_LABEL_PREFIX,
} from "../conversion/labels.ts";
import { modelGlobalNetworkSet, modelNetworkSet } from "../conversion/model-sets.ts";
import { SelectorError } from "../selector/selector-error.ts";
import { type CalicoPolicy, calicoPolicy, comparePolicies, phaseOf } from "./calico-policy.ts";
import { givenPolicies } from "./given-policies.ts";
import { HostEndpoints } from "./host-endpoints.ts";
import { InheritedLabels } from "./inherited-labels.ts";
import { RuleTerms } from "./rule-terms.ts";
import { type LabelledNets, SelectorTerms } from "./selector-terms.ts";
import { ServiceIndex } from "./service-members.ts";
import { Tiers } from "./tiers.ts";

const KINDS: readonly Kind[] = [
  "ClusterNetworkPolicy",
  "AdminNetworkPolicy",
  "BaselineAdminNetworkPolicy",
  "EndpointSlice",
  "FelixConfiguration.projectcalico.org",
  "GlobalNetworkPolicy.projectcalico.org",
  "GlobalNetworkSet.projectcalico.org",
  "HostEndpoint.projectcalico.org",
  "Namespace",
  "NetworkPolicy",
  "NetworkPolicy.projectcalico.org",
  "NetworkSet.projectcalico.org",
  "Node",
  "Pod",
  "Profile.projectcalico.org",
  "Service",
  "ServiceAccount",
  "StagedGlobalNetworkPolicy.projectcalico.org",
  "StagedKubernetesNetworkPolicy.projectcalico.org",
  "StagedNetworkPolicy.projectcalico.org",
  "Tier.projectcalico.org",
];

/**
 * Policies as Felix understands them: Calico's own kinds, and Kubernetes' ones after their conversion. Profiles of pods allow
 * everything, so that what no tier decides is allowed.
 */
export const calicoPolicyReader: PolicyReader = { kinds: KINDS, read };

function read(given: Iterable<KubeObject>): PolicyView {
  const objects = new ObjectsByKind(given);
  const inherited = new InheritedLabels(objects.of("ServiceAccount"));
  const hosts = new HostEndpoints(objects.of("HostEndpoint.projectcalico.org"), objects.of("Node"));
  const selectors = new SelectorTerms(labelledNets(objects, inherited));
  const services = new ServiceIndex(objects.of("Service"), objects.of("EndpointSlice"));
  const rules = new RuleTerms(selectors, services);
  const { policies: all, ignored } = givenPolicies(objects);
  const tiers = new Tiers(
    objects.of("Tier.projectcalico.org"),
    all.map(({ model }) => model.tier),
  );
  const policies: CalicoPolicy[] = [];
  const refused = [...ignored];
  for (const each of all) {
    const { object, model } = each;
    const tier = tiers.of(model.tier, phaseOf(model));
    try {
      policies.push(calicoPolicy(each, tier, selectors, rules, hosts));
    } catch (error) {
      if (!(error instanceof SelectorError)) throw error;
      refused.push({ object, reason: error.message });
    }
  }
  policies.sort(comparePolicies);
  const around = hosts.surroundings(
    tiers,
    felixConfiguration(objects),
    objects.of("Profile.projectcalico.org"),
    rules,
  );
  const endpoint = (plain: PolicyEndpoint): PolicyEndpoint => {
    if (plain.pod !== undefined) return { ...plain, labels: podLabels(plain.pod, inherited) };
    const host = hosts.at(plain);
    return host === undefined ? plain : { ...plain, ...host };
  };
  return {
    policies: [
      ...around.filter(({ tier }) => tier.order === tiers.first),
      ...policies,
      ...around.filter(({ tier }) => tier.order === tiers.last),
    ],
    settings: { blocksMatchPods: true, nodesReachTheirPods: true },
    endpoint,
    podLabel,
    ignored: refused,
  };
}

/** What pods have by themselves, and what their namespaces give them. */
function podLabel(key: string): PodLabel {
  const ofNamespace = key.startsWith(NAMESPACE_LABEL_PREFIX)
    ? key.slice(NAMESPACE_LABEL_PREFIX.length)
    : undefined;
  if (key === LABEL_NAMESPACE || ofNamespace === NAME_LABEL) return { of: "namespace name" };
  if (key === LABEL_ORCHESTRATOR) return { of: "cluster", value: "k8s" };
  return ofNamespace === undefined ? { of: "pod", key } : { of: "namespace", key: ofNamespace };
}

/** As Felix has them: no pod may pretend to be in another namespace (`updateprocessors/workloadendpointprocessor.go`). */
function podLabels(pod: NonNullable<PolicyEndpoint["pod"]>, inherited: InheritedLabels): Labels {
  const { namespace, namespaceLabels, serviceAccount } = pod;
  const own = Object.entries(pod.labels).filter(
    ([key]) =>
      !key.startsWith(NAMESPACE_LABEL_PREFIX) && !key.startsWith(SERVICE_ACCOUNT_LABEL_PREFIX),
  );
  return {
    ...inherited.ofNamespace(namespace, namespaceLabels),
    ...(serviceAccount !== undefined && inherited.ofServiceAccount(namespace, serviceAccount)),
    ...Object.fromEntries(own),
    [LABEL_NAMESPACE]: namespace,
    [LABEL_ORCHESTRATOR]: "k8s",
    ...(serviceAccount !== undefined && { [LABEL_SERVICE_ACCOUNT]: serviceAccount }),
  };
}

function labelledNets(objects: ObjectsByKind, inherited: InheritedLabels): readonly LabelledNets[] {
  const namespaces = new Map(
    objects.of("Namespace").map(({ metadata }) => [metadata.name, metadata.labels ?? {}]),
  );
  return [
    ...objects.of("GlobalNetworkSet.projectcalico.org").map(modelGlobalNetworkSet),
    ...objects.of("NetworkSet.projectcalico.org").map((object) => {
      const { nets, labels } = modelNetworkSet(object);
      const namespace = object.metadata.namespace ?? "default";
      const ofNamespace = inherited.ofNamespace(namespace, namespaces.get(namespace) ?? {});
      return { nets, labels: new Map([...Object.entries(ofNamespace), ...labels]) };
    }),
  ];
}

function felixConfiguration(objects: ObjectsByKind): FelixConfiguration {
  const all = objects.of("FelixConfiguration.projectcalico.org");
  return (
    all.find(({ metadata }) => metadata.name === "default") ?? {
      apiVersion: "projectcalico.org/v3",
      kind: "FelixConfiguration",
      metadata: { name: "default" },
      spec: {},
    }
  );
}
