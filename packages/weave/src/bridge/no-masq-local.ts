import type { Ipsets } from "@cnilab/linux";
import type { Prefix } from "@cnilab/net";
import { type AddressRange, cidrs } from "../ipam/address-range.ts";
import { NO_MASQ_LOCAL_SET } from "./bridge-rules.ts";

/** Keeps the set of this peer's own ranges as the ring has them (net/bridge.go NoMasqLocalTracker). */
export class NoMasqLocalTracker {
  readonly #ipsets: Ipsets;
  #known = new Set<string>();

  constructor(ipsets: Ipsets) {
    this.#ipsets = ipsets;
  }

  /** @param ranges all that this peer owns now, by address */
  update(ranges: readonly AddressRange[]): void {
    const now = new Set(
      merged(ranges)
        .flatMap(cidrs)
        .map((cidr: Prefix) => cidr.toString()),
    );
    for (const cidr of now) {
      if (!this.#known.has(cidr)) this.#ipsets.run(`add ${NO_MASQ_LOCAL_SET} ${cidr}`);
    }
    for (const cidr of this.#known) {
      if (!now.has(cidr)) this.#ipsets.run(`del ${NO_MASQ_LOCAL_SET} ${cidr}`);
    }
    this.#known = now;
  }
}

/** Ranges that meet are one. */
function merged(ranges: readonly AddressRange[]): AddressRange[] {
  const found: AddressRange[] = [];
  for (const range of ranges) {
    const last = found.at(-1);
    if (last !== undefined && last.end === range.start) {
      found[found.length - 1] = { start: last.start, end: range.end };
    } else found.push(range);
  }
  return found;
}
