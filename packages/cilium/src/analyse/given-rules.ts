import type { KubeObject, NetworkPolicy } from "@cnilab/core";
import { FieldError } from "@cnilab/core/validation";
import type { ObjectsByKind } from "@cnilab/network-policy";
import type {
  CiliumClusterwideNetworkPolicy,
  CiliumNetworkPolicy,
} from "../api/v2/network-policy.ts";
import { ciliumPolicyRules } from "../policy/cilium-policy.ts";
import { kubernetesPolicyRule } from "../policy/kubernetes-policy.ts";
import { type PolicyRule, requiresDerivative } from "../policy/policy-rule.ts";
import { policyServices } from "../policy/policy-services.ts";
import type { PolicySettings } from "../policy/policy-settings.ts";
import { resolveServices } from "../policy/to-services.ts";

export type Section = "ingress" | "ingressDeny" | "egress" | "egressDeny";

/** A rule as agents keep it, and where it comes from. */
export interface GivenRule {
  readonly object: KubeObject;
  readonly rule: PolicyRule;
  /** Where in the object each rule of a section stands. */
  readonly paths: Readonly<Record<Section, readonly string[]>>;
}

/** What is not enforced, and why. */
export interface IgnoredPolicy {
  readonly object: KubeObject;
  readonly reason: string;
}

/** All rules that agents enforce, whatever the kinds of their objects. */
export function givenRules(
  objects: ObjectsByKind,
  settings: PolicySettings,
): { readonly rules: readonly GivenRule[]; readonly ignored: readonly IgnoredPolicy[] } {
  const rules: GivenRule[] = [];
  const ignored: IgnoredPolicy[] = [];
  const services = policyServices(objects.of("Service"), objects.of("EndpointSlice"));
  for (const object of [
    ...objects.of("CiliumNetworkPolicy.cilium.io"),
    ...objects.of("CiliumClusterwideNetworkPolicy.cilium.io"),
  ]) {
    const read = readRules(object, settings);
    if (typeof read === "string") ignored.push({ object, reason: read });
    else if (read.some(requiresDerivative)) {
      const reason = "it names groups of a cloud, whose addresses an operator would have to tell";
      ignored.push({ object, reason });
    } else {
      const paths = [
        ...(object.spec === undefined ? [] : ["spec"]),
        ...(object.specs ?? []).map((_, i) => `specs[${i}]`),
      ];
      read.forEach((rule, i) => {
        const resolved = resolveServices(rule, services, settings);
        rules.push({ object, rule: resolved, paths: pathsOf(rule, paths[i] as string) });
      });
    }
  }
  for (const object of objects.of("NetworkPolicy")) {
    const rule = kubernetesPolicyRule(object, settings);
    rules.push({ object, rule, paths: kubernetesPaths(object) });
  }
  for (const kind of [
    "ClusterNetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
  ] as const) {
    for (const object of objects.of(kind)) {
      ignored.push({ object, reason: "Cilium 1.18 does not read such policies" });
    }
  }
  return { rules, ignored };
}

/** What an agent says against a policy, or its rules. */
function readRules(
  object: CiliumNetworkPolicy | CiliumClusterwideNetworkPolicy,
  settings: PolicySettings,
): readonly PolicyRule[] | string {
  try {
    return ciliumPolicyRules(object, settings);
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    return error.message;
  }
}

function pathsOf(rule: PolicyRule, path: string): GivenRule["paths"] {
  const paths = (section: Section) => rule[section].map((_, i) => `${path}.${section}[${i}]`);
  return {
    ingress: paths("ingress"),
    ingressDeny: paths("ingressDeny"),
    egress: paths("egress"),
    egressDeny: paths("egressDeny"),
  };
}

/** Each peer is a rule of its own. */
function kubernetesPaths({ spec }: NetworkPolicy): GivenRule["paths"] {
  const paths = (
    section: "ingress" | "egress",
    peers: readonly (readonly unknown[] | undefined)[],
  ) =>
    peers.flatMap((each = [], i) =>
      Array.from({ length: Math.max(each.length, 1) }, () => `spec.${section}[${i}]`),
    );
  return {
    ingress: paths(
      "ingress",
      (spec.ingress ?? []).map(({ from }) => from),
    ),
    ingressDeny: [],
    egress: paths(
      "egress",
      (spec.egress ?? []).map(({ to }) => to),
    ),
    egressDeny: [],
  };
}
