import type { GlobalNetworkSet, NetworkSet } from "../api/v3/network-set.ts";
import type { Profile } from "../api/v3/profile.ts";
import type { Tier } from "../api/v3/tier.ts";
import { LABEL_NAMESPACE, NAMESPACE_PROFILE_PREFIX } from "./labels.ts";
import type { ModelNetworkSet, ModelProfile, ModelTier } from "./model.ts";
import { modelRules } from "./model-rules.ts";
import { normalisedNets } from "./networks.ts";

/** `updateprocessors/tierprocessor.go`: all but Pass is Deny. */
export function modelTier({ spec }: Tier): ModelTier {
  return {
    ...(spec.order !== undefined && { order: spec.order }),
    defaultAction: spec.defaultAction === "Pass" ? "Pass" : "Deny",
  };
}

/** `updateprocessors/profileprocessor.go`. */
export function modelProfile({ spec }: Profile): ModelProfile {
  return {
    inboundRules: modelRules(spec.ingress, ""),
    outboundRules: modelRules(spec.egress, ""),
    labels: new Map(Object.entries(spec.labelsToApply ?? {})),
  };
}

/** `updateprocessors/networksetprocessor.go`: it is in its namespace, and has the namespace's labels. */
export function modelNetworkSet({ metadata, spec }: NetworkSet): ModelNetworkSet {
  const namespace = metadata.namespace ?? "default";
  return {
    nets: normalisedNets(spec.nets),
    labels: new Map(Object.entries({ ...metadata.labels, [LABEL_NAMESPACE]: namespace })),
    profileIds: [NAMESPACE_PROFILE_PREFIX + namespace],
  };
}

/** `updateprocessors/globalnetworksetprocessor.go`. */
export function modelGlobalNetworkSet({ metadata, spec }: GlobalNetworkSet): ModelNetworkSet {
  return {
    nets: normalisedNets(spec.nets),
    labels: new Map(Object.entries(metadata.labels ?? {})),
    profileIds: [],
  };
}
