import type {
  EndpointSlice,
  NodeContext,
  ProxyEngine,
  Service,
  Snapshot,
  Timer,
} from "@cnilab/core";
import { BehaviorSubject, combineLatest, type Observable, type Subscription } from "rxjs";
import type { KubeProxyConfig } from "./config.ts";
import type { Proxier } from "./proxier.ts";
import type { ProxyHealthServer } from "./proxy-health-server.ts";
import type { ServiceHealthServer } from "./service-health-server.ts";
import type { ServiceStates } from "./service-state.ts";

/** One address family: where its states come from and who programs them. */
export interface ProxiedFamily {
  readonly states: ServiceStates;
  readonly proxier: Proxier;
  readonly health: ServiceHealthServer;
}

/**
 * kube-proxy on one node: watches Services and EndpointSlices, and syncs at once, then at most every
 * `minSyncPeriod` (pkg/proxy/runner `BoundedFrequencyRunner`).
 */
export class KubeProxy implements ProxyEngine {
  readonly name = "kube-proxy";
  readonly #node: Pick<NodeContext, "api" | "clock">;
  readonly #config: KubeProxyConfig;
  readonly #families: readonly ProxiedFamily[];
  readonly #health: ProxyHealthServer;
  readonly #ready = new BehaviorSubject(false);
  #subscription: Subscription | undefined;
  #seen: readonly [Snapshot<Service>, Snapshot<EndpointSlice>] | undefined;
  #timer: Timer | undefined;
  #lastSync = Number.NEGATIVE_INFINITY;

  constructor(
    node: Pick<NodeContext, "api" | "clock">,
    config: KubeProxyConfig,
    families: readonly ProxiedFamily[],
    health: ProxyHealthServer,
  ) {
    this.#health = health;
    this.#node = node;
    this.#config = config;
    this.#families = families;
  }

  get ready(): Observable<boolean> {
    return this.#ready;
  }

  start(): void {
    const { api } = this.#node;
    this.#health.start();
    this.#subscription ??= combineLatest([
      api.snapshots("Service"),
      api.snapshots("EndpointSlice"),
    ]).subscribe((seen) => {
      this.#seen = seen;
      this.#health.queuedUpdate();
      this.#schedule();
    });
  }

  /** What it programmed stays, as with the real one; its servers go with it. */
  stop(): void {
    this.#health.stop();
    for (const { health } of this.#families) health.stop();
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#lastSync = Number.NEGATIVE_INFINITY;
    this.#ready.next(false);
  }

  #schedule(): void {
    if (this.#timer !== undefined) return;
    const { clock } = this.#node;
    const delay = Math.max(0, this.#lastSync + this.#config.minSyncPeriod - clock.now);
    this.#timer = clock.schedule(delay, () => {
      this.#timer = undefined;
      this.#sync();
    });
  }

  #sync(): void {
    if (this.#seen === undefined) return;
    const [services, slices] = this.#seen;
    const { now } = this.#node.clock;
    this.#lastSync = now;
    for (const { states, proxier, health } of this.#families) {
      const state = states.of(services, slices);
      proxier.sync(state, now);
      health.sync(state);
    }
    this.#health.updated();
    if (!this.#ready.value) this.#ready.next(true);
  }
}
