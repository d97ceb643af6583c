import type { IpAddress } from "@cnilab/net";
import type { FQDNSelector } from "../../api/v2/rule.ts";
import { fqdn, fqdnExpression } from "../../policy/match-pattern.ts";
import type { SelectorCache } from "../../policy/selector-cache.ts";
import type { NodeIpcache } from "../identity/cluster-ipcache.ts";

/** Names that DNS has told a node's pods of, as far as policies speak of them (pkg/fqdn/namemanager). */
export class DnsNames {
  readonly #selectors: SelectorCache;
  readonly #ipcache: NodeIpcache;
  readonly #names = new Map<IpAddress, readonly string[]>();
  readonly #expressions = new Map<FQDNSelector, RegExp>();
  readonly #stop: () => void;

  constructor(selectors: SelectorCache, ipcache: NodeIpcache) {
    this.#selectors = selectors;
    this.#ipcache = ipcache;
    this.#stop = selectors.onFqdnSelectors(() => {
      this.#expressions.clear();
      for (const [address, names] of this.#names) this.#apply(address, names);
    });
  }

  /** All names that an address is known by on this node, by any of its pods; none where the last one is forgotten. */
  set(address: IpAddress, names: readonly string[]): void {
    const known = names.map(fqdn);
    if (known.length === 0) this.#names.delete(address);
    else this.#names.set(address, known);
    this.#apply(address, known);
  }

  stop(): void {
    this.#stop();
  }

  #apply(address: IpAddress, names: readonly string[]): void {
    const matching: FQDNSelector[] = [];
    for (const selector of this.#selectors.fqdnSelectors) {
      let expression = this.#expressions.get(selector);
      if (expression === undefined) {
        expression = fqdnExpression(selector);
        this.#expressions.set(selector, expression);
      }
      if (names.some((name) => expression.test(name))) matching.push(selector);
    }
    this.#ipcache.setSelectors(address, matching);
  }
}
