import { identityKey, type LabelSet } from "../labels/label-set.ts";
import { MAX_LOCAL_IDENTITY, type NumericIdentity } from "./numeric-identity.ts";

interface LocalIdentity {
  readonly identity: NumericIdentity;
  readonly labels: LabelSet;
  readonly key: string;
  references: number;
}

/** Identities that a node gives out for itself, one after another (pkg/identity/cache/local.go). */
export class LocalIdentities {
  readonly #scope: number;
  readonly #most: number;
  readonly #byKey = new Map<string, LocalIdentity>();
  readonly #byNumber = new Map<NumericIdentity, LocalIdentity>();
  #next = 1;

  /** @param scope what its numbers start from. @param most how many there can be */
  constructor(scope: number, most: number = MAX_LOCAL_IDENTITY) {
    this.#scope = scope;
    this.#most = most;
  }

  get size(): number {
    return this.#byNumber.size;
  }

  labelsOf(identity: NumericIdentity): LabelSet | undefined {
    return this.#byNumber.get(identity)?.labels;
  }

  /**
   * The labels' identity, with one reference more; to be given back by {@link release}.
   * @param wanted a number that they had before, which they get again if it is free
   * @returns `undefined` when all numbers are taken
   */
  acquire(
    labels: LabelSet,
    wanted?: NumericIdentity,
  ): { readonly identity: NumericIdentity; readonly isNew: boolean } | undefined {
    const key = identityKey(labels);
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      known.references++;
      return { identity: known.identity, isNew: false };
    }
    const identity = this.#free(wanted);
    if (identity === undefined) return undefined;
    const made = { identity, labels, key, references: 1 };
    this.#byKey.set(key, made);
    this.#byNumber.set(identity, made);
    return { identity, isNew: true };
  }

  /** @returns whether that was the last reference, and the number is free */
  release(identity: NumericIdentity): boolean {
    const known = this.#byNumber.get(identity);
    if (known === undefined || --known.references > 0) return false;
    this.#byNumber.delete(identity);
    this.#byKey.delete(known.key);
    return true;
  }

  #free(wanted: NumericIdentity | undefined): NumericIdentity | undefined {
    if (wanted !== undefined && this.#isMine(wanted) && !this.#byNumber.has(wanted)) return wanted;
    for (let i = 0; i < this.#most; i++) {
      const identity = this.#scope + this.#next;
      this.#next = this.#next === this.#most ? 1 : this.#next + 1;
      if (!this.#byNumber.has(identity)) return identity;
    }
    return undefined;
  }

  #isMine(identity: NumericIdentity): boolean {
    return identity > this.#scope && identity <= this.#scope + this.#most;
  }
}
