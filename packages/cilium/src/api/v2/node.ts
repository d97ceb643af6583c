import type { KubeObject } from "@cnilab/core";
import type { AddressPair } from "./endpoint.ts";

export interface NodeAddress {
  readonly type?: string;
  readonly ip?: string;
}

/** Who has an address of a pool. */
export interface AllocationIP {
  readonly owner?: string;
  readonly resource?: string;
}

export interface IPAMPoolAllocation {
  readonly pool: string;
  readonly cidrs?: readonly string[];
}

export interface IPAMPoolRequest {
  readonly pool: string;
  readonly needed?: { readonly "ipv4-addrs"?: number; readonly "ipv6-addrs"?: number };
}

export interface IPAMSpec {
  readonly podCIDRs?: readonly string[];
  readonly pool?: Readonly<Record<string, AllocationIP>>;
  readonly "ipv6-pool"?: Readonly<Record<string, AllocationIP>>;
  readonly pools?: {
    readonly requested?: readonly IPAMPoolRequest[];
    readonly allocated?: readonly IPAMPoolAllocation[];
  };
  readonly "min-allocate"?: number;
  readonly "max-allocate"?: number;
  readonly "pre-allocate"?: number;
  readonly "max-above-watermark"?: number;
  readonly "static-ip-tags"?: Readonly<Record<string, string>>;
}

export interface CiliumNodeSpec {
  readonly "instance-id"?: string;
  readonly bootid?: string;
  readonly addresses?: readonly NodeAddress[];
  readonly health?: AddressPair;
  readonly ingress?: AddressPair;
  readonly encryption?: { readonly key?: number };
  readonly ipam?: IPAMSpec;
  readonly nodeidentity?: number;
}

export interface CiliumNode extends KubeObject {
  readonly kind: "CiliumNode";
  readonly spec: CiliumNodeSpec;
  readonly status?: {
    readonly ipam?: {
      readonly used?: Readonly<Record<string, AllocationIP>>;
      readonly "ipv6-used"?: Readonly<Record<string, AllocationIP>>;
      readonly "operator-status"?: { readonly error?: string };
    };
  };
}
