import type { Labels } from "@cnilab/core";
import type {
  BlockAffinitySpec,
  IPAMBlockSpec,
  IPAMConfigurationSpec,
  IPAMHandleSpec,
} from "../api/v3.ts";
import type { Pool } from "./pool.ts";

/** Something out of the datastore, with what tells whether it has been changed since. */
export interface Stored<T> {
  readonly value: T;
  readonly revision: string;
}

/** Whose a block is: a host's, or the load balancer controller's (`virtual`). */
export interface AffinityOwner {
  readonly type: "host" | "virtual";
  readonly host: string;
}

export interface AffinityKey extends AffinityOwner {
  readonly cidr: string;
}

/**
 * What IPAM keeps its state in, as little of libcalico-go's backend client as it needs. Changes are compare-and-swap: `update` and `delete`
 * take what was read before. Where it was changed since they throw UpdateConflict, where it is gone ResourceDoesNotExist; `create` throws
 * ResourceAlreadyExists.
 */
export interface IpamDatastore {
  /** @throws ResourceDoesNotExist */
  nodeLabels(name: string): Labels;
  /** All pools, by name. */
  pools(): readonly Pool[];
  /** `undefined` while there is none. */
  configuration(): IPAMConfigurationSpec | undefined;
  reservedCidrs(): readonly string[];

  /** CIDRs of a host's affinities, in the datastore's order. */
  affinitiesOf(owner: AffinityOwner): readonly string[];
  /** Keys of all affinities. */
  affinities(): readonly AffinityKey[];
  /** @throws ResourceDoesNotExist */
  affinity(key: AffinityKey): Stored<BlockAffinitySpec>;
  createAffinity(affinity: BlockAffinitySpec): Stored<BlockAffinitySpec>;
  updateAffinity(
    old: Stored<BlockAffinitySpec>,
    affinity: BlockAffinitySpec,
  ): Stored<BlockAffinitySpec>;
  deleteAffinity(old: Stored<BlockAffinitySpec>): void;

  /** @throws ResourceDoesNotExist */
  block(cidr: string): Stored<IPAMBlockSpec>;
  /** As {@link block} for one of many, `undefined` where there is none. To be asked within the moment of one call. */
  findBlock(cidr: string): IPAMBlockSpec | undefined;
  /** In the datastore's order. */
  blocks(): readonly Stored<IPAMBlockSpec>[];
  createBlock(block: IPAMBlockSpec): Stored<IPAMBlockSpec>;
  updateBlock(old: Stored<IPAMBlockSpec>, block: IPAMBlockSpec): Stored<IPAMBlockSpec>;
  deleteBlock(old: Stored<IPAMBlockSpec>): void;

  /** @throws ResourceDoesNotExist */
  handle(id: string): Stored<IPAMHandleSpec>;
  /** As {@link handle}, `undefined` where there is none: that is how most of them begin. */
  findHandle(id: string): Stored<IPAMHandleSpec> | undefined;
  handles(): readonly Stored<IPAMHandleSpec>[];
  createHandle(handle: IPAMHandleSpec): Stored<IPAMHandleSpec>;
  updateHandle(old: Stored<IPAMHandleSpec>, handle: IPAMHandleSpec): Stored<IPAMHandleSpec>;
  deleteHandle(old: Stored<IPAMHandleSpec>): void;
}
