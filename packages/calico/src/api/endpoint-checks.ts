import {
  type Check,
  dnsSubdomain,
  fail,
  labels,
  list,
  matching,
  oneOf,
  portName,
  port as portNumber,
  strictObject,
} from "@cnilab/core/validation";
import {
  address,
  hasPorts,
  interfaceName,
  networkOrAddress,
  orEmpty,
  protocol,
  unique,
} from "./field-checks.ts";
import { order } from "./policy-checks.ts";
import { egressRules, ingressRules } from "./rule-checks.ts";
import type { EndpointPort, HostEndpointSpec } from "./v3/host-endpoint.ts";
import type { Tier } from "./v3/tier.ts";

// api/pkg/apis/projectcalico/v3/hostendpoint.go, networkset.go, profile.go, tier.go.

const endpointPort: Check = (value, path) => {
  strictObject({ name: portName, protocol, port: portNumber }, ["name", "protocol", "port"])(
    value,
    path,
  );
  const { protocol: its } = value as EndpointPort;
  if (!hasPorts(its)) fail([...path, "protocol"], `must be TCP, UDP or SCTP, not ${its}`);
};

const hostEndpointFields = strictObject(
  {
    node: dnsSubdomain,
    interfaceName: orEmpty(interfaceName),
    expectedIPs: unique(list(address)),
    profiles: unique(list(dnsSubdomain)),
    ports: list(endpointPort),
  },
  ["node"],
);

export const hostEndpointSpec: Check = (value, path) => {
  hostEndpointFields(value, path);
  const { interfaceName: name = "", expectedIPs = [] } = value as HostEndpointSpec;
  if (name === "" && expectedIPs.length === 0) {
    fail([...path, "interfaceName"], "is required where there are no expectedIPs");
  }
};

export const networkSetSpec: Check = strictObject({ nets: unique(list(networkOrAddress)) });

export const profileSpec: Check = strictObject({
  ingress: ingressRules(true),
  egress: egressRules(true),
  labelsToApply: labels,
});

export const tierSpec: Check = strictObject({ order, defaultAction: oneOf("Pass", "Deny") });

/** Tiers that are always there, and what they cannot but be. */
export const FIXED_TIERS: Readonly<Record<string, Required<Tier["spec"]>>> = {
  "kube-admin": { order: 1000, defaultAction: "Pass" },
  default: { order: 1_000_000, defaultAction: "Deny" },
  "kube-baseline": { order: 10_000_000, defaultAction: "Pass" },
};

/** A tier as it will be stored, with its defaults. */
export function checkFixedTier({ metadata, spec }: Tier): void {
  const fixed = Object.hasOwn(FIXED_TIERS, metadata.name) ? FIXED_TIERS[metadata.name] : undefined;
  if (fixed === undefined) return;
  for (const field of ["order", "defaultAction"] as const) {
    const its = spec[field] ?? (field === "order" ? 1_000_000 : "Deny");
    if (its === fixed[field]) continue;
    fail(["spec", field], `must be ${fixed[field]} for tier ${metadata.name}`);
  }
}

/** Names of tiers have no dots: they are parts of others. */
export const tierName: Check = matching(
  /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/,
  63,
  "lower-case letters, digits and hyphens, at most 63, first and last no hyphen",
);
