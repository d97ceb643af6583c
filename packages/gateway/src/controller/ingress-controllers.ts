import { type ApiClient, type KubeObject, objectKey, type Pod, selects } from "@cnilab/core";
import { CONTROLLER_CLASS, claimedIngresses, INGRESS_CLASS } from "../ingress/claim.ts";
import {
  type IngressFlags,
  ingressFlags,
  ingressInput,
  runsIngressNginx,
} from "./ingress-program.ts";

/** An ingress-nginx that runs in the cluster, or is to run: the one that comes by itself, or one of the input's. */
export interface IngressController {
  /** As `Deployment ingress-nginx/ingress-nginx-controller`. */
  readonly text: string;
  readonly flags: IngressFlags;
  /** `spec.controller` of the IngressClasses that are its own. */
  readonly controllerClass: string;
  /** Its name in the annotation `kubernetes.io/ingress.class`. */
  readonly ingressClass: string;
  /** `namespace/name` of the Ingresses that it serves. */
  readonly claimed: ReadonlySet<string>;
  readonly pods: readonly Pod[];
}

/** By the containers that run its image, with the flags that they are started with. */
export function ingressControllers(api: ApiClient): IngressController[] {
  const workloads = [
    ...api.list("Deployment"),
    ...api.list("DaemonSet"),
    ...api.list("StatefulSet"),
  ].map((workload) => {
    const { metadata, spec } = workload;
    const pods = () =>
      api
        .list("Pod", metadata.namespace)
        .filter((pod) => selects(spec.selector, pod.metadata.labels));
    return { object: workload as KubeObject, spec: spec.template.spec, pods };
  });
  const alone = api
    .list("Pod")
    .filter(({ metadata }) => (metadata.ownerReferences ?? []).length === 0)
    .map((pod) => ({ object: pod as KubeObject, spec: pod.spec, pods: () => [pod] }));
  return [...workloads, ...alone].flatMap(({ object, spec, pods }) => {
    const container = spec.containers.find(runsIngressNginx);
    if (container === undefined) return [];
    const flags = ingressFlags(container, object);
    return [
      {
        text: `${object.kind} ${objectKey(object)}`,
        flags,
        controllerClass: flags.controllerClass ?? CONTROLLER_CLASS,
        ingressClass: flags.ingressClass ?? INGRESS_CLASS,
        claimed: new Set(claimedIngresses(ingressInput(api, flags), flags).map(objectKey)),
        pods: pods(),
      },
    ];
  });
}
