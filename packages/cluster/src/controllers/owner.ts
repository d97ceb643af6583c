import type { KubeObject, OwnerReference } from "@cnilab/core";

/** The reference that makes `owner` the controller of a new object. */
export function controllerReference(owner: KubeObject): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid as string,
    controller: true,
  };
}

/** Uid of the controller of an object; `undefined` for one that nobody controls. */
export function controllerUid(object: KubeObject): string | undefined {
  const references = object.metadata.ownerReferences;
  if (references === undefined) return undefined;
  for (const { controller, uid } of references) if (controller === true) return uid;
  return undefined;
}
