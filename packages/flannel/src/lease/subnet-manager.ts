import type { IpAddress, IpFamily, Mac } from "@cnilab/net";
import type { Lease, LeaseAttributes } from "./lease.ts";
import type { LeaseEvents, LeaseTable } from "./lease-table.ts";

/** A flanneld that cannot go on: it says why and exits. */
export class FlanneldError extends Error {
  override readonly name = "FlanneldError";
}

/** The leases as a running flanneld learns of them. */
export interface LeaseUpdate {
  /** All leases from now on. */
  readonly table: LeaseTable;
  /** What happened since the last update; `undefined` for the first. */
  readonly events: LeaseEvents | undefined;
}

/** Where leases come from: Kubernetes' Node objects or etcd (pkg/subnet/subnet.go Manager). */
export interface SubnetManager {
  /** Tells the others of this node. @returns its lease. @throws FlanneldError */
  acquireLease(attributes: LeaseAttributes): Lease;
  /** MAC that the node's vxlan device of a family had before. */
  storedMac(family: IpFamily): Mac | undefined;
  /** Address that the node's annotations say it is to be reached at. */
  storedPublicIp(family: IpFamily): IpAddress | undefined;
  /** Reports each change of the leases, at first all that there are. @returns how to stop it */
  watchLeases(report: (update: LeaseUpdate) => void): () => void;
  /** The node is ready: keeps its lease alive, and reports when it is taken away. @returns how to stop it */
  completeLease(lease: Lease, revoked: () => void): () => void;
}
