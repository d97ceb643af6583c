import type { Labels, Namespace, NetworkPolicy, Origin, Pod } from "@cnilab/core";
import { type Iptables, ruleText } from "@cnilab/linux";
import { DEFAULT_CHAIN, EGRESS_ACCEPT_CHAIN, EGRESS_DEFAULT_CHAIN } from "./chains.ts";
import type { IpBlockSpec } from "./ip-block.ts";
import type { IpsetUsers } from "./ipset-users.ts";
import type { NpcSharing } from "./npc-sharing.ts";
import { analysePolicy, type PolicyAnalysis } from "./policy-analysis.ts";
import type { RuleSpec } from "./rule-spec.ts";
import { SelectorSet } from "./selector-set.ts";
import { type PolicyType, SelectorSpec } from "./selector-spec.ts";
import { SharedMap } from "./shared-map.ts";
import { ipsetName } from "./short-name.ts";
import { Users } from "./users.ts";

const POLICY_TYPES: readonly PolicyType[] = ["ingress", "egress"];
const NOTHING: PolicyAnalysis = {
  rules: new Map(),
  namespaces: new Map(),
  pods: new Map(),
  namespacedPods: new Map(),
  ipBlocks: new Map(),
};

/** What all namespaces of a node share. */
export interface NpcShared {
  readonly iptables: Iptables;
  readonly sets: IpsetUsers;
  /** Selectors of namespaces, and of pods in such. */
  readonly namespaces: SelectorSet;
  readonly namespacedPods: SelectorSet;
  /** With other nodes, where there are some. */
  readonly sharing: NpcSharing | undefined;
}

/** A namespace's pods and policies as weave-npc programs them: sets of addresses, and rules that ask them (npc/namespace.go). */
export class NpcNamespace {
  readonly name: string;
  readonly allPods: SelectorSpec;
  readonly #shared: NpcShared;
  #uid: string;
  #labels: Labels;
  /** By UID. */
  #pods: SharedMap<string, Pod>;
  readonly #policies = new Map<string, NetworkPolicy>();
  readonly #podSelectors: SelectorSet;
  readonly #ipBlocks: Users<IpBlockSpec>;
  readonly #rules: Users<RuleSpec>;
  /** Pods that no policy of a type selects: whoever may come, or they may go anywhere. */
  readonly #defaultAllow: Readonly<Record<PolicyType, string>>;

