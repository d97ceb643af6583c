import type { Ingress, IngressClass, Secret, Service } from "@cnilab/core";
import type { ProxyRules } from "../routing/proxy-rules.ts";

/** What an ingress controller watches. */
export interface IngressInput {
  readonly ingresses: readonly Ingress[];
  readonly ingressClasses: readonly IngressClass[];
  /** Absent where nobody knows them: then every Service that is named counts as there. */
  readonly services?: readonly Service[];
  /** Absent where nobody knows them: then every Secret that is named counts as there. */
  readonly secrets?: readonly Secret[];
}

export type IngressDialect = "ingress-nginx" | "kubernetes";

/** As the flags of ingress-nginx. */
export interface IngressControllerOptions {
  /** `--controller-class`: `spec.controller` of the classes that are its own; `k8s.io/ingress-nginx`. */
  readonly controllerClass?: string;
  /** `--ingress-class`: its name in the annotation `kubernetes.io/ingress.class`; `nginx`. */
  readonly ingressClass?: string;
  /** `--watch-ingress-without-class`. */
  readonly watchIngressWithoutClass?: boolean;
  /** ConfigMap key `ssl-redirect`: http of a host with a certificate goes to https; true. */
  readonly sslRedirect?: boolean;
  /** ConfigMap key `http-redirect-code`; 308. */
  readonly httpRedirectCode?: number;
  /**
   * Whether paths and hosts are compared as ingress-nginx compares them, with its annotations (the default), or as the
   * API's documentation says and its conformance tests check, which ingress-nginx does not in every case.
   */
  readonly dialect?: IngressDialect;
}

/** Something that a person should know of one Ingress. */
export interface IngressFinding {
  readonly ingress: { readonly namespace: string; readonly name: string };
  /** `spec.rules[0].http.paths[1]`, or the annotation's name. */
  readonly field: string;
  readonly message: string;
}

export interface IngressRules extends ProxyRules {
  /** The Ingresses of this controller, whose status has its address. */
  readonly claimed: readonly Ingress[];
  /** Paths that an older Ingress has taken, Services and Secrets that are not there, annotations that do nothing here. */
  readonly findings: readonly IngressFinding[];
}
