import {
  boolean,
  type Check,
  describe,
  fail,
  list,
  matching,
  networkPolicyFields,
  oneOf,
  strictObject,
} from "@cnilab/core/validation";
import { selector, unique } from "./field-checks.ts";
import { egressRules, ingressRules } from "./rule-checks.ts";
import type { GlobalNetworkPolicySpec } from "./v3/network-policy.ts";
import type { StagedAction } from "./v3/staged-network-policy.ts";

const LABEL = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?";

/** Names of policies: a label, with another and a dot before it at most (validator.go networkPolicyNameRegex). */
export const policyName: Check = matching(
  new RegExp(`^(?:(?:${LABEL}\\.)?${LABEL}|(?:knp|ossg)\\.default\\.${LABEL}(?:\\.${LABEL})*)$`),
  253,
  "lower-case letters, digits and hyphens, with at most one dot",
);

export const order: Check = (value, path) => {
  if (typeof value === "number" && Number.isFinite(value)) return;
  fail(path, `must be a number, not ${describe(value)}`);
};

const tier = matching(
  new RegExp(`^(?:${LABEL})?$`),
  63,
  "the name of a tier: lower-case letters, digits and hyphens",
);

function policyFields(isGlobal: boolean): Readonly<Record<string, Check>> {
  return {
    tier,
    order,
    ingress: ingressRules(isGlobal),
    egress: egressRules(isGlobal),
    selector,
    types: unique(list(oneOf("Ingress", "Egress"), 1, 2)),
    serviceAccountSelector: selector,
    performanceHints: unique(list(oneOf("AssumeNeededOnEveryNode"))),
  };
}

const GLOBAL_FIELDS = {
  ...policyFields(true),
  namespaceSelector: selector,
  doNotTrack: boolean,
  preDNAT: boolean,
  applyOnForward: boolean,
};
const stagedAction = oneOf("Set", "Delete", "Learn", "Ignore");

export const networkPolicySpec: Check = strictObject(policyFields(false));

export const globalNetworkPolicySpec: Check = globalSpec(strictObject(GLOBAL_FIELDS));

export const stagedNetworkPolicySpec: Check = staged(
  strictObject({ ...policyFields(false), stagedAction }),
);

export const stagedGlobalNetworkPolicySpec: Check = staged(
  globalSpec(strictObject({ ...GLOBAL_FIELDS, stagedAction })),
);

export const stagedKubernetesNetworkPolicySpec: Check = staged(
  strictObject({ ...networkPolicyFields, stagedAction }),
);

function globalSpec(fields: Check): Check {
  return (value, path) => {
    fields(value, path);
    const { preDNAT, doNotTrack, applyOnForward, egress, types } = value as GlobalNetworkPolicySpec;
    if (preDNAT === true && doNotTrack === true) {
      fail([...path, "doNotTrack"], "cannot be true beside preDNAT");
    }
    if (preDNAT === true && (egress ?? []).length > 0) {
      fail([...path, "egress"], "cannot stand in a preDNAT policy, which is for what comes in");
    }
    const outward = (types ?? []).indexOf("Egress");
    if (preDNAT === true && outward >= 0) {
      fail([...path, "types", outward], "cannot be Egress in a preDNAT policy");
    }
    const needs = preDNAT === true ? "preDNAT" : doNotTrack === true ? "doNotTrack" : undefined;
    if (needs !== undefined && applyOnForward !== true) {
      fail([...path, "applyOnForward"], `must be true where ${needs} is`);
    }
  };
}

/** A policy that is to be deleted says nothing but that. */
function staged(spec: Check): Check {
  return (value, path) => {
    spec(value, path);
    const { stagedAction: action, ...rest } = value as { readonly stagedAction?: StagedAction };
    if (action !== "Delete") return;
    // Defaults may be there: a dump has them.
    const field = Object.keys(rest).find((name) => name !== "tier" && name !== "types");
    if (field !== undefined) {
      fail([...path, field], "must be left out where stagedAction is Delete");
    }
  };
}
