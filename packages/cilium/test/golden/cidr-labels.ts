import { reservedIdentityOf } from "../../src/identity/reserved-identities.ts";
import { parseCidrLabels } from "../../src/labels/cidr-labels.ts";
import { formatLabel } from "../../src/labels/label.ts";
import { identityKey, type LabelSet } from "../../src/labels/label-set.ts";
import { difference } from "./compare.ts";
import type { GoldenRun } from "./golden-run.ts";

interface CidrCase {
  readonly prefix: string;
  readonly dualStack: boolean;
}

export const cidrLabels: GoldenRun<unknown, CidrCase> = ({ case: given }) => {
  const labels = parseCidrLabels(given.prefix, given.dualStack) as LabelSet;
  return difference(
    { ...given },
    {
      labels: labels.map(formatLabel),
      sortedList: identityKey(labels),
      reservedIdentity: reservedIdentityOf(labels),
    },
  );
};
