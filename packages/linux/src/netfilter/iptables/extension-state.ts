import type { TokenBucket } from "./matches/rate.ts";
import { RecentTables } from "./matches/recent-table.ts";

/** What matches of one family's rules remember in one namespace. */
export class ExtensionState {
  /** What is remembered goes with the rule. */
  readonly #ofMatch: WeakMap<object, unknown> = new WeakMap();
  #recent: RecentTables | undefined;
  #hashlimits: Map<string, Map<string, TokenBucket>> | undefined;

  /** What one rule's match remembers, as a token bucket does; made by `create` at first. */
  of<T>(match: object, create: () => T): T {
    let state = this.#ofMatch.get(match) as T | undefined;
    if (state === undefined) {
      state = create();
      this.#ofMatch.set(match, state);
    }
    return state;
  }

  /** The address lists of `-m recent`, which rules share by name. */
  get recent(): RecentTables {
    this.#recent ??= new RecentTables();
    return this.#recent;
  }

  /** The token buckets of `-m hashlimit` by what they are for; rules share them by name. */
  hashlimit(name: string): Map<string, TokenBucket> {
    this.#hashlimits ??= new Map();
    let buckets = this.#hashlimits.get(name);
    if (buckets === undefined) {
      buckets = new Map();
      this.#hashlimits.set(name, buckets);
    }
    return buckets;
  }
}
