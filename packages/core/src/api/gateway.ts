import type { Condition, KubeObject, LabelSelector } from "./meta.ts";

// gateway.networking.k8s.io, Gateway API v1.6.1 (apis/v1); older versions of a kind have the same fields or fewer.

/** A condition as these kinds write it, all fields given. */
export interface GatewayCondition extends Condition {
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
}

export interface GatewayClass extends KubeObject {
  readonly kind: "GatewayClass";
  readonly spec: {
    /** As `example.net/gateway-controller`. */
    readonly controllerName: string;
    readonly parametersRef?: {
      readonly group: string;
      readonly kind: string;
      readonly name: string;
      readonly namespace?: string;
    };
    readonly description?: string;
  };
  readonly status?: { readonly conditions?: readonly GatewayCondition[] };
}

/** An object that may be in another namespace, where a ReferenceGrant lets it. */
export interface ObjectReference {
  readonly group?: string;
  readonly kind?: string;
  readonly name: string;
  readonly namespace?: string;
}

export interface ListenerTls {
  /** `Terminate` where it is absent. */
  readonly mode?: "Terminate" | "Passthrough";
  /** Secrets where no kind is given. */
  readonly certificateRefs?: readonly ObjectReference[];
  readonly options?: Readonly<Record<string, string>>;
}

export interface RouteGroupKind {
  readonly group?: string;
  readonly kind: string;
}

export type FromNamespaces = "All" | "Selector" | "Same" | "None";

export interface Listener {
  readonly name: string;
  /** Any host where it is absent; `*.` in front stands for one or more labels. */
  readonly hostname?: string;
  readonly port: number;
  /** HTTP, HTTPS, TLS, TCP, UDP, or a name with a domain in front. */
  readonly protocol: string;
  readonly tls?: ListenerTls;
  readonly allowedRoutes?: {
    readonly namespaces?: {
      /** `Same` where it is absent. */
      readonly from?: FromNamespaces;
      readonly selector?: LabelSelector;
    };
    readonly kinds?: readonly RouteGroupKind[];
  };
}

export interface GatewayAddress {
  readonly type?: string;
  readonly value?: string;
}

export interface ListenerStatus {
  readonly name: string;
  readonly supportedKinds: readonly RouteGroupKind[];
  readonly attachedRoutes: number;
  readonly conditions: readonly GatewayCondition[];
}

export interface Gateway extends KubeObject {
  readonly kind: "Gateway";
  readonly spec: {
    readonly gatewayClassName: string;
    readonly listeners: readonly Listener[];
    readonly addresses?: readonly GatewayAddress[];
    readonly infrastructure?: {
      readonly labels?: Readonly<Record<string, string>>;
      readonly annotations?: Readonly<Record<string, string>>;
      readonly parametersRef?: {
        readonly group: string;
        readonly kind: string;
        readonly name: string;
      };
    };
    /** ListenerSets of which namespaces may add listeners; of none where it is absent. */
    readonly allowedListeners?: {
      readonly namespaces?: {
        readonly from?: FromNamespaces;
        readonly selector?: LabelSelector;
      };
    };
    /** How backends and clients are authenticated; nothing of it decides where a request goes. */
    readonly tls?: {
      readonly backend?: { readonly clientCertificateRef?: ObjectReference };
      readonly frontend?: unknown;
    };
  };
  readonly status?: {
    readonly addresses?: readonly GatewayAddress[];
    readonly conditions?: readonly GatewayCondition[];
    readonly listeners?: readonly ListenerStatus[];
    readonly attachedListenerSets?: number;
  };
}

/** Further listeners of a Gateway; before v1.5 it was `XListenerSet` of gateway.networking.x-k8s.io. */
export interface ListenerSet extends KubeObject {
  readonly kind: "ListenerSet";
  readonly spec: {
    readonly parentRef: ObjectReference;
    readonly listeners: readonly Listener[];
  };
  readonly status?: {
    readonly conditions?: readonly GatewayCondition[];
    readonly listeners?: readonly ListenerStatus[];
  };
}

/** In the namespace of what is referred to: who may refer to it from elsewhere. */
export interface ReferenceGrant extends KubeObject {
  readonly kind: "ReferenceGrant";
  readonly spec: {
    readonly from: readonly {
      readonly group: string;
      readonly kind: string;
      readonly namespace: string;
    }[];
    readonly to: readonly {
      readonly group: string;
      readonly kind: string;
      readonly name?: string;
    }[];
  };
}

export interface BackendTLSPolicy extends KubeObject {
  readonly kind: "BackendTLSPolicy";
  readonly spec: {
    readonly targetRefs: readonly {
      readonly group: string;
      readonly kind: string;
      readonly name: string;
      /** A Service's port by its name. */
      readonly sectionName?: string;
    }[];
    readonly validation: {
      readonly caCertificateRefs?: readonly {
        readonly group: string;
        readonly kind: string;
        readonly name: string;
      }[];
      readonly wellKnownCACertificates?: string;
      readonly hostname: string;
      readonly subjectAltNames?: readonly {
        readonly type: "Hostname" | "URI";
        readonly hostname?: string;
        readonly uri?: string;
      }[];
    };
    readonly options?: Readonly<Record<string, string>>;
  };
  readonly status?: {
    readonly ancestors?: readonly {
      readonly ancestorRef: ParentReference;
      readonly controllerName: string;
      readonly conditions: readonly GatewayCondition[];
    }[];
  };
}

/** What a route attaches to: a Gateway where no kind is given. */
export interface ParentReference extends ObjectReference {
  /** One listener by its name. */
  readonly sectionName?: string;
  /** Listeners on this port. */
  readonly port?: number;
}
