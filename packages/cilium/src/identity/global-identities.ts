import type { Clock, Random } from "@cnilab/core";
import { GROUP, VERSION } from "../api/kinds.ts";
import type { CiliumIdentity } from "../api/v2/identity.ts";
import { POD_NAMESPACE_LABEL } from "../labels/kubernetes-labels.ts";
import {
  fromSecurityLabels,
  identityKey,
  type LabelSet,
  securityLabels,
} from "../labels/label-set.ts";
import type { IdentityRange, NumericIdentity } from "./numeric-identity.ts";

/** What allocation asks of the API server. */
export interface IdentityBackend {
  /** @returns whether it was made; false where another one has its name */
  create(identity: CiliumIdentity): boolean;
  /** Does nothing where there is none of that name. */
  update(name: string, change: (identity: CiliumIdentity) => CiliumIdentity): void;
}

/** The mark that the operator puts on an identity that nobody seems to use (pkg/k8s/identitybackend/identity.go). */
export const HEARTBEAT_ANNOTATION = "io.cilium.heartbeat";

/** Milliseconds before an allocation is tried again; twice as many after each try (pkg/allocator/allocator.go). */
const FIRST_BACKOFF_MS = 20;
const MAX_ATTEMPTS = 16;

interface UsedKey {
  readonly identity: NumericIdentity;
  references: number;
}

/** Told which identities there are. */
export type IdentityListener = (
  added: ReadonlyMap<NumericIdentity, LabelSet>,
  deleted: readonly NumericIdentity[],
) => void;

/**
 * One node's view of the cluster's identities, and how it makes new ones (pkg/allocator/allocator.go, pkg/k8s/identitybackend/identity.go).
 * Nothing locks: two nodes that meet the same labels before they hear of each other make an identity each, and both stay.
 */
export class GlobalIdentities {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #range: IdentityRange;
  readonly #backend: IdentityBackend;
  readonly #requestMs: number;
  readonly #onChange: IdentityListener;
  /** As the watch has told, by name. */
  readonly #objects = new Map<string, CiliumIdentity>();
  readonly #byKey = new Map<string, Set<CiliumIdentity>>();
  readonly #labels = new Map<NumericIdentity, LabelSet>();
  /** What this node's endpoints have. */
  readonly #used = new Map<string, UsedKey>();
  /** Numbers of requests that are under way. */
  readonly #pending = new Set<NumericIdentity>();

  /** @param options.requestMs how long the API server takes for a request */
  constructor(options: {
    readonly clock: Clock;
    readonly random: Random;
    readonly range: IdentityRange;
    readonly backend: IdentityBackend;
    readonly requestMs: number;
    readonly onChange?: IdentityListener;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#range = options.range;
    this.#backend = options.backend;
    this.#requestMs = options.requestMs;
    this.#onChange = options.onChange ?? (() => {});
  }

  /** All that the node has heard of. */
  get labels(): ReadonlyMap<NumericIdentity, LabelSet> {
    return this.#labels;
  }

  /** The watch tells of an identity. */
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
    this.#onChange(new Map([[identity, labels]]), []);
  }

