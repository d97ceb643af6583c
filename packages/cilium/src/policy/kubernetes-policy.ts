import type {
  LabelSelector,
  LabelSelectorRequirement,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from "@cnilab/core";
import type { PortRule } from "../api/v2/rule.ts";
import { EndpointSelector } from "../labels/endpoint-selector.ts";
import {
  POD_NAMESPACE_LABEL,
  POD_NAMESPACE_META_LABELS,
  POLICY_CLUSTER_LABEL,
} from "../labels/kubernetes-labels.ts";
import { peerRule } from "./cilium-policy.ts";
import { WILDCARD } from "./entities.ts";
import { policyLabels } from "./policy-labels.ts";
import type { PeerRule, PolicyRule } from "./policy-rule.ts";
import type { PolicySettings } from "./policy-settings.ts";
import { sanitizePorts } from "./sanitize.ts";

// Policies of Kubernetes as rules of Cilium's (pkg/k8s/network_policy.go ParseNetworkPolicy). Ranges of addresses never select pods
// or nodes, whatever addresses those have.

const PREFIX = "k8s.";

export function kubernetesPolicyRule(
  { spec, metadata }: NetworkPolicy,
  settings: PolicySettings,
): PolicyRule {
  const namespace = metadata.namespace ?? "default";
  const types = spec.policyTypes ?? [];
  const peers = new Peers(
    namespace,
    settings.defaultLocalCluster ? settings.clusterName : undefined,
  );
  const ingress = (spec.ingress ?? []).flatMap(({ from, ports }) => peers.rules(from, ports));
  const egress = (spec.egress ?? []).flatMap(({ to, ports }) => peers.rules(to, ports));
  const name = metadata.annotations?.["policy.cilium.io/name"] ?? metadata.name;
  // A section without a rule says that nothing is allowed.
  const isIngress = types.includes("Ingress") || !types.includes("Egress");
  if (ingress.length === 0 && isIngress) ingress.push(NOBODY);
  if (egress.length === 0 && types.includes("Egress")) egress.push(NOBODY);
  return {
    subject: podSelector(spec.podSelector ?? {}, namespace),
    selectsNodes: false,
    namespace,
    ingress,
    ingressDeny: [],
    egress,
    egressDeny: [],
    defaultDeny: { ingress: ingress.length > 0, egress: egress.length > 0 },
    labels: policyLabels("NetworkPolicy", { ...metadata, name, namespace }),
  };
}

const NOBODY: PeerRule = { ports: [], icmps: [] };

class Peers {
  readonly #namespace: string;
  readonly #cluster: string | undefined;

  constructor(namespace: string, cluster: string | undefined) {
    this.#namespace = namespace;
    this.#cluster = cluster;
  }

  /** Each peer is a rule of its own; none is everybody. */
  rules(
    peers: readonly NetworkPolicyPeer[] = [],
    ports: readonly NetworkPolicyPort[] = [],
  ): PeerRule[] {
    const at = { ports: sanitizePorts(ports.map(portRule)), icmps: [] };
    if (peers.length === 0) return [{ endpoints: [WILDCARD], ...at }];
    return peers.map((peer) => {
      const { ipBlock } = peer;
      const endpoints = this.#selector(peer);
      return peerRule({
        endpoints: endpoints && [endpoints],
        cidrRules: ipBlock && [
          {
            cidr: ipBlock.cidr,
            ...(ipBlock.except && ipBlock.except.length > 0 && { except: ipBlock.except }),
          },
        ],
        ...at,
      } as Parameters<typeof peerRule>[0]);
    });
  }

  #selector({
    namespaceSelector,
    podSelector: pods,
    ipBlock,
  }: NetworkPolicyPeer): EndpointSelector | undefined {
    if (ipBlock !== undefined && namespaceSelector === undefined && pods === undefined) {
      return undefined;
    }
    const inCluster = this.#inCluster(pods);
    if (namespaceSelector !== undefined) {
      const selector = EndpointSelector.withPrefix(ofNamespaces(namespaceSelector), PREFIX);
      return inCluster === undefined
        ? selector
        : and(selector, EndpointSelector.withPrefix(inCluster, PREFIX));
    }
    return inCluster && podSelector(inCluster, this.#namespace);
  }

  #inCluster(pods: LabelSelector | undefined): LabelSelector | undefined {
    const key = POLICY_CLUSTER_LABEL;
    if (this.#cluster === undefined) return pods;
    const { matchLabels, matchExpressions = [] } = pods ?? {};
    if (matchLabels?.[key] || matchExpressions.some((each) => each.key === key)) return pods;
    return { matchLabels: { ...matchLabels, [key]: this.#cluster }, matchExpressions };
  }
}

function podSelector(
  { matchLabels, matchExpressions = [] }: LabelSelector,
  namespace: string,
): EndpointSelector {
  return EndpointSelector.withPrefix(
    { matchLabels: { ...matchLabels, [POD_NAMESPACE_LABEL]: namespace }, matchExpressions },
    PREFIX,
  );
}

/** Labels of a namespace are labels of its pods; one without requirements is any namespace, and so any pod. */
function ofNamespaces({ matchLabels = {}, matchExpressions = [] }: LabelSelector): LabelSelector {
  const key = (of: string) => `${POD_NAMESPACE_META_LABELS}.${of}`;
  const labels = Object.fromEntries(
    Object.entries(matchLabels).map(([of, value]) => [key(of), value] as const),
  );
  const expressions: readonly LabelSelectorRequirement[] = matchExpressions.map((each) => ({
    ...each,
    key: key(each.key),
  }));
  if (Object.keys(labels).length + expressions.length > 0) {
    return { matchLabels: labels, matchExpressions: expressions };
  }
  return { matchExpressions: [{ key: POD_NAMESPACE_LABEL, operator: "Exists" }] };
}

function and(x: EndpointSelector, y: EndpointSelector): EndpointSelector {
  return new EndpointSelector(
    [...x.matchLabels, ...y.matchLabels],
    [...x.matchExpressions, ...y.matchExpressions],
  );
}

/** No port is every port, no protocol TCP. */
function portRule({ protocol = "TCP", port = "0", endPort }: NetworkPolicyPort): PortRule {
  return { ports: [{ port: String(port), ...(endPort && { endPort }), protocol }] };
}
