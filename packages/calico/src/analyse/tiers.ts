import type { Tier } from "@cnilab/network-policy";
import { FIXED_TIERS } from "../api/endpoint-checks.ts";
import type { Tier as TierObject } from "../api/v3/tier.ts";
import type { ModelTier } from "../conversion/model.ts";
import { modelTier } from "../conversion/model-sets.ts";
import { compareUtf8 } from "../selector/compare-utf8.ts";

/**
 * When a policy is asked, at a host's own interface: before connection tracking, before DNAT, or as all policies of pods are
 * (`felix/rules/endpoints.go`). All tiers are gone through each time.
 */
export type Phase = "doNotTrack" | "preDNAT" | "normal";

/**
 * All tiers, in the order in which they are asked. One that policies name and that is not there comes last and denies
 * (`felix/calc/policy_sorter.go` TierLess; `policy_resolver.go` says that it is skipped, and goes on with it).
 */
export class Tiers {
  readonly #tiers = new Map<string, Tier>();
  /** Where a tier before all others, and one behind them, stands. */
  readonly first = 0;
  readonly last: number;

  /** @param named by policies */
  constructor(objects: readonly TierObject[], named: Iterable<string>) {
    const known = new Map<string, ModelTier>(Object.entries(FIXED_TIERS));
    for (const object of objects) known.set(object.metadata.name, modelTier(object));
    const missing = [...new Set(named)]
      .filter((name) => !known.has(name))
      .sort(compareUtf8)
      .map((name): [string, ModelTier] => [name, { defaultAction: "Deny" }]);
    const sorted = [...[...known].sort(compareTiers), ...missing];
    let order = this.first + 1;
    for (const phase of ["doNotTrack", "preDNAT", "normal"] as const) {
      for (const [name, { defaultAction }] of sorted) {
        this.#tiers.set(`${phase} ${name}`, {
          name: phase === "normal" ? name : `${name} (${phase})`,
          order: order++,
          // Only the last time has an end.
          otherwise: phase === "normal" ? defaultAction : "Pass",
        });
      }
    }
    this.last = order;
  }

  /** @param name of a tier that is there, or that policies name */
  of(name: string, phase: Phase): Tier {
    return this.#tiers.get(`${phase} ${name}`) as Tier;
  }
}

function compareTiers([nameX, x]: [string, ModelTier], [nameY, y]: [string, ModelTier]): number {
  const [orderX, orderY] = [x.order ?? Infinity, y.order ?? Infinity];
  return orderX === orderY ? compareUtf8(nameX, nameY) : orderX - orderY;
}