  /** The watch tells that one is gone; what this node still uses is made again with its number (allocator's master key protection). */
  remove(name: string): void {
    const object = this.#forget(name);
    if (object === undefined) return;
    const identity = Number(name);
    const key = identityKey(fromSecurityLabels(object["security-labels"]));
    if (this.#used.get(key)?.identity === identity) {
      this.#clock.schedule(this.#requestMs, () => {
        const labels = fromSecurityLabels(object["security-labels"]);
        this.#backend.create(identityObject(identity, labels));
      });
      return;
    }
    this.#labels.delete(identity);
    this.#onChange(new Map(), [identity]);
  }

  /**
   * An identity for the labels of an endpoint, now or later; to be given back by {@link release}.
   * @param done gets `undefined` when after many tries there is none
   */
  acquire(labels: LabelSet, done: (identity: NumericIdentity | undefined) => void): void {
    this.#attempt(labels, identityKey(labels), 0, done);
  }

  /** The object stays until the operator finds that nobody uses it. */
  release(labels: LabelSet): void {
    const key = identityKey(labels);
    const used = this.#used.get(key);
    if (used !== undefined && --used.references === 0) this.#used.delete(key);
  }

  #attempt(
    labels: LabelSet,
    key: string,
    attempt: number,
    done: (identity: NumericIdentity | undefined) => void,
  ): void {
    const used = this.#used.get(key);
    if (used !== undefined) {
      used.references++;
      done(used.identity);
      return;
    }
    const known = this.#oldest(key);
    if (known !== undefined) {
      const identity = Number(known.metadata.name);
      this.#used.set(key, { identity, references: 1 });
      this.#unmark(known);
      done(identity);
      return;
    }
    const again = () => {
      if (attempt + 1 === MAX_ATTEMPTS) done(undefined);
      else {
        const wait = FIRST_BACKOFF_MS * 2 ** attempt;
        this.#clock.schedule(wait, () => this.#attempt(labels, key, attempt + 1, done));
      }
    };
    const identity = this.#free();
    if (identity === undefined) {
      again();
      return;
    }
    this.#pending.add(identity);
    this.#clock.schedule(this.#requestMs, () => {
      this.#pending.delete(identity);
      // Another endpoint of this node may have been quicker.
      if (this.#used.has(key)) this.#attempt(labels, key, attempt, done);
      else if (!this.#backend.create(identityObject(identity, labels))) again();
      else {
        this.#used.set(key, { identity, references: 1 });
        // The node knows it at once, before the watch tells.
        if (!this.#labels.has(identity)) {
          this.#labels.set(identity, labels);
          this.#onChange(new Map([[identity, labels]]), []);
        }
        done(identity);
      }
    });
  }

  /** Of identities of the same labels all nodes take the oldest, if they have none yet. */
  #oldest(key: string): CiliumIdentity | undefined {
    let oldest: CiliumIdentity | undefined;
    for (const each of this.#byKey.get(key) ?? []) {
      if (oldest === undefined || isOlder(each, oldest)) oldest = each;
    }
    return oldest;
  }

  #unmark({ metadata }: CiliumIdentity): void {
    if (metadata.annotations?.[HEARTBEAT_ANNOTATION] === undefined) return;
    this.#backend.update(metadata.name, (identity) => {
      const { [HEARTBEAT_ANNOTATION]: _, ...annotations } = identity.metadata.annotations ?? {};
      return { ...identity, metadata: { ...identity.metadata, annotations } };
    });
  }

  /** Any that the node does not know to be taken; others may know better. */
  #free(): NumericIdentity | undefined {
    const { least, most } = this.#range;
    const size = most - least + 1;
    const start = this.#random.below(size);
    for (let i = 0; i < size; i++) {
      const identity = least + ((start + i) % size);
      if (!this.#labels.has(identity) && !this.#pending.has(identity)) return identity;
    }
    return undefined;
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

/** As agents write it: for people it has the namespace among its labels. */
export function identityObject(identity: NumericIdentity, labels: LabelSet): CiliumIdentity {
  const namespace = labels.find(
    ({ key, source }) => key === POD_NAMESPACE_LABEL && source === "k8s",
  );
  return {
    apiVersion: `${GROUP}/${VERSION}`,
    kind: "CiliumIdentity",
    metadata: {
      name: String(identity),
      ...(namespace && { labels: { [POD_NAMESPACE_LABEL]: namespace.value } }),
    },
    "security-labels": securityLabels(labels),
  };
}

function isOlder({ metadata: x }: CiliumIdentity, { metadata: y }: CiliumIdentity): boolean {
  const [a, b] = [x.creationTimestamp ?? "", y.creationTimestamp ?? ""];
  return a < b || (a === b && Number(x.name) < Number(y.name));
}
