import type { KubeObject, Service } from "@cnilab/core";

/** Services have one family where they do not ask for two. */
export function inBothFamilies(object: KubeObject): KubeObject {
  if (object.kind !== "Service") return object;
  const service = object as Service;
  return { ...service, spec: { ...service.spec, ipFamilyPolicy: "RequireDualStack" } } as Service;
}
