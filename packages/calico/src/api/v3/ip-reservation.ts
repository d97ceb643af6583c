import type { KubeObject } from "@cnilab/core";

export interface IPReservationSpec {
  readonly reservedCIDRs?: readonly string[];
}

/** Addresses that are never handed out by themselves. */
export interface IPReservation extends KubeObject {
  readonly kind: "IPReservation";
  readonly spec: IPReservationSpec;
}
