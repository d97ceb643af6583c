import type { ServiceIpFamily, ServiceSpec } from "@cnilab/core";
import { type IpAddress, type IpFamily, parseIp } from "@cnilab/net";
import { ApiError } from "../api/api-error.ts";

/** Which families a Service has, first its own first one, and by which policy. */
export interface ServiceFamilies {
  readonly policy: NonNullable<ServiceSpec["ipFamilyPolicy"]>;
  readonly families: readonly IpFamily[];
}

/**
 * Works a Service's families out of what it says and what it had
 * (pkg/registry/core/service/storage/alloc.go `initIPFamilyFields`).
 * @param has those of the cluster, its first one first
 * @param old `undefined` for a new Service
 * @throws ApiError Invalid
 */
export function serviceFamilies(
  spec: ServiceSpec,
  has: readonly IpFamily[],
  old: ServiceSpec | undefined,
): ServiceFamilies {
  const policy = policyOf(spec, old);
  const asked = askedFamilies(spec, has, old, policy);
  if (policy === "SingleStack" && asked.length > 1) {
    const what = givenAddresses(spec).length > 1 ? "cluster IPs" : "IP families";
    invalid(
      "spec.ipFamilyPolicy",
      policy,
      `must be 'RequireDualStack' or 'PreferDualStack' when multiple ${what} are specified`,
    );
  }
  const headlessWithoutSelector =
    spec.clusterIP === "None" && Object.keys(spec.selector ?? {}).length === 0;
  if (policy === "RequireDualStack" && has.length < 2 && !headlessWithoutSelector) {
    invalid(
      "spec.ipFamilyPolicy",
      policy,
      "this cluster is not configured for dual-stack services",
    );
  }
  const first = asked[0] ?? (has[0] as IpFamily);
  if (policy === "SingleStack") return { policy, families: [first] };
  const second = asked[1] ?? (first === 4 ? 6 : 4);
  const both = has.includes(second) || headlessWithoutSelector;
  return { policy, families: both ? [first, second] : [first] };
}

export function familyNames(families: readonly IpFamily[]): ServiceIpFamily[] {
  return families.map((f) => (f === 4 ? "IPv4" : "IPv6"));
}

/** Addresses that a Service names, none for a headless one. */
export function givenAddresses(spec: ServiceSpec): IpAddress[] {
  const texts = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return texts.filter((t) => t !== "None" && t !== "").map(parseIp);
}

function policyOf(spec: ServiceSpec, old: ServiceSpec | undefined): ServiceFamilies["policy"] {
  if (spec.ipFamilyPolicy !== undefined) return spec.ipFamilyPolicy;
  if (old?.ipFamilyPolicy !== undefined) return old.ipFamilyPolicy;
  const headless = spec.clusterIP === "None" && Object.keys(spec.selector ?? {}).length === 0;
  return headless ? "RequireDualStack" : "SingleStack";
}

/** Families that are named, or that the named addresses have, or that it had. */
function askedFamilies(
  spec: ServiceSpec,
  has: readonly IpFamily[],
  old: ServiceSpec | undefined,
  policy: ServiceFamilies["policy"],
): IpFamily[] {
  const before = families(old?.ipFamilies);
  const named = families(spec.ipFamilies);
  const asked = named.length > 0 ? named : before;
  if (before.length > 0 && named.length > 0 && named[0] !== before[0]) {
    invalid("spec.ipFamilies[0]", familyNames(named)[0], "may not change once set");
  }
  if (policy !== "SingleStack" && named.length > 0 && named.length < before.length) {
    invalid(
      "spec.ipFamilyPolicy",
      policy,
      "must be 'SingleStack' to release the secondary IP family",
    );
  }
  // Setting the policy is clear enough: what was the second one goes.
  const kept = policy === "SingleStack" && named.length === 0 ? asked.slice(0, 1) : [...asked];
  for (const address of givenAddresses(spec)) {
    const family = typeof address === "number" ? 4 : 6;
    if (!kept.includes(family)) kept.push(family);
  }
  const headless = spec.clusterIP === "None" && Object.keys(spec.selector ?? {}).length === 0;
  const missing = headless ? -1 : kept.findIndex((family) => !has.includes(family));
  if (missing >= 0) {
    const name = familyNames(kept)[missing];
    invalid(`spec.ipFamilies[${missing}]`, name, "not configured on this cluster");
  }
  return kept;
}

function families(names: readonly ServiceIpFamily[] | undefined): IpFamily[] {
  return (names ?? []).map((name) => (name === "IPv4" ? 4 : 6));
}

function invalid(field: string, value: string | undefined, why: string): never {
  throw new ApiError("Invalid", `${field}: Invalid value: "${value}": ${why}`);
}
