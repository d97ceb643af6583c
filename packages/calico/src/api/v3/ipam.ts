import type { KubeObject } from "@cnilab/core";

export interface IPAMConfigurationSpec {
  /** No node takes addresses out of another's block. */
  readonly strictAffinity: boolean;
  readonly autoAllocateBlocks: boolean;
  /** 0: as many as IPAM allows by itself. */
  readonly maxBlocksPerHost?: number;
  readonly kubeVirtVMAddressPersistence?: "Enabled" | "Disabled";
  /** How long a released address is not given away again. */
  readonly ipCooldownSeconds?: number;
}

export interface IPAMConfiguration extends KubeObject {
  readonly kind: "IPAMConfiguration";
  readonly spec: IPAMConfigurationSpec;
}

/** Who has an address, or had it. */
export interface AllocationAttribute {
  readonly handle_id?: string;
  /** The pod or node that has it. */
  readonly secondary?: Readonly<Record<string, string>>;
  readonly alternateOwnerAttrs?: Readonly<Record<string, string>>;
  readonly releasedAt?: string;
}

export interface IPAMBlockSpec {
  readonly cidr: string;
  /** `host:NODE` or `virtual:NAME`; absent when nobody's. */
  readonly affinity?: string;
  readonly affinityClaimTime?: string;
  /** By ordinal: the place of its attribute in `attributes`, or nothing. */
  readonly allocations: readonly (number | null)[];
  /** Free ordinals; the first is handed out next. */
  readonly unallocated: readonly number[];
  readonly attributes: readonly AllocationAttribute[];
  readonly sequenceNumber?: number;
  /** By ordinal: the block's sequence number when the address was handed out. */
  readonly sequenceNumberForAllocation?: Readonly<Record<string, number>>;
  readonly deleted?: boolean;
  /** No longer read: IPAMConfiguration has it. */
  readonly strictAffinity?: boolean;
}

export interface IPAMBlock extends KubeObject {
  readonly kind: "IPAMBlock";
  readonly spec: IPAMBlockSpec;
}

export interface IPAMHandleSpec {
  readonly handleID: string;
  /** Number of addresses by block. */
  readonly block: Readonly<Record<string, number>>;
  readonly deleted?: boolean;
}

export interface IPAMHandle extends KubeObject {
  readonly kind: "IPAMHandle";
  readonly spec: IPAMHandleSpec;
}

/** Empty counts as confirmed. */
export type BlockAffinityState = "confirmed" | "pending" | "pendingDeletion" | "";

export interface BlockAffinitySpec {
  readonly state: BlockAffinityState;
  readonly node: string;
  /** `host` where it is left out. */
  readonly type?: string;
  readonly cidr: string;
  readonly deleted?: boolean;
}

export interface BlockAffinity extends KubeObject {
  readonly kind: "BlockAffinity";
  readonly spec: BlockAffinitySpec;
}
