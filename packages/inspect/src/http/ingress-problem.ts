import { type ApiClient, INGRESS_CLASS_ANNOTATION, type Ingress, objectKey } from "@cnilab/core";
import {
  type IngressController,
  type IngressFinding,
  ingressControllers,
  ingressInput,
  ingressRules,
} from "@cnilab/gateway";
import { isReady, withoutAddress } from "./proxy-service.ts";

/** Who serves Ingresses, and what is wrong with those that nobody serves. */
export class IngressProblems {
  readonly #api: ApiClient;
  readonly #controllers: readonly IngressController[];

  constructor(api: ApiClient) {
    this.#api = api;
    this.#controllers = ingressControllers(api);
  }

  /** What ingress-nginx logs of Ingresses: paths that an older one has, Secrets that are no use, annotations that do nothing. */
  *findings(): Iterable<IngressFinding> {
    for (const { flags } of this.#controllers) {
      yield* ingressRules(ingressInput(this.#api, flags), flags).findings;
    }
  }

  of(ingress: Ingress): string | undefined {
    const who = `Ingress ${objectKey(ingress)}`;
    const own = this.#controllers.find(({ claimed }) => claimed.has(objectKey(ingress)));
    if (own !== undefined) {
      return hasAddress(ingress) ? undefined : `${who} has no address: ${this.#whyNone(own)}`;
    }
    const { ingressClassName } = ingress.spec;
    const classes = this.#api.list("IngressClass").map(({ metadata }) => metadata.name);
    const there = classes.length === 0 ? "there is none" : `there is ${classes.join(", ")}`;
    const annotation = ingress.metadata.annotations?.[INGRESS_CLASS_ANNOTATION];
    if (ingressClassName === undefined && annotation !== undefined) {
      return (
        this.#elsewhere(who, ingress, ({ ingressClass }) => ingressClass === annotation) ??
        `${who} asks for class ${annotation} by the annotation ${INGRESS_CLASS_ANNOTATION}, which nobody serves here; ${this.#text(({ text, ingressClass }) => `${text} serves ${ingressClass}`)}`
      );
    }
    if (ingressClassName === undefined) {
      return `${who} names no class, and no IngressClass is the default one: set spec.ingressClassName (${there})`;
    }
    const ingressClass = this.#api.get("IngressClass", ingressClassName);
    if (ingressClass === undefined) {
      return `${who} names IngressClass ${ingressClassName}, which is not there: create it, or set spec.ingressClassName (${there})`;
    }
    if (hasAddress(ingress)) return undefined;
    const controller = ingressClass.spec?.controller;
    return (
      this.#elsewhere(who, ingress, ({ controllerClass }) => controllerClass === controller) ??
      `${who}: IngressClass ${ingressClassName} is of controller ${controller}, which does not run here; ${this.#text(({ text, controllerClass }) => `${text} is ${controllerClass}`)}`
    );
  }

  /** Its class is served, but not in its namespace. */
  #elsewhere(
    who: string,
    { metadata }: Ingress,
    serves: (controller: IngressController) => boolean,
  ): string | undefined {
    const found = this.#controllers.find(serves);
    if (found === undefined) return undefined;
    return `${who}: ${found.text} serves its class in namespace ${found.flags.watchNamespace} alone (--watch-namespace), and it is in ${metadata.namespace}`;
  }

  #text(of: (controller: IngressController) => string): string {
    return this.#controllers.map(of).join(", ") || "no ingress-nginx runs";
  }

  #whyNone({ text, flags: { publishService }, pods }: IngressController): string {
    const service =
      publishService === undefined ? undefined : this.#api.get("Service", publishService);
    if (publishService !== undefined && service === undefined) {
      return `Service ${publishService}, which ${text} publishes (--publish-service), is not there`;
    }
    if (!pods.some(isReady)) return `no pod of ${text} is ready`;
    return service === undefined
      ? "its controller has not seen it yet"
      : withoutAddress(this.#api, service);
  }
}

function hasAddress({ status }: Ingress): boolean {
  return (status?.loadBalancer?.ingress ?? []).length > 0;
}
