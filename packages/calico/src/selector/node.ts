/** Compares a label's value with one text. */
export type ValueOperator = "==" | "!=" | "contains" | "starts with" | "ends with";

/** A selector's tree (`libcalico-go/lib/selector/parser/ast.go`). */
export type SelectorNode =
  | { readonly op: "all" }
  /** Evaluates as `all()`; its meaning comes from who rewrites it. */
  | { readonly op: "global" }
  | { readonly op: "has"; readonly label: string }
  | { readonly op: ValueOperator; readonly label: string; readonly value: string }
  /** Values are sorted and unique. */
  | { readonly op: "in" | "not in"; readonly label: string; readonly values: readonly string[] }
  | { readonly op: "!"; readonly operand: SelectorNode }
  | { readonly op: "&&" | "||"; readonly operands: readonly SelectorNode[] };

/** Labels by name. A `Map` is one. */
export interface Labels {
  get(name: string): string | undefined;
}

/** Whether labels fulfil a selector's tree. */
export function evaluate(node: SelectorNode, labels: Labels): boolean {
  switch (node.op) {
    case "all":
    case "global":
      return true;
    case "has":
      return labels.get(node.label) !== undefined;
    case "==":
      return labels.get(node.label) === node.value;
    case "!=":
      return labels.get(node.label) !== node.value;
    case "contains":
      return labels.get(node.label)?.includes(node.value) ?? false;
    case "starts with":
      return labels.get(node.label)?.startsWith(node.value) ?? false;
    case "ends with":
      return labels.get(node.label)?.endsWith(node.value) ?? false;
    case "in":
    case "not in": {
      const value = labels.get(node.label);
      return (value !== undefined && node.values.includes(value)) === (node.op === "in");
    }
    case "!":
      return !evaluate(node.operand, labels);
    case "&&":
      for (const operand of node.operands) if (!evaluate(operand, labels)) return false;
      return true;
    case "||":
      for (const operand of node.operands) if (evaluate(operand, labels)) return true;
      return false;
  }
}

/** The text that stands for a tree: what is hashed, and what Felix shows. */
export function canonicalText(node: SelectorNode): string {
  switch (node.op) {
    case "all":
    case "global":
      return `${node.op}()`;
    case "has":
      return `has(${node.label})`;
    case "in":
    case "not in":
      return `${node.label} ${node.op} {${node.values.map(quoted).join(", ")}}`;
    case "!":
      return `!${canonicalText(node.operand)}`;
    case "&&":
    case "||":
      return `(${node.operands.map(canonicalText).join(` ${node.op} `)})`;
    default:
      return `${node.label} ${node.op} ${quoted(node.value)}`;
  }
}

/** The tree with all labels behind a prefix: how selectors of namespaces find inherited labels (`ast.go` PrefixVisitor). */
export function withLabelPrefix(node: SelectorNode, prefix: string): SelectorNode {
  switch (node.op) {
    case "all":
    case "global":
      return node;
    case "!":
      return { op: "!", operand: withLabelPrefix(node.operand, prefix) };
    case "&&":
    case "||":
      return { op: node.op, operands: node.operands.map((n) => withLabelPrefix(n, prefix)) };
    default:
      return { ...node, label: prefix + node.label };
  }
}

/** No string has both kinds of quotes, as there is no escape. */
function quoted(value: string): string {
  return value.includes('"') ? `'${value}'` : `"${value}"`;
}
