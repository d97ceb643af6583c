import type { KubeObject } from "./meta.ts";

// networking.k8s.io/v1 (Kubernetes v1.35, staging/src/k8s.io/api/networking/v1/types.go).

/** An Ingress names its class by this annotation where it has no `ingressClassName`. */
export const INGRESS_CLASS_ANNOTATION = "kubernetes.io/ingress.class";
/** On the IngressClass of Ingresses that name none. */
export const DEFAULT_CLASS_ANNOTATION = "ingressclass.kubernetes.io/is-default-class";

/** Exactly one of the fields. */
export interface IngressBackend {
  readonly service?: {
    readonly name: string;
    /** Exactly one of the fields. */
    readonly port?: { readonly name?: string; readonly number?: number };
  };
  readonly resource?: { readonly apiGroup?: string; readonly kind: string; readonly name: string };
}

export interface IngressPath {
  /** Any path where it is absent, which only `ImplementationSpecific` may be. */
  readonly path?: string;
  readonly pathType: "Exact" | "Prefix" | "ImplementationSpecific";
  readonly backend: IngressBackend;
}

export interface IngressRule {
  /** Any host where it is absent; `*.` in front stands for exactly one label. */
  readonly host?: string;
  readonly http?: { readonly paths: readonly IngressPath[] };
}

export interface IngressTls {
  readonly hosts?: readonly string[];
  readonly secretName?: string;
}

export interface Ingress extends KubeObject {
  readonly kind: "Ingress";
  readonly spec: {
    readonly ingressClassName?: string;
    readonly defaultBackend?: IngressBackend;
    readonly tls?: readonly IngressTls[];
    readonly rules?: readonly IngressRule[];
  };
  readonly status?: {
    readonly loadBalancer?: {
      readonly ingress?: readonly {
        readonly ip?: string;
        readonly hostname?: string;
        readonly ports?: readonly {
          readonly port: number;
          readonly protocol: string;
          readonly error?: string;
        }[];
      }[];
    };
  };
}

export interface IngressClass extends KubeObject {
  readonly kind: "IngressClass";
  readonly spec?: {
    readonly controller?: string;
    readonly parameters?: {
      readonly apiGroup?: string;
      readonly kind: string;
      readonly name: string;
      readonly scope?: "Cluster" | "Namespace";
      readonly namespace?: string;
    };
  };
}
