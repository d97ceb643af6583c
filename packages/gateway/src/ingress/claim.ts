import { INGRESS_CLASS_ANNOTATION, type Ingress, objectKey } from "@cnilab/core";
import type { IngressControllerOptions, IngressInput } from "./ingress-input.ts";

/** What `--controller-class` and `--ingress-class` are where they are not given. */
export const CONTROLLER_CLASS = "k8s.io/ingress-nginx";
export const INGRESS_CLASS = "nginx";

/**
 * The Ingresses that a controller serves, the oldest first: where two want one path, it has it
 * (ingress-nginx internal/ingress/controller/store/store.go GetIngressClass, sortIngressSlice).
 */
export function claimedIngresses(
  { ingresses, ingressClasses }: IngressInput,
  options: IngressControllerOptions,
): Ingress[] {
  const {
    controllerClass = CONTROLLER_CLASS,
    ingressClass = INGRESS_CLASS,
    watchIngressWithoutClass = false,
  } = options;
  const own = new Set(
    ingressClasses
      .filter(({ spec }) => spec?.controller === controllerClass)
      .map(({ metadata }) => metadata.name),
  );
  const claimed = ingresses.filter(({ metadata, spec }) => {
    if (spec.ingressClassName !== undefined) return own.has(spec.ingressClassName);
    const annotation = metadata.annotations?.[INGRESS_CLASS_ANNOTATION];
    return annotation === undefined ? watchIngressWithoutClass : annotation === ingressClass;
  });
  return claimed.sort(
    (x, y) => compare(created(x), created(y)) || compare(objectKey(y), objectKey(x)),
  );
}

function created({ metadata }: Ingress): string {
  return metadata.creationTimestamp ?? "";
}

function compare(x: string, y: string): number {
  return x < y ? -1 : x > y ? 1 : 0;
}
