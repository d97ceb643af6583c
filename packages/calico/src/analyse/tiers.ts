import type { Tier } from "@cnilab/network-policy";
import type { Tier as TierObject } from "../api/v3/tier.ts";
import type { ModelTier } from "../conversion/model.ts";
import { modelTier } from "../conversion/model-sets.ts";
import { compareUtf8 } from "../selector/compare-utf8.ts";

/** Those that calico-node makes at its start (`libcalico-go/lib/clientv3/client.go` EnsureInitialized). */
const ALWAYS_THERE: readonly (readonly [name: string, tier: ModelTier])[] = [
  ["kube-admin", { order: 1_000, defaultAction: "Pass" }],
  ["default", { order: 1_000_000, defaultAction: "Deny" }],
  ["kube-baseline", { order: 10_000_000, defaultAction: "Pass" }],
];

/**
 * When a policy is asked, at a host's own interface: before connection tracking, before DNAT, or as all policies of pods are
 * (`felix/rules/endpoints.go`). All tiers are gone through each time.
 */
export type Phase = "doNotTrack" | "preDNAT" | "normal";

/** All tiers, in the order in which they are asked. */
export class Tiers {
  readonly #tiers = new Map<string, Tier>();
  /** Where a tier before all others, and one behind them, stands. */
  readonly first = 0;
  readonly last: number;

  constructor(objects: readonly TierObject[]) {
    const known = new Map(ALWAYS_THERE);
    for (const object of objects) known.set(object.metadata.name, modelTier(object));
    const sorted = [...known].sort(
      ([nameX, { order: x = Infinity }], [nameY, { order: y = Infinity }]) =>
        x === y ? compareUtf8(nameX, nameY) : x - y,
    );
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

  /** `undefined` for a tier that there is not. */
  find(name: string, phase: Phase): Tier | undefined {
    return this.#tiers.get(`${phase} ${name}`);
  }
}
