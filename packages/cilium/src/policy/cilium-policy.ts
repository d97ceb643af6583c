import type { LabelSelector } from "@cnilab/core";
import type { FieldPath } from "@cnilab/core/validation";
import type {
  CiliumClusterwideNetworkPolicy,
  CiliumNetworkPolicy,
} from "../api/v2/network-policy.ts";
import type {
  EgressDenyRule,
  EgressRule,
  IngressDenyRule,
  IngressRule,
  Rule,
} from "../api/v2/rule.ts";
import { EndpointSelector } from "../labels/endpoint-selector.ts";
import {
  POD_NAMESPACE_LABEL,
  POD_NAMESPACE_META_LABELS,
  POLICY_CLUSTER_LABEL,
} from "../labels/kubernetes-labels.ts";
import { policyLabels } from "./policy-labels.ts";
import type { PeerRule, PolicyRule } from "./policy-rule.ts";
import type { PolicySettings } from "./policy-settings.ts";
import { refuse } from "./refusal.ts";
import { checkRule, sanitizePorts } from "./sanitize.ts";

// Cilium's policies as rules (pkg/k8s/apis/cilium.io/v2/cnp_types.go Parse, pkg/k8s/apis/cilium.io/utils/utils.go).

const NAMESPACE_KEYS = [`k8s.${POD_NAMESPACE_LABEL}`, `any.${POD_NAMESPACE_LABEL}`] as const;
const CLUSTER_KEYS = [`k8s.${POLICY_CLUSTER_LABEL}`, `any.${POLICY_CLUSTER_LABEL}`] as const;

/** @throws FieldError for what an agent refuses: then none of the object's rules counts */
export function ciliumPolicyRules(
  policy: CiliumNetworkPolicy | CiliumClusterwideNetworkPolicy,
  settings: PolicySettings,
): readonly PolicyRule[] {
  const given: (readonly [path: FieldPath, rule: Rule])[] = [];
  if (policy.spec !== undefined) given.push([["spec"], policy.spec]);
  policy.specs?.forEach((rule, i) => {
    given.push([["specs", i], rule]);
  });
  if (given.length === 0) refuse(["spec"], "is required and missing", "empty policy");
  const isNamespaced = policy.kind === "CiliumNetworkPolicy";
  const namespace = isNamespaced ? (policy.metadata.namespace ?? "default") : "";
  return given.map(([path, rule]) => {
    checkRule(rule, path, settings);
    if (isNamespaced && rule.nodeSelector !== undefined) {
      refuse(
        [...path, "nodeSelector"],
        "can stand in a CiliumClusterwideNetworkPolicy alone, as nodes are in no namespace",
        "rule cannot have NodeSelector",
      );
    }
    return translate(rule, new Translation(rule, namespace, settings), policy);
  });
}

function translate(
  rule: Rule,
  to: Translation,
  { kind, metadata }: CiliumNetworkPolicy | CiliumClusterwideNetworkPolicy,
): PolicyRule {
  const { ingress = [], ingressDeny = [], egress = [], egressDeny = [] } = rule;
  const { enableDefaultDeny = {}, description, log } = rule;
  const { namespace } = to;
  const selectsNodes = rule.nodeSelector !== undefined;
  const subject = EndpointSelector.fromPolicy(
    (rule.nodeSelector ?? rule.endpointSelector) as LabelSelector,
  );
  return {
    subject:
      selectsNodes || namespace === "" ? subject : subject.withMatch(NAMESPACE_KEYS[0], namespace),
    selectsNodes,
    namespace,
    ingress: ingress.map((each) => to.ingress(each)),
    ingressDeny: ingressDeny.map((each) => to.ingress(each)),
    egress: egress.map((each) => to.egress(each)),
    egressDeny: egressDeny.map((each) => to.egress(each)),
    defaultDeny: {
      ingress: enableDefaultDeny.ingress ?? ingress.length + ingressDeny.length > 0,
      egress: enableDefaultDeny.egress ?? egress.length + egressDeny.length > 0,
    },
    labels: policyLabels(kind, { ...metadata, namespace }, rule.labels),
    ...(description !== undefined && { description }),
    ...(log?.value !== undefined && { log: log.value }),
  };
}

