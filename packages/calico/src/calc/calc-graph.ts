import type { EndpointSlice } from "@cnilab/core";
import type {
  ModelEndpointPort,
  ModelHostEndpoint,
  ModelNetworkSet,
  ModelPolicy,
  ModelProfile,
  ModelRule,
  ModelTier,
  ModelWorkloadEndpoint,
  WorkloadEndpointKey,
} from "../conversion/model.ts";
import { policyIdText } from "../names/policy-id.ts";
import type { Selector } from "../selector/selector.ts";
import { SelectorIndex } from "../selector/selector-index.ts";
import { CandidateClasses } from "./candidate-classes.ts";
import { hostEndpointMessage, workloadEndpointMessage } from "./endpoint-messages.ts";
import { endpointTiers, sameTiers } from "./endpoint-tiers.ts";
import { networkSetNets } from "./ip-set-contribution.ts";
import { IpSetIndex } from "./ip-set-index.ts";
import { addTo, deleteFrom } from "./keyed-sets.ts";
import { LabelClass, type Member, type PolicyState, type ProfileState } from "./label-class.ts";
import type { PolicyId, Profile } from "./messages.ts";
import type { NodeCalc } from "./node-calc.ts";
import { NodePart, type NodeSource } from "./node-part.ts";
import { type Scanned, scanPolicy, scanProfile } from "./rule-scanner.ts";
import { sameValue } from "./same-value.ts";
import { SelectorReader } from "./selector-reader.ts";

/** How Felix is configured, as far as its calculations depend on it. */
export interface CalcGraphOptions {
  /** Leaves members out of a set that lie within others; off only where `nftablesMode` is Disabled. */
  readonly suppressOverlaps?: boolean;
  /** FelixConfiguration's `workloadSourceSpoofing` is Any; where it is not, a pod that asks to spoof is no endpoint at all. */
  readonly sourceSpoofing?: boolean;
}

const DROP: ModelRule = { action: "deny", source: {}, destination: {} };
/** Of a profile that endpoints name and that is not there (`felix/calc/active_rules_calculator.go` DummyDropRules). */
const MISSING_PROFILE: ModelProfile = {
  inboundRules: [DROP],
  outboundRules: [DROP],
  labels: new Map(),
};

/**
 * Felix's calculation graph (`felix/calc`), for all nodes at once: which policies select which endpoints, which addresses are in the sets that
 * those policies name, in what order an endpoint meets them. What nodes have in common is worked out once; a {@link NodeCalc} shows a node's part.
 * A change costs what it touches. Nodes see changes at the next {@link flush}.
 */
export class CalcGraph {
  readonly #sourceSpoofing: boolean;
  readonly #tiers = new Map<string, ModelTier>();
  readonly #policies = new Map<string, PolicyState>();
  readonly #policiesByTier = new Map<string, Set<PolicyState>>();
  readonly #profiles = new Map<string, ProfileState>();
  readonly #members = new Map<string, Member>();
  readonly #classes = new Map<string, LabelClass>();
  readonly #nodes = new Map<string, NodePart>();
  readonly #classesByNode = new Map<string, Set<LabelClass>>();
  /** Policies that every node is to have (performance hint). */
  readonly #everywhere = new Set<PolicyState>();

  readonly #policyIndex = new SelectorIndex<PolicyState>();
  readonly #candidates = new CandidateClasses();
  readonly #ipSets: IpSetIndex;
  readonly #selectors = new SelectorReader();