  constructor({ metadata }: Namespace, shared: NpcShared) {
    const { name, uid = "", labels = {} } = metadata;
    const { iptables, sets, sharing } = shared;
    this.name = name;
    this.#pods = sharing?.podsOf(name) ?? new SharedMap();
    this.#shared = shared;
    this.#uid = uid;
    this.#labels = labels;
    this.allPods = new SelectorSpec({ pods: {}, namespace: name });
    this.#podSelectors = new SelectorSet(sets, {
      made: (selector) => this.#fill(selector),
      isTarget: (selector, type) => {
        for (const pod of this.#podsWithIp(selector)) {
          sets.delete(uidOf(pod), this.#defaultAllow[type], ipOf(pod));
        }
      },
      isNoTarget: (selector, type) => {
        for (const pod of this.#podsWithIp(selector)) this.#allowUnlessSelected(pod, type);
      },
    });
    this.#ipBlocks = new Users(
      (block, user) => block.provision(user, sets),
      (block) => sets.destroy(block.setName),
    );
    this.#rules = new Users(
      (rule, user) => {
        const origin = this.#originOf(rule, user);
        for (const words of rule.rules) {
          iptables.append("filter", rule.chain, ruleText(words), origin);
        }
      },
      (rule) => {
        for (const words of rule.rules) iptables.delete("filter", rule.chain, ruleText(words));
      },
    );
    this.#defaultAllow = {
      ingress: ipsetName(`ingress-default-allow:${name}`),
      egress: ipsetName(`egress-default-allow:${name}`),
    };
    for (const type of POLICY_TYPES) sets.create(this.#defaultAllow[type], "hash:ip");
    this.#podSelectors.provision(`${name}/`, new Map(), this.#ownSelectors());
  }

  get labels(): Labels {
    return this.#labels;
  }

  /** Empty once the namespace is gone. */
  get uid(): string {
    return this.#uid;
  }

  get isEmpty(): boolean {
    return this.#pods.size === 0 && this.#policies.size === 0 && this.#uid === "";
  }

  destroy(): void {
    this.#podSelectors.deprovision(`${this.name}/`, this.#ownSelectors(), new Map());
  }

  /** Its pods that have an address of their own. */
  *pods(): Iterable<Pod> {
    for (const pod of this.#pods.values()) if (hasIp(pod)) yield pod;
  }

  addPod(pod: Pod): void {
    this.#pods = this.#pods.set(uidOf(pod), pod);
    if (hasIp(pod)) this.#join(pod);
  }

  updatePod(old: Pod, pod: Pod): void {
    this.#pods = this.#pods.delete(uidOf(old)).set(uidOf(pod), pod);
    const had = hasIp(old);
    if (!hasIp(pod)) {
      if (had) this.#leave(old);
      return;
    }
    if (!had) {
      this.#join(pod);
      return;
    }
    const moved = ipOf(old) !== ipOf(pod);
    if (moved) {
      const { sets } = this.#shared;
      for (const type of POLICY_TYPES) {
        const name = this.#defaultAllow[type];
        if (!sets.has(uidOf(old), name, ipOf(old))) continue;
        sets.delete(uidOf(old), name, ipOf(old));
        sets.add(uidOf(pod), name, ipOf(pod), podComment(pod));
      }
    }
    if (!moved && sameLabels(labelsOf(old), labelsOf(pod))) return;
    for (const selector of this.#podSelectors) {
      const before = selector.selectsPod(labelsOf(old));
      const now = selector.selectsPod(labelsOf(pod));
      if (!this.#move(selector, old, pod, before, now)) continue;
      for (const type of POLICY_TYPES) {
        if (before === now || !this.#podSelectors.isTarget(selector, type)) continue;
        if (now) this.#shared.sets.delete(uidOf(old), this.#defaultAllow[type], ipOf(old));
        else this.#allowUnlessSelected(pod, type);
      }
    }
    for (const selector of this.#shared.namespacedPods) {
      const selects = (labels: Labels) =>
        selector.selectsPod(labels) && selector.selectsNamespace(this.#labels);
      this.#move(selector, old, pod, selects(labelsOf(old)), selects(labelsOf(pod)));
    }
  }

  deletePod(pod: Pod): void {
    this.#pods = this.#pods.delete(uidOf(pod));
    if (hasIp(pod)) this.#leave(pod);
  }

  /** @throws RejectedPolicy */
  addPolicy(policy: NetworkPolicy): void {
    this.#policies.set(policy.metadata.uid ?? "", policy);
    this.#provision(policy.metadata.uid ?? "", NOTHING, analysePolicy(policy));
  }

  /** @throws RejectedPolicy */
  updatePolicy(old: NetworkPolicy, policy: NetworkPolicy): void {
    const before = analysePolicy(old);
    const now = analysePolicy(policy);
    const user = old.metadata.uid ?? "";
    this.#policies.delete(user);
    this.#policies.set(policy.metadata.uid ?? "", policy);
    this.#deprovision(user, before, now);
    this.#provision(user, before, now);
  }

  /** @throws RejectedPolicy */
  deletePolicy(policy: NetworkPolicy): void {
    const before = analysePolicy(policy);
    const user = policy.metadata.uid ?? "";
    this.#policies.delete(user);
    this.#deprovision(user, before, NOTHING);
  }

  add({ metadata: { uid = "", labels = {} } }: Namespace): void {
    this.#uid = uid;
    this.#labels = labels;
    for (const [chain, words] of this.#bypassRules()) {
      this.#shared.iptables.append("filter", chain, ruleText(words));
    }
    for (const selector of this.#shared.namespaces) {
      if (selector.selectsNamespace(labels)) this.joinNamespaces(selector);
    }
  }

  update(old: Namespace, { metadata: { labels = {} } }: Namespace): void {
    const before = old.metadata.labels ?? {};
    if (sameLabels(before, labels)) return;
    this.#labels = labels;
    for (const selector of this.#shared.namespaces) {
      const was = selector.selectsNamespace(before);
      const is = selector.selectsNamespace(labels);
      if (was && !is) this.#leaveNamespaces(selector);
      if (is && !was) this.joinNamespaces(selector);
    }
  }

  delete(namespace: Namespace): void {
    this.#uid = "";
    const { iptables, namespaces, sets } = this.#shared;
    for (const [chain, words] of this.#bypassRules()) {
      iptables.delete("filter", chain, ruleText(words));
    }
    for (const selector of namespaces) {
      if (!selector.selectsNamespace(namespace.metadata.labels ?? {})) continue;
      sets.delete(namespace.metadata.uid ?? "", selector.setName, this.allPods.setName);
    }
    for (const type of POLICY_TYPES) sets.destroy(this.#defaultAllow[type]);
  }

  /** The set of all its pods becomes a member of a set of namespaces. */
  joinNamespaces(selector: SelectorSpec): void {
    const comment = `namespace: ${this.name}`;
    this.#shared.sets.add(this.#uid, selector.setName, this.allPods.setName, comment);
  }

  #leaveNamespaces(selector: SelectorSpec): void {
    this.#shared.sets.delete(this.#uid, selector.setName, this.allPods.setName);
  }

  /** Several policies may need a rule: it is of the first. */
  #originOf({ type }: RuleSpec, user: string): Origin {
    const name = this.#policies.get(user)?.metadata.name ?? user;
    return { kind: "NetworkPolicy", namespace: this.name, name, detail: `${type} rule` };
  }

  #ownSelectors(): ReadonlyMap<string, SelectorSpec> {
    return new Map([[this.allPods.key, this.allPods]]);
  }

  /** Rules by which pods that no policy selects pass. */
  #bypassRules(): readonly (readonly [string, readonly string[]])[] {
    const { ingress, egress } = this.#defaultAllow;
    const rule = (type: PolicyType, set: string, direction: string, target: string) => [
      ...["-m", "set", "--match-set", set, direction, "-j", target, "-m", "comment", "--comment"],
      `DefaultAllow ${type} isolation for namespace: ${this.name}`,
    ];
    return [
      [DEFAULT_CHAIN, rule("ingress", ingress, "dst", "ACCEPT")],
      [EGRESS_DEFAULT_CHAIN, rule("egress", egress, "src", EGRESS_ACCEPT_CHAIN)],
      [EGRESS_DEFAULT_CHAIN, rule("egress", egress, "src", "RETURN")],
    ];
  }

  /** In the order in which rules need sets. */
  #provision(user: string, before: PolicyAnalysis, now: PolicyAnalysis): void {
    const { namespaces, namespacedPods } = this.#shared;
    namespaces.provision(user, before.namespaces, now.namespaces);
    this.#podSelectors.provision(user, before.pods, now.pods);
    namespacedPods.provision(user, before.namespacedPods, now.namespacedPods);
    this.#ipBlocks.provision(user, withExceptions(before), withExceptions(now));
    this.#rules.provision(user, before.rules, now.rules);
  }

  #deprovision(user: string, before: PolicyAnalysis, now: PolicyAnalysis): void {
    const { namespaces, namespacedPods } = this.#shared;
    this.#rules.deprovision(user, before.rules, now.rules);
    namespaces.deprovision(user, before.namespaces, now.namespaces);
    this.#podSelectors.deprovision(user, before.pods, now.pods);
    namespacedPods.deprovision(user, before.namespacedPods, now.namespacedPods);
    this.#ipBlocks.deprovision(user, withExceptions(before), withExceptions(now));
  }

  #podsWithIp(selector: SelectorSpec): Pod[] {
    return [...this.pods()].filter((pod) => selector.selectsPod(labelsOf(pod)));
  }

  #fill(selector: SelectorSpec): void {
    for (const pod of this.#podsWithIp(selector)) this.#addTo(selector, pod);
  }

  #addTo({ setName }: SelectorSpec, pod: Pod): void {
    this.#shared.sets.add(uidOf(pod), setName, ipOf(pod), podComment(pod));
  }

  #removeFrom({ setName }: SelectorSpec, pod: Pod): void {
    this.#shared.sets.delete(uidOf(pod), setName, ipOf(pod));
  }

  /** @returns whether anything is different */
  #move(selector: SelectorSpec, old: Pod, pod: Pod, before: boolean, now: boolean): boolean {
    if (before === now && ipOf(old) === ipOf(pod)) return false;
    if (before) this.#removeFrom(selector, old);
    if (now) this.#addTo(selector, pod);
    return true;
  }

  #allowUnlessSelected(pod: Pod, type: PolicyType): void {
    for (const selector of this.#podSelectors) {
      if (this.#podSelectors.isTarget(selector, type) && selector.selectsPod(labelsOf(pod))) return;
    }
    this.#shared.sets.add(uidOf(pod), this.#defaultAllow[type], ipOf(pod), podComment(pod));
  }

  #join(pod: Pod): void {
    for (const selector of this.#podSelectors) {
      if (selector.selectsPod(labelsOf(pod))) this.#addTo(selector, pod);
    }
    for (const type of POLICY_TYPES) this.#allowUnlessSelected(pod, type);
    for (const selector of this.#namespacedSelectorsOf(pod)) this.#addTo(selector, pod);
  }

  #leave(pod: Pod): void {
    for (const type of POLICY_TYPES) {
      this.#shared.sets.delete(uidOf(pod), this.#defaultAllow[type], ipOf(pod));
    }
    for (const selector of this.#podSelectors) {
      if (selector.selectsPod(labelsOf(pod))) this.#removeFrom(selector, pod);
    }
    for (const selector of this.#namespacedSelectorsOf(pod)) this.#removeFrom(selector, pod);
  }

  #namespacedSelectorsOf(pod: Pod): SelectorSpec[] {
    return [...this.#shared.namespacedPods].filter(
      (selector) => selector.selectsPod(labelsOf(pod)) && selector.selectsNamespace(this.#labels),
    );
  }
}

/** Only blocks with exceptions have sets. */
function withExceptions({ ipBlocks }: PolicyAnalysis): ReadonlyMap<string, IpBlockSpec> {
  return new Map([...ipBlocks].filter(([key]) => key !== ""));
}

/** Neither dead nor in the network of its node. */
function hasIp({ spec, status }: Pod): boolean {
  const { phase = "", podIP = "" } = status ?? {};
  return !["Succeeded", "Failed"].includes(phase) && podIP !== "" && spec.hostNetwork !== true;
}

export function uidOf({ metadata }: Pod): string {
  return metadata.uid ?? "";
}

export function labelsOf({ metadata }: Pod): Labels {
  return metadata.labels ?? {};
}

export function ipOf({ status }: Pod): string {
  return status?.podIP ?? "";
}

export function podComment({ metadata: { namespace = "default", name } }: Pod): string {
  return `namespace: ${namespace}, pod: ${name}`;
}

function sameLabels(x: Labels, y: Labels): boolean {
  const keys = Object.keys(x);
  return keys.length === Object.keys(y).length && keys.every((key) => x[key] === y[key]);
}
