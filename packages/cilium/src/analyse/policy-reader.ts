import type { CniOptionValues, Kind, KubeObject } from "@cnilab/core";
import { formatIp } from "@cnilab/net";
import {
  ObjectsByKind,
  type PodLabel,
  type PolicyEndpoint,
  type PolicyReader,
  type PolicyView,
  workloads,
} from "@cnilab/network-policy";
import {
  POD_NAMESPACE_LABEL,
  POD_NAMESPACE_META_LABELS,
  POLICY_CLUSTER_LABEL,
} from "../labels/kubernetes-labels.ts";
import { LABEL_SOURCE, parseExtendedKey } from "../labels/label.ts";
import { addressesOf, serviceOf } from "../policy/policy-services.ts";
import { type AnalysisSettings, analysisSettings } from "./analysis-settings.ts";
import { CidrGroups } from "./cidr-groups.ts";
import { CiliumPolicies } from "./cilium-policies.ts";
import { type ApiServers, EndpointLabels } from "./endpoint-labels.ts";
import { givenRules } from "./given-rules.ts";
import { KnownRanges } from "./known-ranges.ts";
import { NamedPorts } from "./named-ports.ts";
import { PeerTerms } from "./peer-terms.ts";
import { policyConflicts } from "./policy-conflicts.ts";
import { RuleTerms } from "./rule-terms.ts";

const KINDS: readonly Kind[] = [
  "AdminNetworkPolicy",
  "BaselineAdminNetworkPolicy",
  "CiliumCIDRGroup.cilium.io",
  "CiliumClusterwideNetworkPolicy.cilium.io",
  "CiliumNetworkPolicy.cilium.io",
  "ClusterNetworkPolicy",
  "EndpointSlice",
  "Namespace",
  "NetworkPolicy",
  "Node",
  "Pod",
  "Service",
];

/** The Service whose endpoints serve the API. */
const KUBERNETES_SERVICE = "default/kubernetes";

/** Policies as Cilium's agents understand them: its own kinds, and NetworkPolicies after their conversion. */
export const ciliumPolicyReader: PolicyReader = withOptions({});

function withOptions(options: CniOptionValues): PolicyReader {
  return {
    kinds: KINDS,
    read: (given) => {
      const objects = [...given];
      return policyView(objects, analysisSettings(options, objects));
    },
    withOptions,
  };
}

/** What agents that are set up so make of some objects. */
export function policyView(all: readonly KubeObject[], settings: AnalysisSettings): PolicyView {
  const objects = new ObjectsByKind(all);
  const { rules, ignored } = givenRules(objects, settings);
  const peers = new PeerTerms(
    settings,
    new KnownRanges(rules.map(({ rule }) => rule)),
    new CidrGroups(objects.of("CiliumCIDRGroup.cilium.io")),
  );
  const labels = new EndpointLabels(settings, apiServers(objects));
  const allWorkloads = once(() => workloads(all));
  const names = new NamedPorts(allWorkloads);
  const policies = new CiliumPolicies(
    settings,
    peers,
    new RuleTerms(settings, peers, names),
    (key) => labels.isKeptOfNode(key),
  ).read(rules);
  const conflicts = policyConflicts(
    rules.map(({ rule }) => rule),
    allWorkloads,
    ({ pods }) => pods.flatMap(({ pod }) => (pod === undefined ? [] : [labels.identityOf(pod)])),
    settings,
  );
  return {
    policies: policies.policies,
    // Ranges ask by themselves whether an address is a pod's: see PeerTerms.
    settings: { blocksMatchPods: true },
    endpoint: (plain: PolicyEndpoint) => ({ ...plain, labels: labels.of(plain) }),
    podLabel: (key) => podLabel(key, settings),
    ignored: [...ignored, ...policies.ignored, ...conflicts],
  };
}

function once<T>(find: () => T): () => T {
  let found: { readonly value: T } | undefined;
  return () => {
    found ??= { value: find() };
    return found.value;
  };
}

function apiServers(objects: ObjectsByKind): ApiServers {
  const slices = objects
    .of("EndpointSlice")
    .filter((each) => serviceOf(each) === KUBERNETES_SERVICE);
  const addresses = new Set(slices.flatMap(addressesOf).map((address) => formatIp(address)));
  const nodes = objects
    .of("Node")
    .filter(({ status }) => status?.addresses?.some(({ address }) => addresses.has(address)));
  return { addresses, nodes: new Set(nodes.map(({ metadata }) => metadata.name)) };
}

/** What pods are labelled with; all other sources are for who is no pod. */
function podLabel(key: string, { clusterName }: AnalysisSettings): PodLabel | undefined {
  const { source, key: own } = parseExtendedKey(key);
  if (source !== LABEL_SOURCE.k8s && source !== LABEL_SOURCE.any) return undefined;
  if (own === POD_NAMESPACE_LABEL) return { of: "namespace name" };
  if (own === POLICY_CLUSTER_LABEL) return { of: "cluster", value: clusterName };
  const prefix = `${POD_NAMESPACE_META_LABELS}.`;
  return own.startsWith(prefix)
    ? { of: "namespace", key: own.slice(prefix.length) }
    : { of: "pod", key: own };
}
