import type { Origin } from "@cnilab/core";
import type { Network } from "@cnilab/linux";
import type { PolicyMap } from "../../datapath/maps/policy-map.ts";
import type { NumericIdentity } from "../../identity/numeric-identity.ts";
import { identityKey, type LabelSet } from "../../labels/label-set.ts";
import { type PolicyOwner, type Redirect, redirectsOf } from "../../policy/endpoint-policy.ts";
import type { L4DirectionPolicy } from "../../policy/l4-policy.ts";
import {
  type PolicyRepository,
  type ResolvedPolicy,
  selectsSubject,
} from "../../policy/policy-repository.ts";
import type { PolicyRule } from "../../policy/policy-rule.ts";
import type { PolicySettings } from "../../policy/policy-settings.ts";
import type { Selections, SelectorCache } from "../../policy/selector-cache.ts";
import { PolicyConflictError } from "../../policy/selector-policy.ts";
import { HostSelections } from "./host-selections.ts";
import { type NamedPorts, ownNamedPort, type PodPorts } from "./named-ports.ts";
import { policyKeyLog, ruleOrigin } from "./policy-map-values.ts";
import { SharedPolicy } from "./shared-policy.ts";

/** What an endpoint has that concerns its policy. */
export interface PolicyEndpoint {
  readonly id: number;
  readonly kind: "pod" | "host" | "health" | "ingress";
  readonly labels: LabelSet;
  readonly identity: NumericIdentity;
}

/** Proxies of a node, to which policies send what only they can judge. */
export interface L7Proxy {
  /**
   * All redirects that an endpoint now needs, told before its map sends anything there; none when it needs no more, or is gone. Where a
   * proxy gets its port later, tell {@link EndpointPolicies.proxyChanged}.
   */
  setRedirects(endpoint: PolicyEndpoint, redirects: readonly Redirect[]): void;
  /** Of a redirect; 0 as long as there is no proxy: then the entries are left out, and packets are dropped. */
  proxyPort(proxyId: string): number;
}

/** A node, as far as its endpoints' policies go. */
export interface PolicyNode {
  readonly name: string;
  /** Labels of the identity 1 there. */
  readonly hostLabels: LabelSet;
  readonly proxy?: L7Proxy | undefined;
}

/** What became of an endpoint's policy. */
export interface PolicyStatus {
  /** Of the repository. */
  readonly revision: number;
  readonly ingress: boolean;
  readonly egress: boolean;
  /** Entries that the map has no room for. */
  readonly missing: number;
  /** `cilium_bpf_map_pressure` */
  readonly pressure: number;
  /** As the agent's log has it. */
  readonly problem?: string | undefined;
}

interface Member {
  readonly node: PolicyNode;
  readonly endpoint: PolicyEndpoint;
  readonly map: PolicyMap;
  readonly ports: PodPorts;
  identity: NumericIdentity;
  group: Group | undefined;
  /** Something of its goes to a proxy. */
  hasRedirects: boolean;
}

/** Endpoints whose maps are the same. */
interface Group {
  readonly key: string;
  readonly shared: SharedPolicy;
  readonly owner: PolicyOwner;
  readonly members: Set<Member>;
  resolved: ResolvedPolicy;
}

/** The policy of an identity, kept until rules that are for it change. */
interface Resolution {
  readonly identity: NumericIdentity;
  readonly labels: LabelSet;
  readonly isHost: boolean;
  readonly members: Set<Member>;
  resolved: ResolvedPolicy | undefined;
  error: string | undefined;
}

export interface EndpointPolicyOptions {
  readonly network: Network;
  readonly settings: PolicySettings;
  readonly repository: PolicyRepository;
  readonly selectors: SelectorCache;
  readonly namedPorts: NamedPorts;
  /** Of each endpoint's map (`bpf-policy-map-max`). */
  readonly maxEntries: number;
}

/** Denies where no rule does: `policyEnforcementMode` is always, or the endpoint has no labels yet. */
const ENFORCEMENT: Origin = {
  kind: "ConfigMap",
  namespace: "kube-system",
  name: "cilium-config",
  enforcesPolicy: true,
};

/**
 * Policies of all endpoints of a cluster. Each identity's is resolved once, and endpoints share what their maps hold as far as it is the
 * same: only redirects, whose proxy ports are a node's, the host, and names of ports make a difference.
 */
export class EndpointPolicies {
  readonly #options: EndpointPolicyOptions;
  readonly #members = new Map<PolicyEndpoint, Member>();
  readonly #resolutions = new Map<string, Resolution>();
  readonly #groups = new Map<string, Group>();
  /** Resolved policies are the same object for all identities that the same rules are for. */
  readonly #numbers = new WeakMap<ResolvedPolicy, number>();
  #resolvedSeen = 0;

  constructor(options: EndpointPolicyOptions) {
    this.#options = options;
  }

  /** How many different maps there are. */
  get groupCount(): number {
    return this.#groups.size;
  }

