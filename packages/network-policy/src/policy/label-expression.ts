import type { Labels } from "@cnilab/core";

/**
 * What a CNI's selectors demand of labels, where it is more than a LabelSelector can say. An absent label is in no list and
 * has no part of a text; `not` of that is true for it.
 */
export type LabelExpression =
  | { readonly op: "has"; readonly key: string }
  | { readonly op: "in"; readonly key: string; readonly values: readonly string[] }
  | {
      readonly op: "contains" | "startsWith" | "endsWith";
      readonly key: string;
      readonly text: string;
    }
  | { readonly op: "all" | "any"; readonly of: readonly LabelExpression[] }
  | { readonly op: "not"; readonly of: LabelExpression };

export function labelsMatch(expression: LabelExpression, labels: Labels): boolean {
  switch (expression.op) {
    case "all":
      return expression.of.every((each) => labelsMatch(each, labels));
    case "any":
      return expression.of.some((each) => labelsMatch(each, labels));
    case "not":
      return !labelsMatch(expression.of, labels);
    default: {
      const value = Object.hasOwn(labels, expression.key) ? labels[expression.key] : undefined;
      return value !== undefined && valueMatches(expression, value);
    }
  }
}

/** An expression about one label. */
export type LabelRequirement = Extract<LabelExpression, { readonly key: string }>;

/** Whether the value of a label that is there fulfils a requirement. */
export function valueMatches(requirement: LabelRequirement, value: string): boolean {
  switch (requirement.op) {
    case "has":
      return true;
    case "in":
      return requirement.values.includes(value);
    case "contains":
      return value.includes(requirement.text);
    case "startsWith":
      return value.startsWith(requirement.text);
    case "endsWith":
      return value.endsWith(requirement.text);
  }
}

/** Keys of all labels that an expression looks at. */
export function labelKeys(expression: LabelExpression): readonly string[] {
  switch (expression.op) {
    case "all":
    case "any":
      return expression.of.flatMap(labelKeys);
    case "not":
      return labelKeys(expression.of);
    default:
      return [expression.key];
  }
}
