import type { ApiClient, Clock, Kind, Kinds, WatchEvent } from "@cnilab/core";
import type { Network } from "@cnilab/linux";
import type { Observable } from "rxjs";
import type { ClusterMaps } from "../../datapath/node-maps.ts";

/** What the agents of a cluster have around them. */
export interface AgentWorld {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly network: Network;
  readonly maps: ClusterMaps;
  readonly propagation: Propagation;
}

/**
 * How late agents hear of what others do. Without delays a change reaches all of them in its own moment; with them the races of the real
 * thing show: identities made twice, addresses that nobody knows yet. Milliseconds.
 */
export class Propagation {
  /** Until the API server has answered a request. */
  requestMs = 0;
  /** Until a watch tells of a change, of kinds without a delay of their own. */
  watchMs = 0;
  readonly #byKind = new Map<Kind, number>();

  /** @param ms `undefined` for {@link watchMs} again */
  delay(kind: Kind, ms: number | undefined): void {
    if (ms === undefined) this.#byKind.delete(kind);
    else this.#byKind.set(kind, ms);
  }

  of(kind: Kind): number {
    return this.#byKind.get(kind) ?? this.watchMs;
  }
}

/** Watches a kind as agents hear of it: what is there at once, changes after their delay and in their order. @returns what ends that */
export function watchLate<K extends Kind>(
  { api, clock, propagation }: AgentWorld,
  kind: K,
  apply: (event: WatchEvent<Kinds[K]>) => void,
): () => void {
  let isStart = true;
  let waiting = 0;
  let last = 0;
  let stopped = false;
  const subscription = (api.watch(kind) as Observable<WatchEvent<Kinds[K]>>).subscribe((event) => {
    const at = Math.max(last, clock.now + propagation.of(kind));
    if (isStart || (waiting === 0 && at <= clock.now)) {
      apply(event);
      return;
    }
    last = at;
    waiting++;
    clock.schedule(at - clock.now, () => {
      waiting--;
      if (!stopped) apply(event);
    });
  });
  isStart = false;
  return () => {
    stopped = true;
    subscription.unsubscribe();
  };
}
