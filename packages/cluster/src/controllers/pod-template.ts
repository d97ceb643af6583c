import type { ApiClient, KubeObject, Labels, ObjectMeta, Pod, PodTemplateSpec } from "@cnilab/core";
import { nameSuffix } from "../api/name-suffix.ts";
import { controllerReference } from "./owner.ts";

/** Pods of one template share what the template gives them: one object for all. */
const labelsWith = new WeakMap<object, { readonly extra: string; readonly labels: Labels }>();

/** A pod as a controller makes it from a template; `labels` are added to the template's. */
export function podFromTemplate(
  owner: KubeObject,
  template: PodTemplateSpec,
  name: string,
  labels: Labels = {},
): Pod {
  const { annotations } = template.metadata ?? {};
  const metadata: ObjectMeta = {
    name,
    namespace: owner.metadata.namespace as string,
    labels: sharedLabels(template, labels),
    ...(annotations === undefined ? {} : { annotations }),
    ownerReferences: references(owner),
  };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: template.spec };
}

/** A name that no object of the kind has: the base, and five letters. */
export function generatedName(
  api: ApiClient,
  kind: "Pod" | "ReplicaSet" | "EndpointSlice",
  namespace: string,
  base: string,
  first: number,
): { readonly name: string; readonly next: number } {
  for (let number = first; ; number++) {
    const name = `${base}${nameSuffix(`${namespace}/${base}`, number)}`;
    if (api.get(kind, `${namespace}/${name}`) === undefined) return { name, next: number + 1 };
  }
}

function sharedLabels(template: PodTemplateSpec, labels: Labels): Labels {
  const extra = JSON.stringify(labels);
  const known = labelsWith.get(template);
  if (known?.extra === extra) return known.labels;
  const all = { ...template.metadata?.labels, ...labels };
  labelsWith.set(template, { extra, labels: all });
  return all;
}

type OwnerReferences = NonNullable<ObjectMeta["ownerReferences"]>;
const referencesTo = new WeakMap<object, OwnerReferences>();

/** One array for all pods that are made of one version of their owner. */
function references(owner: KubeObject): OwnerReferences {
  let made = referencesTo.get(owner);
  if (made === undefined) {
    made = [controllerReference(owner)];
    referencesTo.set(owner, made);
  }
  return made;
}
