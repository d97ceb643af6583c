import type { ModelPolicy, ModelTier } from "../conversion/model.ts";
import { compareUtf8 } from "../selector/compare-utf8.ts";
import type { PolicyId, TierDefaultAction, TierInfo } from "./messages.ts";

/** A policy that selects an endpoint. */
export interface SelectingPolicy {
  readonly id: PolicyId;
  readonly policy: ModelPolicy;
}

/** Tiers of an endpoint by where their policies are asked (`felix/calc/event_sequencer.go` tierInfoToProtoTierInfo). */
export interface EndpointTiers {
  readonly normal: readonly TierInfo[];
  readonly untracked: readonly TierInfo[];
  readonly preDnat: readonly TierInfo[];
  readonly forward: readonly TierInfo[];
}

/** An endpoint that no policy selects. */
export const NO_TIERS: EndpointTiers = { normal: [], untracked: [], preDnat: [], forward: [] };

/**
 * Policies in the order in which a packet meets them (`felix/calc/policy_sorter.go` and `policy_resolver.go`). A tier that does not exist
 * comes last, and what none of its policies decides is denied: though a comment there says such a tier is skipped, it is not.
 */
export function endpointTiers(
  policies: Iterable<SelectingPolicy>,
  tiers: ReadonlyMap<string, ModelTier>,
): EndpointTiers {
  const byTier = new Map<string, SelectingPolicy[]>();
  for (const each of policies) {
    const list = byTier.get(each.policy.tier);
    if (list === undefined) byTier.set(each.policy.tier, [each]);
    else list.push(each);
  }
  if (byTier.size === 0) return NO_TIERS;
  const result = { normal: [], untracked: [], preDnat: [], forward: [] } satisfies Record<
    keyof EndpointTiers,
    TierInfo[]
  > as Record<keyof EndpointTiers, TierInfo[]>;
  const names = [...byTier.keys()].sort((x, y) => compareTiers(x, tiers.get(x), y, tiers.get(y)));
  for (const name of names) {
    const ordered = (byTier.get(name) ?? []).sort(comparePolicies);
    const defaultAction = tiers.get(name)?.defaultAction;
    const tracked = ordered.filter(({ policy }) => !policy.doNotTrack && !policy.preDnat);
    // Where only some packets are asked about, a tier never ends with a verdict of its own.
    add(
      result.untracked,
      name,
      ordered.filter(({ policy }) => policy.doNotTrack),
      "Pass",
    );
    add(
      result.preDnat,
      name,
      ordered.filter(({ policy }) => policy.preDnat && !policy.doNotTrack),
      "Pass",
      false,
    );
    add(
      result.forward,
      name,
      tracked.filter(({ policy }) => policy.applyOnForward),
      defaultAction,
    );
    add(result.normal, name, tracked, defaultAction);
  }
  return result;
}

/** Whether both have the same policies in the same order, and the same default actions. */
export function sameTiers(x: EndpointTiers, y: EndpointTiers): boolean {
  return (
    x === y ||
    (sameList(x.normal, y.normal) &&
      sameList(x.untracked, y.untracked) &&
      sameList(x.preDnat, y.preDnat) &&
      sameList(x.forward, y.forward))
  );
}

function add(
  tiers: TierInfo[],
  name: string,
  policies: readonly SelectingPolicy[],
  defaultAction: TierDefaultAction | undefined,
  withEgress = true,
): void {
  const ingressPolicies = policies
    .filter(({ policy }) => governs(policy, "ingress"))
    .map(({ id }) => id);
  const egressPolicies = withEgress
    ? policies.filter(({ policy }) => governs(policy, "egress")).map(({ id }) => id)
    : [];
  if (ingressPolicies.length + egressPolicies.length > 0)
    tiers.push({
      name,
      ingressPolicies,
      egressPolicies,
      ...(defaultAction !== undefined && { defaultAction }),
    });
}

/** Without types it is about both (ExtractPolicyMetadata); the API server fills them in. */
function governs({ types }: ModelPolicy, type: "ingress" | "egress"): boolean {
  return types.length === 0 || types.includes(type);
}

/** Known tiers first, then by order, without one last, then by name (TierLess). */
function compareTiers(
  x: string,
  tierX: ModelTier | undefined,
  y: string,
  tierY: ModelTier | undefined,
): number {
  const known = Number(tierX === undefined) - Number(tierY === undefined);
  return known || compareOrder(tierX?.order, tierY?.order) || compareUtf8(x, y);
}

/** By order, without one last, then by name, namespace and kind (PolKVLess). */
function comparePolicies(x: SelectingPolicy, y: SelectingPolicy): number {
  return (
    compareOrder(x.policy.order, y.policy.order) || compareUtf8(tieBreaker(x.id), tieBreaker(y.id))
  );
}

function compareOrder(x = Number.POSITIVE_INFINITY, y = Number.POSITIVE_INFINITY): number {
  return x === y ? 0 : x - y;
}

function tieBreaker({ name, namespace = "", kind }: PolicyId): string {
  return `${name}/${namespace}/${kind}`;
}

function sameList(x: readonly TierInfo[], y: readonly TierInfo[]): boolean {
  return (
    x.length === y.length &&
    x.every((tier, i) => {
      const other = y[i] as TierInfo;
      return (
        tier.name === other.name &&
        tier.defaultAction === other.defaultAction &&
        sameIds(tier.ingressPolicies, other.ingressPolicies) &&
        sameIds(tier.egressPolicies, other.egressPolicies)
      );
    })
  );
}

function sameIds(x: readonly PolicyId[], y: readonly PolicyId[]): boolean {
  return (
    x.length === y.length &&
    x.every((id, i) => {
      const other = y[i] as PolicyId;
      return (
        id === other ||
        (id.name === other.name && id.namespace === other.namespace && id.kind === other.kind)
      );
    })
  );
}
