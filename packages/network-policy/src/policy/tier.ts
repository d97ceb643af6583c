import type { Direction, Policy } from "./policy.ts";

/** Policies that are asked together, before or after those of other tiers. */
export interface Tier {
  readonly name: string;
  /** Place among the tiers, the lowest first; those of equal order by name. */
  readonly order: number;
  /** What the tier says where it has a policy that selects the endpoint and closes it, and no rule of them fits. */
  readonly otherwise: "Deny" | "Pass";
  /** Rules of one rank have no order: which of them is asked first makes no difference. */
  readonly isUnordered?: boolean;
}

/** The tiers of Kubernetes' own policies: first, middle and last. Whom a NetworkPolicy selects may only what one allows. */
export const ADMIN: Tier = { name: "Admin", order: 1, otherwise: "Pass" };
export const NETWORK_POLICY: Tier = {
  name: "NetworkPolicy",
  order: 2,
  otherwise: "Deny",
  isUnordered: true,
};
export const BASELINE: Tier = { name: "Baseline", order: 3, otherwise: "Pass" };

/** Policies that stand in the order of their tiers, a list for each tier. */
export function byTier<P extends { readonly tier: Tier }>(
  policies: readonly P[],
): readonly (readonly [P, ...P[]])[] {
  const tiers: [P, ...P[]][] = [];
  for (const policy of policies) {
    const last = tiers.at(-1);
    if (last !== undefined && last[0].tier.name === policy.tier.name) last.push(policy);
    else tiers.push([policy]);
  }
  return tiers;
}

/** Whether what no rule fits is denied because of a policy, where it selects an endpoint. */
export function closes({ tier, leavesOpen }: Policy, direction: Direction): boolean {
  return tier.otherwise === "Deny" && leavesOpen?.includes(direction) !== true;
}

/** What a tier says where no rule of the policies that select an endpoint fits. */
export function endOfTier(selecting: readonly Policy[], direction: Direction): Tier["otherwise"] {
  return selecting.some((policy) => closes(policy, direction)) ? "Deny" : "Pass";
}
