import type { KubeObject } from "@cnilab/core";

export type EndpointState =
  | "creating"
  | "waiting-for-identity"
  | "not-ready"
  | "waiting-to-regenerate"
  | "regenerating"
  | "restoring"
  | "ready"
  | "disconnecting"
  | "disconnected"
  | "invalid";

export interface AddressPair {
  readonly ipv4?: string;
  readonly ipv6?: string;
}

export interface EndpointPolicyDirection {
  readonly enforcing: boolean;
  readonly state?: "enforcing" | "non-enforcing" | "disabled";
}

export interface EndpointStatus {
  readonly id?: number;
  readonly "external-identifiers"?: Readonly<Record<string, string>>;
  readonly identity?: { readonly id?: number; readonly labels?: readonly string[] };
  readonly networking?: {
    readonly addressing: readonly AddressPair[];
    readonly node?: string;
  };
  readonly encryption?: { readonly key?: number };
  readonly policy?: {
    readonly ingress?: EndpointPolicyDirection;
    readonly egress?: EndpointPolicyDirection;
  };
  readonly state?: EndpointState;
  readonly "named-ports"?: readonly {
    readonly name?: string;
    readonly port?: number;
    readonly protocol?: string;
  }[];
}

/** What its node says of a pod. */
export interface CiliumEndpoint extends KubeObject {
  readonly kind: "CiliumEndpoint";
  readonly status: EndpointStatus;
}
