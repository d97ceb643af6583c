import type { L4Proto } from "../api/v2/rule.ts";
import { type NumericIdentity, RESERVED_IDENTITY } from "../identity/numeric-identity.ts";
import type { PeerSelector } from "./cached-selector.ts";
import type { FilterPeer, L4Filter } from "./l4-filter.ts";
import type { L4DirectionPolicy } from "./l4-policy.ts";
import { ALL_FEATURES, MapState, MapStateChanges, type PolicyFeatures } from "./map-state.ts";
import { ALLOW, type PolicyMapEntry, policyMapEntry, sameInDatapath } from "./policy-map-entry.ts";
import { type PolicyPorts, protocolNumber, type TrafficDirection } from "./policy-map-key.ts";
import type { ResolvedPolicy } from "./policy-repository.ts";
import { maskedPorts, prefixLengthOf } from "./port-range.ts";
import type { Selections, SelectorUser } from "./selector-cache.ts";
import { authOf, type L7Parser } from "./selector-policy.ts";

/** The endpoint that a policy is for. */
export interface PolicyOwner {
  readonly endpointId: number;
  readonly isHost: boolean;
  /** The port of that name: the endpoint's own where something comes in, else of whom it talks to. 0 where there is none. */
  namedPort(direction: TrafficDirection, name: string, protocol: L4Proto): number;
  /** Of the proxy for {@link Redirect.proxyId}; 0 until there is one: then the entries are left out. */
  proxyPort(proxyId: string): number;
}

/** A port of an endpoint that a proxy is to look into. */
export interface Redirect {
  /** `ENDPOINT:ingress|egress:PROTOCOL:PORT:LISTENER` (pkg/policy/proxyid.go). */
  readonly proxyId: string;
  readonly parser: L7Parser;
  readonly filter: L4Filter;
}

/** Redirects that a policy needs, each proxy once. */
export function redirectsOf(policy: ResolvedPolicy, owner: PolicyOwner): readonly Redirect[] {
  const redirects = new Map<string, Redirect>();
  for (const { filters } of [policy.ingress, policy.egress].filter((each) => each !== undefined)) {
    for (const filter of filters) {
      const port = portOf(filter, owner);
      if (port === undefined) continue;
      for (const { policy: own } of filter.peers) {
        if (own.parser === "") continue;
        const proxyId = proxyIdOf(filter, port, own.listener, owner);
        if (!redirects.has(proxyId))
          redirects.set(proxyId, { proxyId, parser: own.parser, filter });
      }
    }
  }
  return [...redirects.values()];
}

/** The policy of one endpoint as entries of its map, kept as identities come and go (pkg/policy/resolve.go EndpointPolicy). */
export class EndpointPolicy implements SelectorUser {
  readonly mapState: MapState = new MapState();
  readonly resolved: ResolvedPolicy;
  readonly #owner: PolicyOwner;
  readonly #cache: Selections;
  readonly #onChange: ((changes: MapStateChanges) => void) | undefined;
  /** Filters by the selectors that they have. */
  readonly #filtersOf = new Map<string, Set<L4Filter>>();
  readonly #selectors = new Map<string, PeerSelector>();
  readonly #features: PolicyFeatures;

  constructor(
    resolved: ResolvedPolicy,
    owner: PolicyOwner,
    cache: Selections,
    options: {
      /** The node may always come in. */
      readonly allowLocalhost: boolean;
      /** Told of entries that differ since identities came or went. */
      readonly onChange?: (changes: MapStateChanges) => void;
    },
  ) {
    this.resolved = resolved;
    this.#owner = owner;
    this.#cache = cache;
    this.#onChange = options.onChange;
    const { ingress, egress } = resolved;
    if (ingress === undefined) this.mapState.set(anybody("ingress"), ALLOW);
    if (egress === undefined) this.mapState.set(anybody("egress"), ALLOW);
    for (const direction of [ingress, egress]) {
      if (direction !== undefined) this.#insertAll(direction);
    }
    this.#features = eitherFeatures(ingress?.features, egress?.features);
    if (options.allowLocalhost && !owner.isHost) {
      const host = { ...anybody("ingress"), identity: RESERVED_IDENTITY.host };
      this.mapState.insert(host, ALLOW, ALL_FEATURES);
    }
  }

