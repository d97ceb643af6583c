import type { LabelSelector, LabelSelectorRequirement } from "@cnilab/core";
import { parseCidrLabel } from "./cidr-labels.ts";
import { EndpointSelector } from "./endpoint-selector.ts";
import { extendedKey, LABEL_SOURCE, type Label, label } from "./label.ts";
import { reservedLabel, worldLabel } from "./reserved-labels.ts";

// Ranges of addresses as selectors of labels (pkg/policy/api/cidr.go GetAsEndpointSelectors).

/** A range without some in it, or what CiliumCIDRGroups have. */
export interface CidrSelection {
  readonly cidr?: string;
  readonly cidrGroupRef?: string;
  readonly cidrGroupSelector?: LabelSelector;
  readonly except?: readonly string[];
}

/** What a range selects is every identity of a range in it; all addresses are the world, too. */
export function cidrRuleSelectors(
  rules: readonly CidrSelection[],
  dualStack: boolean,
): readonly EndpointSelector[] {
  const selectors: EndpointSelector[] = [];
  for (const { cidr, cidrGroupRef, cidrGroupSelector, except = [] } of rules) {
    const without = except.flatMap((text) => {
      const excepted = parseCidrLabel(text);
      return excepted === undefined ? [] : [requirement(excepted, "DoesNotExist")];
    });
    if (isGiven(cidr)) {
      const range = parseCidrLabel(cidr);
      if (range === undefined) continue;
      selectors.push(new EndpointSelector([], [requirement(range, "Exists"), ...without]));
      if (cidr.endsWith("/0")) {
        const world = worldLabel(cidr.includes(":") ? 6 : 4, dualStack);
        selectors.push(new EndpointSelector([], [requirement(world, "Exists"), ...without]));
      }
    } else if (isGiven(cidrGroupRef)) {
      const group = requirement(cidrGroupLabel(cidrGroupRef), "Exists");
      selectors.push(new EndpointSelector([], [group, ...without]));
    } else if (cidrGroupSelector !== undefined) {
      selectors.push(
        EndpointSelector.withPrefix(
          cidrGroupSelector,
          `${LABEL_SOURCE.cidrGroup}.`,
        ).withExpressions(without),
      );
    }
  }
  return selectors;
}

/** The same for ranges and addresses without anything excepted (`fromCIDR`, `toCIDR`). */
export function cidrSelectors(
  cidrs: readonly string[],
  dualStack: boolean,
): readonly EndpointSelector[] {
  const selectors = cidrs.flatMap((text) => {
    const range = parseCidrLabel(text);
    return range === undefined ? [] : [EndpointSelector.ofLabels(range)];
  });
  const [all4, all6] = [cidrs.includes("0.0.0.0/0"), cidrs.includes("::/0")];
  const worlds: Label[] = [];
  if (!dualStack) {
    if (all4 || all6) worlds.push(reservedLabel("world"));
  } else {
    if (all4 && all6) worlds.push(reservedLabel("world"));
    if (all4) worlds.push(reservedLabel("world-ipv4"));
    if (all6) worlds.push(reservedLabel("world-ipv6"));
  }
  return [...selectors, ...worlds.map((world) => EndpointSelector.ofLabels(world))];
}

/** What ranges of a CiliumCIDRGroup have. */
export function cidrGroupLabel(name: string): Label {
  return label(LABEL_SOURCE.cidrGroup, `io.cilium.policy.cidrgroupname/${name}`);
}

function requirement(of: Label, operator: "Exists" | "DoesNotExist"): LabelSelectorRequirement {
  return { key: extendedKey(of), operator };
}

function isGiven(text: string | undefined): text is string {
  return text !== undefined && text !== "";
}
