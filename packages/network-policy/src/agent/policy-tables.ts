import type { KubeObject, Origin, Snapshot } from "@cnilab/core";
import { NftTableLayer } from "@cnilab/linux";
import { policyEndpoints } from "../policy/policy-endpoint.ts";
import { readPolicies } from "../policy/read-policies.ts";
import { baseChains } from "./base-chains.ts";
import { policyContent } from "./policy-content.ts";
import { contentChanges, NO_CONTENT, type TableContent } from "./table-content.ts";

/** What the agents watch, in this order. */
export const WATCHED = [
  "NetworkPolicy",
  "AdminNetworkPolicy",
  "BaselineAdminNetworkPolicy",
  "ClusterNetworkPolicy",
  "Namespace",
  "Pod",
  "Node",
] as const;

/** One of each kind of `WATCHED`. */
export type PolicySnapshots = readonly Snapshot[];

/** The table that all nodes share. A new version is made of the last one by what differs. */
export class PolicyTables {
  #seen: PolicySnapshots = [];
  #content: TableContent = NO_CONTENT;
  #layer: NftTableLayer | undefined;

  /** `undefined` as long as there has been no policy: then there is no table either. */
  of(snapshots: PolicySnapshots): NftTableLayer | undefined {
    if (snapshots.some((each, i) => each !== this.#seen[i])) {
      this.#seen = snapshots;
      this.#update(snapshots.flatMap(({ objects }) => [...objects.values()]));
    }
    return this.#layer;
  }

  #update(objects: readonly KubeObject[]): void {
    const policies = readPolicies(objects);
    if (policies.length === 0 && this.#layer === undefined) return;
    const content = policyContent(policies, {
      4: policyEndpoints(objects, 4),
      6: policyEndpoints(objects, 6),
    });
    this.#layer ??= NftTableLayer.parse(baseChains());
    const changes = contentChanges(this.#content, content);
    if (changes !== "") this.#layer = this.#layer.with(changes, { origin: originsOf(content) });
    this.#content = content;
  }
}

/** Rules come chain by chain, each chain's in order and all of them. */
function originsOf({ chains }: TableContent): (rule: string, chain: string) => Origin | undefined {
  const next = new Map<string, number>();
  return (_, chain) => {
    const place = next.get(chain) ?? 0;
    next.set(chain, place + 1);
    return chains.get(chain)?.[place]?.origin;
  };
}
