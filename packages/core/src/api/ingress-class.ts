import {
  DEFAULT_CLASS_ANNOTATION,
  INGRESS_CLASS_ANNOTATION,
  type Ingress,
  type IngressClass,
} from "./ingress.ts";

/**
 * An Ingress with the default class where it names none, as the API server stores a new one; it itself where nothing is
 * missing (plugin/pkg/admission/network/defaultingressclass). Of several defaults the newest counts.
 */
export function withDefaultIngressClass(
  ingress: Ingress,
  classes: readonly IngressClass[],
): Ingress {
  if (ingress.spec.ingressClassName !== undefined) return ingress;
  if (ingress.metadata.annotations?.[INGRESS_CLASS_ANNOTATION] !== undefined) return ingress;
  const [newest] = classes
    .filter(({ metadata }) => metadata.annotations?.[DEFAULT_CLASS_ANNOTATION] === "true")
    .sort((x, y) => compare(created(y), created(x)) || compare(x.metadata.name, y.metadata.name));
  if (newest === undefined) return ingress;
  return { ...ingress, spec: { ...ingress.spec, ingressClassName: newest.metadata.name } };
}

function created({ metadata }: IngressClass): string {
  return metadata.creationTimestamp ?? "";
}

function compare(x: string, y: string): number {
  return x < y ? -1 : x > y ? 1 : 0;
}
