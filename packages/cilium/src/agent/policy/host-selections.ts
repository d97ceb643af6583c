import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { LabelSet } from "../../labels/label-set.ts";
import type { PeerSelector } from "../../policy/cached-selector.ts";
import type { Selections, SelectorUser } from "../../policy/selector-cache.ts";

/**
 * What all nodes select alike, but for the one identity that means another on each: the host, which may be an API server, or have
 * ranges (pkg/ipcache updateReservedHostLabels).
 */
export class HostSelections implements Selections {
  readonly #shared: Selections;
  readonly #labels: LabelSet;

  /** @param labels of this host */
  constructor(shared: Selections, labels: LabelSet) {
    this.#shared = shared;
    this.#labels = labels;
  }

  add(selector: PeerSelector, user: SelectorUser): void {
    this.#shared.add(selector, user);
  }

  remove(selector: PeerSelector, user: SelectorUser): void {
    this.#shared.remove(selector, user);
  }

  selections(selector: PeerSelector): ReadonlySet<NumericIdentity> {
    const shared = this.#shared.selections(selector);
    const { host } = RESERVED_IDENTITY;
    const selects = !selector.isNone && !selector.isWildcard && selector.matches(this.#labels);
    if (selects === shared.has(host)) return shared;
    const own = new Set(shared);
    if (selects) own.add(host);
    else own.delete(host);
    return own;
  }
}