  /** A new endpoint, or one that was there before its agent started; its map follows from now on. */
  add(node: PolicyNode, endpoint: PolicyEndpoint, map: PolicyMap, ports: PodPorts): void {
    const { identity } = endpoint;
    const member = {
      ...{ node, endpoint, map, ports, identity },
      group: undefined,
      hasRedirects: false,
    };
    this.#members.set(endpoint, member);
    this.#join(member);
  }

  /** Its identity is another. */
  update(endpoint: PolicyEndpoint): void {
    const member = this.#members.get(endpoint);
    if (member === undefined) return;
    this.#leaveResolution(member);
    member.identity = endpoint.identity;
    this.#join(member);
  }

  /** @param keepsMap whether it is its agent that is gone: the map stays as it is */
  remove(endpoint: PolicyEndpoint, keepsMap = true): void {
    const member = this.#members.get(endpoint);
    if (member === undefined) return;
    this.#members.delete(endpoint);
    this.#leaveResolution(member);
    const { group } = member;
    if (group === undefined) return;
    if (keepsMap) group.shared.detach(member.map);
    this.#leave(member, group);
  }

  /** Endpoints for which one of the rules is get the policy that there is now. @returns how many identities these are of */
  rulesChanged(rules: readonly PolicyRule[]): number {
    let count = 0;
    for (const resolution of [...this.#resolutions.values()]) {
      const { isHost, labels } = resolution;
      if (!rules.some((rule) => selectsSubject(rule, isHost, labels))) continue;
      count++;
      this.#resolve(resolution);
      this.#regenerate([...resolution.members], false);
    }
    return count;
  }

  /** Names of ports stand for others now. */
  namedPortsChanged(): void {
    const concerned = [...this.#resolutions.values()].filter((each) =>
      hasPortNames(each.resolved?.egress),
    );
    this.#regenerate(concerned.flatMap(({ members }) => [...members]));
  }

  /** A proxy of the endpoint's has another port. */
  proxyChanged(endpoint: PolicyEndpoint): void {
    const member = this.#members.get(endpoint);
    if (member !== undefined) this.#regenerate([member]);
  }

  status(endpoint: PolicyEndpoint): PolicyStatus | undefined {
    const member = this.#members.get(endpoint);
    if (member === undefined) return undefined;
    const { group } = member;
    const missing = group?.shared.missingCount ?? 0;
    const [first] = group?.shared.missing ?? [];
    const error = this.#resolutions.get(this.#resolutionKey(member))?.error;
    const full =
      first === undefined
        ? undefined
        : `Failed to add PolicyMap key ${policyKeyLog(first)}: no space left on device`;
    return {
      revision: group?.resolved.revision ?? 0,
      ingress: group?.resolved.ingress !== undefined,
      egress: group?.resolved.egress !== undefined,
      missing,
      pressure: group?.shared.pressure ?? 0,
      ...((error ?? full) !== undefined && { problem: error ?? full }),
    };
  }

  /** What the endpoint's policy is made of; `undefined` where it could not be worked out. */
  resolved(endpoint: PolicyEndpoint): ResolvedPolicy | undefined {
    return this.#members.get(endpoint)?.group?.resolved;
  }

  #resolutionKey({ node, endpoint, identity }: Member): string {
    // The host's labels are those of its node.
    return endpoint.kind === "host" ? `host:${node.name}` : String(identity);
  }

