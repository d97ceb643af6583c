import type {
  HostEndpoint,
  IpSetType,
  Policy,
  PolicyId,
  Profile,
  WorkloadEndpoint,
} from "../calc/messages.ts";

/** Members of an IP set; the same object as long as they are the same. */
export interface IpSetMembers {
  readonly type: IpSetType;
  /** Of both families. */
  readonly members: ReadonlySet<string>;
}

/** A policy with its name. */
export interface NamedPolicy {
  readonly id: PolicyId;
  readonly policy: Policy;
}

/** What the calculation graph has told a node's dataplane so far. Values that did not change are the same objects. */
export interface NodePolicy {
  /** By the text of their id; those that select an endpoint of the node. */
  readonly policies: ReadonlyMap<string, NamedPolicy>;
  readonly profiles: ReadonlyMap<string, Profile>;
  /** By a key of the sender's. */
  readonly workloads: ReadonlyMap<string, WorkloadEndpoint>;
  /** By the name of the HostEndpoint. */
  readonly hosts: ReadonlyMap<string, HostEndpoint>;
  /** By id; those that the policies name. */
  readonly ipSets: ReadonlyMap<string, IpSetMembers>;
}
