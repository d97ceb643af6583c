import type { IpAddress } from "@cnilab/net";
import type { Labels, Protocol } from "../api/meta.ts";
import type { CniResult } from "../cni.ts";
import type { Sandbox } from "../machine.ts";

export interface PodIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Labels;
  readonly annotations: Labels;
}

export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: Protocol;
  readonly hostIP?: string;
}

/** A pod's sandbox that is to be joined to the network. */
export interface PodAttachment {
  readonly containerId: string;
  /** Name of the interface inside the sandbox, as `eth0`. */
  readonly ifName: string;
  readonly sandbox: Sandbox;
  readonly pod: PodIdentity;
  readonly portMappings: readonly PortMapping[];
  /**
   * Addresses that the pod is to have, at most one of each family (the `ips` capability). One outside
   * the node's ranges is given as it is, without IPAM, and routed to the pod on this node; the cluster
   * routes it to the node.
   */
  readonly requestedIps?: readonly IpAddress[];
  /** Bits a second and bits, from the `kubernetes.io/ingress-bandwidth` annotations. */
  readonly bandwidth?: {
    readonly ingressRate?: number;
    readonly ingressBurst?: number;
    readonly egressRate?: number;
    readonly egressBurst?: number;
  };
}

/**
 * Joins pods to their node: through a Linux bridge, a routed veth, eBPF, or whatever the node's
 * machine has. Failures are `CniError`s; the caller then detaches and tries again later.
 */
export interface BridgeEngine {
  attach(attachment: PodAttachment): CniResult;
  /** Undoes {@link attach}, also one that failed half-way or was undone before. */
  detach(attachment: PodAttachment): void;
  /** Fails when the attachment is no longer what {@link attach} made. */
  check(attachment: PodAttachment): void;
}
