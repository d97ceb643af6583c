import {
  type ApiClient,
  type Clock,
  type ClusterController,
  type Timer,
  timestamp,
} from "@cnilab/core";
import type { Subscription } from "rxjs";
import { HEARTBEAT_ANNOTATION } from "../identity/global-identities.ts";
import {
  IDENTITY_GC_INTERVAL_MS,
  IDENTITY_HEARTBEAT_TIMEOUT_MS,
  IdentityGc,
} from "../identity/identity-gc.ts";

const KIND = "CiliumIdentity.cilium.io";

/** The operator's collection of identities that no CiliumEndpoint has (operator/identitygc). */
export class IdentityCollector implements ClusterController {
  readonly name = "cilium-operator";
  readonly #api: ApiClient;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #intervalMs: number;
  #gc: IdentityGc | undefined;
  #timer: Timer | undefined;
  #subscription: Subscription | undefined;

  /** @param timing Helm `operator.identityGCInterval`, `operator.identityHeartbeatTimeout` */
  constructor(
    api: ApiClient,
    clock: Clock,
    timing: { readonly intervalMs?: number; readonly timeoutMs?: number } = {},
  ) {
    this.#api = api;
    this.#clock = clock;
    this.#intervalMs = timing.intervalMs ?? IDENTITY_GC_INTERVAL_MS;
    this.#timeoutMs = timing.timeoutMs ?? IDENTITY_HEARTBEAT_TIMEOUT_MS;
  }

  start(): void {
    const gc = new IdentityGc(this.#clock.now, this.#timeoutMs);
    this.#gc = gc;
    this.#subscription = this.#api.watch(KIND).subscribe(({ type, object }) => {
      const { name } = object.metadata;
      if (type === "DELETED") gc.forget(name);
      else gc.markAlive(name, this.#clock.now);
    });
    this.#schedule();
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #schedule(): void {
    this.#timer = this.#clock.schedule(
      this.#intervalMs,
      () => {
        this.#schedule();
        this.#collect();
      },
      { background: true },
    );
  }

  #collect(): void {
    const used = new Set<string>();
    for (const { status } of this.#api.list("CiliumEndpoint.cilium.io")) {
      if (status?.identity?.id !== undefined) used.add(String(status.identity.id));
    }
    const { now } = this.#clock;
    const round = this.#gc?.round(this.#api.list(KIND), used, now);
    for (const { metadata } of round?.mark ?? []) {
      this.#api.update(KIND, metadata.name, (identity) => ({
        ...identity,
        metadata: {
          ...identity.metadata,
          annotations: { ...identity.metadata.annotations, [HEARTBEAT_ANNOTATION]: timestamp(now) },
        },
      }));
    }
    for (const { metadata } of round?.delete ?? []) this.#api.delete(KIND, metadata.name);
  }
}
