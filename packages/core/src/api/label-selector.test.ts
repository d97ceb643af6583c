import { describe, expect, test } from "vitest";
import { selects } from "./label-selector.ts";
import type { LabelSelector, LabelSelectorRequirement, Labels } from "./meta.ts";

const match = (
  key: string,
  operator: LabelSelectorRequirement["operator"],
  ...values: string[]
): LabelSelector => ({ matchExpressions: [{ key, operator, values }] });

// Kubernetes 1.35: apimachinery pkg/labels/selector.go Requirement.Matches, and
// pkg/apis/meta/v1/helpers.go LabelSelectorAsSelector for nil and empty selectors.
test.each<[string, LabelSelector | undefined, Labels | undefined, boolean]>([
  ["no selector", undefined, { app: "web" }, false],
  ["no selector, no labels", undefined, undefined, false],
  ["an empty selector", {}, { app: "web" }, true],
  ["an empty selector, no labels", {}, undefined, true],
  ["an empty list of either", { matchLabels: {}, matchExpressions: [] }, {}, true],
  ["the label", { matchLabels: { app: "web" } }, { app: "web", tier: "front" }, true],
  ["another value", { matchLabels: { app: "web" } }, { app: "db" }, false],
  ["no such label", { matchLabels: { app: "web" } }, { tier: "front" }, false],
  ["one of two labels", { matchLabels: { app: "web", tier: "front" } }, { app: "web" }, false],
  ["an empty value", { matchLabels: { app: "" } }, { app: "" }, true],
  ["an empty value of no label", { matchLabels: { app: "" } }, {}, false],
  ["values in another case", { matchLabels: { app: "Web" } }, { app: "web" }, false],
  ["In", match("app", "In", "web", "db"), { app: "db" }, true],
  ["In, another value", match("app", "In", "web", "db"), { app: "cache" }, false],
  ["In, no such label", match("app", "In", "web"), {}, false],
  ["In, an empty value", match("app", "In", ""), { app: "" }, true],
  ["NotIn", match("app", "NotIn", "web"), { app: "db" }, true],
  ["NotIn, one of the values", match("app", "NotIn", "web", "db"), { app: "db" }, false],
  ["NotIn, no such label", match("app", "NotIn", "web"), {}, true],
  ["NotIn, no labels", match("app", "NotIn", "web"), undefined, true],
  ["Exists", match("app", "Exists"), { app: "web" }, true],
  ["Exists, an empty value", match("app", "Exists"), { app: "" }, true],
  ["Exists, no such label", match("app", "Exists"), { tier: "front" }, false],
  ["DoesNotExist", match("app", "DoesNotExist"), { tier: "front" }, true],
  ["DoesNotExist, an empty value", match("app", "DoesNotExist"), { app: "" }, false],
  // Keys that every JavaScript object answers to.
  ["Exists, a name of Object's", match("constructor", "Exists"), {}, false],
  ["DoesNotExist, a name of Object's", match("toString", "DoesNotExist"), {}, true],
  ["In, a name of Object's", { matchLabels: { valueOf: "x" } }, { valueOf: "x" }, true],
])("%s: %j admits %j: %s", (_, selector, labels, expected) => {
  expect(selects(selector, labels)).toBe(expected);
});

describe("all requirements count", () => {
  const selector: LabelSelector = {
    matchLabels: { app: "web" },
    matchExpressions: [
      { key: "tier", operator: "In", values: ["front"] },
      { key: "canary", operator: "DoesNotExist" },
    ],
  };

  test.each([
    [{ app: "web", tier: "front" }, true],
    [{ app: "db", tier: "front" }, false],
    [{ app: "web", tier: "back" }, false],
    [{ app: "web", tier: "front", canary: "" }, false],
  ])("%j: %s", (labels, expected) => {
    expect(selects(selector, labels)).toBe(expected);
  });
});