  #join(member: Member): void {
    const key = this.#resolutionKey(member);
    const { endpoint, identity } = member;
    const isHost = endpoint.kind === "host";
    let resolution = this.#resolutions.get(key);
    const isOther = isHost && resolution?.labels !== endpoint.labels;
    if (resolution === undefined || isOther) {
      const { labels } = endpoint;
      const members = new Set<Member>();
      resolution = { identity, labels, isHost, members, resolved: undefined, error: undefined };
      this.#resolutions.set(key, resolution);
      this.#resolve(resolution);
    }
    resolution.members.add(member);
    this.#regenerate([member], false);
  }

  #leaveResolution(member: Member): void {
    const key = this.#resolutionKey(member);
    const resolution = this.#resolutions.get(key);
    resolution?.members.delete(member);
    if (resolution?.members.size === 0) this.#resolutions.delete(key);
  }

  /** Where rules contradict each other endpoints keep the policy that they had. */
  #resolve(resolution: Resolution): void {
    const { identity, labels } = resolution;
    try {
      resolution.resolved = this.#options.repository.resolve({ identity, labels });
      resolution.error = undefined;
    } catch (error) {
      if (!(error instanceof PolicyConflictError)) throw error;
      resolution.error = `Unable to calculate endpoint policy: ${error.message}`;
    }
  }

  /** @param anew also where the endpoints have the group that they should have already */
  #regenerate(members: readonly Member[], anew = true): void {
    const done = new Set<Group>();
    for (const member of members) {
      const resolved = this.#resolutions.get(this.#resolutionKey(member))?.resolved;
      if (resolved === undefined) continue;
      const proxyPorts = this.#tellProxy(member, resolved);
      const key = this.#groupKey(member, resolved, proxyPorts);
      let group = this.#groups.get(key);
      if (group === undefined) {
        group = this.#makeGroup(key, member, resolved, proxyPorts);
        done.add(group);
      } else if ((anew || group.resolved !== resolved) && !done.has(group)) {
        group.resolved = resolved;
        group.shared.regenerate(resolved, group.owner);
        done.add(group);
      }
      this.#enter(member, group);
    }
  }

  #makeGroup(key: string, member: Member, resolved: ResolvedPolicy, proxyPorts: ProxyPorts): Group {
    const { network, settings, selectors, maxEntries } = this.#options;
    const { hostLabels } = member.node;
    // Most hosts are nothing but hosts.
    const selections: Selections =
      hostLabels.length === 1 ? selectors : new HostSelections(selectors, hostLabels);
    const shared = new SharedPolicy({
      network,
      maxEntries,
      selections,
      allowLocalhost: settings.allowLocalhost !== "policy",
    });
    const owner = this.#ownerOf(member, (proxyId) => proxyPorts.get(portOfProxy(proxyId)) ?? 0);
    const group = { key, shared, owner, members: new Set<Member>(), resolved };
    this.#groups.set(key, group);
    shared.regenerate(resolved, owner);
    return group;
  }

  #enter(member: Member, group: Group): void {
    const { map } = member;
    const { ingress, egress, ingressDeniedBy, egressDeniedBy } = group.resolved;
    map.ingressDeniedBy = ruleOrigin(ingressDeniedBy) ?? (ingress && ENFORCEMENT);
    map.egressDeniedBy = ruleOrigin(egressDeniedBy) ?? (egress && ENFORCEMENT);
    map.verdictLogFilter = (ingress ? 1 : 0) | (egress ? 2 : 0);
    const before = member.group;
    if (before === group) return;
    group.members.add(member);
    member.group = group;
    group.shared.attach(map);
    if (before !== undefined) this.#leave(member, before);
  }

  #leave(member: Member, group: Group): void {
    group.members.delete(member);
    if (group.members.size > 0) return;
    group.shared.close();
    if (this.#groups.get(group.key) === group) this.#groups.delete(group.key);
  }

  /** @returns the ports that it got */
  #tellProxy(member: Member, resolved: ResolvedPolicy): ProxyPorts {
    const { proxy } = member.node;
    const redirects = redirectsOf(resolved, this.#ownerOf(member));
    if (redirects.length > 0 || member.hasRedirects)
      proxy?.setRedirects(member.endpoint, redirects);
    member.hasRedirects = redirects.length > 0;
    return new Map(
      redirects.map(({ proxyId }) => [portOfProxy(proxyId), proxy?.proxyPort(proxyId) ?? 0]),
    );
  }

  #groupKey(member: Member, resolved: ResolvedPolicy, proxyPorts: ProxyPorts): string {
    const { node, endpoint, ports } = member;
    const host = node.hostLabels.length === 1 ? "" : identityKey(node.hostLabels);
    const names = hasPortNames(resolved.ingress) ? [...ports].join() : "";
    // Of a node itself there is no entry that lets it in.
    const kind = endpoint.kind === "host" ? "host" : "";
    const proxies = [...proxyPorts.values()].join();
    return `${this.#numberOf(resolved)}|${kind}|${host}|${names}|${proxies}`;
  }

  #numberOf(resolved: ResolvedPolicy): number {
    let number = this.#numbers.get(resolved);
    if (number === undefined) {
      number = this.#resolvedSeen++;
      this.#numbers.set(resolved, number);
    }
    return number;
  }

  #ownerOf(
    { node, endpoint, ports }: Member,
    proxyPort: PolicyOwner["proxyPort"] = (proxyId) => node.proxy?.proxyPort(proxyId) ?? 0,
  ): PolicyOwner {
    const { namedPorts } = this.#options;
    return {
      endpointId: endpoint.id,
      isHost: endpoint.kind === "host",
      namedPort: (direction, name, protocol) =>
        direction === "ingress"
          ? ownNamedPort(ports, name, protocol)
          : namedPorts.get(name, protocol),
      proxyPort,
    };
  }
}

/** Ports of a node's proxies, by what an endpoint's redirects are but for the endpoint. */
type ProxyPorts = ReadonlyMap<string, number>;

/** `ingress|egress:PROTOCOL:PORT:LISTENER` of a proxy's id. */
function portOfProxy(proxyId: string): string {
  return proxyId.slice(proxyId.indexOf(":") + 1);
}

function hasPortNames(policy: L4DirectionPolicy | undefined): boolean {
  return policy?.filters.some(({ portName }) => portName !== "") ?? false;
}
