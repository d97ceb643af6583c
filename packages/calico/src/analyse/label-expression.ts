import type { LabelExpression } from "@cnilab/network-policy";
import type { SelectorNode } from "../selector/node.ts";

/** A selector's tree in the words of the one form of all policies. */
export function labelExpression(node: SelectorNode): LabelExpression {
  switch (node.op) {
    case "all":
    case "global":
      return { op: "all", of: [] };
    case "has":
      return { op: "has", key: node.label };
    case "==":
      return { op: "in", key: node.label, values: [node.value] };
    case "!=":
      return not({ op: "in", key: node.label, values: [node.value] });
    case "contains":
      return { op: "contains", key: node.label, text: node.value };
    case "starts with":
      return { op: "startsWith", key: node.label, text: node.value };
    case "ends with":
      return { op: "endsWith", key: node.label, text: node.value };
    case "in":
      return { op: "in", key: node.label, values: node.values };
    case "not in":
      return not({ op: "in", key: node.label, values: node.values });
    case "!":
      return not(labelExpression(node.operand));
    case "&&":
      return { op: "all", of: node.operands.map(labelExpression) };
    case "||":
      return { op: "any", of: node.operands.map(labelExpression) };
  }
}

function not(expression: LabelExpression): LabelExpression {
  return { op: "not", of: expression };
}
