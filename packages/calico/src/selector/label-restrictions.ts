import type { SelectorNode } from "./node.ts";

/** What a selector asks of one label at least: no labels match it that break this (`libcalico-go/lib/selector/parser/ast.go` LabelRestriction). */
export interface LabelRestriction {
  readonly mustBePresent: boolean;
  readonly mustBeAbsent: boolean;
  /** The label has one of these values; none at all: nothing can match. Absent: any value does. */
  readonly values?: ReadonlySet<string>;
}

/** Restrictions by label name. */
export type LabelRestrictions = ReadonlyMap<string, LabelRestriction>;

const NONE: LabelRestrictions = new Map();

/** What must hold of labels, one by one, for a selector to match. */
export function labelRestrictions(node: SelectorNode): LabelRestrictions {
  switch (node.op) {
    case "has":
    case "contains":
    case "starts with":
    case "ends with":
      return new Map([[node.label, { mustBePresent: true, mustBeAbsent: false }]]);
    case "==":
      return new Map([
        [node.label, { mustBePresent: true, mustBeAbsent: false, values: new Set([node.value]) }],
      ]);
    case "in":
      return new Map([
        [node.label, { mustBePresent: true, mustBeAbsent: false, values: new Set(node.values) }],
      ]);
    case "!":
      return node.operand.op === "has"
        ? new Map([[node.operand.label, { mustBePresent: false, mustBeAbsent: true }]])
        : NONE;
    case "&&":
      return node.operands.map(labelRestrictions).reduce(both);
    case "||":
      return node.operands.map(labelRestrictions).reduce(either);
    default:
      return NONE;
  }
}

/** Whether any value of the label, or its absence, can fulfil it. */
export function possibleToSatisfy(restriction: LabelRestriction): boolean {
  return !(restriction.mustBePresent && restriction.mustBeAbsent) && restriction.values?.size !== 0;
}

function both(x: LabelRestrictions, y: LabelRestrictions): LabelRestrictions {
  const result = new Map(x);
  for (const [label, b] of y) {
    const a = result.get(label);
    const values =
      a?.values === undefined
        ? b.values
        : b.values === undefined
          ? a.values
          : intersection(a.values, b.values);
    result.set(
      label,
      restriction(
        (a?.mustBePresent ?? false) || b.mustBePresent,
        (a?.mustBeAbsent ?? false) || b.mustBeAbsent,
        values,
      ),
    );
  }
  return result;
}

function either(x: LabelRestrictions, y: LabelRestrictions): LabelRestrictions {
  const result = new Map<string, LabelRestriction>();
  for (const [label, a] of x) {
    const b = y.get(label);
    if (b === undefined) continue;
    const mustBePresent = a.mustBePresent && b.mustBePresent;
    const mustBeAbsent = a.mustBeAbsent && b.mustBeAbsent;
    const values =
      mustBePresent && a.values !== undefined && b.values !== undefined
        ? new Set([...a.values, ...b.values])
        : undefined;
    if (mustBePresent || mustBeAbsent)
      result.set(label, restriction(mustBePresent, mustBeAbsent, values));
  }
  return result;
}

function restriction(
  mustBePresent: boolean,
  mustBeAbsent: boolean,
  values: ReadonlySet<string> | undefined,
): LabelRestriction {
  return values === undefined
    ? { mustBePresent, mustBeAbsent }
    : { mustBePresent, mustBeAbsent, values };
}

function intersection(x: ReadonlySet<string>, y: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...x].filter((value) => y.has(value)));
}