/** Puts the policy's namespace and cluster into selectors. */
class Translation {
  readonly namespace: string;
  readonly #cluster: string | undefined;
  /** Whether the rule is for endpoints that have no labels yet. */
  readonly #isForInit: boolean;

  constructor(rule: Rule, namespace: string, settings: PolicySettings) {
    this.namespace = namespace;
    this.#cluster = settings.defaultLocalCluster ? settings.clusterName : undefined;
    this.#isForInit =
      rule.endpointSelector !== undefined &&
      EndpointSelector.fromPolicy(rule.endpointSelector).hasKey("reserved.init");
  }

  ingress(rule: IngressRule & IngressDenyRule): PeerRule {
    return peerRule({
      endpoints: rule.fromEndpoints?.map((each) => this.#endpoints(each, true)),
      requires: rule.fromRequires?.map((each) => this.#endpoints(each, false)),
      nodes: rule.fromNodes?.map((each) => this.#nodes(each)),
      cidrs: rule.fromCIDR,
      cidrRules: rule.fromCIDRSet,
      entities: rule.fromEntities,
      groups: rule.fromGroups,
      ports: sanitizePorts(rule.toPorts),
      icmps: rule.icmps ?? [],
      authentication: rule.authentication,
    });
  }

  egress(rule: EgressRule & EgressDenyRule): PeerRule {
    return peerRule({
      endpoints: rule.toEndpoints?.map((each) => this.#endpoints(each, true)),
      requires: rule.toRequires?.map((each) => this.#endpoints(each, false)),
      nodes: rule.toNodes?.map((each) => this.#nodes(each)),
      cidrs: rule.toCIDR,
      cidrRules: rule.toCIDRSet,
      entities: rule.toEntities,
      groups: rule.toGroups,
      services: rule.toServices,
      fqdns: rule.toFQDNs,
      ports: sanitizePorts(rule.toPorts),
      icmps: rule.icmps ?? [],
      authentication: rule.authentication,
    });
  }

  /** @param keepReserved whether what selects by a reserved label stays as it is */
  #endpoints(given: LabelSelector, keepReserved: boolean): EndpointSelector {
    let selector = EndpointSelector.fromPolicy(given);
    if (keepReserved && selector.hasKeyPrefix("reserved.")) return selector;
    if (!NAMESPACE_KEYS.some((key) => selector.hasKey(key))) {
      const [key] = NAMESPACE_KEYS;
      if (this.namespace === "") {
        if (!this.#isForInit) selector = selector.withExpressions([{ key, operator: "Exists" }]);
      } else if (!selectsNamespaces(selector)) {
        selector = selector.withMatch(key, this.namespace);
      }
    }
    return this.#inCluster(selector);
  }

  #nodes(given: LabelSelector): EndpointSelector {
    const selector = EndpointSelector.fromPolicy(given);
    return this.#inCluster(
      selector.withExpressions([{ key: "reserved.remote-node", operator: "Exists" }]),
    );
  }

  #inCluster(selector: EndpointSelector): EndpointSelector {
    if (this.#cluster === undefined || CLUSTER_KEYS.some((key) => selector.hasKey(key))) {
      return selector;
    }
    return selector.withMatch(CLUSTER_KEYS[0], this.#cluster);
  }
}

function selectsNamespaces(selector: EndpointSelector): boolean {
  return ["k8s", "any"].some((source) =>
    selector.hasKeyPrefix(`${source}.${POD_NAMESPACE_META_LABELS}.`),
  );
}

type Given = { readonly [Field in keyof PeerRule]: PeerRule[Field] | undefined } & {
  readonly ports: PeerRule["ports"];
  readonly icmps: PeerRule["icmps"];
};

/** An absent list and one without items say different things. */
export function peerRule(given: Given): PeerRule {
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as unknown as PeerRule;
}
