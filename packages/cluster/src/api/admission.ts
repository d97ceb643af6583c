import type { Kind, Kinds } from "@cnilab/core";

/**
 * What the API server does with an object before it stores it: defaults, and numbers from its pools.
 * A failure is an `ApiError`, and then nothing has changed.
 */
export interface Admission<K extends Kind = Kind> {
  readonly kind: K;
  create?(object: Kinds[K]): Kinds[K];
  /** Returns `old` itself where nothing changes after all. */
  update?(object: Kinds[K], old: Kinds[K]): Kinds[K];
  /** The object is gone from the store. */
  removed?(object: Kinds[K]): void;
}
