import type { FQDNSelector } from "../api/v2/rule.ts";
import type { NumericIdentity } from "../identity/numeric-identity.ts";
import { POD_NAMESPACE_LABEL } from "../labels/kubernetes-labels.ts";
import type { LabelSet } from "../labels/label-set.ts";
import type { PeerSelector } from "./cached-selector.ts";

/** Told when others are selected than before. */
export interface SelectorUser {
  selectionChanged(
    selector: PeerSelector,
    added: readonly NumericIdentity[],
    deleted: readonly NumericIdentity[],
  ): void;
}

/** What policies of endpoints ask: who is selected, and to be told of changes. */
export interface Selections {
  add(selector: PeerSelector, user: SelectorUser): void;
  remove(selector: PeerSelector, user: SelectorUser): void;
  /** Of a selector that has a user. */
  selections(selector: PeerSelector): ReadonlySet<NumericIdentity>;
}

interface CachedSelector {
  readonly selector: PeerSelector;
  readonly selections: Set<NumericIdentity>;
  readonly users: Set<SelectorUser>;
}

const NOBODY: ReadonlySet<NumericIdentity> = new Set();

/** Which identities each selector of a node's policies selects (pkg/policy/selectorcache.go). */
export class SelectorCache implements Selections {
  readonly #identities = new Map<NumericIdentity, LabelSet>();
  readonly #byNamespace = new Map<string, Set<NumericIdentity>>();
  readonly #selectors = new Map<string, CachedSelector>();
  /** Selectors by the namespaces that they select in. */
  readonly #ofNamespace = new Map<string, Set<CachedSelector>>();
  readonly #ofAll = new Set<CachedSelector>();
  readonly #fqdns = new Map<string, FQDNSelector>();
  readonly #fqdnListeners = new Set<() => void>();

  /** Names of DNS that policies of endpoints speak of. */
  get fqdnSelectors(): Iterable<FQDNSelector> {
    return this.#fqdns.values();
  }

  /** Hears when {@link fqdnSelectors} are others. @returns what ends that */
  onFqdnSelectors(listener: () => void): () => void {
    this.#fqdnListeners.add(listener);
    return () => this.#fqdnListeners.delete(listener);
  }

  labelsOf(identity: NumericIdentity): LabelSet | undefined {
    return this.#identities.get(identity);
  }

  /** A user counts once for each selector; see {@link remove}. */
  add(selector: PeerSelector, user: SelectorUser): void {
    let cached = this.#selectors.get(selector.key);
    if (cached === undefined) {
      cached = { selector, selections: this.#select(selector), users: new Set() };
      this.#selectors.set(selector.key, cached);
      for (const set of this.#indexes(selector)) set.add(cached);
      cached.users.add(user);
      if (selector.fqdn !== undefined) {
        this.#fqdns.set(selector.key, selector.fqdn);
        for (const listener of [...this.#fqdnListeners]) listener();
      }
      return;
    }
    cached.users.add(user);
  }

  remove(selector: PeerSelector, user: SelectorUser): void {
    const cached = this.#selectors.get(selector.key);
    if (cached === undefined) return;
    cached.users.delete(user);
    if (cached.users.size > 0) return;
    this.#selectors.delete(selector.key);
    for (const set of this.#indexes(selector)) set.delete(cached);
    if (!this.#fqdns.delete(selector.key)) return;
    for (const listener of [...this.#fqdnListeners]) listener();
  }

  /** Of a selector that has a user. The wildcard selects nobody by number: its entries are for the identity 0. */
  selections({ key }: PeerSelector): ReadonlySet<NumericIdentity> {
    return this.#selectors.get(key)?.selections ?? NOBODY;
  }

  /** An identity whose labels change goes and comes at once. */
  updateIdentities(
    added: ReadonlyMap<NumericIdentity, LabelSet>,
    deleted: Iterable<NumericIdentity>,
  ): void {
    const changes = new Map<CachedSelector, { added: number[]; deleted: number[] }>();
    const changeOf = (cached: CachedSelector) => {
      let change = changes.get(cached);
      if (change === undefined) {
        change = { added: [], deleted: [] };
        changes.set(cached, change);
      }
      return change;
    };
    for (const identity of [...deleted, ...added.keys()]) {
      const labels = this.#identities.get(identity);
      if (labels === undefined) continue;
      this.#identities.delete(identity);
      this.#byNamespace.get(namespaceOf(labels))?.delete(identity);
      for (const cached of this.#candidates(labels)) {
        if (cached.selections.delete(identity)) changeOf(cached).deleted.push(identity);
      }
    }
    for (const [identity, labels] of added) {
      this.#identities.set(identity, labels);
      setOf(this.#byNamespace, namespaceOf(labels)).add(identity);
      for (const cached of this.#candidates(labels)) {
        if (!cached.selector.matches(labels)) continue;
        cached.selections.add(identity);
        const change = changeOf(cached);
        const i = change.deleted.indexOf(identity);
        if (i >= 0) change.deleted.splice(i, 1);
        else change.added.push(identity);
      }
    }
    for (const [cached, change] of changes) {
      if (change.added.length + change.deleted.length === 0) continue;
      for (const user of [...cached.users]) {
        user.selectionChanged(cached.selector, change.added, change.deleted);
      }
    }
  }

  #select(selector: PeerSelector): Set<NumericIdentity> {
    const selected = new Set<NumericIdentity>();
    if (selector.isNone) return selected;
    const look = (identity: NumericIdentity) => {
      if (selector.matches(this.#identities.get(identity) as LabelSet)) selected.add(identity);
    };
    if (selector.namespaces === undefined) for (const each of this.#identities.keys()) look(each);
    for (const namespace of selector.namespaces ?? []) {
      for (const each of this.#byNamespace.get(namespace) ?? []) look(each);
    }
    return selected;
  }

  *#candidates(labels: LabelSet): Iterable<CachedSelector> {
    yield* this.#ofAll;
    yield* this.#ofNamespace.get(namespaceOf(labels)) ?? [];
  }

  #indexes({ namespaces }: PeerSelector): readonly Set<CachedSelector>[] {
    return namespaces === undefined
      ? [this.#ofAll]
      : [...new Set(namespaces)].map((each) => setOf(this.#ofNamespace, each));
  }
}

function namespaceOf(labels: LabelSet): string {
  return (
    labels.find(({ key, source }) => key === POD_NAMESPACE_LABEL && source === "k8s")?.value ?? ""
  );
}

function setOf<T>(sets: Map<string, Set<T>>, key: string): Set<T> {
  let set = sets.get(key);
  if (set === undefined) {
    set = new Set();
    sets.set(key, set);
  }
  return set;
}
