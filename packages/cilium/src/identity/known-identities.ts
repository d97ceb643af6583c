import type { CiliumIdentity } from "../api/v2/identity.ts";
import { fromSecurityLabels, identityKey, type LabelSet } from "../labels/label-set.ts";
import type { NumericIdentity } from "./numeric-identity.ts";

/** Told which identities there are. */
export type IdentityListener = (
  added: ReadonlyMap<NumericIdentity, LabelSet>,
  deleted: readonly NumericIdentity[],
) => void;

/** Somebody whose endpoints have an identity. */
export interface IdentityHolder {
  /** The object is gone though the identity is used. */
  lost(identity: NumericIdentity, labels: LabelSet): void;
}

/**
 * The cluster's identities as a watch of CiliumIdentity tells of them. What all nodes hear at once they keep once (pkg/allocator/cache.go,
 * where each agent has its own).
 */
export class KnownIdentities {
  readonly #objects = new Map<string, CiliumIdentity>();
  readonly #byKey = new Map<string, Set<CiliumIdentity>>();
  readonly #labels = new Map<NumericIdentity, LabelSet>();
  readonly #holders = new Map<NumericIdentity, Set<IdentityHolder>>();
  readonly #listeners = new Set<IdentityListener>();

  get labels(): ReadonlyMap<NumericIdentity, LabelSet> {
    return this.#labels;
  }

  /** Hears of each change from now on. @returns what ends that */
  listen(listener: IdentityListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  upsert(object: CiliumIdentity): void {
    const { name } = object.metadata;
    this.#forget(name);
    const labels = fromSecurityLabels(object["security-labels"]);
    this.#objects.set(name, object);
    const key = identityKey(labels);
    const same = this.#byKey.get(key) ?? new Set();
    this.#byKey.set(key, same.add(object));
    const identity = Number(name);
    const before = this.#labels.get(identity);
    this.#labels.set(identity, labels);
    if (before !== undefined && identityKey(before) === key) return;
    for (const listener of this.#listeners) listener(new Map([[identity, labels]]), []);
  }

  /** What somebody still uses stays known, and is made again (the allocator's master key protection). */
  remove(name: string): void {
    const object = this.#forget(name);
    if (object === undefined) return;
    const identity = Number(name);
    const holders = this.#holders.get(identity);
    if (holders !== undefined) {
      const labels = this.#labels.get(identity) as LabelSet;
      for (const holder of [...holders]) holder.lost(identity, labels);
      return;
    }
    this.#labels.delete(identity);
    for (const listener of this.#listeners) listener(new Map(), [identity]);
  }

  /** Of identities of the same labels all nodes take the oldest, if they have none yet. */
  oldest(key: string): CiliumIdentity | undefined {
    let oldest: CiliumIdentity | undefined;
    for (const each of this.#byKey.get(key) ?? []) {
      if (oldest === undefined || isOlder(each, oldest)) oldest = each;
    }
    return oldest;
  }

  hold(identity: NumericIdentity, holder: IdentityHolder): void {
    const holders = this.#holders.get(identity) ?? new Set();
    this.#holders.set(identity, holders.add(holder));
  }

  release(identity: NumericIdentity, holder: IdentityHolder): void {
    const holders = this.#holders.get(identity);
    holders?.delete(holder);
    if (holders?.size === 0) this.#holders.delete(identity);
  }

  #forget(name: string): CiliumIdentity | undefined {
    const object = this.#objects.get(name);
    if (object === undefined) return undefined;
    this.#objects.delete(name);
    const key = identityKey(fromSecurityLabels(object["security-labels"]));
    const same = this.#byKey.get(key);
    same?.delete(object);
    if (same?.size === 0) this.#byKey.delete(key);
    return object;
  }
}

function isOlder({ metadata: x }: CiliumIdentity, { metadata: y }: CiliumIdentity): boolean {
  const [a, b] = [x.creationTimestamp ?? "", y.creationTimestamp ?? ""];
  return a < b || (a === b && Number(x.name) < Number(y.name));
}
