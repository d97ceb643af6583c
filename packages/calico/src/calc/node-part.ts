import type { IpSetMembers } from "./ip-set.ts";
import type { IpSetState, Member } from "./label-class.ts";
import type { HostEndpoint, Profile, WorkloadEndpoint } from "./messages.ts";
import type { NodeCalc } from "./node-calc.ts";
import type { ActivePolicy, NodeChanges } from "./node-policy.ts";
import type { Scanned } from "./rule-scanner.ts";
import { sameValue } from "./same-value.ts";

/** What a node's part asks the graph for. */
export interface NodeSource {
  /** Settles what is pending. */
  flush(): void;
  /** A policy's rules if it is active on a node. */
  policyOn(key: string, node: string): Scanned<ActivePolicy> | undefined;
  /** A profile's rules if an endpoint of a node has it. */
  profileOn(name: string, node: string): Scanned<Profile> | undefined;
  /** A workload endpoint by its key in the graph, if it is on a node. */
  workloadOn(key: string, node: string): WorkloadEndpoint | undefined;
  /** A host endpoint by its key in the graph, if it is on a node. */
  hostOn(key: string, node: string): HostEndpoint | undefined;
  /** An IP set that an active policy or profile names. */
  ipSet(id: string): IpSetState | undefined;
}

/** A {@link NodeCalc} as the graph keeps it: what changed since the node last took, and where to find it. */
export class NodePart implements NodeCalc {
  readonly name: string;
  readonly policies: Map<string, ActivePolicy> = new Map();
  readonly profiles: Map<string, Profile> = new Map();
  readonly workloads: Map<string, WorkloadEndpoint> = new Map();
  readonly hosts: Map<string, HostEndpoint> = new Map();
  readonly ipSets: Map<string, IpSetMembers> = new Map();
  readonly #source: NodeSource;
  readonly #listeners = new Set<() => void>();
  /** IP sets of the policies and profiles that are shown, by what names them. */
  readonly #named = new Map<string, readonly string[]>();
  readonly #uses = new Map<string, number>();
  readonly #states = new Map<string, IpSetState>();
  readonly #touched = {
    policies: new Set<string>(),
    profiles: new Set<string>(),
    /** Keys in the graph, and the ids that are shown. */
    workloads: new Map<string, string>(),
    hosts: new Map<string, string>(),
    ipSets: new Set<string>(),
  };
  #told = false;

  constructor(name: string, source: NodeSource) {
    this.name = name;
    this.#source = source;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.hasChanges) {
      this.#told = true;
      listener();
    }
    return () => this.#listeners.delete(listener);
  }

  get hasChanges(): boolean {
    return Object.values(this.#touched).some(({ size }) => size > 0);
  }

  take(): NodeChanges {
    this.#told = true;
    this.#source.flush();
    const touched = this.#touched;
    const affectedSets = new Set(touched.ipSets);
    const policies = [...touched.policies].filter((key) =>
      this.#show(
        this.policies,
        key,
        `policy ${key}`,
        this.#source.policyOn(key, this.name),
        affectedSets,
      ),
    );
    const profiles = [...touched.profiles].filter((key) =>
      this.#show(
        this.profiles,
        key,
        `profile ${key}`,
        this.#source.profileOn(key, this.name),
        affectedSets,
      ),
    );
    const workloads = [...touched.workloads].flatMap(([key, id]) =>
      putEqual(this.workloads, id, this.#source.workloadOn(key, this.name)) ? [id] : [],
    );
    const hosts = [...touched.hosts].flatMap(([key, id]) =>
      putEqual(this.hosts, id, this.#source.hostOn(key, this.name)) ? [id] : [],
    );
    const ipSets = [...affectedSets].filter((id) => this.#showIpSet(id));
    for (const each of Object.values(touched)) each.clear();
    this.#told = false;
    return { policies, profiles, workloads, hosts, ipSets };
  }

  touchPolicy(key: string): void {
    this.#touched.policies.add(key);
  }

  touchProfile(name: string): void {
    this.#touched.profiles.add(name);
  }

  touchMember({ key, model }: Member): void {
    (model.kind === "host" ? this.#touched.hosts : this.#touched.workloads).set(key, model.id);
  }

  touchIpSet(id: string): void {
    this.#touched.ipSets.add(id);
  }

  /** Tells who listens, once. */
  tell(): void {
    if (this.#told || !this.hasChanges) return;
    this.#told = true;
    for (const listener of this.#listeners) listener();
  }

  /** Shows rules or takes them away, and counts the sets that they name. */
  #show<T>(
    shown: Map<string, T>,
    key: string,
    by: string,
    scanned: Scanned<T> | undefined,
    affected: Set<string>,
  ): boolean {
    if (shown.get(key) === scanned?.message) return false;
    const before = this.#named.get(by) ?? [];
    const now = scanned?.ipSets.map(({ id }) => id) ?? [];
    for (const id of now) this.#uses.set(id, (this.#uses.get(id) ?? 0) + 1);
    for (const id of before) this.#uses.set(id, (this.#uses.get(id) ?? 0) - 1);
    for (const id of [...before, ...now]) affected.add(id);
    if (now.length === 0) this.#named.delete(by);
    else this.#named.set(by, now);
    return put(shown, key, scanned?.message);
  }

  #showIpSet(id: string): boolean {
    const wanted = (this.#uses.get(id) ?? 0) > 0 ? this.#source.ipSet(id) : undefined;
    if (wanted === undefined) this.#uses.delete(id);
    const state = this.#states.get(id);
    if (state !== wanted) {
      state?.nodes.delete(this);
      wanted?.nodes.add(this);
      put(this.#states, id, wanted);
    }
    return put(this.ipSets, id, wanted?.set.members);
  }
}

/** @returns whether that is another value than before */
function put<T>(map: Map<string, T>, key: string, value: T | undefined): boolean {
  if (map.get(key) === value) return false;
  if (value === undefined) map.delete(key);
  else map.set(key, value);
  return true;
}

/** As {@link put}, but a value equal to the one before leaves that in its place. */
function putEqual<T>(map: Map<string, T>, key: string, value: T | undefined): boolean {
  const before = map.get(key);
  return put(map, key, sameValue(before, value) ? before : value);
}
