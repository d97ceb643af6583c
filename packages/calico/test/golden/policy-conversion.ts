import type { ClusterNetworkPolicy, KubeObject, NetworkPolicy, Pod } from "@cnilab/core";
import {
  type ConvertedPolicy,
  convertClusterNetworkPolicy,
  convertNetworkPolicy,
  formatPort,
  hasWorkloadEndpoint,
  type ModelPolicy,
  type ModelRule,
  type ModelRuleSide,
  modelGlobalNetworkPolicy,
  modelNetworkPolicy,
  modelProfile,
  modelWorkloadEndpoint,
  namespaceProfile,
  PodConversionError,
  type RuleProtocol,
  serviceAccountProfile,
  type v3,
  workloadEndpointKey,
  workloadEndpointOf,
} from "../../src/index.ts";
import type { GoldenRun } from "./golden-run.ts";

/** A line of `policy-conversion.ndjson`. */
interface ConversionVector {
  readonly input: KubeObject;
  readonly calicoKey?: string;
  readonly calico?: unknown;
  readonly felix?: readonly { readonly key: string; readonly value: unknown }[];
  readonly error?: string;
}

interface Outcome extends Omit<ConversionVector, "input"> {
  readonly reasons?: readonly string[];
}

/** Objects of Kubernetes as Calico's, and those as Felix's, as the real code makes them. */
export const policyConversion: GoldenRun<ConversionVector> = ({ input, ...want }) => {
  const { reasons = [], ...got } = outcome(input);
  if (got.error !== undefined && want.error !== undefined) return undefined;
  const differences = (["calicoKey", "calico", "felix"] as const)
    .filter((field) => sorted(told(want[field])) !== sorted(told(got[field])))
    .map((field) => `${field}: want ${sorted(want[field])}\ngot ${sorted(got[field])}`);
  // The message shows the rule as Go prints it; what is compared is which policy it is about, how many rules, and why.
  const name = `policy: ${input.metadata.name}: `;
  const error = want.error ?? "";
  if (
    reasons.length === 0
      ? error !== ""
      : !(error.startsWith(name) && reasons.every((reason) => error.includes(`(${reason})`)))
  ) {
    differences.push(`error: want ${error}\ngot ${reasons}`);
  }
  return differences.length === 0 ? undefined : differences.join("\n");
};

/** What is told of an object: a list without those of which it is only told that they are not. */
function told(value: unknown): unknown {
  if (!Array.isArray(value)) return value ?? undefined;
  const there = value.filter((each) => each.value !== undefined && each.value !== null);
  return there.length === 0 ? undefined : there;
}

function outcome(input: KubeObject): Outcome {
  switch (input.kind) {
    case "NetworkPolicy": {
      const converted = convertNetworkPolicy(input as NetworkPolicy);
      return policyOutcome(converted, modelNetworkPolicy(converted.policy));
    }
    case "ClusterNetworkPolicy": {
      const converted = convertClusterNetworkPolicy(input as ClusterNetworkPolicy);
      const calicoKey = `KubernetesClusterNetworkPolicy(${input.metadata.name})`;
      return converted === undefined
        ? { calicoKey }
        : policyOutcome(converted, modelGlobalNetworkPolicy(converted.policy));
    }
    case "Namespace":
      return profileOutcome(namespaceProfile(input));
    case "ServiceAccount":
      return profileOutcome(serviceAccountProfile(input));
    case "Pod":
      return hasWorkloadEndpoint(input as Pod) ? podOutcome(input as Pod) : {};
    default:
      throw new Error(`no conversion of ${input.kind}`);
  }
}

function policyOutcome(
  { id, policy, badRules }: ConvertedPolicy<unknown>,
  model: ModelPolicy,
): Outcome {
  const { kind, namespace = "", name } = id;
  return {
    calicoKey: `${kind}(${namespace === "" ? name : `${namespace}/${name}`})`,
    calico: policy,
    felix: [{ key: `/calico/v1/policy/${kind}/${namespace}/${name}`, value: policyJson(model) }],
    reasons: badRules.map(({ reason }) => reason),
  };
}

function profileOutcome(profile: v3.Profile): Outcome {
  const { name } = profile.metadata;
  const { labels, inboundRules, outboundRules } = modelProfile(profile);
  return {
    calicoKey: `Profile(${name})`,
    calico: profile,
    felix: [
      { key: `/calico/v1/policy/profile/${name}/labels`, value: Object.fromEntries(labels) },
      {
        key: `/calico/v1/policy/profile/${name}/rules`,
        value: {
          inbound_rules: inboundRules.map(ruleJson),
          outbound_rules: outboundRules.map(ruleJson),
        },
      },
      { key: `/calico/resources/v3/projectcalico.org/profiles/${name}`, value: profile },
    ],
  };
}

