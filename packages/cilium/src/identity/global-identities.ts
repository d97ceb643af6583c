import type { Clock, Random } from "@cnilab/core";
import { GROUP, VERSION } from "../api/kinds.ts";
import type { CiliumIdentity } from "../api/v2/identity.ts";
import { POD_NAMESPACE_LABEL } from "../labels/kubernetes-labels.ts";
import { identityKey, type LabelSet, securityLabels } from "../labels/label-set.ts";
import type { IdentityHolder, KnownIdentities } from "./known-identities.ts";
import type { IdentityRange, NumericIdentity } from "./numeric-identity.ts";

/** What allocation asks of the API server. */
export interface IdentityBackend {
  /** @returns whether it was made; false where another one has its name, or nobody answers */
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

/**
 * How one node gets identities for its endpoints: of those that it has heard of, or new ones (pkg/allocator/allocator.go,
 * pkg/k8s/identitybackend/identity.go). Nothing locks: two nodes that meet the same labels before they hear of each other make an
 * identity each, and both stay.
 */
export class GlobalIdentities implements IdentityHolder {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #range: IdentityRange;
  readonly #backend: IdentityBackend;
  readonly #requestMs: () => number;
  readonly #known: KnownIdentities;
  /** What this node's endpoints have. */
  readonly #used = new Map<string, UsedKey>();
  /** Numbers of requests that are under way. */
  readonly #pending = new Set<NumericIdentity>();

  /** @param options.requestMs how long the API server takes for a request; what takes no time is done at once */
  constructor(options: {
    readonly clock: Clock;
    readonly random: Random;
    readonly range: IdentityRange;
    readonly backend: IdentityBackend;
    readonly requestMs: () => number;
    readonly known: KnownIdentities;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#range = options.range;
    this.#backend = options.backend;
    this.#requestMs = options.requestMs;
    this.#known = options.known;
  }

  lost(identity: NumericIdentity, labels: LabelSet): void {
    // What is told while a watch is under way is answered after it.
    this.#clock.schedule(this.#requestMs(), () => {
      if (this.#used.get(identityKey(labels))?.identity !== identity) return;
      this.#backend.create(identityObject(identity, labels));
    });
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
    if (used === undefined || --used.references > 0) return;
    this.#used.delete(key);
    this.#known.release(used.identity, this);
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
    const known = this.#known.oldest(key);
    if (known !== undefined) {
      const identity = Number(known.metadata.name);
      this.#use(key, identity);
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
    this.#request(() => {
      this.#pending.delete(identity);
      // Another endpoint of this node may have been quicker.
      if (this.#used.has(key)) this.#attempt(labels, key, attempt, done);
      else if (!this.#backend.create(identityObject(identity, labels))) again();
      else {
        this.#use(key, identity);
        done(identity);
      }
    });
  }

  #request(task: () => void): void {
    const time = this.#requestMs();
    if (time === 0) task();
    else this.#clock.schedule(time, task);
  }

  #use(key: string, identity: NumericIdentity): void {
    this.#used.set(key, { identity, references: 1 });
    this.#known.hold(identity, this);
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
    const { labels } = this.#known;
    for (let i = 0; i < size; i++) {
      const identity = least + ((start + i) % size);
      if (!labels.has(identity) && !this.#pending.has(identity)) return identity;
    }
    return undefined;
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
