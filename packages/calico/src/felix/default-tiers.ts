import type { ApiClient } from "@cnilab/core";
import { FIXED_TIERS } from "../api/endpoint-checks.ts";

/** The tiers of a new datastore, which calico-node makes at its start (`libcalico-go/lib/clientv3/client.go` EnsureInitialized). */
export function createDefaultTiers(api: ApiClient): void {
  const there = new Set(api.list("Tier.projectcalico.org").map(({ metadata }) => metadata.name));
  for (const [name, spec] of Object.entries(FIXED_TIERS)) {
    if (there.has(name)) continue;
    api.create({
      apiVersion: "projectcalico.org/v3",
      kind: "Tier",
      metadata: { name },
      spec,
    });
  }
}
