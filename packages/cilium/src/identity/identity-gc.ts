import type { CiliumIdentity } from "../api/v2/identity.ts";
import { HEARTBEAT_ANNOTATION } from "./global-identities.ts";

/** Milliseconds (Helm `operator.identityGCInterval` and `operator.identityHeartbeatTimeout`). */
export const IDENTITY_GC_INTERVAL_MS = 900_000;
export const IDENTITY_HEARTBEAT_TIMEOUT_MS = 1_800_000;

/** What a round of collection is to do. */
export interface IdentityGcRound {
  /** Get the annotation, and go in a later round. */
  readonly mark: readonly CiliumIdentity[];
  readonly delete: readonly CiliumIdentity[];
}

/** How the operator finds identities that no endpoint has (operator/identitygc/crd_gc.go, heartbeat.go). */
export class IdentityGc {
  readonly #timeoutMs: number;
  readonly #startedAt: number;
  readonly #lastUse = new Map<string, number>();

  /** @param now when the operator starts: until the time-out after that nothing is thrown away */
  constructor(now: number, timeoutMs: number = IDENTITY_HEARTBEAT_TIMEOUT_MS) {
    this.#startedAt = now;
    this.#timeoutMs = timeoutMs;
  }

  /** One that is new, or that somebody has changed, as the mark itself does, counts as used. */
  markAlive(name: string, now: number): void {
    this.#lastUse.set(name, now);
  }

  forget(name: string): void {
    this.#lastUse.delete(name);
  }

  /** @param used names of identities that endpoints have */
  round(
    identities: Iterable<CiliumIdentity>,
    used: ReadonlySet<string>,
    now: number,
  ): IdentityGcRound {
    const mark: CiliumIdentity[] = [];
    const remove: CiliumIdentity[] = [];
    for (const identity of identities) {
      const { name, annotations } = identity.metadata;
      if (used.has(name)) this.#lastUse.set(name, now);
      else if (now - (this.#lastUse.get(name) ?? this.#startedAt) >= this.#timeoutMs) {
        (annotations?.[HEARTBEAT_ANNOTATION] === undefined ? mark : remove).push(identity);
      }
    }
    for (const [name, at] of this.#lastUse) {
      if (now - at > 10 * this.#timeoutMs) this.#lastUse.delete(name);
    }
    return { mark, delete: remove };
  }
}
