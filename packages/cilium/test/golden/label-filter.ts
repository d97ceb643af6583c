import { LabelFilter } from "../../src/labels/label-filter.ts";
import { parseLabels, printLabels } from "../../src/labels/label-set.ts";
import { difference } from "./compare.ts";
import type { GoldenRun } from "./golden-run.ts";

interface FilterCase {
  readonly input: readonly string[];
  readonly labelsFlag: readonly string[] | null;
  readonly identity: readonly string[];
  readonly information: readonly string[];
}

export const labelFilter: GoldenRun<unknown, FilterCase> = ({ case: given }) => {
  const filter = new LabelFilter(given.labelsFlag ?? []);
  const { identity, information } = filter.filter(parseLabels(given.input));
  return difference(
    { ...given },
    { identity: printLabels(identity), information: printLabels(information) },
  );
};