/** A pod that cannot be converted is left out; the real code's message shows the parser's as well. */
function podOutcome(pod: Pod): Outcome {
  try {
    return endpointOutcome(pod);
  } catch (error) {
    if (error instanceof PodConversionError) return { error: error.message };
    throw error;
  }
}

function endpointOutcome(pod: Pod): Outcome {
  const endpoint = workloadEndpointOf(pod);
  const { hostname, orchestratorId, workloadId, endpointId } = workloadEndpointKey(endpoint);
  const model = modelWorkloadEndpoint(endpoint);
  return {
    calicoKey: `WorkloadEndpoint(${endpoint.metadata.namespace}/${endpoint.metadata.name})`,
    calico: endpoint,
    felix: [
      {
        key: `/calico/v1/host/${hostname}/workload/${orchestratorId}/${workloadId.replaceAll("/", "%2f")}/endpoint/${endpointId}`,
        value: model && {
          state: model.state,
          name: model.name,
          active_instance_id: "",
          mac: null,
          profile_ids: model.profileIds,
          ipv4_nets: model.ipv4Nets.length === 0 ? null : model.ipv4Nets,
          ipv6_nets: model.ipv6Nets.length === 0 ? null : model.ipv6Nets,
          ipv4_nat: model.ipv4Nat.map(({ intIp, extIp }) => ({ int_ip: intIp, ext_ip: extIp })),
          ipv6_nat: model.ipv6Nat.map(({ intIp, extIp }) => ({ int_ip: intIp, ext_ip: extIp })),
          labels: Object.fromEntries(model.labels),
          ports: model.ports.map(({ protocol, ...port }) => ({
            ...port,
            protocol: protocolJson(protocol),
          })),
          allow_spoofed_source_ips: model.allowSpoofedSourcePrefixes,
          annotations: model.annotations,
          qosControls: model.qosControls && {
            ...model.qosControls,
            ...(model.dscp !== undefined && { dscp: model.dscp }),
          },
        },
      },
    ],
  };
}

/** As `libcalico-go/lib/backend/model/policy.go` says. */
function policyJson(policy: ModelPolicy): unknown {
  return {
    namespace: policy.namespace,
    tier: policy.tier,
    order: policy.order,
    inbound_rules: policy.inboundRules.map(ruleJson),
    outbound_rules: policy.outboundRules.map(ruleJson),
    selector: policy.selector,
    untracked: policy.doNotTrack || undefined,
    pre_dnat: policy.preDnat || undefined,
    apply_on_forward: policy.applyOnForward || undefined,
    types: policy.types,
    performance_hints: policy.performanceHints,
    staged_action: policy.stagedAction,
  };
}

function ruleJson(rule: ModelRule): unknown {
  return {
    action: rule.action,
    ip_version: rule.ipVersion,
    protocol: rule.protocol && protocolJson(rule.protocol),
    "!protocol": rule.notProtocol && protocolJson(rule.notProtocol),
    icmp_type: rule.icmpType,
    icmp_code: rule.icmpCode,
    "!icmp_type": rule.notIcmpType,
    "!icmp_code": rule.notIcmpCode,
    ...sideJson("src", rule.source),
    ...sideJson("dst", rule.destination),
    http: rule.http,
    metadata: rule.annotations && { annotations: rule.annotations },
  };
}

function sideJson(side: "src" | "dst", model: ModelRuleSide): Readonly<Record<string, unknown>> {
  return {
    [`${side}_nets`]: model.nets,
    [`!${side}_nets`]: model.notNets,
    [`${side}_selector`]: model.selector,
    [`!${side}_selector`]: model.notSelector,
    [`${side}_ports`]: model.ports?.map(formatPort),
    [`!${side}_ports`]: model.notPorts?.map(formatPort),
    [`${side}_service`]: model.service?.name,
    [`${side}_service_ns`]: model.service?.namespace,
    [`orig_${side}_selector`]: model.originalSelector,
    [`orig_${side}_namespace_selector`]: model.originalNamespaceSelector,
    [`!orig_${side}_selector`]: model.originalNotSelector,
    [`orig_${side}_service_acct_names`]: model.serviceAccountNames,
    [`orig_${side}_service_acct_selector`]: model.serviceAccountSelector,
  };
}

function protocolJson(protocol: RuleProtocol): string | number {
  return "name" in protocol ? protocol.name : protocol.number;
}

/** JSON with keys in order, without what is empty, as Go's `omitempty` leaves it out. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_, each) => {
    if (Array.isArray(each)) return each.length === 0 ? undefined : each;
    if (typeof each !== "object" || each === null) return each;
    return Object.fromEntries(
      Object.entries(each)
        .filter(([, v]) => !(Array.isArray(v) && v.length === 0))
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  });
}
