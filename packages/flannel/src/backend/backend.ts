import type { Clock, HostFiles, Random } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import type { NetConf } from "../conf/net-conf.ts";
import type { ExternalInterface } from "../external-interface.ts";
import type { Lease, LeaseAttributes } from "../lease/lease.ts";
import type { LeaseEvents, LeaseTable } from "../lease/lease-table.ts";
import type { SubnetManager } from "../lease/subnet-manager.ts";

/** What a backend works with on its node. */
export interface BackendContext {
  readonly netns: NetNamespace;
  readonly files: HostFiles;
  readonly clock: Clock;
  readonly random: Random;
  readonly conf: NetConf;
  readonly iface: ExternalInterface;
  readonly leases: Pick<SubnetManager, "storedMac">;
  /** Says what went wrong and was left at that. */
  readonly log: (message: string) => void;
}

/** How packets get from node to node (pkg/backend/common.go Backend and Network). */
export interface Backend {
  /** What a pod's packet may have, as subnet.env tells the CNI plugin. Known after {@link register}. */
  readonly mtu: number;
  /** Prepares the node. `acquire` tells the others of it, and returns its lease. @throws FlanneldError */
  register(acquire: (attributes: LeaseAttributes) => Lease): Lease;
  /** Programs the way to all nodes with a lease. Called once, when the daemon runs. */
  run(table: LeaseTable): void;
  /** Follows a change that led to `table`. */
  update(table: LeaseTable, events: LeaseEvents): void;
  /** The daemon ends; most of what it programmed stays. */
  stop(): void;
}

/** Attributes of a backend that has nothing to tell but where the node is. */
export function plainAttributes(iface: ExternalInterface, backendType = ""): LeaseAttributes {
  return {
    publicIp: iface.extAddress,
    publicIpv6: undefined,
    backendType,
    backendData: "null",
    backendV6Data: "null",
  };
}
