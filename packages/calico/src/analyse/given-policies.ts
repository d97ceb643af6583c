import type { ClusterNetworkPolicy, KubeObject, NetworkPolicy } from "@cnilab/core";
import type { Direction, ObjectsByKind } from "@cnilab/network-policy";
import type { PolicyId } from "../calc/messages.ts";
import { convertClusterNetworkPolicy } from "../conversion/cluster-network-policy.ts";
import type { ConvertedPolicy } from "../conversion/converted-policy.ts";
import type { ModelPolicy } from "../conversion/model.ts";
import { modelGlobalNetworkPolicy, modelNetworkPolicy } from "../conversion/model-policies.ts";
import { convertNetworkPolicy } from "../conversion/network-policy.ts";

/** A policy as it was given, and as Felix takes it. */
export interface GivenPolicy {
  readonly object: KubeObject;
  readonly id: PolicyId;
  readonly model: ModelPolicy;
  /** Where in the object each of Felix's rules comes from. */
  readonly paths: Readonly<Record<Direction, readonly string[]>>;
}

/** What is not enforced, and why. */
export interface IgnoredPolicy {
  readonly object: KubeObject;
  readonly reason: string;
}

/** All policies that Felix enforces, whatever their kind. */
export function givenPolicies(objects: ObjectsByKind): {
  readonly policies: readonly GivenPolicy[];
  readonly ignored: readonly IgnoredPolicy[];
} {
  const policies: GivenPolicy[] = [];
  const ignored: IgnoredPolicy[] = [];
  for (const object of objects.of("NetworkPolicy.projectcalico.org")) {
    const { namespace = "default", name } = object.metadata;
    const id = { name, namespace, kind: "NetworkPolicy" } as const;
    policies.push({ object, id, model: modelNetworkPolicy(object), paths: pathsOf(object.spec) });
  }
  for (const object of objects.of("GlobalNetworkPolicy.projectcalico.org")) {
    const id = { name: object.metadata.name, kind: "GlobalNetworkPolicy" } as const;
    policies.push({
      object,
      id,
      model: modelGlobalNetworkPolicy(object),
      paths: pathsOf(object.spec),
    });
  }
  for (const object of objects.of("NetworkPolicy")) {
    const converted = convertNetworkPolicy(object);
    policies.push({
      object,
      id: converted.id,
      model: modelNetworkPolicy(converted.policy),
      paths: convertedPaths(object, (one) => convertNetworkPolicy(one).policy.spec),
    });
    ignored.push(...badRules(object, converted));
  }
  for (const object of objects.of("ClusterNetworkPolicy")) {
    const converted = convertClusterNetworkPolicy(object);
    if (converted === undefined) {
      ignored.push({ object, reason: "Calico knows neither its tier nor whom it is about" });
      continue;
    }
    policies.push({
      object,
      id: converted.id,
      model: modelGlobalNetworkPolicy(converted.policy),
      paths: convertedPaths(object, (one) => convertClusterNetworkPolicy(one)?.policy.spec ?? {}),
    });
    ignored.push(...badRules(object, converted));
  }
  for (const kind of [
    "StagedNetworkPolicy.projectcalico.org",
    "StagedGlobalNetworkPolicy.projectcalico.org",
    "StagedKubernetesNetworkPolicy.projectcalico.org",
  ] as const) {
    for (const object of objects.of(kind)) {
      ignored.push({ object, reason: "it is staged: what it would do is counted alone" });
    }
  }
  for (const kind of ["AdminNetworkPolicy", "BaselineAdminNetworkPolicy"] as const) {
    for (const object of objects.of(kind)) {
      ignored.push({ object, reason: "Calico enforces ClusterNetworkPolicies in its place" });
    }
  }
  return { policies, ignored };
}

interface Rules {
  readonly ingress?: readonly unknown[];
  readonly egress?: readonly unknown[];
}

function pathsOf({ ingress = [], egress = [] }: Rules): GivenPolicy["paths"] {
  return {
    ingress: ingress.map((_, i) => `spec.ingress[${i}]`),
    egress: egress.map((_, i) => `spec.egress[${i}]`),
  };
}

/** A rule of Kubernetes becomes as many as it has protocols and peers: each is converted by itself to see how many. */
function convertedPaths<P extends NetworkPolicy | ClusterNetworkPolicy>(
  policy: P,
  convert: (policy: P) => Rules,
): GivenPolicy["paths"] {
  const paths = (direction: Direction) =>
    ((policy.spec as Rules)[direction] ?? []).flatMap((rule, i) => {
      const spec = { ...policy.spec, ingress: [], egress: [], [direction]: [rule] };
      const count = convert({ ...policy, spec })[direction]?.length ?? 0;
      return Array.from({ length: count }, () => `spec.${direction}[${i}]`);
    });
  return { ingress: paths("ingress"), egress: paths("egress") };
}

function badRules(
  object: KubeObject,
  { badRules }: ConvertedPolicy<unknown>,
): readonly IgnoredPolicy[] {
  return badRules.map(({ direction, index, reason }) => ({
    object,
    reason: `spec.${direction}[${index}]: ${reason}`,
  }));
}
