import type { KubeObject, Labels, ObjectMeta, ServedVersion } from "@cnilab/core";

/** Where older stores keep what `projectcalico.org/v3` has in `metadata` (libcalico-go/lib/backend/k8s/resources/resources.go). */
const METADATA_ANNOTATION = "projectcalico.org/metadata";

const POLICIES = [
  "NetworkPolicy",
  "GlobalNetworkPolicy",
  "StagedNetworkPolicy",
  "StagedGlobalNetworkPolicy",
];

/** `crd.projectcalico.org/v1`: how Kubernetes stores Calico's objects behind its own API server, and so what `kubectl get … -o yaml` may have. */
export function crdV1(kind?: string): ServedVersion {
  const served = { group: "crd.projectcalico.org", version: "v1", convert };
  return kind === undefined ? served : { ...served, kind };
}

/** As ConvertK8sResourceToCalicoResource does; what cannot be read stays as it is, and is told of where it is checked. */
function convert(object: KubeObject): KubeObject {
  const metadata = convertMetadata(object);
  const spec = convertSpec(object);
  return { ...object, ...(metadata && { metadata }), ...(spec && { spec }) };
}

function convertMetadata(object: KubeObject): ObjectMeta | undefined {
  const { metadata } = object;
  if (!isMapping(metadata) || typeof metadata["name"] !== "string") return undefined;
  const { annotations, labels, ...rest } = metadata as unknown as ObjectMeta;
  const kept = isMapping(annotations) ? { ...(annotations as Labels) } : annotations;
  const stored = storedMetadata(kept);
  if (stored === undefined)
    return { ...(metadata as unknown as ObjectMeta), name: policyName(object) };
  delete (kept as Record<string, string>)[METADATA_ANNOTATION];
  const both = { ...(kept as Labels), ...(stored["annotations"] as Labels | undefined) };
  const allLabels = { ...labels, ...(stored["labels"] as Labels | undefined) };
  const { name, creationTimestamp } = stored as Partial<ObjectMeta>;
  return {
    ...rest,
    name: typeof name === "string" && name !== "" ? name : policyName(object),
    ...(creationTimestamp ? { creationTimestamp } : {}),
    ...(Object.keys(allLabels).length === 0 ? {} : { labels: allLabels }),
    ...(Object.keys(both).length === 0 ? {} : { annotations: both }),
  };
}

function storedMetadata(annotations: unknown): Readonly<Record<string, unknown>> | undefined {
  const text = isMapping(annotations) ? annotations[METADATA_ANNOTATION] : undefined;
  if (typeof text !== "string") return undefined;
  try {
    const stored: unknown = JSON.parse(text);
    return isMapping(stored) ? withoutNulls(stored) : undefined;
  } catch {
    return undefined;
  }
}

/** Policies of the default tier used to be stored with the tier before their names. */
function policyName(object: KubeObject): string {
  const { name } = object.metadata;
  const { spec } = object as { readonly spec?: { readonly tier?: unknown } };
  const tier = isMapping(spec) ? spec["tier"] : undefined;
  const isDefault = tier === undefined || tier === "" || tier === "default";
  return POLICIES.includes(object.kind) && isDefault && name.startsWith("default.")
    ? name.slice("default.".length)
    : name;
}

/** A BlockAffinity says as a text whether it is deleted. */
function convertSpec(object: KubeObject): object | undefined {
  const { spec } = object as { readonly spec?: unknown };
  if (object.kind !== "BlockAffinity" || !isMapping(spec)) return undefined;
  const { deleted, ...rest } = spec;
  if (deleted === "") return rest;
  return { ...rest, deleted: deleted === "true" ? true : deleted === "false" ? false : deleted };
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function withoutNulls(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== null));
}