  /** Identities are no longer followed. */
  detach(): void {
    for (const selector of this.#selectors.values()) this.#cache.remove(selector, this);
    this.#selectors.clear();
    this.#filtersOf.clear();
  }

  selectionChanged(
    selector: PeerSelector,
    added: readonly NumericIdentity[],
    deleted: readonly NumericIdentity[],
  ): void {
    if (selector.isWildcard) return;
    const changes = new MapStateChanges();
    for (const filter of this.#filtersOf.get(selector.key) ?? []) {
      const peer = filter.peerOf(selector);
      const entry = peer && this.#entryOf(filter, peer);
      if (entry === undefined) continue;
      for (const ports of this.#portsOf(filter)) {
        for (const identity of added) {
          this.mapState.insert({ ...ports, identity }, entry, this.#features, changes);
        }
        for (const identity of deleted) this.mapState.delete({ ...ports, identity }, changes);
      }
    }
    if (changes.adds.size + changes.deletes.size > 0) this.#onChange?.(changes);
  }

  #insertAll({ filters, features }: L4DirectionPolicy): void {
    for (const filter of filters) this.#insert(filter, features);
  }

  #insert(filter: L4Filter, features: PolicyFeatures): void {
    for (const { selector } of filter.peers) this.#follow(selector, filter);
    const ports = this.#portsOf(filter);
    const { wildcard } = filter;
    const ofAnybody = wildcard && this.#entryOf(filter, wildcard);
    if (ofAnybody !== undefined) {
      for (const each of ports) this.mapState.insert({ ...each, identity: 0 }, ofAnybody, features);
    }
    for (const peer of filter.peers) {
      if (peer === wildcard) continue;
      const entry = this.#entryOf(filter, peer);
      if (entry === undefined) continue;
      // The same as for anybody needs no entry of its own; but for every port the agent makes one.
      const isPort = filter.port !== 0 || filter.portName !== "";
      if (ofAnybody !== undefined && isPort && sameInDatapath(entry, ofAnybody)) continue;
      for (const identity of this.#cache.selections(peer.selector)) {
        for (const each of ports) this.mapState.insert({ ...each, identity }, entry, features);
      }
    }
  }

  #follow(selector: PeerSelector, filter: L4Filter): void {
    let filters = this.#filtersOf.get(selector.key);
    if (filters === undefined) {
      filters = new Set();
      this.#filtersOf.set(selector.key, filters);
      this.#selectors.set(selector.key, selector);
      this.#cache.add(selector, this);
    }
    filters.add(filter);
  }

  #portsOf(filter: L4Filter): readonly PolicyPorts[] {
    const port = portOf(filter, this.#owner);
    if (port === undefined) return [];
    return maskedPorts(port, filter.endPort).map((each) => ({
      direction: filter.direction,
      protocol: protocolNumber(filter.protocol),
      port: each.port,
      portPrefixLength: prefixLengthOf(each.mask),
    }));
  }

  /** `undefined` while the proxy is not there. */
  #entryOf(filter: L4Filter, { policy, rules }: FilterPeer): PolicyMapEntry | undefined {
    const port = portOf(filter, this.#owner);
    if (port === undefined) return undefined;
    let proxyPort = 0;
    if (policy.parser !== "") {
      proxyPort = this.#owner.proxyPort(proxyIdOf(filter, port, policy.listener, this.#owner));
      if (proxyPort === 0) return undefined;
    }
    const { deny, listenerPriority } = policy;
    return policyMapEntry({ deny, proxyPort, listenerPriority, rules, ...authOf(policy) });
  }
}

function anybody(direction: TrafficDirection) {
  return { direction, protocol: 0, port: 0, portPrefixLength: 0, identity: 0 } as const;
}

function eitherFeatures(
  x: PolicyFeatures | undefined,
  y: PolicyFeatures | undefined,
): PolicyFeatures {
  return {
    deny: Boolean(x?.deny || y?.deny),
    redirect: Boolean(x?.redirect || y?.redirect),
    auth: Boolean(x?.auth || y?.auth),
  };
}

/** `undefined` for a name that no port has. */
function portOf(filter: L4Filter, owner: PolicyOwner): number | undefined {
  if (filter.portName === "") return filter.port;
  return owner.namedPort(filter.direction, filter.portName, filter.protocol) || undefined;
}

function proxyIdOf(
  filter: L4Filter,
  port: number,
  listener: string,
  { endpointId }: PolicyOwner,
): string {
  return `${endpointId}:${filter.direction}:${filter.protocol}:${port}:${listener}`;
}
