import type { IpFamily } from "@cnilab/net";
import type { FrontendEntries } from "../../services/frontend-entries.ts";

/** How many entries frontends have in each map. */
export interface LbCounts {
  services: number;
  reverseNat: number;
  maglev: number;
  affinity: number;
}

/**
 * Counts of frontends at fixed addresses, and of those at a node's first address, its second …: a node has as many of
 * these as it has addresses.
 */
export class EntryCounts {
  readonly #places: Readonly<Record<IpFamily, LbCounts[]>>;

  constructor(of?: EntryCounts) {
    const copy = (family: IpFamily) =>
      of === undefined ? [] : of.#places[family].map((counts) => ({ ...counts }));
    this.#places = { 4: copy(4), 6: copy(6) };
  }

  /** @param by 1, or -1 for one that goes */
  count(entries: FrontendEntries, by: 1 | -1): void {
    const places = this.#places[entries.family];
    const at = entries.frontend.nodeAddress + 1;
    while (places.length <= at) {
      places.push({ services: 0, reverseNat: 0, maglev: 0, affinity: 0 });
    }
    const counts = places[at] as LbCounts;
    counts.services += by * entries.size;
    counts.reverseNat += entries.isComplete ? by : 0;
    counts.maglev += entries.hasMaglev ? by : 0;
    counts.affinity += by * entries.affinity.size;
  }

  /** @param nodeAddresses how many the node has of the family */
  of(family: IpFamily, map: keyof LbCounts, nodeAddresses: number): number {
    let sum = 0;
    this.#places[family].slice(0, nodeAddresses + 1).forEach((counts) => {
      sum += counts[map];
    });
    return sum;
  }
}
