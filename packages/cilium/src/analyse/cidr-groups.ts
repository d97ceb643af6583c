import type { LabelSelectorRequirement } from "@cnilab/core";
import { type Prefix, tryParsePrefix } from "@cnilab/net";
import type { PeerTerm } from "@cnilab/network-policy";
import type { CiliumCIDRGroup } from "../api/v2/network-policy.ts";
import { cidrGroupLabel } from "../labels/cidr-selectors.ts";
import { allOf, anyOf, fits, not } from "./combined-terms.ts";

interface LabelledRange {
  readonly prefix: Prefix;
  readonly value: string;
}

/**
 * Labels that CiliumCIDRGroups give to ranges of addresses: their own, and one with their name (pkg/policy/k8s/cilium_cidr_group.go).
 * Of a label that several ranges around an address have, that of the narrowest counts.
 */
export class CidrGroups {
  readonly #byKey = new Map<string, LabelledRange[]>();

  constructor(groups: readonly CiliumCIDRGroup[]) {
    for (const { metadata, spec } of groups) {
      const labels = [
        ...Object.entries(metadata.labels ?? {}).filter(([key]) => !isCiliums(key)),
        [cidrGroupLabel(metadata.name).key, ""] as const,
      ];
      const prefixes = spec.externalCIDRs.flatMap((text) => tryParsePrefix(text) ?? []);
      for (const [key, value] of labels) {
        const ranges = this.#byKey.get(key) ?? [];
        this.#byKey.set(key, ranges);
        ranges.push(...prefixes.map((prefix) => ({ prefix, value })));
      }
    }
  }

  /** Addresses whose label of this key fulfils a requirement. @param withRanges whom ranges can mean */
  term(key: string, requirement: LabelSelectorRequirement, withRanges: PeerTerm): PeerTerm {
    const ranges = this.#byKey.get(key) ?? [];
    const values = [...new Set(ranges.map(({ value }) => value))];
    const having = (value: string) =>
      allOf([
        withRanges,
        anyOf(ranges.filter((each) => each.value === value).map((each) => without(each, ranges))),
      ]);
    const none = not(allOf([withRanges, block(ranges.map(({ prefix }) => prefix))]));
    return anyOf([
      ...values.map((value) => allOf([having(value), fits(requirement, value)])),
      allOf([none, fits(requirement, undefined)]),
    ]);
  }
}

/** A range without narrower ones that have another value there. */
function without({ prefix, value }: LabelledRange, ranges: readonly LabelledRange[]): PeerTerm {
  const narrower = ranges.filter(
    (each) =>
      each.value !== value && each.prefix.length > prefix.length && prefix.covers(each.prefix),
  );
  return { kind: "block", cidrs: [prefix], except: narrower.map((each) => each.prefix) };
}

function block(cidrs: readonly Prefix[]): PeerTerm {
  return { kind: "block", cidrs, except: [] };
}

/** Labels of Cilium's own (pkg/k8s/utils/utils.go RemoveCiliumLabels). */
function isCiliums(key: string): boolean {
  return key.startsWith("io.cilium.k8s");
}
