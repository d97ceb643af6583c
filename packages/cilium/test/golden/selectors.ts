import type { LabelSelector } from "@cnilab/core";
import { parseCidrLabels } from "../../src/labels/cidr-labels.ts";
import { type CidrSelection, cidrRuleSelectors } from "../../src/labels/cidr-selectors.ts";
import { EndpointSelector } from "../../src/labels/endpoint-selector.ts";
import { type LabelSet, parseLabels } from "../../src/labels/label-set.ts";
import { difference } from "./compare.ts";
import type { GoldenRun } from "./golden-run.ts";

interface SelectorCase {
  readonly selector: LabelSelector;
}

interface Identities {
  readonly identities: Readonly<Record<string, readonly string[]>>;
}

export const selectors: GoldenRun<Identities, SelectorCase> = ({ common, case: given }) => {
  const selector = EndpointSelector.fromPolicy(given.selector);
  return difference(
    { ...given },
    {
      key: selector.toString(),
      marshalled: selector.toPolicy(),
      matches: Object.fromEntries(
        Object.entries(common.identities).map(([name, texts]) => [
          name,
          selector.matches(parseLabels(texts)),
        ]),
      ),
    },
  );
};

interface CidrSelectorCase {
  readonly dualStack: boolean;
  readonly rules: readonly CidrSelection[];
  readonly matches: Readonly<Record<string, boolean>>;
}

export const cidrSelectors: GoldenRun<unknown, CidrSelectorCase> = ({ case: given }) => {
  const all = cidrRuleSelectors(given.rules, given.dualStack);
  return difference(
    { ...given },
    {
      selectorKeys: all.map(String),
      matches: Object.fromEntries(
        Object.keys(given.matches).map((prefix) => {
          const labels = parseCidrLabels(prefix, given.dualStack) as LabelSet;
          return [prefix, all.some((each) => each.matches(labels))];
        }),
      ),
    },
  );
};
