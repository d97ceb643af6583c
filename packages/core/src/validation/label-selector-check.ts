import type { LabelSelector } from "../api/meta.ts";
import {
  type Check,
  fail,
  labelKey,
  labels,
  labelValue,
  list,
  object,
  oneOf,
  string,
} from "./field-check.ts";

const requirement = object(
  {
    key: (value, path) => {
      string(value, path);
      const wrong = labelKey(value as string);
      if (wrong !== undefined) fail(path, wrong);
    },
    operator: oneOf("In", "NotIn", "Exists", "DoesNotExist"),
    values: list(labelValue),
  },
  ["key", "operator"],
);

/** A label selector, as unversioned validation of apimachinery wants it. */
export const selector: Check = (value, path) => {
  object({ matchLabels: labels, matchExpressions: list(requirement) })(value, path);
  const { matchExpressions = [] } = value as LabelSelector;
  matchExpressions.forEach(({ operator, values = [] }, i) => {
    const needs = operator === "In" || operator === "NotIn";
    if (needs === values.length > 0) return;
    const text = needs ? "must have at least one value" : "must be left out";
    fail([...path, "matchExpressions", i, "values"], `${text} for operator ${operator}`);
  });
};
