import { extendedKey, formatLabel, parseLabel, parseSelectLabel } from "../../src/labels/label.ts";
import {
  identityKey,
  kubernetesLabels,
  parseLabels,
  securityLabels,
} from "../../src/labels/label-set.ts";
import { difference } from "./compare.ts";
import type { GoldenRun } from "./golden-run.ts";

interface KeysCase {
  readonly input: readonly string[];
  readonly labelArray: readonly string[] | null;
}

export const labelKeys: GoldenRun<unknown, KeysCase> = ({ case: given }) => {
  const labels = parseLabels(given.input);
  return difference(
    { ...given, labelArray: given.labelArray ?? [] },
    {
      k8sStringMap: { ...kubernetesLabels(labels) },
      labelArray: labels.map(formatLabel),
      parsed: given.input.map((text) => {
        const label = parseLabel(text);
        const select = parseSelectLabel(text);
        return {
          extendedKey: extendedKey(label),
          key: label.key,
          selectExtendedKey: extendedKey(select),
          selectSource: select.source,
          source: label.source,
          string: formatLabel(label),
          text,
          value: label.value,
        };
      }),
      sortedList: identityKey(labels),
      stringMap: { ...securityLabels(labels) },
    },
  );
};