  readonly #reorder = new Set<LabelClass>();
  readonly #toldNodes = new Set<NodePart>();
  readonly #source: NodeSource = {
    flush: () => this.flush(),
    policyOn: (key, node) => {
      const policy = this.#policies.get(key);
      if (policy === undefined) return undefined;
      return this.#everywhere.has(policy) || this.#isOn(policy.classes, node)
        ? policy.scanned
        : undefined;
    },
    profileOn: (name, node) => {
      const profile = this.#profiles.get(name);
      return profile !== undefined && this.#isOn(profile.classes, node)
        ? profile.scanned
        : undefined;
    },
    workloadOn: (key, node) => {
      const member = this.#members.get(key);
      if (member?.node !== node || member.model.kind !== "workload") return undefined;
      return workloadEndpointMessage(member.model.endpoint, member.labels.tiers);
    },
    hostOn: (key, node) => {
      const member = this.#members.get(key);
      if (member?.node !== node || member.model.kind !== "host") return undefined;
      return hostEndpointMessage(member.model.endpoint, member.labels.tiers);
    },
    ipSet: (id) => this.#ipSets.get(id),
  };

  constructor({ suppressOverlaps = true, sourceSpoofing = false }: CalcGraphOptions = {}) {
    this.#ipSets = new IpSetIndex(this.#candidates, suppressOverlaps);
    this.#sourceSpoofing = sourceSpoofing;
  }

  /** A node's part. Before the node first takes from it, it is empty. */
  node(name: string): NodeCalc {
    let node = this.#nodes.get(name);
    if (node === undefined) {
      node = new NodePart(name, this.#source);
      this.#nodes.set(name, node);
      for (const each of this.#classesByNode.get(name) ?? []) {
        this.#touchClass(each, name);
        for (const member of each.byNode.get(name) ?? []) node.touchMember(member);
      }
      for (const policy of this.#everywhere) node.touchPolicy(policyIdText(policy.id));
    }
    return node;
  }

  /** The node is gone. One of the same name that comes later starts with nothing. */
  forgetNode(name: string): void {
    const node = this.#nodes.get(name);
    if (node === undefined) return;
    this.#nodes.delete(name);
    this.#toldNodes.delete(node);
  }

  setTier(name: string, tier: ModelTier | undefined): void {
    if (sameValue(this.#tiers.get(name), tier)) return;
    if (tier === undefined) this.#tiers.delete(name);
    else this.#tiers.set(name, tier);
    for (const { classes } of this.#policiesByTier.get(name) ?? [])
      for (const each of classes) this.#reorder.add(each);
  }

  /** @throws SelectorError for a selector that cannot be read; then nothing has changed */
  setPolicy(id: PolicyId, policy: ModelPolicy | undefined): void {
    const key = policyIdText(id);
    const state = this.#policies.get(key);
    if (policy === undefined) {
      if (state !== undefined) this.#deletePolicy(key, state);
      return;
    }
    if (sameValue(state?.policy, policy)) return;
    const selector = this.#selectors.read(policy.selector);
    this.#selectors.check(policy.inboundRules);
    this.#selectors.check(policy.outboundRules);
    if (state === undefined)
      this.#addPolicy(key, { id, policy, selector, classes: new Set(), scanned: undefined });
    else this.#changePolicy(state, policy, selector);
  }

  /** @throws SelectorError for a selector that cannot be read; then nothing has changed */
  setProfile(name: string, model: ModelProfile | undefined): void {
    const before = this.#profiles.get(name);
    if (before === undefined && model === undefined) return;
    if (before !== undefined && sameValue(before.model, model)) return;
    this.#selectors.check(model?.inboundRules ?? []);
    this.#selectors.check(model?.outboundRules ?? []);
    const profile = before ?? this.#profile(name);
    const was = profile.model;
    profile.model = model;
    if (!sameValue(was?.labels, model?.labels)) {
      this.#candidates.setProfile(profile);
      for (const each of profile.classes) this.#match(each);
    }
    const sameRules =
      sameValue(was?.inboundRules, model?.inboundRules) &&
      sameValue(was?.outboundRules, model?.outboundRules);
    if (profile.scanned !== undefined && !sameRules) {
      const { scanned } = profile;
      profile.scanned = this.#scanProfile(profile);
      this.#ipSets.release(scanned.ipSets);
      this.#touchProfile(profile);
    }
    this.#discardProfile(profile);
  }

  setWorkloadEndpoint(key: WorkloadEndpointKey, endpoint: ModelWorkloadEndpoint | undefined): void {
    const { hostname, orchestratorId, workloadId, endpointId } = key;
    const id = `${orchestratorId}/${workloadId}/${endpointId}`;
    const refused =
      endpoint !== undefined &&
      endpoint.allowSpoofedSourcePrefixes.length > 0 &&
      !this.#sourceSpoofing;
    if (endpoint === undefined || refused) {
      this.#setMember(`workload ${hostname} ${id}`, undefined);
      return;
    }
    this.#setMember(`workload ${hostname} ${id}`, {
      node: hostname,
      labels: endpoint.labels,
      profileIds: endpoint.profileIds,
      nets: [...endpoint.ipv4Nets, ...endpoint.ipv6Nets],
      ports: endpoint.ports,
      model: { kind: "workload", id, endpoint },
    });
  }

  /** @param name of the HostEndpoint */
  setHostEndpoint(name: string, endpoint: ModelHostEndpoint | undefined): void {
    this.#setMember(
      `host ${name}`,
      endpoint && {
        node: endpoint.hostname,
        labels: endpoint.labels,
        profileIds: endpoint.profileIds,
        nets: [
          ...endpoint.expectedIpv4Addrs.map((ip) => `${ip}/32`),
          ...endpoint.expectedIpv6Addrs.map((ip) => `${ip}/128`),
        ],
        ports: endpoint.ports,
        model: { kind: "host", id: name, endpoint },
      },
    );
  }

  /** @param key `<namespace>/<name>`, or the name alone of a global one */
  setNetworkSet(key: string, set: ModelNetworkSet | undefined): void {
    this.#setMember(
      `networkSet ${key}`,
      set && {
        node: undefined,
        labels: set.labels,
        profileIds: set.profileIds,
        nets: networkSetNets(set.nets),
        ports: [],
        model: { kind: "networkSet", id: key, endpoint: set },
      },
    );
  }

  /** @param key `<namespace>/<name>` of the slice */
  setEndpointSlice(key: string, slice: EndpointSlice | undefined): void {
    this.#ipSets.setSlice(key, slice);
  }

  /** Lets nodes see all that has changed, and tells those that are concerned. */
  flush(): void {
    for (const each of this.#reorder) this.#order(each);
    this.#reorder.clear();
    for (const { set, nodes } of this.#ipSets.settle()) {
      for (const node of nodes) {
        node.touchIpSet(set.definition.id);
        this.#toldNodes.add(node);
      }
    }
    const told = [...this.#toldNodes];
    this.#toldNodes.clear();
    for (const node of told) node.tell();
  }

  /** IP sets that active policies and profiles name. */
  get activeIpSets(): number {
    return this.#ipSets.size;
  }

  // Policies

  #addPolicy(key: string, state: PolicyState): void {
    this.#policies.set(key, state);
    addTo(this.#policiesByTier, state.policy.tier, state);
    this.#policyIndex.add(state, state.selector);
    if (isEverywhere(state.policy)) this.#everywhere.add(state);
    this.#candidates.forMatching(state.selector, (each) => {
      if (each.isEndpoint) this.#select(state, each);
    });
    this.#activate(state);
    this.#touchPolicy(state);
  }

  #changePolicy(state: PolicyState, policy: ModelPolicy, selector: Selector): void {
    const before = state.policy;
    const selectorChanged = selector.canonical !== state.selector.canonical;
    this.#touchPolicy(state);
    deleteFrom(this.#policiesByTier, before.tier, state);
    addTo(this.#policiesByTier, policy.tier, state);
    state.policy = policy;
    state.selector = selector;
    if (isEverywhere(policy)) this.#everywhere.add(state);
    else this.#everywhere.delete(state);
    if (selectorChanged) {
      this.#policyIndex.delete(state);
      this.#policyIndex.add(state, selector);
      const selected = new Set<LabelClass>();
      this.#candidates.forMatching(selector, (each) => {
        if (each.isEndpoint) selected.add(each);
      });
      for (const each of selected) this.#select(state, each);
      for (const each of state.classes) if (!selected.has(each)) this.#unselect(state, each);
    }
    for (const each of state.classes) this.#reorder.add(each);
    const { scanned } = state;
    state.scanned = undefined;
    this.#activate(state);
    if (scanned !== undefined) {
      const now = state.scanned as PolicyState["scanned"];
      if (now !== undefined && sameValue(now.message, scanned.message)) {
        // Only where it stands has changed: what renders its rules need not do so again.
        state.scanned = scanned;
        this.#ipSets.release(now.ipSets);
      } else {
        this.#ipSets.release(scanned.ipSets);
      }
    }
    this.#touchPolicy(state);
  }

  #deletePolicy(key: string, state: PolicyState): void {
    this.#touchPolicy(state);
    this.#policies.delete(key);
    deleteFrom(this.#policiesByTier, state.policy.tier, state);
    this.#everywhere.delete(state);
    this.#policyIndex.delete(state);
    for (const each of state.classes) this.#unselect(state, each);
    this.#activate(state);
  }

  #select(state: PolicyState, each: LabelClass): void {
    if (state.classes.has(each)) return;
    state.classes.add(each);
    each.policies.add(state);
    this.#reorder.add(each);
    for (const node of each.byNode.keys()) this.#touched(node)?.touchPolicy(policyIdText(state.id));
  }

  #unselect(state: PolicyState, each: LabelClass): void {
    state.classes.delete(each);
    each.policies.delete(state);
    this.#reorder.add(each);
    for (const node of each.byNode.keys()) this.#touched(node)?.touchPolicy(policyIdText(state.id));
  }

  /** Has the policy's rules scanned while, and only while, a node needs them. */
  #activate(state: PolicyState): void {
    const active = state.classes.size > 0 || this.#everywhere.has(state);
    if (active === (state.scanned !== undefined)) return;
    if (active) {
      const { id, policy } = state;
      const { message, ipSets } = scanPolicy(id, policy, (text) => this.#selectors.read(text));
      state.scanned = { message: { id, policy: message }, ipSets };
      this.#ipSets.acquire(ipSets);
    } else if (state.scanned !== undefined) {
      this.#ipSets.release(state.scanned.ipSets);
      state.scanned = undefined;
    }
  }

  #touchPolicy(state: PolicyState): void {
    const key = policyIdText(state.id);
    if (this.#everywhere.has(state))
      for (const node of this.#nodes.keys()) this.#touched(node)?.touchPolicy(key);
    for (const { byNode } of state.classes)
      for (const node of byNode.keys()) this.#touched(node)?.touchPolicy(key);
  }

  // Profiles

  #profile(name: string): ProfileState {
    let profile = this.#profiles.get(name);
    if (profile === undefined) {
      profile = {
        name,
        model: undefined,
        classes: new Set(),
        endpointClasses: 0,
        scanned: undefined,
      };
      this.#profiles.set(name, profile);
    }
    return profile;
  }

  #scanProfile({ name, model = MISSING_PROFILE }: ProfileState): Scanned<Profile> {
    const scanned = scanProfile(name, model, (text) => this.#selectors.read(text));
    this.#ipSets.acquire(scanned.ipSets);
    return scanned;
  }

  #touchProfile({ name, classes }: ProfileState): void {
    for (const { byNode } of classes)
      for (const node of byNode.keys()) this.#touched(node)?.touchProfile(name);
  }

  #discardProfile(profile: ProfileState): void {
    if (profile.model === undefined && profile.classes.size === 0)
      this.#profiles.delete(profile.name);
  }

  // Endpoints and network sets

  #setMember(
    key: string,
    given:
      | (Pick<Member, "node" | "nets" | "model"> & {
          readonly labels: ReadonlyMap<string, string>;
          readonly profileIds: readonly string[];
          readonly ports: readonly ModelEndpointPort[];
        })
      | undefined,
  ): void {
    const before = this.#members.get(key);
    if (before === undefined && given === undefined) return;
    if (given === undefined) {
      this.#members.delete(key);
    } else {
      if (before !== undefined && sameValue(before.model, given.model)) return;
      const { node, nets, ports, model } = given;
      const labels = this.#class(given.labels, given.profileIds, node !== undefined);
      const member: Member = { key, node, labels, nets, ports, model };
      this.#members.set(key, member);
      this.#join(member);
    }
    // The old after the new, so that what both have does not come and go.
    if (before !== undefined) this.#leave(before);
  }

  #join(member: Member): void {
    const { labels, node } = member;
    labels.members.add(member);
    this.#ipSets.count(member, true);
    if (node === undefined) return;
    if (!labels.byNode.has(node)) {
      addTo(this.#classesByNode, node, labels);
      labels.byNode.set(node, new Set());
      this.#touchClass(labels, node);
    }
    labels.byNode.get(node)?.add(member);
    this.#touched(node)?.touchMember(member);
  }

  #leave(member: Member): void {
    const { labels, node } = member;
    labels.members.delete(member);
    this.#ipSets.count(member, false);
    if (node !== undefined) {
      const others = labels.byNode.get(node);
      others?.delete(member);
      if (others?.size === 0) {
        labels.byNode.delete(node);
        deleteFrom(this.#classesByNode, node, labels);
        this.#touchClass(labels, node);
      }
      this.#touched(node)?.touchMember(member);
    }
    if (labels.members.size === 0) this.#deleteClass(labels);
  }

  /** A node has a class, or has it no more: its policies and profiles may be others. */
  #touchClass({ policies, profiles }: LabelClass, name: string): void {
    const node = this.#touched(name);
    if (node === undefined) return;
    for (const { id } of policies) node.touchPolicy(policyIdText(id));
    for (const profile of profiles) node.touchProfile(profile.name);
  }

  // Classes

  #class(
    own: ReadonlyMap<string, string>,
    profileIds: readonly string[],
    isEndpoint: boolean,
  ): LabelClass {
    const key = classKey(own, profileIds, isEndpoint);
    let found = this.#classes.get(key);
    if (found === undefined) {
      const profiles = profileIds.map((name) => this.#profile(name));
      found = new LabelClass(key, own, profiles, isEndpoint);
      this.#classes.set(key, found);
      this.#candidates.add(found);
      for (const profile of profiles) {
        profile.classes.add(found);
        if (!isEndpoint) continue;
        profile.endpointClasses++;
        profile.scanned ??= this.#scanProfile(profile);
      }
      this.#match(found);
    }
    return found;
  }

  #deleteClass(each: LabelClass): void {
    this.#classes.delete(each.key);
    this.#candidates.delete(each);
    this.#reorder.delete(each);
    for (const state of each.policies) {
      state.classes.delete(each);
      this.#activate(state);
    }
    this.#ipSets.forget(each);
    for (const profile of each.profiles) {
      profile.classes.delete(each);
      if (each.isEndpoint && --profile.endpointClasses === 0 && profile.scanned !== undefined) {
        this.#ipSets.release(profile.scanned.ipSets);
        profile.scanned = undefined;
      }
      this.#discardProfile(profile);
    }
  }

  /** Asks the selectors that its labels may match, and makes it part of what does. */
  #match(each: LabelClass): void {
    this.#ipSets.match(each);
    if (!each.isEndpoint) return;
    const policies = new Set<PolicyState>();
    this.#policyIndex.forCandidates(each.labels(), (state) => {
      if (state.selector.matches(each)) policies.add(state);
    });
    for (const state of policies) {
      this.#select(state, each);
      this.#activate(state);
    }
    for (const state of each.policies) {
      if (policies.has(state)) continue;
      this.#unselect(state, each);
      this.#activate(state);
    }
  }

  #order(each: LabelClass): void {
    const tiers = endpointTiers(each.policies, this.#tiers);
    if (sameTiers(tiers, each.tiers)) return;
    each.tiers = tiers;
    for (const [name, members] of each.byNode) {
      const node = this.#touched(name);
      if (node !== undefined) for (const member of members) node.touchMember(member);
    }
  }

  // Nodes

  /** A node that something may have changed for, if anybody asked for it. */
  #touched(name: string): NodePart | undefined {
    const node = this.#nodes.get(name);
    if (node !== undefined) this.#toldNodes.add(node);
    return node;
  }

  #isOn(classes: ReadonlySet<LabelClass>, node: string): boolean {
    const ofNode = this.#classesByNode.get(node);
    if (ofNode === undefined) return false;
    if (classes.size < ofNode.size) {
      for (const each of classes) if (ofNode.has(each)) return true;
    } else {
      for (const each of ofNode) if (classes.has(each)) return true;
    }
    return false;
  }
}

function isEverywhere({ performanceHints }: ModelPolicy): boolean {
  return performanceHints.includes("AssumeNeededOnEveryNode");
}

/** No label and no name holds a control character. */
function classKey(
  own: ReadonlyMap<string, string>,
  profileIds: readonly string[],
  isEndpoint: boolean,
): string {
  const labels = [...own].map(([name, value]) => `${name}\u0001${value}`).sort();
  return [isEndpoint ? "endpoint" : "set", ...labels, "", ...profileIds].join("\u0000");
}
