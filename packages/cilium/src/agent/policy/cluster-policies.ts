import { type KubeObject, type NetworkPolicy, objectKey, type Timer } from "@cnilab/core";
import { FieldError } from "@cnilab/core/validation";
import type {
  CiliumCIDRGroup,
  CiliumClusterwideNetworkPolicy,
  CiliumNetworkPolicy,
} from "../../api/v2/network-policy.ts";
import type { IpSource } from "../../identity/ip-cache.ts";
import { RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { PrefixInfo } from "../../identity/prefix-metadata.ts";
import { RESERVED_LABELS } from "../../identity/reserved-identities.ts";
import { cidrLabels } from "../../labels/cidr-labels.ts";
import { cidrGroupLabel } from "../../labels/cidr-selectors.ts";
import { LABEL_SOURCE, label } from "../../labels/label.ts";
import { labelSet } from "../../labels/label-set.ts";
import { worldLabel } from "../../labels/reserved-labels.ts";
import { ciliumPolicyRules } from "../../policy/cilium-policy.ts";
import { kubernetesPolicyRule } from "../../policy/kubernetes-policy.ts";
import { PolicyRepository } from "../../policy/policy-repository.ts";
import { type PolicyRule, requiresDerivative } from "../../policy/policy-rule.ts";
import { policyServices } from "../../policy/policy-services.ts";
import type { PolicySettings } from "../../policy/policy-settings.ts";
import { SelectorCache } from "../../policy/selector-cache.ts";
import { type PolicyService, refersToServices, resolveServices } from "../../policy/to-services.ts";
import { type AgentWorld, watchLate } from "../identity/agent-world.ts";
import type { ClusterIdentities } from "../identity/cluster-identities.ts";
import { ClusterIpcache, type IpcacheSettings } from "../identity/cluster-ipcache.ts";
import { EndpointPolicies } from "./endpoint-policies.ts";
import { NamedPorts, portsOfPod } from "./named-ports.ts";
import { policyPrefixes, prefixesOf } from "./policy-prefixes.ts";

export interface ClusterPolicySettings {
  readonly policy: PolicySettings;
  readonly ipcache: IpcacheSettings;
  /** Of an endpoint's map (`bpf-policy-map-max`). */
  readonly maxEntries: number;
}

type Policy = NetworkPolicy | CiliumNetworkPolicy | CiliumClusterwideNetworkPolicy;

/** An object's rules as they are to be from now on. */
interface PolicyUpdate {
  readonly source: IpSource;
  /** With Services not looked up yet; none where the object is gone. */
  readonly rules: readonly PolicyRule[];
}

/** Milliseconds in which updates are gathered (pkg/policy/cell/policy_importer.go). */
const IMPORT_BUFFER_MS = 10;
/** Milliseconds between two rounds of what is not a policy's change (pkg/defaults PolicyTriggerInterval). */
const TRIGGER_INTERVAL_MS = 1000;

/**
 * Policies of a cluster, as all agents hear of them: watched, parsed and resolved once. Each agent of the real thing has a copy of all of
 * this (pkg/policy/k8s, pkg/policy/cell).
 */
export class ClusterPolicies {
  readonly repository: PolicyRepository;
  readonly selectors: SelectorCache = new SelectorCache();
  readonly ipcache: ClusterIpcache;
  readonly endpoints: EndpointPolicies;
  readonly settings: PolicySettings;
  readonly #world: AgentWorld;
  readonly #namedPorts = new NamedPorts();
  readonly #problems = new Map<string, string>();
  /** Of what is in the repository, by object, before Services are looked up. */
  readonly #rules = new Map<string, PolicyUpdate>();
  readonly #withServices = new Set<string>();
  #queue = new Map<string, PolicyUpdate>();
  #import: Timer | undefined;
  #trigger: Timer | undefined;
  #triggeredAt = Number.NEGATIVE_INFINITY;

  constructor(world: AgentWorld, identities: ClusterIdentities, settings: ClusterPolicySettings) {
    this.#world = world;
    this.settings = settings.policy;
    this.repository = new PolicyRepository(settings.policy);
    const reserved = new Map(RESERVED_LABELS);
    reserved.delete(RESERVED_IDENTITY.unknown);
    this.selectors.updateIdentities(reserved, []);
    this.selectors.updateIdentities(identities.known.labels, []);
    identities.known.listen((added, deleted) => this.selectors.updateIdentities(added, deleted));
    this.endpoints = new EndpointPolicies({
      network: world.network,
      settings: settings.policy,
      repository: this.repository,
      selectors: this.selectors,
      namedPorts: this.#namedPorts,
      maxEntries: settings.maxEntries,
    });
    this.ipcache = new ClusterIpcache(world, settings.ipcache, (added, deleted) =>
      this.selectors.updateIdentities(added, deleted),
    );
    this.#watch();
    // What is there when agents start is all known before an endpoint gets its first policy.
    this.#process();
  }

  /** Objects of which nothing, or what was there before, is enforced, and why: by `Kind namespace/name`. */
  get problems(): ReadonlyMap<string, string> {
    return this.#problems;
  }

  #watch(): void {
    const world = this.#world;
    watchLate(world, "NetworkPolicy", ({ type, object }) =>
      this.#update(object, type === "DELETED", "k8s", () => [
        kubernetesPolicyRule(object, this.settings),
      ]),
    );
    for (const kind of [
      "CiliumNetworkPolicy.cilium.io",
      "CiliumClusterwideNetworkPolicy.cilium.io",
    ] as const) {
      watchLate(world, kind, ({ type, object, old }) => {
        // A status that the operator has written.
        if (type === "MODIFIED" && sameSpec(object, old)) return;
        this.#update(object, type === "DELETED", "custom-resource", () =>
          ciliumPolicyRules(object, this.settings),
        );
      });
    }
    watchLate(world, "CiliumCIDRGroup.cilium.io", ({ type, object }) =>
      this.#groupChanged(object, type === "DELETED"),
    );
    watchLate(world, "Service", () => this.#servicesChanged());
    watchLate(world, "EndpointSlice", () => this.#servicesChanged());
    watchLate(world, "Pod", ({ type, object }) => {
      const hasAddress = (object.status?.podIPs ?? []).length > 0;
      const counts = type !== "DELETED" && object.spec.hostNetwork !== true && hasAddress;
      const ports = counts ? portsOfPod(object) : undefined;
      if (this.#namedPorts.set(objectKey(object), ports)) this.#triggerNamedPorts();
    });
  }

  /** Where an object is refused what it said before stays (pkg/policy/k8s/cilium_network_policy.go). */
  #update(
    object: Policy,
    isDeleted: boolean,
    source: IpSource,
    rulesOf: () => readonly PolicyRule[],
  ): void {
    const resource = resourceOf(object);
    const problem = `${object.kind} ${objectKey(object)}`;
    this.#problems.delete(problem);
    if (isDeleted) {
      this.#enqueue(resource, { source, rules: [] });
      return;
    }
    try {
      const rules = rulesOf();
      if (rules.some(requiresDerivative)) {
        this.#problems.set(
          problem,
          "names groups of a cloud, and waits for a policy that the operator makes of it",
        );
        return;
      }
      this.#enqueue(resource, { source, rules });
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      this.#problems.set(problem, error.message);
    }
  }

  #enqueue(resource: string, update: PolicyUpdate): void {
    this.#queue.set(resource, update);
    this.#import ??= this.#world.clock.schedule(IMPORT_BUFFER_MS, () => this.#process());
  }

  /**
   * First ranges get their identities, then policies change, then endpoints do, and last ranges that nobody speaks of any more lose theirs:
   * so nothing is dropped meanwhile (policyImporter.processUpdates).
   */
  #process(): void {
    this.#import?.cancel();
    this.#import = undefined;
    const updates = this.#queue;
    this.#queue = new Map();
    const services = this.#services([...updates.values()]);
    const stale: (() => void)[] = [];
    const changed: PolicyRule[] = [];
    const resolved = new Map<string, readonly PolicyRule[]>();
    for (const [resource, update] of updates) {
      if (update.rules.length === 0) this.#rules.delete(resource);
      else this.#rules.set(resource, update);
      if (update.rules.some(refersToServices)) this.#withServices.add(resource);
      else this.#withServices.delete(resource);
      const rules = update.rules.map((rule) => resolveServices(rule, services, this.settings));
      resolved.set(resource, rules);
      stale.push(this.#sayPrefixes(resource, rules, update.source));
    }
    for (const [resource, rules] of resolved) {
      changed.push(...this.repository.replace(resource, rules));
    }
    if (changed.length > 0) this.endpoints.rulesChanged(changed);
    for (const prune of stale) prune();
  }

  /** @returns what is to be done once the rules are in force */
  #sayPrefixes(resource: string, rules: readonly PolicyRule[], source: IpSource): () => void {
    const { dualStack } = this.settings;
    const [kind = "", namespace = "", name = ""] = resource.split("/");
    const origin = namespace === "" ? { kind, name } : { kind, namespace, name };
    const infos = policyPrefixes(rules).map((prefix) => {
      const info: PrefixInfo = { source, labels: cidrLabels(prefix, dualStack), origin };
      return [prefix, info] as const;
    });
    return this.ipcache.replace(resource, infos);
  }

  /** What `toServices` may mean, unless no policy has any. */
  #services(updates: readonly PolicyUpdate[]): readonly PolicyService[] {
    if (!updates.some(({ rules }) => rules.some(refersToServices))) return [];
    const { api } = this.#world;
    return policyServices(api.list("Service"), api.list("EndpointSlice"));
  }

  /** A Service or its backends changed: policies that speak of Services are looked at anew. */
  #servicesChanged(): void {
    for (const resource of this.#withServices) {
      const update = this.#rules.get(resource);
      if (update !== undefined && !this.#queue.has(resource)) this.#enqueue(resource, update);
    }
  }

  #groupChanged({ metadata, spec }: CiliumCIDRGroup, isDeleted: boolean): void {
    const { name } = metadata;
    const labels = Object.entries(metadata.labels ?? {})
      .filter(([key]) => !key.includes("io.cilium.k8s"))
      .map(([key, value]) => label(LABEL_SOURCE.cidrGroup, key, value));
    const prefixes = isDeleted ? [] : prefixesOf(spec.externalCIDRs);
    const infos = prefixes.map((prefix) => {
      const world = worldLabel(prefix.family, this.settings.dualStack);
      const info: PrefixInfo = {
        source: "generated",
        labels: labelSet([...labels, cidrGroupLabel(name), world]),
        origin: { kind: "CiliumCIDRGroup", name },
      };
      return [prefix, info] as const;
    });
    this.ipcache.say(`cidrgroup//${name}`, infos);
  }

  /** At once if the last time is long ago, else together with others (pkg/policy/trigger.go). */
  #triggerNamedPorts(): void {
    const { clock } = this.#world;
    const wait = Math.max(0, this.#triggeredAt + TRIGGER_INTERVAL_MS - clock.now);
    this.#trigger ??= clock.schedule(wait, () => {
      this.#trigger = undefined;
      this.#triggeredAt = clock.now;
      this.endpoints.namedPortsChanged();
    });
  }
}

/** `Kind/namespace/name`. */
function resourceOf({ kind, metadata }: KubeObject): string {
  return `${kind}/${metadata.namespace ?? ""}/${metadata.name}`;
}

function sameSpec(
  x: CiliumNetworkPolicy | CiliumClusterwideNetworkPolicy,
  y: CiliumNetworkPolicy | CiliumClusterwideNetworkPolicy | undefined,
): boolean {
  return x.spec === y?.spec && x.specs === y?.specs && x.metadata.uid === y?.metadata.uid;
}
