import type { InterfaceAddress, IpAddress, Prefix } from "@cnilab/net";
import type { PodIdentity } from "./bridge.ts";

export interface IpamRequest {
  readonly containerId: string;
  readonly ifName: string;
  /** Absent where an address is not for a pod. */
  readonly pod?: PodIdentity;
  /** Addresses asked for; the engine gives these or fails. */
  readonly requested?: readonly IpAddress[];
}

export interface IpamResult {
  readonly ips: readonly { readonly address: InterfaceAddress; readonly gateway?: IpAddress }[];
  readonly routes: readonly { readonly dst: Prefix; readonly gw?: IpAddress }[];
}

/** Hands out the addresses of one node's pods. Failures are `CniError`s and change nothing. */
export interface IpamEngine {
  allocate(request: IpamRequest): IpamResult;
  /** Gives back all that `containerId` holds on `ifName`; nothing held is no error. */
  release(containerId: string, ifName: string): void;
  /** Fails unless `containerId` holds an address on `ifName`. */
  check(containerId: string, ifName: string): void;
  /**
   * Whether an address is of those that it hands out, so that the overlay brings packets for it to its pod's node. Where this is absent
   * the addresses of the node's pod ranges are.
   */
  holds?(address: IpAddress): boolean;
  /** What it takes addresses from on this node, as things are now. Where this is absent the node's pod ranges are. */
  ranges?(): readonly Prefix[];
}
