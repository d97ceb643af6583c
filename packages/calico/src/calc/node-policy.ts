import type { IpSetMembers } from "./ip-set.ts";
import type { HostEndpoint, Policy, PolicyId, Profile, WorkloadEndpoint } from "./messages.ts";

/** A policy with its name. */
export interface ActivePolicy {
  readonly id: PolicyId;
  readonly policy: Policy;
}

/** What a node's dataplane is to have. A value that did not change is the same object, on all nodes. */
export interface NodeDataplane {
  /** Those that select an endpoint of the node, by the text of their id (`np/blue/web`). */
  readonly policies: ReadonlyMap<string, ActivePolicy>;
  /** By name. */
  readonly profiles: ReadonlyMap<string, Profile>;
  /** By orchestrator, workload and endpoint: `k8s/blue/web-0/eth0`. */
  readonly workloads: ReadonlyMap<string, WorkloadEndpoint>;
  /** By the name of the HostEndpoint. */
  readonly hosts: ReadonlyMap<string, HostEndpoint>;
  /** Those that its policies and profiles name, by id. */
  readonly ipSets: ReadonlyMap<string, IpSetMembers>;
}

/** Keys of {@link NodeDataplane} whose values are others now, came or went. */
export interface NodeChanges {
  readonly policies: readonly string[];
  readonly profiles: readonly string[];
  readonly workloads: readonly string[];
  readonly hosts: readonly string[];
  readonly ipSets: readonly string[];
}
