import type { KubeObject } from "@cnilab/core";
import { tryParsePrefix } from "@cnilab/net";
import { isSet } from "./field-checks.ts";
import { ALLOWED_USES, BLOCK_SIZES } from "./pool-checks.ts";
import type { BGPConfiguration } from "./v3/bgp-configuration.ts";
import type { FelixConfiguration } from "./v3/felix-configuration.ts";
import type { IPPool } from "./v3/ip-pool.ts";
import type { IPAMConfiguration } from "./v3/ipam.ts";
import type { PolicySpec } from "./v3/network-policy.ts";
import type { PolicyType } from "./v3/rule.ts";
import type { StagedKubernetesNetworkPolicy } from "./v3/staged-network-policy.ts";
import type { Tier } from "./v3/tier.ts";

// What the API server fills in: api/pkg/defaults, libcalico-go/lib/clientv3, libcalico-go/lib/resources/tier.go, and the `default` of the
// schemas. An object that has all of it comes back as it is.

/** By this label policies are found by their tier. */
const TIER_LABEL = "projectcalico.org/tier";

interface Policy extends KubeObject {
  readonly spec: PolicySpec;
}

export function defaultPolicy<T extends KubeObject>(given: T): T {
  const policy = given as unknown as Policy;
  const tier = isSet(policy.spec.tier) ? (policy.spec.tier as string) : "default";
  const spec = filled(policy.spec, { tier, types: typesOf(policy.spec) });
  if (spec === policy.spec && policy.metadata.labels?.[TIER_LABEL] === tier) return given;
  const labels = { ...policy.metadata.labels, [TIER_LABEL]: tier };
  return { ...given, metadata: { ...policy.metadata, labels }, spec };
}

function typesOf({ ingress = [], egress = [] }: PolicySpec): readonly PolicyType[] {
  if (egress.length === 0) return ["Ingress"];
  return ingress.length === 0 ? ["Egress"] : ["Ingress", "Egress"];
}

export function defaultStagedPolicy<T extends KubeObject>(given: T): T {
  return withSpec(defaultPolicy(given), { stagedAction: "Set" });
}

export function defaultStagedKubernetesPolicy(
  given: StagedKubernetesNetworkPolicy,
): StagedKubernetesNetworkPolicy {
  return withSpec(given, { podSelector: {}, stagedAction: "Set" });
}

/** A tier without an order comes where the default one does. */
export function defaultTier(given: Tier): Tier {
  return withSpec(given, { order: 1_000_000, defaultAction: "Deny" });
}

export function defaultPool(given: IPPool): IPPool {
  const { cidr, blockSize, allowedUses } = given.spec;
  const prefix = tryParsePrefix(cidr);
  const defaults = {
    ipipMode: "Never",
    vxlanMode: "Never",
    nodeSelector: "all()",
    assignmentMode: "Automatic",
    allowedUses: ALLOWED_USES,
    blockSize: BLOCK_SIZES[prefix?.family ?? 4].default,
  };
  // IPv6 has several texts for one range, 0 is no size, and an empty list no use.
  const plain = prefix?.toString() ?? cidr;
  const isEmpty = allowedUses?.length === 0;
  if (plain === cidr && blockSize !== 0 && !isEmpty) return withSpec(given, defaults);
  const spec = {
    ...given.spec,
    cidr: plain,
    ...(blockSize === 0 && { blockSize: defaults.blockSize }),
    ...(isEmpty && { allowedUses: ALLOWED_USES }),
  };
  return withSpec({ ...given, spec }, defaults);
}

export function defaultIpamConfiguration(given: IPAMConfiguration): IPAMConfiguration {
  return withSpec(given, { strictAffinity: false, autoAllocateBlocks: true, maxBlocksPerHost: 0 });
}

export function defaultBgpConfiguration(given: BGPConfiguration): BGPConfiguration {
  return withSpec(given, { logSeverityScreen: "Info", serviceLoadBalancerAggregation: "Enabled" });
}

export function defaultFelixConfiguration(given: FelixConfiguration): FelixConfiguration {
  return withSpec(given, { nftablesMode: "Auto", nftablesFlowTableOffload: "Disabled" });
}

function withSpec<T extends KubeObject>(given: T, defaults: object): T {
  const { spec = {} } = given as { readonly spec?: object };
  const whole = filled(spec, defaults);
  return whole === spec ? given : { ...given, spec: whole };
}

/** Takes an empty text, an empty list and a missing field as not given. */
function filled<T extends object>(spec: T, defaults: object): T {
  const missing = Object.entries(defaults).filter(([name]) => {
    const value = (spec as Readonly<Record<string, unknown>>)[name];
    return !isSet(value) || (Array.isArray(value) && value.length === 0);
  });
  return missing.length === 0 ? spec : { ...spec, ...Object.fromEntries(missing) };
}
